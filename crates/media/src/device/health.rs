//! What a device's callbacks count, for everybody else to read.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;

use offhook_media_core::units::MediaTime;

use super::Direction;

const NEVER: i64 = i64::MIN;
/// The first callbacks, of which each is remembered.
const REMEMBERED: usize = 64;

/// How bad an error of a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorSeverity {
    /// An xrun, or news that changes nothing.
    Passing,
    /// Something failed; many of them mean that the device is lost.
    Failure,
    /// The device or its stream is no more.
    Gone,
}

/// Counters of one opened device. Its callbacks and its error callback write, without a lock and without order between the counters.
#[derive(Debug)]
pub struct DeviceHealth {
    callbacks: AtomicU64,
    last_samples: AtomicU32,
    xruns: AtomicU64,
    missing: AtomicU64,
    errors: AtomicU64,
    failures: AtomicU64,
    gone: AtomicBool,
    first: FirstCallbacks,
    last_at: AtomicI64,
}

impl Default for DeviceHealth {
    fn default() -> Self {
        Self {
            callbacks: AtomicU64::new(0),
            last_samples: AtomicU32::new(0),
            xruns: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            first: FirstCallbacks::default(),
            last_at: AtomicI64::new(NEVER),
        }
    }
}

impl DeviceHealth {
    /// A callback begins. Comes before the ring is touched: who sees the ring moved also sees the time.
    pub(crate) fn begin_callback(&self, now: MediaTime, samples: usize) {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        self.first.note(now, samples);
        self.last_samples.store(samples, Relaxed);
        self.last_at.store(now.as_micros(), Relaxed);
    }

    /// A callback ends that lacked sound, or room, for `missing` samples.
    pub(crate) fn end_callback(&self, missing: usize) {
        self.callbacks.fetch_add(1, Relaxed);
        if missing > 0 {
            self.xruns.fetch_add(1, Relaxed);
            self.missing.fetch_add(missing as u64, Relaxed);
        }
    }

    /// Counts an error the sound system reported. For error callbacks, which can fire a million times a second.
    pub fn count_error(&self, severity: ErrorSeverity) {
        self.errors.fetch_add(1, Relaxed);
        match severity {
            ErrorSeverity::Passing => {}
            ErrorSeverity::Failure => {
                self.failures.fetch_add(1, Relaxed);
            }
            ErrorSeverity::Gone => self.gone.store(true, Relaxed),
        }
    }

    /// Callbacks so far.
    pub fn callbacks(&self) -> u64 {
        self.callbacks.load(Relaxed)
    }

    /// Samples of one channel in the last callback.
    pub fn callback_samples(&self) -> u32 {
        self.last_samples.load(Relaxed)
    }

    /// Callbacks that lacked sound or room.
    pub fn xruns(&self) -> u64 {
        self.xruns.load(Relaxed)
    }

    /// Samples they lacked.
    pub fn missing_samples(&self) -> u64 {
        self.missing.load(Relaxed)
    }

    /// Errors of every kind.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Errors that are failures.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Whether the device is no more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// When the first sample of a device of this rate was asked for; of a microphone, captured: a callback brings what came before it.
    /// A thread that has just begun is often late: the promptest of the first callbacks tells. `None` before the first.
    pub fn started_at(&self, rate: u32, direction: Direction) -> Option<MediaTime> {
        let lasting = |samples: u64| Duration::from_micros(samples * 1_000_000 / u64::from(rate.max(1)));
        let mut before = 0;
        let starts = self.first.callbacks().map(|(at, samples)| {
            let brought = if direction == Direction::Capture { u64::from(samples) } else { 0 };
            let start = at - lasting(before + brought);
            before += u64::from(samples);
            start
        });
        starts.min()
    }

    /// When the last callback began.
    pub fn last_callback(&self) -> Option<MediaTime> {
        let at = self.last_at.load(Relaxed);
        (at != NEVER).then(|| MediaTime::from_micros(at))
    }
}

/// When each of the first callbacks began, and how many samples it had. One thread writes.
#[derive(Debug)]
struct FirstCallbacks {
    count: AtomicU32,
    at: [AtomicI64; REMEMBERED],
    samples: [AtomicU32; REMEMBERED],
}

impl Default for FirstCallbacks {
    fn default() -> Self {
        Self {
            count: AtomicU32::new(0),
            at: [const { AtomicI64::new(NEVER) }; REMEMBERED],
            samples: [const { AtomicU32::new(0) }; REMEMBERED],
        }
    }
}

impl FirstCallbacks {
    fn note(&self, now: MediaTime, samples: u32) {
        let count = self.count.load(Relaxed);
        if let (Some(at), Some(had)) = (self.at.get(count as usize), self.samples.get(count as usize)) {
            at.store(now.as_micros(), Relaxed);
            had.store(samples, Relaxed);
            self.count.store(count + 1, Release);
        }
    }

    fn callbacks(&self) -> impl Iterator<Item = (MediaTime, u32)> + '_ {
        let count = self.count.load(Acquire) as usize;
        let pairs = self.at.iter().zip(&self.samples).take(count);
        pairs.map(|(at, samples)| (MediaTime::from_micros(at.load(Relaxed)), samples.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_and_errors_are_counted_apart() {
        let health = DeviceHealth::default();
        assert_eq!((health.started_at(48_000, Direction::Render), health.last_callback()), (None, None));
        for n in 0..3 {
            health.begin_callback(MediaTime::from_micros(n * 5000), 240);
            health.end_callback(if n == 1 { 40 } else { 0 });
        }
        for severity in [ErrorSeverity::Passing, ErrorSeverity::Failure] {
            health.count_error(severity);
        }
        assert_eq!(health.last_callback(), Some(MediaTime::from_micros(10_000)));
        assert_eq!((health.callbacks(), health.xruns(), health.missing_samples()), (3, 1, 40));
        assert_eq!((health.errors(), health.failures(), health.is_gone()), (2, 1, false));
        health.count_error(ErrorSeverity::Gone);
        assert!(health.is_gone());
    }

    #[test]
    fn the_first_callback_may_be_late_and_the_start_is_known_all_the_same() {
        let health = DeviceHealth::default();
        let due = |n: i64| 1_000_000 + 5000 * n;
        for n in 0..1000 {
            // A minute later its clock has drifted away; that tells nothing of the start.
            let late = [12_000, 7000, 2000, 40, 0, 300].get(n as usize).copied().unwrap_or(90 - n);
            health.begin_callback(MediaTime::from_micros(due(n) + late), 240);
            health.end_callback(0);
        }
        assert_eq!(health.started_at(48_000, Direction::Render), Some(MediaTime::from_micros(due(0))));
        assert_eq!(
            health.started_at(48_000, Direction::Capture),
            Some(MediaTime::from_micros(due(0) - 5000))
        );
    }
}
