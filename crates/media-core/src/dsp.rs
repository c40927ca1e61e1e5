//! Small signal processing: levels, gains, filters, sample rates.

pub mod decibel;
mod gain;
mod high_pass;
mod level;
mod limiter;
mod resample;

pub use gain::RampedGain;
pub use high_pass::HighPass;
pub use level::{AudioLevel, LevelMeter};
pub use limiter::Limiter;
pub use resample::{Resampler, ResamplerError};
