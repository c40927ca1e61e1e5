//! What a run does when: pure arithmetic over the options.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::failure::Failure;

/// Clients of one source address: within the burst of new connections that a server with usual limits takes from one.
const CLIENTS_PER_ADDRESS: usize = 400;
/// Beyond talking, a call occupies its two clients for this long on a server that is well.
const SLACK: Duration = Duration::from_millis(500);

/// How much of what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) registrations_per_second: f64,
    pub(super) idle: Duration,
    pub(super) calls_per_second: f64,
    pub(super) calling: Duration,
    pub(super) talk: Duration,
}

impl Plan {
    /// Refuses a plan that cannot be kept: its figures would say nothing about the server.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let needed = self.clients_for_calls();
        if self.calls_per_second > 0.0 && needed > self.clients {
            return Err(Failure::usage(format!(
                "{} calls per second that last {} s need {needed} clients, not {}",
                self.calls_per_second,
                self.talk.as_secs_f64(),
                self.clients
            ))
            .advice("raise --clients, or lower --calls-per-second or --talk"));
        }
        Ok(())
    }

    /// Two for each call that runs at once.
    fn clients_for_calls(&self) -> usize {
        let at_once = (self.calls_per_second * (self.talk + SLACK).as_secs_f64()).ceil();
        // A rate that no machine has is refused by the number of clients, whatever it is.
        2 * (at_once.max(1.0) as usize)
    }

    /// When client number `index` is to register, from the start.
    pub(super) fn registration(&self, index: usize) -> Duration {
        Duration::from_secs_f64(index as f64 / self.registrations_per_second)
    }

    /// When call number `number` is to start, from the start of calling.
    pub(super) fn call(&self, number: u64) -> Option<Duration> {
        if self.calls_per_second <= 0.0 {
            return None;
        }
        let at = Duration::from_secs_f64(number as f64 / self.calls_per_second);
        (at < self.calling).then_some(at)
    }
}

/// Where client number `index` connects from: an address of its group where the server is on IPv4 loopback, because one address has
/// 28,000 ports and servers limit what one address may do; else what the system chooses.
pub(super) fn source(given: &[IpAddr], server: IpAddr, index: usize) -> Option<IpAddr> {
    if !given.is_empty() {
        return Some(given[index % given.len()]);
    }
    let IpAddr::V4(server) = server else { return None };
    let group = u32::try_from(index / CLIENTS_PER_ADDRESS).ok()?;
    (server.is_loopback() && group > 0)
        .then(|| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 0)) + group).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        clients: 3000,
        registrations_per_second: 1000.0,
        idle: Duration::ZERO,
        calls_per_second: 500.0,
        calling: Duration::from_secs(2),
        talk: Duration::from_secs(1),
    };

    #[test]
    fn calls_start_at_even_times_until_the_end_whatever_became_of_those_before() {
        let times: Vec<_> = (0..).map_while(|number| PLAN.call(number)).collect();
        assert_eq!(times.len(), 1000);
        assert_eq!((times[1], times[999]), (Duration::from_millis(2), Duration::from_millis(1998)));
        assert_eq!(Plan { calls_per_second: 0.0, ..PLAN }.call(0), None);
        assert_eq!(PLAN.registration(1500), Duration::from_millis(1500));
    }

    #[test]
    fn too_few_clients_for_the_calls_are_refused() {
        assert!(PLAN.check().is_ok());
        let refused = Plan { clients: 1499, ..PLAN }.check().unwrap_err().to_string();
        assert!(
            refused.contains("need 1500 clients, not 1499") && refused.contains("--clients"),
            "{refused}"
        );
        assert!(Plan { clients: 1, calls_per_second: 0.0, ..PLAN }.check().is_ok());
    }

    #[test]
    fn a_crowd_on_loopback_comes_from_many_addresses() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(source(&[], here, 399), None);
        assert_eq!(source(&[], here, 400), "127.0.1.1".parse().ok());
        assert_eq!(source(&[], here, 400 * 300), "127.0.2.44".parse().ok());
        assert_eq!(source(&[], "192.0.2.1".parse().unwrap(), 9999), None);
        assert_eq!(source(&[], "::1".parse().unwrap(), 9999), None);
        let own: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap()];
        assert_eq!(source(&own, here, 3), Some(own[1]));
    }
}
