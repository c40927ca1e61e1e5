//! Reads a signal between its samples: for a clock that is not the signal's.

use std::collections::VecDeque;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// Samples looked at on each side.
pub(super) const REACH: usize = 16;
/// Fractions of a sample that are tabulated; between them it is interpolated.
const PHASES: usize = 256;

/// Windowed sinc for each fraction, and for the fraction 1.
static TABLE: LazyLock<Vec<[f32; 2 * REACH]>> = LazyLock::new(|| {
    (0..=PHASES)
        .map(|phase| {
            let fraction = phase as f64 / PHASES as f64;
            std::array::from_fn(|tap| {
                let distance = tap as f64 - (REACH as f64 - 1.0) - fraction;
                let sinc = if distance.abs() < 1e-12 { 1.0 } else { (PI * distance).sin() / (PI * distance) };
                // Blackman.
                let turn = PI * distance / REACH as f64;
                (sinc * (0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())) as f32
            })
        })
        .collect()
});

/// A signal that grows at its end and is forgotten at its beginning.
#[derive(Debug, Clone, Default)]
pub(super) struct Sampler {
    samples: VecDeque<f32>,
    first: u64,
}

impl Sampler {
    pub(super) fn push(&mut self, samples: &[f32]) {
        self.samples.extend(samples);
    }

    /// The signal at `position`; silence outside of what is known.
    pub(super) fn at(&self, position: f64) -> f32 {
        let whole = position.floor();
        let phase = (position - whole) * PHASES as f64;
        let (row, between) = (phase as usize, phase.fract() as f32);
        let (low, high) = (&TABLE[row.min(PHASES)], &TABLE[(row + 1).min(PHASES)]);
        let begin = whole as i64 - (REACH as i64 - 1) - self.first as i64;
        (0..2 * REACH)
            .map(|tap| {
                let index = usize::try_from(begin + tap as i64).ok();
                let sample = index.and_then(|index| self.samples.get(index)).copied().unwrap_or(0.0);
                sample * (low[tap] + (high[tap] - low[tap]) * between)
            })
            .sum()
    }

    pub(super) fn forget_before(&mut self, position: f64) {
        let keep_from = (position.max(0.0) as u64).saturating_sub(self.first);
        let gone = usize::try_from(keep_from).map_or(self.samples.len(), |gone| gone.min(self.samples.len()));
        // In large pieces: moving the front is not free.
        if gone > 48_000 {
            self.samples.drain(..gone);
            self.first += gone as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_read_between_its_samples() {
        let tone = |position: f64| (position * 3000.0 / 48_000.0 * 2.0 * PI).sin() as f32;
        let mut sampler = Sampler::default();
        let samples: Vec<f32> = (0..200).map(|n| tone(f64::from(n))).collect();
        sampler.push(&samples);
        for position in [50.0, 70.25, 90.123, 111.9999] {
            assert!((sampler.at(position) - tone(position)).abs() < 1e-3, "{position}");
        }
        assert_eq!(sampler.at(-100.0), 0.0);
        assert_eq!(sampler.at(1000.0), 0.0);
    }

    #[test]
    fn what_is_forgotten_does_not_move_what_is_kept() {
        let mut sampler = Sampler::default();
        let samples: Vec<f32> = (0..100_000).map(|n| (n % 97) as f32 / 97.0).collect();
        sampler.push(&samples);
        let before = sampler.at(90_000.5);
        sampler.forget_before(80_000.0);
        assert_eq!(sampler.at(90_000.5), before);
        assert_eq!(sampler.samples.len(), 20_000);
    }
}
