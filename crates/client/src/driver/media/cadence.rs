//! When to look at the packet ring. The media thread wakes nobody, so the driver looks; and because packets come at a steady pace, and right after a
//! tick of the media thread, it need not look all the time.

use std::time::{Duration, Instant};

use offhook_media::EngineClock;
use offhook_media_core::units::MediaTime;

/// How long after a look the next one is due while a packet is waited for; the first ones come sooner.
const LOOK: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_micros(250);
const SOON_LOOKS: u32 = 3;
/// A packet is not there sooner after the beginning of its tick.
const ENCODING: Duration = Duration::from_micros(250);
/// What was found at once may have been there before: the next is looked for so much earlier.
const EARLIER: Duration = Duration::from_micros(20);

/// Expects a packet a packet time after the last, and learns how long after a tick it is there.
#[derive(Debug)]
pub(super) struct Cadence {
    clock: EngineClock,
    tick: Duration,
    /// When the last packet was there.
    last: Option<MediaTime>,
    /// When the next one was looked for first.
    due: Option<MediaTime>,
    /// Looks since then that found nothing.
    in_vain: u32,
}

impl Cadence {
    /// For packets of a media thread that ticks at the multiples of `tick`.
    pub(super) const fn new(clock: EngineClock, tick: Duration) -> Self {
        Self { clock, tick, last: None, due: None, in_vain: 0 }
    }

    /// A packet was found.
    pub(super) fn found(&mut self, now: Instant) {
        let now = self.clock.media_time(now);
        let tick = i64::try_from(self.tick.as_micros()).unwrap_or(i64::MAX).max(1);
        let soonest = MediaTime::from_micros(now.as_micros() - now.as_micros().rem_euclid(tick)) + ENCODING;
        let was_there = match self.due {
            Some(due) if self.in_vain == 0 => (due.min(now) - EARLIER).max(soonest),
            _ => now,
        };
        self.last = Some(was_there.min(now));
        self.in_vain = 0;
    }

    /// When to look again, where no packet is shorter than `shortest`. A look was just made.
    pub(super) fn next_look(&mut self, now: Instant, shortest: Duration) -> Instant {
        self.due = self.last.map(|last| last + shortest);
        let now_there = self.clock.media_time(now);
        match self.due {
            Some(due) if due > now_there => self.clock.instant(due),
            _ => {
                self.in_vain = self.in_vain.saturating_add(1);
                now + if self.due.is_some() && self.in_vain <= SOON_LOOKS { SOON } else { LOOK }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);
    const TEN: Duration = Duration::from_millis(10);

    #[test]
    fn between_packets_there_is_no_look_and_a_late_one_is_looked_for_again_and_again() {
        let clock = EngineClock::start();
        let at = |micros| clock.instant(MediaTime::from_micros(micros));
        let mut cadence = Cadence::new(clock, TICK);
        assert_eq!(cadence.next_look(at(0), TEN), at(1000));
        cadence.found(at(11_200));
        assert_eq!(cadence.next_look(at(11_200), TEN), at(21_200));
        // Something else woke the driver: that is no look for it.
        assert_eq!(cadence.next_look(at(16_000), TEN), at(21_200));
        for (now, next) in [(21_200, 250), (21_450, 250), (21_700, 250), (21_950, 1000), (90_000, 1000)] {
            assert_eq!(cadence.next_look(at(now), TEN), at(now + next), "{now}");
        }
        assert_eq!(cadence.next_look(at(91_000), Duration::from_millis(1)), at(92_000));
    }

    /// Packets that are there `after` each tick, for ten seconds: how many looks were made, and how late the last packets were found.
    fn steady(after: i64) -> (usize, i64) {
        let clock = EngineClock::start();
        let at = |micros: i64| clock.instant(MediaTime::from_micros(micros));
        let mut cadence = Cadence::new(clock, TICK);
        let (mut now, mut looks, mut next, mut latest) = (0, 0, 10_000 + after, 0);
        while next < 10_000_000 {
            looks += 1;
            if now >= next {
                if next > 5_000_000 {
                    latest = latest.max(now - next);
                }
                cadence.found(at(now));
                next += 10_000;
            }
            now = clock.media_time(cadence.next_look(at(now), TEN)).as_micros();
        }
        (looks, latest)
    }

    #[test]
    fn packets_at_a_steady_pace_are_found_at_once_by_little_more_than_one_look_each() {
        for after in [120, 300, 700, 3400, 9900] {
            let (looks, latest) = steady(after);
            assert!(looks < 1130 && latest <= 250, "{after}: {looks} looks, {latest} us late");
        }
    }
}
