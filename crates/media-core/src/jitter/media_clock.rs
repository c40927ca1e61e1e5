//! The sender's media time on our clock.

use crate::units::{MediaTime, Ppm};

/// Microseconds per sample at 48 kHz.
const NOMINAL: f64 = 125.0 / 6.0;

/// Microseconds that so many samples last, rounded towards zero.
pub const fn micros(samples: i64) -> i64 {
    samples * 125 / 6
}

/// Samples in so many microseconds, rounded towards zero.
pub const fn samples_of(micros: i64) -> i64 {
    micros * 6 / 125
}

/// Says when a sample would be heard if it took no time to come: the sender's clock, its drift removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct MediaClock {
    pivot: i64,
    micros_at_pivot: f64,
    drift: f64,
}

impl MediaClock {
    /// The moment of media time `timestamp` (samples), in microseconds.
    pub fn micros(&self, timestamp: i64) -> i64 {
        let since = (timestamp - self.pivot) as f64 * NOMINAL * (1.0 - self.drift);
        (self.micros_at_pivot + since).round() as i64
    }

    /// What arrives (or is played) at `now` lies this far after its moment, in microseconds.
    pub fn offset(&self, now: MediaTime, timestamp: i64) -> i64 {
        now.as_micros() - self.micros(timestamp)
    }

    /// From media time `timestamp` on the sender's clock runs this much faster than ours; what was said before stays.
    pub fn set_drift(&mut self, timestamp: i64, drift: Ppm) {
        self.micros_at_pivot += (timestamp - self.pivot) as f64 * NOMINAL * (1.0 - self.drift);
        self.pivot = timestamp;
        self.drift = drift.0 * 1e-6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_drift_leaves_the_offset_where_it_is() {
        let mut clock = MediaClock::default();
        clock.set_drift(48_000 * 10, Ppm(200.0));
        let offset = |second: i64| {
            let since = second - 10;
            clock
                .offset(MediaTime::from_micros(10_000_000 + since * 1_000_000 - since * 200), second * 48_000)
        };
        for second in 10..4000 {
            assert!(offset(second).abs() <= 1, "{}", offset(second));
        }
    }
}
