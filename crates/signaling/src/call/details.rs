//! When the steps of a call happened.

use std::time::{Duration, Instant};

use super::{CallEndCause, CallState};
use crate::UnixSeconds;
use crate::message::WireError;

/// The times of a call, as this end saw them. What did not happen is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallDetails {
    /// Wall time of the start, when known.
    pub started_wall: Option<UnixSeconds>,
    /// When the call was made or came in.
    pub started: Instant,
    /// When it was Progressing.
    pub progressed: Option<Instant>,
    /// When it was Ringing.
    pub rung: Option<Instant>,
    /// When it was Answered.
    pub answered: Option<Instant>,
    /// When it was Established.
    pub established: Option<Instant>,
    /// When it was Ended.
    pub ended: Option<Instant>,
    /// Why it ended.
    pub end_cause: CallEndCause,
    /// The error, when one ended it.
    pub error: Option<WireError>,
}

impl CallDetails {
    /// The details of a call that starts at `now`.
    #[must_use]
    pub const fn new(now: Instant, wall: Option<UnixSeconds>) -> Self {
        Self {
            started_wall: wall,
            started: now,
            progressed: None,
            rung: None,
            answered: None,
            established: None,
            ended: None,
            end_cause: CallEndCause::None,
            error: None,
        }
    }

    /// Notes that `state` was reached at `now`; the first time counts.
    pub fn reached(&mut self, state: CallState, now: Instant) {
        let slot = match state {
            CallState::Init => return,
            CallState::Progressing => &mut self.progressed,
            CallState::Ringing => &mut self.rung,
            CallState::Answered => &mut self.answered,
            CallState::Established => &mut self.established,
            CallState::Ended => &mut self.ended,
        };
        slot.get_or_insert(now);
    }

    /// From start to Progressing; zero for an incoming call.
    #[must_use]
    pub fn setup_duration(&self) -> Duration {
        self.progressed.map_or(Duration::ZERO, |t| t.saturating_duration_since(self.started))
    }

    /// From Progressing to Ringing.
    #[must_use]
    pub fn notifying_duration(&self) -> Option<Duration> {
        between(self.progressed, self.rung)
    }

    /// From Ringing to Answered.
    #[must_use]
    pub fn ringing_duration(&self) -> Option<Duration> {
        between(self.rung, self.answered)
    }

    /// From Answered to Established.
    #[must_use]
    pub fn connection_duration(&self) -> Option<Duration> {
        between(self.answered, self.established)
    }

    /// From Established to the end, or to `now` while it runs.
    #[must_use]
    pub fn duration(&self, now: Instant) -> Option<Duration> {
        between(self.established, Some(self.ended.unwrap_or(now)))
    }
}

fn between(from: Option<Instant>, to: Option<Instant>) -> Option<Duration> {
    Some(to?.saturating_duration_since(from?))
}
