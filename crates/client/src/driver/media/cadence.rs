//! When to look at the packet ring. The media thread wakes nobody, so the driver looks; and because packets come at a steady pace, and right after a
//! tick of the media thread, it need not look all the time.

use std::time::{Duration, Instant};

use offhook_media::EngineClock;
use offhook_media_core::units::MediaTime;

/// How long after a look the next one is due while a packet is waited for.
const LOOK: Duration = Duration::from_millis(1);
/// Encoding takes so long: a packet is in the ring so much after its tick began.
const ENCODING: Duration = Duration::from_micros(500);

/// Expects a packet a packet time after the last.
#[derive(Debug)]
pub(super) struct Cadence {
    clock: EngineClock,
    tick: Duration,
    /// The tick in which the last packet was made.
    last: Option<MediaTime>,
}

impl Cadence {
    /// For packets of a media thread that ticks at the multiples of `tick`.
    pub(super) const fn new(clock: EngineClock, tick: Duration) -> Self {
        Self { clock, tick, last: None }
    }

    /// A packet was found.
    pub(super) fn found(&mut self, now: Instant) {
        let now = self.clock.media_time(now);
        let tick = i64::try_from(self.tick.as_micros()).unwrap_or(i64::MAX).max(1);
        let since_tick = now.as_micros().rem_euclid(tick);
        self.last = Some(MediaTime::from_micros(now.as_micros() - since_tick));
    }

    /// When to look again, where no packet is shorter than `shortest`.
    pub(super) fn next_look(&self, now: Instant, shortest: Duration) -> Instant {
        let soon = now + LOOK;
        self.last.map_or(soon, |last| soon.max(self.clock.instant(last + shortest + ENCODING)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(5);
    const TEN: Duration = Duration::from_millis(10);

    #[test]
    fn between_packets_there_is_no_look_and_a_late_one_is_looked_for_each_millisecond() {
        let clock = EngineClock::start();
        let at = |micros| clock.instant(MediaTime::from_micros(micros));
        let mut cadence = Cadence::new(clock, TICK);
        assert_eq!(cadence.next_look(at(0), TEN), at(1000));
        cadence.found(at(6200));
        assert_eq!(cadence.next_look(at(6200), TEN), at(15_500));
        assert_eq!(cadence.next_look(at(16_000), TEN), at(17_000));
        assert_eq!(cadence.next_look(at(90_000), TEN), at(91_000));
        assert_eq!(cadence.next_look(at(6200), Duration::from_millis(1)), at(7200));
    }

    #[test]
    fn packets_at_a_steady_pace_are_found_within_a_millisecond_by_one_look_each() {
        let clock = EngineClock::start();
        let at = |micros: i64| clock.instant(MediaTime::from_micros(micros));
        let mut cadence = Cadence::new(clock, TICK);
        let (mut now, mut looks, mut next) = (0, 0, 10_300);
        while next < 1_000_000 {
            looks += 1;
            if now >= next {
                assert!(now - next < 1000, "{now} {next}");
                cadence.found(at(now));
                next += 10_000;
            }
            now = clock.media_time(cadence.next_look(at(now), TEN)).as_micros();
        }
        assert!(looks < 115, "{looks}");
    }
}
