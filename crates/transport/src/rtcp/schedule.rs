//! When reports are due (RFC 3550, section 6.2, with the short intervals of RFC 4585).

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(300);
const INTERVAL: Duration = Duration::from_secs(1);

/// The next report, at random between half and one and a half intervals, so that two sides do not march in step.
#[derive(Debug)]
pub(crate) struct ReportSchedule {
    next: Instant,
    random: u64,
}

impl ReportSchedule {
    pub(crate) fn new(now: Instant, random: u64) -> Self {
        Self { next: now + FIRST, random: random | 1 }
    }

    /// Plans the first report anew, when the session connects.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.next = now + FIRST;
    }

    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// Whether a report is due within `early`; if so the next one is planned.
    pub(crate) fn take(&mut self, now: Instant, early: Duration) -> bool {
        if now + early < self.next {
            return false;
        }
        // Xorshift: only the spread matters, not that nobody can guess it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.next = self.next.max(now)
            + INTERVAL / 2
            + INTERVAL.mul_f64((self.random >> 11) as f64 / (1_u64 << 53) as f64);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::start;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn intervals_stay_in_bounds_and_differ() {
        let start = start();
        let mut schedule = ReportSchedule::new(start, 42);
        assert!(!schedule.take(start, Duration::ZERO));
        let mut last = start + FIRST;
        assert!(!schedule.take(last - SHORT, SHORT / 2));
        assert!(schedule.take(last - SHORT, SHORT));
        let mut gaps = Vec::new();
        for _ in 0..100 {
            let due = schedule.due();
            gaps.push(due - last);
            assert!(schedule.take(due, Duration::ZERO));
            last = due;
        }
        assert!(gaps.iter().all(|gap| (INTERVAL / 2..=INTERVAL * 3 / 2).contains(gap)));
        assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
