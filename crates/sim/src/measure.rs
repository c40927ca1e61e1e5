//! What was heard against what was spoken: delay, likeness, silence gaps, levels, clicks.
//!
//! Pure functions over mono `f32` at [`SAMPLE_RATE`]. Sample 0 of both signals is the same
//! instant, so a delay is how much later a piece of `spoken` is found in `heard`. A figure that could not be measured
//! is `None`, never zero.

mod clicks;
mod correlate;
mod delay;
mod filter;
mod gaps;
mod level;
mod similarity;

use std::time::Duration;

pub use clicks::{Click, clicks};
pub use delay::{DelayPoint, DelaySearch, DelaySummary, DelayTrack, delay_track};
pub use gaps::{Gap, SilenceReport, silence};
pub use level::{Decibels, LevelPoint, active_level, level_track, signal_to_noise};
pub use similarity::correlation;

use crate::SAMPLE_RATE;

/// Everything this module measures about one direction of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Delay over time.
    pub track: DelayTrack,
    /// Spoken to heard; `None` when heard could not be aligned with spoken.
    pub mouth_to_ear: Option<DelaySummary>,
    /// See [`correlation`].
    pub correlation: Option<f64>,
    /// Where speech was replaced by silence.
    pub silence: Option<SilenceReport>,
}

/// Measures one direction with the default search (delays up to 1.5 s).
pub fn compare(spoken: &[f32], heard: &[f32]) -> Comparison {
    let track = delay_track(spoken, heard, &DelaySearch::default());
    Comparison {
        mouth_to_ear: track.summary(),
        correlation: correlation(spoken, heard, &track),
        silence: silence(spoken, heard, &track),
        track,
    }
}

/// The time at which sample `index` begins.
fn time_of(index: usize, rate: u32) -> Duration {
    Duration::from_nanos(index as u64 * 1_000_000_000 / u64::from(rate))
}

/// The sample at which `time` lies.
fn index_of(time: Duration, rate: u32) -> usize {
    (time.as_secs_f64() * f64::from(rate)).round() as usize
}

/// Length of a signal at [`SAMPLE_RATE`].
pub fn duration_of(samples: &[f32]) -> Duration {
    time_of(samples.len(), SAMPLE_RATE)
}
