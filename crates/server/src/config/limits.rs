//! How much a server bears.

use std::time::Duration;

use super::ConfigError;

/// How often something may happen: one per `interval`, and `burst` of them at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time between two at a steady pace.
    pub interval: Duration,
    /// How many at once after a pause; at least 1.
    pub burst: u32,
}

/// Of one processor: more than it takes to keep it busy while clients on slow networks answer.
const GREETINGS: usize = 1024;

/// How much a server bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in all.
    pub connections: usize,
    /// Open connections from one address (one /64 for IPv6).
    pub connections_per_address: usize,
    /// Connections that are greeted at once, which is TLS and the hello. The others wait.
    pub greetings: usize,
    /// Connections that wait to be greeted, five seconds at most. Beyond it they are closed at once.
    pub waiting: usize,
    /// Registered devices of one user at once.
    pub devices_per_user: usize,
    /// Registered devices of one application at once.
    pub devices_per_application: usize,
    /// New connections from one address.
    pub attempts_per_address: Rate,
    /// Tokens, credentials and back-end passwords from one address that turn out to be wrong: beyond it none is looked at.
    pub refusals_per_address: Rate,
    /// Registrations by token of one user.
    pub registrations_per_user: Rate,
    /// Registrations by token from one address.
    pub registrations_per_address: Rate,
    /// Registrations by token of one application.
    pub registrations_per_application: Rate,
    /// REST requests of one application.
    pub requests_per_application: Rate,
    /// Calls started by one user.
    pub calls_per_user: Rate,
    /// Calls started from one address.
    pub calls_per_address: Rate,
    /// Calls started in one application.
    pub calls_per_application: Rate,
    /// Messages on one connection. Beyond this and the next ones the server reads more slowly.
    pub messages_per_connection: Rate,
    /// Messages on all connections of one user.
    pub messages_per_user: Rate,
    /// Messages on all connections from one address.
    pub messages_per_address: Rate,
    /// Messages on all connections of one application.
    pub messages_per_application: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: 1024,
            greetings: GREETINGS * std::thread::available_parallelism().map_or(2, usize::from),
            waiting: 50_000,
            devices_per_user: 10,
            devices_per_application: 100_000,
            attempts_per_address: Rate { interval: Duration::from_millis(20), burst: 500 },
            refusals_per_address: Rate { interval: Duration::from_secs(1), burst: 100 },
            registrations_per_user: Rate { interval: Duration::from_secs(1), burst: 60 },
            registrations_per_address: Rate { interval: Duration::from_millis(20), burst: 1000 },
            registrations_per_application: Rate { interval: Duration::from_micros(200), burst: 100_000 },
            requests_per_application: Rate { interval: Duration::from_millis(2), burst: 2000 },
            calls_per_user: Rate { interval: Duration::from_secs(1), burst: 30 },
            calls_per_address: Rate { interval: Duration::from_millis(20), burst: 1000 },
            calls_per_application: Rate { interval: Duration::from_millis(1), burst: 10_000 },
            messages_per_connection: Rate { interval: Duration::from_millis(20), burst: 300 },
            messages_per_user: Rate { interval: Duration::from_millis(5), burst: 1500 },
            messages_per_address: Rate { interval: Duration::from_micros(200), burst: 50_000 },
            messages_per_application: Rate { interval: Duration::from_micros(20), burst: 200_000 },
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (name, count) in [
            ("limits.connections", self.connections),
            ("limits.connections_per_address", self.connections_per_address),
            ("limits.greetings", self.greetings),
            ("limits.waiting", self.waiting),
            ("limits.devices_per_user", self.devices_per_user),
            ("limits.devices_per_application", self.devices_per_application),
        ] {
            if count == 0 {
                return Err(ConfigError::Range { name, rule: "at least 1" });
            }
        }
        for (name, rate) in [
            ("limits.attempts_per_address", self.attempts_per_address),
            ("limits.refusals_per_address", self.refusals_per_address),
            ("limits.registrations_per_user", self.registrations_per_user),
            ("limits.registrations_per_address", self.registrations_per_address),
            ("limits.registrations_per_application", self.registrations_per_application),
            ("limits.requests_per_application", self.requests_per_application),
            ("limits.calls_per_user", self.calls_per_user),
            ("limits.calls_per_address", self.calls_per_address),
            ("limits.calls_per_application", self.calls_per_application),
            ("limits.messages_per_connection", self.messages_per_connection),
            ("limits.messages_per_user", self.messages_per_user),
            ("limits.messages_per_address", self.messages_per_address),
            ("limits.messages_per_application", self.messages_per_application),
        ] {
            if rate.burst == 0 || rate.interval.is_zero() || rate.interval > Duration::from_secs(86_400) {
                return Err(ConfigError::Range { name, rule: "a burst of at least 1, at most a day apart" });
            }
        }
        Ok(())
    }
}
