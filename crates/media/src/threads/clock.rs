//! The one clock of the engine.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offhook_media_core::units::MediaTime;

/// Monotonic time since the engine started. Reading it is no system call where the platform has a vDSO; real-time safe.
#[derive(Debug, Clone, Copy)]
pub struct EngineClock {
    start: Instant,
    /// In a simulation: microseconds since the start.
    virtual_now: Option<&'static AtomicI64>,
}

impl EngineClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now(), virtual_now: None }
    }

    /// A clock that stands until it is set. Leaks eight bytes, so that it is as easy to hand around as the other.
    pub(crate) fn standing() -> Self {
        Self { start: Instant::now(), virtual_now: Some(Box::leak(Box::default())) }
    }

    /// Sets a standing clock; does nothing to one that runs.
    pub(crate) fn set(self, now: MediaTime) {
        if let Some(virtual_now) = self.virtual_now {
            virtual_now.store(now.as_micros(), Relaxed);
        }
    }

    /// Now. From any thread.
    pub fn now(self) -> MediaTime {
        match self.virtual_now {
            Some(now) => MediaTime::from_micros(now.load(Relaxed)),
            None => self.media_time(Instant::now()),
        }
    }

    /// The engine's time of `instant`, which may lie before its start.
    pub fn media_time(self, instant: Instant) -> MediaTime {
        match instant.checked_duration_since(self.start) {
            Some(after) => MediaTime::ZERO + after,
            None => MediaTime::ZERO - self.start.duration_since(instant),
        }
    }

    /// The instant of `time`.
    pub fn instant(self, time: MediaTime) -> Instant {
        let micros = time.as_micros();
        let distance = Duration::from_micros(micros.unsigned_abs());
        let moved =
            if micros < 0 { self.start.checked_sub(distance) } else { self.start.checked_add(distance) };
        moved.unwrap_or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_before_and_after_the_start_are_converted_both_ways() {
        let clock = EngineClock::start();
        for micros in [-1_500_000, 0, 1_500_000] {
            let time = MediaTime::from_micros(micros);
            assert_eq!(clock.media_time(clock.instant(time)), time);
        }
    }
}
