//! Jumps in the waveform.

use std::time::Duration;

use super::{index_of, time_of};
use crate::SAMPLE_RATE;

/// Neighbourhood a click has to stand out from; longer than any voice's pitch period.
const AROUND: Duration = Duration::from_millis(20);
/// The click itself, not counted as its neighbourhood.
const ITSELF: Duration = Duration::from_millis(1);
/// How much stronger than everything around it.
const STANDS_OUT: f32 = 4.0;
/// Weaker ones are not heard.
const LEAST_STRENGTH: f32 = 0.02;

/// A sudden break in the waveform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Click {
    /// Where.
    pub at: Duration,
    /// Size of the break: the second difference there, in units of full scale.
    pub strength: f32,
}

/// Finds samples where the second difference is at least four times as large as anywhere within 20 ms before and
/// after (itself, 1 ms, left out) and at least 0.02 of full scale. Pulses that repeat, as in a voice, are not clicks.
pub fn clicks(samples: &[f32]) -> Vec<Click> {
    let bend: Vec<f32> = samples.windows(3).map(|s| (s[0] - 2.0 * s[1] + s[2]).abs()).collect();
    let (around, itself) = (index_of(AROUND, SAMPLE_RATE), index_of(ITSELF, SAMPLE_RATE));
    let loudest = |from: usize, to: usize| {
        bend.get(from..to.min(bend.len())).unwrap_or_default().iter().copied().fold(0.0, f32::max)
    };
    let mut found: Vec<Click> = Vec::new();
    let mut next = 0;
    while let Some(offset) = bend.get(next..).and_then(|rest| rest.iter().position(|b| *b >= LEAST_STRENGTH))
    {
        let first = next + offset;
        let strength = loudest(first, first + itself);
        let before = loudest(first.saturating_sub(around), first);
        let after = loudest(first + 2 * itself, first + around);
        if strength >= STANDS_OUT * before.max(after) {
            found.push(Click { at: time_of(first + 1, SAMPLE_RATE), strength });
        }
        next = first + itself;
    }
    found
}
