//! A peer that fell silent, a peer that hung up: what is tried, and for how long.

use std::time::{Duration, Instant};

use offhook_signaling::call::CallEndCause;

use super::{MediaDriver, MediaNews};
use crate::event::CallDirection;

/// Between two tries to find a new path.
const TRY_AGAIN: Duration = Duration::from_secs(3);
/// The callee lets the caller try first: two offers at once would meet.
const CALLER_FIRST: Duration = Duration::from_secs(1);
/// A peer that said good-bye has hung up; signaling says it better, when it still can.
const AFTER_BYE: Duration = Duration::from_secs(1);

/// From the last answered check to the end of the call (RFC 7675, section 5.1).
const WITHOUT_CONSENT: Duration = Duration::from_secs(30);

/// What is expected to happen, and until when.
#[derive(Debug)]
pub(super) struct Recovery {
    /// The newest datagram that was the peer's.
    heard: Instant,
    lost: Option<Lost>,
    bye: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Lost {
    sign: Sign,
    until: Instant,
    next_try: Instant,
}

/// What tells that the peer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing at all came any more; anything that comes takes it back.
    Silence,
    /// Consent ran out (RFC 7675); only the session takes it back.
    Consent,
}

impl Recovery {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, lost: None, bye: None }
    }

    /// The peer's consent is back.
    pub(super) fn end(&mut self) {
        self.lost = None;
    }

    /// The newest of the peer's came at `at`.
    pub(super) fn hear(&mut self, at: Instant) {
        if at <= self.heard {
            return;
        }
        self.heard = at;
        if self.lost.is_some_and(|lost| lost.sign == Sign::Silence) {
            self.lost = None;
        }
    }

    /// The peer said good-bye at `now`.
    pub(super) fn expect_end(&mut self, now: Instant) {
        self.bye.get_or_insert(now + AFTER_BYE);
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        let lost = self.lost.map(|lost| lost.until.min(lost.next_try));
        lost.into_iter().chain(self.bye).min()
    }
}

impl MediaDriver {
    /// Notes whether the peer lives.
    pub(super) fn hear(&mut self) {
        if let Some(at) = self.session.last_heard() {
            self.recovery.hear(at);
        }
    }

    pub(super) fn begin_recovery(&mut self, now: Instant, sign: Sign) {
        tracing::info!(call = %self.core.id, ?sign, "the peer does not answer: looking for a new path");
        let patience = match self.negotiation.direction {
            CallDirection::Outbound => Duration::ZERO,
            CallDirection::Inbound => CALLER_FIRST,
        };
        let timeouts = &self.shared.settings.timeouts;
        let until = now + patience_with(sign, timeouts.consent, timeouts.recovery);
        let lost = self.recovery.lost.get_or_insert(Lost { sign, until, next_try: now + patience });
        lost.sign = sign;
        lost.until = lost.until.min(until);
    }

    /// Tries again, or gives up, when it is time.
    pub(super) fn recover(&mut self, now: Instant) {
        if self.recovery.bye.is_some_and(|until| now >= until) {
            self.recovery.bye = None;
            self.push_news(MediaNews::Failed(CallEndCause::HungUp));
        }
        let silent = now.saturating_duration_since(self.recovery.heard);
        if self.recovery.lost.is_none() && self.session.is_connected() && silent >= self.silence() {
            self.begin_recovery(now, Sign::Silence);
        }
        let Some(lost) = self.recovery.lost else { return };
        if now >= lost.until {
            self.recovery.lost = None;
            self.push_news(MediaNews::Failed(CallEndCause::Inactive));
        } else if now >= lost.next_try {
            self.recovery.lost = Some(Lost { next_try: now + TRY_AGAIN, ..lost });
            self.restart_ice(now);
        }
    }

    fn silence(&self) -> Duration {
        self.shared.settings.timeouts.silence
    }
}

/// How long new paths are looked for. A call that nobody consents to is over after [`WITHOUT_CONSENT`], whatever is heard meanwhile.
fn patience_with(sign: Sign, consent: Duration, recovery: Duration) -> Duration {
    match sign {
        Sign::Silence => recovery,
        Sign::Consent => recovery.min(WITHOUT_CONSENT.saturating_sub(consent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_thing_to_do_is_due() {
        let now = Instant::now();
        let mut recovery = Recovery::new(now);
        assert_eq!(recovery.due(), None);
        recovery.lost = Some(Lost { sign: Sign::Silence, until: now + TRY_AGAIN, next_try: now });
        recovery.expect_end(now);
        recovery.expect_end(now + TRY_AGAIN);
        assert_eq!(recovery.due(), Some(now));
        recovery.hear(now + Duration::from_millis(1));
        assert_eq!(recovery.due(), Some(now + AFTER_BYE));
    }

    #[test]
    fn without_consent_a_call_is_over_after_thirty_seconds() {
        let seconds = Duration::from_secs;
        for consent in [5, 15, 25, 30].map(seconds) {
            assert!(consent + patience_with(Sign::Consent, consent, seconds(15)) <= WITHOUT_CONSENT);
        }
        assert_eq!(patience_with(Sign::Consent, seconds(5), seconds(15)), seconds(15));
        assert_eq!(patience_with(Sign::Silence, seconds(25), seconds(15)), seconds(15));
    }

    #[test]
    fn consent_that_ran_out_is_not_back_with_any_datagram() {
        let now = Instant::now();
        let mut recovery = Recovery::new(now);
        recovery.lost = Some(Lost { sign: Sign::Consent, until: now + TRY_AGAIN, next_try: now });
        recovery.hear(now + Duration::from_millis(1));
        assert!(recovery.due().is_some());
        recovery.end();
        assert_eq!(recovery.due(), None);
    }
}
