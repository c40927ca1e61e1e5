//! Who answers anyone.

use std::net::IpAddr;
use std::time::Duration;

use offhook_signaling::UserId;

use super::ConfigError;

/// Who answers anyone and plays their voice back, so that one person can try a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoUser {
    /// Its user id, in every application. Nobody else can register under it.
    pub user: UserId,
    /// From a word to its echo, beside what network and jitter buffer take: at most 1 s. Below half a second it makes people stutter.
    pub delay: Duration,
    /// Calls at once, of all applications together: 1 to 30. Who calls beyond is told that the callee is busy.
    pub calls: usize,
    /// After this long a call is hung up.
    pub longest_call: Duration,
    /// Addresses under which this machine is reached and which it does not know itself, for instance behind a one-to-one address
    /// translation.
    pub public_addresses: Vec<IpAddr>,
}

impl Default for EchoUser {
    /// User `echo`, a second later, 16 calls of at most five minutes.
    fn default() -> Self {
        Self {
            user: UserId::new("echo").expect("four letters are a well-formed identifier"),
            delay: Duration::from_secs(1),
            calls: 16,
            longest_call: Duration::from_secs(300),
            public_addresses: Vec::new(),
        }
    }
}

impl EchoUser {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=30).contains(&self.calls) {
            return Err(ConfigError::Range { name: "echo.calls", rule: "1 to 30" });
        }
        if self.delay > Duration::from_secs(1) {
            return Err(ConfigError::Range { name: "echo.delay", rule: "at most a second" });
        }
        if self.longest_call < Duration::from_secs(1) || self.longest_call > Duration::from_secs(86_400) {
            return Err(ConfigError::Range { name: "echo.longest_call", rule: "between a second and a day" });
        }
        Ok(())
    }
}
