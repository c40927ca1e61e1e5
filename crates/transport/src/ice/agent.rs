//! The agent of `is`, and when it wants to be called, which it finds by going through all its pairs. It is asked after every datagram of the call,
//! few of which are its own.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use is::IceAgent;

/// Whatever may change the agent goes through [`DerefMut`], and the time is found anew.
#[derive(Debug)]
pub(super) struct Agent {
    agent: IceAgent,
    due: Option<Option<Instant>>,
}

impl Agent {
    pub(super) fn new(agent: IceAgent) -> Self {
        Self { agent, due: None }
    }

    /// When the agent wants to be told the time.
    pub(super) fn timeout(&mut self) -> Option<Instant> {
        *self.due.get_or_insert_with(|| self.agent.poll_timeout())
    }
}

impl Deref for Agent {
    type Target = IceAgent;

    fn deref(&self) -> &IceAgent {
        &self.agent
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut IceAgent {
        self.due = None;
        &mut self.agent
    }
}

#[cfg(test)]
mod tests {
    use is::{Candidate, IceCreds, Protocol};

    use super::*;

    #[test]
    fn what_changes_the_agent_changes_when_it_is_due() {
        let mut agent = Agent::new(IceAgent::new(IceCreds::new()));
        let host = |port| {
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            Candidate::host(address, Protocol::Udp).expect("it is an address")
        };
        let now = crate::fuzzing::start();
        agent.set_remote_credentials(IceCreds::new());
        agent.handle_timeout(now);
        for step in 0..3 {
            let found = agent.timeout();
            assert_eq!(found, agent.agent.poll_timeout(), "{step}");
            assert_eq!(found, agent.timeout(), "{step}");
            match step {
                0 => drop(agent.add_local_candidate(host(1))),
                1 => agent.add_remote_candidate(host(2)),
                _ => agent.handle_timeout(now + std::time::Duration::from_millis(50)),
            }
        }
    }
}
