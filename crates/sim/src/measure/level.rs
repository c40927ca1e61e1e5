//! Loudness.

use std::time::Duration;

use super::{index_of, time_of};
use crate::SAMPLE_RATE;

/// Levels are never given below this.
const FLOOR: Decibels = Decibels(-100.0);
/// Frames above this count as active.
const ACTIVE_ABOVE: Decibels = Decibels(-45.0);
const FRAME: Duration = Duration::from_millis(10);

/// A level or a ratio in decibels. As a level: 0 is a full-scale square wave, -3.01 a full-scale sine.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Decibels(pub f64);

impl Decibels {
    /// Of a power ratio; -100 or more.
    pub fn of_power(power: f64) -> Self {
        if power.is_nan() || power <= 1e-10 { FLOOR } else { Self(10.0 * power.log10()) }
    }

    /// The amplitude ratio, e.g. 0.1 for -20 dB.
    pub fn to_amplitude(self) -> f64 {
        10f64.powf(self.0 / 20.0)
    }
}

/// Level at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelPoint {
    /// Beginning of the frame.
    pub at: Duration,
    /// RMS over the frame; -100 dBFS at least.
    pub level: Decibels,
}

/// RMS level per `frame`; a last part shorter than it is left out.
pub fn level_track(samples: &[f32], frame: Duration) -> Vec<LevelPoint> {
    let length = index_of(frame, SAMPLE_RATE).max(1);
    let points = samples.chunks_exact(length).enumerate();
    points
        .map(|(n, frame)| LevelPoint { at: time_of(n * length, SAMPLE_RATE), level: level_of(frame) })
        .collect()
}

/// RMS level of the 10 ms frames above -45 dBFS; `None` when there is none.
pub fn active_level(samples: &[f32]) -> Option<Decibels> {
    let frames = samples.chunks_exact(index_of(FRAME, SAMPLE_RATE)).map(mean_power);
    let active: Vec<f64> = frames.filter(|power| Decibels::of_power(*power) > ACTIVE_ABOVE).collect();
    (!active.is_empty()).then(|| Decibels::of_power(active.iter().sum::<f64>() / active.len() as f64))
}

/// Ratio of `spoken` to what is different in `heard`, after taking out a fixed delay (to the sample) and the gain that
/// fits best. `None` when they do not overlap or one is silent there. At most 100 dB.
pub fn signal_to_noise(spoken: &[f32], heard: &[f32], delay: Duration) -> Option<Decibels> {
    let heard = heard.get(index_of(delay, SAMPLE_RATE)..)?;
    let pairs = || spoken.iter().zip(heard).map(|(s, h)| (f64::from(*s), f64::from(*h)));
    let spoken_power: f64 = pairs().map(|(s, _)| s * s).sum();
    let heard_power: f64 = pairs().map(|(_, h)| h * h).sum();
    if spoken_power <= 0.0 || heard_power <= 0.0 {
        return None;
    }
    let gain = pairs().map(|(s, h)| s * h).sum::<f64>() / spoken_power;
    let noise: f64 = pairs().map(|(s, h)| (h - gain * s).powi(2)).sum();
    let signal = gain * gain * spoken_power;
    Some(Decibels::of_power(signal / noise.max(signal * 1e-10)))
}

pub(super) fn level_of(samples: &[f32]) -> Decibels {
    Decibels::of_power(mean_power(samples))
}

fn mean_power(samples: &[f32]) -> f64 {
    super::correlate::energy(samples) / samples.len().max(1) as f64
}
