//! Consent to send (RFC 7675): an answered check renews it; without one for too long nothing more may be sent.

use std::time::{Duration, Instant};

/// What a look at the clock or at the checks changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsentChange {
    /// It ran out.
    Lost,
    /// It came back after it had run out.
    Back,
}

/// Follows the count of answered checks of the nominated pair.
#[derive(Debug)]
pub(crate) struct Consent {
    timeout: Duration,
    answered: Option<u64>,
    /// `None` before the first answered check.
    renewed: Option<Instant>,
    lost: bool,
}

impl Consent {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, answered: None, renewed: None, lost: false }
    }

    /// Notes how many checks were answered so far, on whichever pair is nominated.
    pub(crate) fn observe(&mut self, now: Instant, answered: Option<u64>) -> Option<ConsentChange> {
        if answered.is_some_and(|count| count > 0) && answered != self.answered {
            self.answered = answered;
            self.renewed = Some(now);
            if std::mem::take(&mut self.lost) {
                return Some(ConsentChange::Back);
            }
        }
        if !self.lost && self.deadline().is_some_and(|deadline| now >= deadline) {
            self.lost = true;
            return Some(ConsentChange::Lost);
        }
        None
    }

    /// When consent runs out; `None` when there is none to lose.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.lost { None } else { self.renewed.map(|renewed| renewed + self.timeout) }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::start;

    #[test]
    fn is_renewed_lost_once_and_comes_back() {
        let start = start();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut consent = Consent::new(Duration::from_secs(25));
        assert_eq!(consent.observe(at(100), None), None, "nothing to lose before the first answer");
        assert_eq!(consent.observe(at(101), Some(1)), None);
        assert_eq!(consent.observe(at(125), Some(1)), None);
        assert_eq!(consent.observe(at(125), Some(2)), None);
        assert_eq!(consent.observe(at(149), Some(2)), None);
        assert_eq!(consent.observe(at(150), None), Some(ConsentChange::Lost));
        assert!(consent.is_lost());
        assert_eq!(consent.observe(at(151), None), None);
        assert_eq!(consent.observe(at(152), Some(1)), Some(ConsentChange::Back));
        assert_eq!(consent.deadline(), Some(at(177)));
    }
}
