//! The addresses calls may use, and how a change of them is noticed.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr};

/// Where a client learns the addresses of its machine. It is asked when a call begins and once a second during calls: an address that
/// is new or gone moves the running calls to the new network.
pub trait AddressSource: Debug + Send + Sync {
    /// The addresses to use now. Called on a driver task: answer at once, and without timers of
    /// `tokio`, which its runtime has not.
    fn addresses(&self) -> Vec<IpAddr>;
}

/// The addresses of the machine's network interfaces.
#[derive(Debug, Clone, Copy)]
pub struct MachineAddresses {
    loopback: bool,
}

impl MachineAddresses {
    /// Every address but loopback, and loopback when there is no other.
    #[must_use]
    pub const fn new() -> Self {
        Self { loopback: false }
    }

    /// Loopback too: for servers and peers on this machine.
    #[must_use]
    pub const fn with_loopback() -> Self {
        Self { loopback: true }
    }
}

impl Default for MachineAddresses {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressSource for MachineAddresses {
    fn addresses(&self) -> Vec<IpAddr> {
        let interfaces = webrtc_util::ifaces::ifaces().unwrap_or_default();
        select(
            interfaces.into_iter().filter_map(|interface| interface.addr).map(|address| address.ip()),
            self.loopback,
        )
    }
}

/// Those that a peer may reach, each once.
fn select(all: impl Iterator<Item = IpAddr>, loopback: bool) -> Vec<IpAddr> {
    let mut usable: Vec<IpAddr> = Vec::new();
    let mut own: Vec<IpAddr> = Vec::new();
    for ip in all {
        if ip.is_unspecified() || ip.is_multicast() || is_link_local(ip) {
            continue;
        }
        let list = if ip.is_loopback() { &mut own } else { &mut usable };
        if !list.contains(&ip) {
            list.push(ip);
        }
    }
    if loopback || usable.is_empty() {
        usable.append(&mut own);
    }
    usable
}

/// Useless without the name of the interface, which a candidate does not carry.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => is_unicast_link_local(v6),
    }
}

fn is_unicast_link_local(v6: Ipv6Addr) -> bool {
    v6.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_is_for_those_who_have_nothing_else() {
        let all = ips(&["127.0.0.1", "192.0.2.7", "fe80::1", "2001:db8::7", "192.0.2.7", "169.254.1.1"]);
        let found = |loopback| select(all.iter().copied(), loopback);
        assert_eq!(found(false), ips(&["192.0.2.7", "2001:db8::7"]));
        assert_eq!(found(true), ips(&["192.0.2.7", "2001:db8::7", "127.0.0.1"]));
        assert_eq!(select(ips(&["127.0.0.1", "::1"]).into_iter(), false), ips(&["127.0.0.1", "::1"]));
    }

    #[test]
    fn this_machine_has_an_address() {
        assert!(!MachineAddresses::with_loopback().addresses().is_empty());
    }
}
