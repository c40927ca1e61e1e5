//! When to look at the packet ring. The media thread wakes nobody, so the driver looks; and because packets come at a steady pace, it need not
//! look all the time.

use std::time::{Duration, Instant};

/// How long after a look the next one is due while a packet is waited for. The timer has a resolution of 1 ms and rounds up: this is one look per
/// millisecond.
const LOOK: Duration = Duration::from_micros(500);
/// So long before a packet is expected it is waited for: the last one may have been found a millisecond late.
const EARLY: Duration = Duration::from_micros(1500);

/// Expects a packet a packet time after the last.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    last: Option<Instant>,
}

impl Cadence {
    /// A packet was found.
    pub(super) const fn found(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// When to look again, where no packet is shorter than `shortest`.
    pub(super) fn next_look(&self, now: Instant, shortest: Duration) -> Instant {
        let soon = now + LOOK;
        self.last.map_or(soon, |last| soon.max(last + shortest.saturating_sub(EARLY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_packets_there_is_no_look_and_around_them_one_a_millisecond() {
        let begin = Instant::now();
        let at = |micros| begin + Duration::from_micros(micros);
        let ten = Duration::from_millis(10);
        let mut cadence = Cadence::default();
        assert_eq!(cadence.next_look(at(0), ten), at(500));
        cadence.found(at(3000));
        assert_eq!(cadence.next_look(at(3000), ten), at(11_500));
        assert_eq!(cadence.next_look(at(12_000), ten), at(12_500));
        // One that is late is waited for.
        assert_eq!(cadence.next_look(at(90_000), ten), at(90_500));
        assert_eq!(cadence.next_look(at(3000), Duration::from_millis(1)), at(3500));
    }

    #[test]
    fn packets_at_a_steady_pace_are_found_within_two_milliseconds_by_a_few_looks() {
        let begin = Instant::now();
        let mut cadence = Cadence::default();
        let (mut now, mut looks, mut next) = (0, 0, 10_000);
        while next < 1_000_000 {
            looks += 1;
            if now >= next {
                assert!(now - next < 2000, "{now} {next}");
                cadence.found(begin + Duration::from_micros(now));
                next += 10_000;
            }
            let due = cadence.next_look(begin + Duration::from_micros(now), Duration::from_millis(10));
            // The timer rounds up.
            now = ((due - begin).as_micros() as u64).div_ceil(1000) * 1000;
        }
        assert!(looks < 350, "{looks}");
    }
}
