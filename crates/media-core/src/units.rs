//! Numbers with their meaning: time on the engine's clock, levels, rates, packet times.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Samples per second of every sound inside the engine.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples per channel of an [`AudioFrame`](crate::frame::AudioFrame): 10 ms.
pub const FRAME_SAMPLES: usize = 480;

/// A moment on the engine's monotonic clock, in microseconds since it started; may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The engine's start.
    pub const ZERO: Self = Self(0);

    /// From microseconds since the engine's start.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the engine's start.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Time since `earlier`; zero when it is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Signed microseconds since `earlier`.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for MediaTime {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }
}

impl AddAssign<Duration> for MediaTime {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for MediaTime {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A level as RFC 6464 sends it: 0 is overload, 127 is silence, in dB below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dbov(u8);

impl Dbov {
    /// Digital silence.
    pub const SILENCE: Self = Self(127);

    /// The level of a mean square of samples in -1..=1.
    pub fn of_mean_square(mean_square: f32) -> Self {
        if mean_square <= 0.0 || !mean_square.is_finite() {
            return Self::SILENCE;
        }
        Self((-10.0 * mean_square.log10()).clamp(0.0, 127.0).round() as u8)
    }

    /// dB below overload, 0..=127.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A number of samples of one channel at 48 kHz.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleCount(pub usize);

impl SampleCount {
    /// How long they sound, to the microsecond.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64 * 125 / 6)
    }
}

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitsPerSecond(pub u32);

/// Parts per million; positive when the other clock runs fast.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Ppm(pub f64);

/// Media time per packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketTime {
    /// 2.5 ms.
    Ms2_5,
    /// 5 ms.
    Ms5,
    /// 10 ms.
    Ms10,
    /// 20 ms.
    Ms20,
    /// 40 ms.
    Ms40,
    /// 60 ms.
    Ms60,
    /// 120 ms.
    Ms120,
}

impl PacketTime {
    /// Samples per channel at 48 kHz.
    pub const fn samples(self) -> usize {
        match self {
            Self::Ms2_5 => 120,
            Self::Ms5 => 240,
            Self::Ms10 => 480,
            Self::Ms20 => 960,
            Self::Ms40 => 1920,
            Self::Ms60 => 2880,
            Self::Ms120 => 5760,
        }
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        SampleCount(self.samples()).duration()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_times_are_exact() {
        assert_eq!(PacketTime::Ms2_5.duration(), Duration::from_micros(2500));
        assert_eq!(PacketTime::Ms120.duration(), Duration::from_millis(120));
    }

    #[test]
    fn time_does_not_overflow() {
        let end = MediaTime::from_micros(i64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(MediaTime::ZERO.saturating_since(end), Duration::ZERO);
    }
}
