//! Waiting until a moment of the engine's clock, without drift.

use std::time::Duration;

use offhook_media_core::units::MediaTime;

use super::EngineClock;

/// Ticks of one period. Each is waited for by its absolute time, so lateness does not add up.
#[derive(Debug)]
pub(crate) struct Pacer {
    clock: EngineClock,
    #[cfg(target_os = "linux")]
    base: rustix::thread::Timespec,
    due: MediaTime,
    period: Duration,
}

impl Pacer {
    /// First tick one period after `start`.
    pub(crate) fn new(clock: EngineClock, start: MediaTime, period: Duration) -> Self {
        Self {
            clock,
            #[cfg(target_os = "linux")]
            base: monotonic_at(clock, MediaTime::ZERO),
            due: start,
            period,
        }
    }

    /// Ticks whenever the clock shows a multiple of `period` and `phase`, so that threads of one clock keep the order of their phases.
    pub(crate) fn on_beat(clock: EngineClock, phase: Duration, period: Duration) -> Self {
        Self::new(clock, last_beat(clock.now(), phase, period), period)
    }

    /// Waits for the next tick and returns when it was due. Its wait is the one system call of a real-time thread.
    pub(crate) fn wait(&mut self) -> MediaTime {
        self.due += self.period;
        self.sleep_until(self.due);
        self.due
    }

    /// Waits for the tick that comes `step` after the last, a multiple of the period.
    pub(crate) fn wait_for(&mut self, step: Duration) -> MediaTime {
        self.due += step;
        self.sleep_until(self.due);
        self.due
    }

    /// Waits until so long after the present tick; the next one comes when it would have come.
    pub(crate) fn wait_on(&self, later: Duration) {
        self.sleep_until(self.due + later);
    }

    /// Where the next tick is due already, waits so long: what lies between two ticks has its turn.
    pub(crate) fn catch_breath(&self, rest: Duration) {
        let now = self.clock.now();
        if self.due + self.period <= now {
            self.sleep_until(now + rest);
        }
    }

    /// Waits for the first tick that is not before `earliest`.
    pub(crate) fn wait_from(&mut self, earliest: MediaTime) {
        self.skip_missed(earliest);
        self.wait();
    }

    /// Skips the ticks that were due before `now`, all but the last.
    pub(crate) fn skip_missed(&mut self, now: MediaTime) {
        while self.due + self.period < now {
            self.due += self.period;
        }
    }

    #[cfg(target_os = "linux")]
    fn sleep_until(&self, time: MediaTime) {
        use rustix::thread::{ClockId, clock_nanosleep_absolute};
        let until = later(self.base, time.as_micros());
        // Interrupted by a signal: wait on. Any other failure cannot happen with a valid time, and must not spin.
        while matches!(clock_nanosleep_absolute(ClockId::Monotonic, &until), Err(rustix::io::Errno::INTR)) {}
    }

    #[cfg(not(target_os = "linux"))]
    fn sleep_until(&self, time: MediaTime) {
        std::thread::sleep(time.saturating_since(self.clock.now()));
    }

    /// The clock the ticks are on.
    pub(crate) const fn clock(&self) -> EngineClock {
        self.clock
    }
}

/// The last multiple of `period` and `phase` that is not after `now`.
fn last_beat(now: MediaTime, phase: Duration, period: Duration) -> MediaTime {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let since = (now.as_micros() - micros(phase)).rem_euclid(micros(period).max(1));
    MediaTime::from_micros(now.as_micros() - since)
}

/// The system's monotonic time at `time` of the engine's clock, to a microsecond.
#[cfg(target_os = "linux")]
fn monotonic_at(clock: EngineClock, time: MediaTime) -> rustix::thread::Timespec {
    let system = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    later(system, time.micros_since(clock.now()))
}

#[cfg(target_os = "linux")]
fn later(time: rustix::thread::Timespec, micros: i64) -> rustix::thread::Timespec {
    let nanos = time.tv_nsec + (micros % 1_000_000) * 1000;
    rustix::thread::Timespec {
        tv_sec: time.tv_sec + micros / 1_000_000 + nanos.div_euclid(1_000_000_000),
        tv_nsec: nanos.rem_euclid(1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_comes_early_and_none_is_lost() {
        let clock = EngineClock::start();
        let mut pacer = Pacer::new(clock, clock.now(), Duration::from_millis(1));
        let first = pacer.wait();
        for n in 1..20 {
            let due = pacer.wait();
            assert_eq!(due, first + Duration::from_millis(n));
            assert!(clock.now() + Duration::from_micros(50) >= due);
        }
    }

    #[test]
    fn ticks_that_were_missed_follow_with_a_rest_between() {
        let clock = EngineClock::start();
        let period = Duration::from_millis(5);
        let mut pacer = Pacer::new(clock, clock.now(), period);
        pacer.wait();
        std::thread::sleep(period * 10);
        for _ in 0..3 {
            let before = clock.now();
            pacer.wait();
            pacer.catch_breath(period / 5);
            assert!(clock.now().saturating_since(before) >= period / 5);
        }
        let (begin, hour) = (clock.now(), Duration::from_secs(3600));
        Pacer::new(clock, begin + hour, period).catch_breath(hour);
        assert!(clock.now() < begin + hour, "nothing was missed");
    }

    #[test]
    fn missed_ticks_are_skipped_but_the_last() {
        let clock = EngineClock::start();
        let mut pacer = Pacer::new(clock, MediaTime::ZERO, Duration::from_millis(1));
        pacer.skip_missed(MediaTime::from_micros(10_500));
        assert_eq!(pacer.wait(), MediaTime::from_micros(11_000).max(pacer.due));
    }

    #[test]
    fn the_first_tick_after_a_time_is_waited_for() {
        let clock = EngineClock::start();
        let at = |millis| MediaTime::ZERO + Duration::from_millis(millis);
        for (earliest, due) in [(0, 2), (2, 2), (3, 4), (11, 12)] {
            let mut pacer = Pacer::new(clock, MediaTime::ZERO, Duration::from_millis(2));
            pacer.wait_from(at(earliest));
            assert_eq!(pacer.due, at(due), "{earliest}");
        }
    }

    #[test]
    fn threads_of_one_clock_keep_their_phases() {
        let beat = |now, phase, period| {
            let micros = |micros| Duration::from_micros(micros);
            last_beat(MediaTime::from_micros(now), micros(phase), micros(period)).as_micros()
        };
        assert_eq!((beat(12_499, 0, 2500), beat(12_500, 0, 2500)), (10_000, 12_500));
        assert_eq!((beat(12_500, 2000, 5000), beat(1999, 2000, 5000)), (12_000, -3000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn seconds_carry() {
        let time = rustix::thread::Timespec { tv_sec: 1, tv_nsec: 999_999_000 };
        let moved = later(time, 2_000_001);
        assert_eq!((moved.tv_sec, moved.tv_nsec), (4, 0));
        let back = later(time, -1_999_999);
        assert_eq!((back.tv_sec, back.tv_nsec), (0, 0));
    }
}
