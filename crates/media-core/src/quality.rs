//! How good a call was, by numbers that were measured: the E-model, and warnings while it runs.
//!
//! Pure functions. What was not measured is `None`.

mod delay;
mod heard;
mod impairment;
mod score;
mod warnings;

pub use delay::{DelayDistribution, DelayPercentiles};
pub use heard::Heard;
pub use impairment::ImpairedSound;
pub use score::{Score, ScoreInput, score};
pub use warnings::{QualityInput, QualityMonitor, QualityWarning, WarningEvent, WarningKind};
