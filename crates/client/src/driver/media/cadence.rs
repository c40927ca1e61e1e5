//! When to look at the packet ring. The media thread wakes nobody, so the driver looks; and because packets come at a steady pace, and right after a
//! tick of the media thread, it need not look all the time.

use std::time::{Duration, Instant};

use offhook_media::EngineClock;
use offhook_media_core::units::MediaTime;

/// How long after a look the next one is due while a packet is waited for; the first ones come sooner.
const LOOK: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_micros(250);
const SOON_LOOKS: u32 = 3;
/// A packet is not there sooner after the beginning of its tick, in microseconds.
const ENCODING: i64 = 250;
/// What was found at once may have been there before: the next is looked for so many microseconds earlier.
const EARLIER: i64 = 5;
/// What was not there yet moves the looks by this many microseconds at most: one packet that took long says little of the next.
const LATER: i64 = 250;
/// A tick begins this many microseconds too early at most.
const EARLY: i64 = 50;
/// So many packets in a row of later ticks are a new pace: fewer come of a microphone that was late.
const NEW_PACE: u32 = 4;

/// Expects a packet in a tick a packet time after the last one's, and learns how long after the beginning of its tick a packet is there.
#[derive(Debug)]
pub(super) struct Cadence {
    clock: EngineClock,
    tick: Duration,
    /// The tick that the last packet was expected in.
    last: Option<MediaTime>,
    /// From the beginning of a tick until its packet is there, in microseconds.
    encoding: i64,
    /// When the next packet is looked for first.
    due: Option<MediaTime>,
    /// Looks since then that found nothing.
    in_vain: u32,
    /// Packets in a row that were made in later ticks than expected.
    later: u32,
}

impl Cadence {
    /// For packets of a media thread that ticks at the multiples of `tick`.
    pub(super) const fn new(clock: EngineClock, tick: Duration) -> Self {
        Self { clock, tick, last: None, encoding: ENCODING, due: None, in_vain: 0, later: 0 }
    }

    /// A packet was found that was made in a tick that began at `made`, where none is shorter than `shortest`.
    pub(super) fn found(&mut self, now: Instant, made: MediaTime, shortest: Duration) {
        let tick = self.tick_of(made);
        let expected = self.last.map_or(tick, |last| last + shortest);
        if tick == expected {
            self.learn(self.clock.media_time(now));
        }
        self.later = if tick > expected { self.later + 1 } else { 0 };
        let is_pause = tick.micros_since(expected) >= micros(shortest);
        self.last = Some(match self.later {
            1..NEW_PACE if !is_pause => expected,
            _ => tick,
        });
        self.in_vain = 0;
    }

    /// When to look again, where no packet is shorter than `shortest`. A look was just made.
    pub(super) fn next_look(&mut self, now: Instant, shortest: Duration) -> Instant {
        self.due =
            self.last.map(|last| last + shortest + Duration::from_micros(self.encoding.unsigned_abs()));
        let now_there = self.clock.media_time(now);
        match self.due {
            Some(due) if due > now_there => self.clock.instant(due),
            _ => {
                self.in_vain = self.in_vain.saturating_add(1);
                now + if self.due.is_some() && self.in_vain <= SOON_LOOKS { SOON } else { LOOK }
            }
        }
    }

    fn learn(&mut self, now: MediaTime) {
        let Some(due) = self.due else { return };
        self.encoding += match now.micros_since(due) {
            late if self.in_vain > 0 => late.clamp(0, LATER),
            _ => -EARLIER,
        };
        self.encoding = self.encoding.max(ENCODING);
    }

    /// When the tick that began at `at` was due: a thread is woken late, and early by no more than clocks are read apart.
    fn tick_of(&self, at: MediaTime) -> MediaTime {
        let at = at.as_micros() + EARLY;
        MediaTime::from_micros(at - at.rem_euclid(micros(self.tick).max(1)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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
        cadence.found(at(11_200), MediaTime::from_micros(10_060), TEN);
        assert_eq!(cadence.next_look(at(11_200), TEN), at(20_250));
        // Something else woke the driver: that is no look for it.
        assert_eq!(cadence.next_look(at(16_000), TEN), at(20_250));
        for (now, next) in [(20_250, 250), (20_500, 250), (20_750, 250), (21_000, 1000), (90_000, 1000)] {
            assert_eq!(cadence.next_look(at(now), TEN), at(now + next), "{now}");
        }
        assert_eq!(cadence.next_look(at(91_000), Duration::from_millis(1)), at(92_000));
    }

    /// Packets of 10 ms that are there `encoding` microseconds after the beginnings of their ticks, `late` after the ticks of 5 ms they were due in.
    struct Run {
        looks: usize,
        /// How long each was there before it was found, in microseconds.
        waited: Vec<i64>,
    }

    fn run(encoding: impl Fn(i64) -> i64, late: impl Fn(i64) -> i64) -> Run {
        let clock = EngineClock::start();
        let at = |micros: i64| clock.instant(MediaTime::from_micros(micros));
        let mut cadence = Cadence::new(clock, TICK / 2);
        let mut run = Run { looks: 0, waited: Vec::new() };
        let (mut now, mut packet) = (0, 0);
        while packet < 1000 {
            run.looks += 1;
            loop {
                let tick = 10_000 * packet + late(packet);
                let there = tick + encoding(packet);
                if now < there {
                    break;
                }
                run.waited.push(now - there);
                cadence.found(at(now), MediaTime::from_micros(tick), TEN);
                packet += 1;
            }
            now = clock.media_time(cadence.next_look(at(now), TEN)).as_micros().max(now);
        }
        run
    }

    #[test]
    fn packets_at_a_steady_pace_are_found_at_once_by_little_more_than_one_look_each() {
        for encoding in [120, 300, 700, 3400] {
            let run = run(|_| encoding, |_| 0);
            let latest = run.waited[500..].iter().max().unwrap();
            assert!(run.looks < 1150 && *latest <= 250, "{encoding}: {} looks, {latest} us late", run.looks);
        }
    }

    #[test]
    fn one_packet_that_is_late_makes_no_other_late() {
        // One tick late; two, with the next packet; slow; and woken late.
        for (late, there) in [(5000, 300), (10_000, 300), (0, 4000), (3000, 300)] {
            let run = run(
                |packet| if packet == 500 { there } else { 300 },
                |packet| if packet == 500 { late } else { 0 },
            );
            let latest = run.waited[502..].iter().max().unwrap();
            assert!(*latest <= 500, "{late} {there}: {latest} us late");
            assert!(run.waited[500] <= 1000, "{late} {there}: {}", run.waited[500]);
        }
    }

    #[test]
    fn packets_that_come_in_other_ticks_from_now_on_are_followed() {
        for later in [5000, 10_000, 15_000, -5000] {
            let run = run(|_| 300, |packet| if packet >= 500 { later } else { 0 });
            let latest = run.waited[520..].iter().max().unwrap();
            assert!(run.looks < 1200 && *latest <= 250, "{later}: {} looks, {latest} us late", run.looks);
        }
    }
}
