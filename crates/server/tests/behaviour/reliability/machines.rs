//! Machines of a cluster as network namespaces of this one, each with a NATS server and a node:
//!
//!   people 10.78.2.1 ── bridge ── m0, m1, m2: 10.78.2.11 …    clients reach the nodes
//!                                 m0, m1, m2: 10.78.1.11 … ── bridge    nodes and NATS servers reach each other
//!
//! The cut takes one machine off the second bridge: what it sends to the others and they to it is lost without a word, while clients
//! reach all of them. Needs root.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::nodes::Host;

/// The namespaces, made and taken away, or joined.
pub(super) struct Machines {
    prefix: String,
    count: u8,
    is_own: bool,
}

impl Machines {
    /// # Errors
    /// Why not: no root, no `ip`, no namespaces.
    pub(super) fn make(count: u8) -> Result<Self, String> {
        let own = Self { prefix: format!("oh{}", std::process::id()), count, is_own: true };
        own.build()?;
        Ok(own)
    }

    /// Those that another process has made.
    pub(super) fn join(prefix: String, count: u8) -> Self {
        Self { prefix, count, is_own: false }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the clients are.
    pub(super) fn people(&self) -> String {
        format!("{}-people", self.prefix)
    }

    fn wire(&self) -> String {
        format!("{}-wire", self.prefix)
    }

    fn machine(&self, index: u8) -> String {
        format!("{}-m{index}", self.prefix)
    }

    fn build(&self) -> Result<(), String> {
        let (people, wire) = (self.people(), self.wire());
        for name in [&people, &wire] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "link", "add", "bridge0", "type", "bridge"])?;
            ip(&["-n", name, "link", "set", "bridge0", "up"])?;
        }
        ip(&["-n", &people, "addr", "add", "10.78.2.1/24", "dev", "bridge0"])?;
        for index in 0..self.count {
            let (machine, end) = (self.machine(index), format!("to-m{index}"));
            ip(&["netns", "add", &machine])?;
            ip(&["-n", &machine, "link", "set", "lo", "up"])?;
            for (device, other, address) in
                [("inner", &wire, self.inner(index)), ("outer", &people, self.outer(index))]
            {
                let pair = ["type", "veth", "peer", "name", &end, "netns", other];
                ip(&[&["-n", &machine, "link", "add", device][..], &pair].concat())?;
                ip(&["-n", &machine, "addr", "add", &format!("{address}/24"), "dev", device])?;
                ip(&["-n", &machine, "link", "set", device, "up"])?;
                ip(&["-n", other, "link", "set", &end, "master", "bridge0"])?;
                ip(&["-n", other, "link", "set", &end, "up"])?;
            }
        }
        Ok(())
    }

    /// Where nodes and NATS servers reach a machine.
    pub(super) const fn inner(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 1, 11 + index)
    }

    /// Where clients reach a machine.
    pub(super) const fn outer(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 2, 11 + index)
    }

    /// The machines as their NATS servers see them.
    pub(super) fn hosts(&self) -> Vec<Host> {
        let host = |index| Host { namespace: Some(self.machine(index)), address: self.inner(index) };
        (0..self.count).map(host).collect()
    }

    pub(super) fn cut(&self, index: u8) {
        ip(&["-n", &self.wire(), "link", "set", &format!("to-m{index}"), "nomaster"]).unwrap();
    }

    pub(super) fn heal(&self, index: u8) {
        ip(&["-n", &self.wire(), "link", "set", &format!("to-m{index}"), "master", "bridge0"]).unwrap();
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if self.is_own {
            let machines = (0..self.count).map(|index| self.machine(index));
            for name in machines.chain([self.people(), self.wire()]) {
                // What was not made cannot be taken away.
                let _ = ip(&["netns", "del", &name]);
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("ip {}: {}", arguments.join(" "), said.trim())) }
}
