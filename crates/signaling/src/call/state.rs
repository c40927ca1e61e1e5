//! How far a call is.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a call is. The discriminants are the published numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum CallState {
    /// Nothing happened yet.
    #[default]
    Init = 0,
    /// The callee is being reached (outgoing calls only).
    Progressing = 1,
    /// Answered, and media is connected.
    Established = 2,
    /// Over.
    Ended = 3,
    /// Accepted; media may not be connected.
    Answered = 4,
    /// A device of the callee rings.
    Ringing = 5,
}

impl CallState {
    /// Whether a call may go from this state to `next`; incoming calls are never Progressing or Ringing.
    #[must_use]
    pub const fn may_become(self, next: Self, outgoing: bool) -> bool {
        match (self, next) {
            (Self::Ended, _) | (_, Self::Init) => false,
            (_, Self::Ended) | (Self::Answered, Self::Established) => true,
            (Self::Init, Self::Progressing | Self::Ringing) | (Self::Progressing, Self::Ringing) => outgoing,
            (Self::Init | Self::Progressing | Self::Ringing, Self::Answered) => true,
            _ => false,
        }
    }
}

/// The time limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimers {
    /// From start to answer.
    pub setup: Duration,
    /// From start to the first ringing device.
    pub progress: Duration,
    /// From a first refusal by error to the end, while other devices may answer.
    pub acknowledge: Duration,
    /// How long a caller may be gone while it rings.
    pub caller_gone: Duration,
    /// How long a side may be gone after the answer.
    pub resume: Duration,
}

impl Default for CallTimers {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(60),
            progress: Duration::from_secs(10),
            acknowledge: Duration::from_secs(10),
            caller_gone: Duration::from_secs(15),
            resume: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CallState::{Answered, Ended, Established, Init, Progressing, Ringing};

    #[test]
    fn only_the_published_orders_are_allowed() {
        assert!(Init.may_become(Answered, true) && Ringing.may_become(Answered, true));
        assert!(!Init.may_become(Progressing, false) && !Init.may_become(Ringing, false));
        assert!(!Ringing.may_become(Established, true) && !Ended.may_become(Ended, true));
        assert!(!Ringing.may_become(Progressing, true) && Progressing.may_become(Ended, true));
    }
}
