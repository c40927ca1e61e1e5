//! | thread | media thread |
//! |---|---|
//! | started by | `Engine` |
//! | priority | real-time where granted; what was granted is in the stats |
//! | period | 5 ms, settable, and every other one left out where nothing needs it; of 8 ms and more once more in between while a microphone is enhanced |
//! | may | run `media-core`, move samples and packets through rings, read the clock |
//! | must not | allocate, lock, log, make a system call but its own wait |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use offhook_media_core::units::MediaTime;

use super::pacer::Pacer;
use super::{MEDIA_PRIORITY, Priority, ask_for_real_time};
use crate::device::RealTimeProbe;
use crate::histogram::Histogram;
use crate::processor::MediaProcessor;
use crate::stats::TickTime;

/// Start-up lasts so long after the engine started, or a stream or a device was added.
const STARTUP: Duration = Duration::from_secs(1);
const NOT_ASKED: u8 = 0;
const DENIED: u8 = 100;
const NORMAL: u8 = 101;

/// Last values of the thread, for any other to read.
#[derive(Debug)]
pub(crate) struct MediaThreadCounters {
    ticks: AtomicU64,
    misses: AtomicU64,
    startup_misses: AtomicU64,
    priority: AtomicU8,
    tick_time: Histogram,
    pub(crate) stop: AtomicBool,
}

impl Default for MediaThreadCounters {
    fn default() -> Self {
        Self {
            ticks: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            startup_misses: AtomicU64::new(0),
            priority: AtomicU8::new(NOT_ASKED),
            tick_time: Histogram::default(),
            stop: AtomicBool::new(false),
        }
    }
}

impl MediaThreadCounters {
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Relaxed)
    }

    pub(crate) fn misses(&self) -> u64 {
        self.misses.load(Relaxed)
    }

    pub(crate) fn startup_misses(&self) -> u64 {
        self.startup_misses.load(Relaxed)
    }

    pub(crate) fn priority(&self) -> Option<Priority> {
        match self.priority.load(Relaxed) {
            NOT_ASKED => None,
            DENIED => Some(Priority::Denied),
            NORMAL => Some(Priority::Normal),
            granted => Some(Priority::RealTime(granted)),
        }
    }

    pub(crate) fn tick_time(&self) -> Option<TickTime> {
        Some(TickTime {
            p50: self.tick_time.quantile(0.5)?,
            p99: self.tick_time.quantile(0.99)?,
            max: self.tick_time.largest()?,
        })
    }

    fn set_priority(&self, priority: Priority) {
        let code = match priority {
            Priority::RealTime(granted) => granted,
            Priority::Denied => DENIED,
            Priority::Normal => NORMAL,
        };
        self.priority.store(code, Relaxed);
    }
}

/// The body of the thread; returns when told to stop.
pub(crate) fn run(
    mut processor: MediaProcessor,
    mut pacer: Pacer,
    period: Duration,
    real_time: bool,
    counters: &Arc<MediaThreadCounters>,
    probe: &RealTimeProbe,
) {
    let priority = if real_time { ask_for_real_time(MEDIA_PRIORITY) } else { Priority::Normal };
    counters.set_priority(priority);
    processor.expect_lateness_of(priority);
    let clock = pacer.clock();
    while !counters.stop.load(Relaxed) {
        let due = pacer.wait_for(processor.step());
        let before = probe.enter();
        let begin = clock.now();
        processor.tick(begin);
        let end = clock.now();
        processor.tick_took(end.saturating_since(begin));
        probe.leave(before);
        counters.record(due, begin, end, period, processor.last_addition());
        let mut looked = begin;
        while let Some(later) = processor.collects_after(looked) {
            pacer.wait_on(later);
            let before = probe.enter();
            looked = clock.now();
            processor.collect(looked);
            probe.leave(before);
        }
        pacer.skip_missed(clock.now());
    }
}

impl MediaThreadCounters {
    fn record(
        &self,
        due: MediaTime,
        begin: MediaTime,
        end: MediaTime,
        period: Duration,
        last_addition: MediaTime,
    ) {
        self.ticks.fetch_add(1, Relaxed);
        self.tick_time.record(end.saturating_since(begin));
        if end.saturating_since(due) > 2 * period {
            let starting = due.saturating_since(last_addition) < STARTUP;
            let count = if starting { &self.startup_misses } else { &self.misses };
            count.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_ticks_are_counted_where_they_belong() {
        let counters = MediaThreadCounters::default();
        let at = MediaTime::from_micros;
        let period = Duration::from_millis(2);
        counters.record(at(10_000), at(10_100), at(14_000), period, MediaTime::ZERO);
        counters.record(at(20_000), at(23_000), at(24_001), period, MediaTime::ZERO);
        counters.record(at(2_000_000), at(2_000_000), at(2_004_001), period, MediaTime::ZERO);
        assert_eq!((counters.ticks(), counters.startup_misses(), counters.misses()), (3, 1, 1));
        assert_eq!(counters.tick_time().unwrap().max, Duration::from_micros(4001));
    }

    #[test]
    fn what_was_granted_is_told() {
        let counters = MediaThreadCounters::default();
        assert_eq!(counters.priority(), None);
        for priority in [Priority::RealTime(60), Priority::Denied, Priority::Normal] {
            counters.set_priority(priority);
            assert_eq!(counters.priority(), Some(priority));
        }
    }
}
