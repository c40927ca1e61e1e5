//! A small loudspeaker: it has no bass, and bends what is loud.

/// Pole of a first-order high-pass at about 150 Hz (48 kHz).
const POLE: f32 = 0.980_55;

/// High-pass and soft clipping.
#[derive(Debug, Clone)]
pub(super) struct Loudspeaker {
    limit: f32,
    before: f32,
    state: f32,
}

impl Loudspeaker {
    pub(super) fn new(limit: f32) -> Self {
        Self { limit, before: 0.0, state: 0.0 }
    }

    /// A sample that is no number is silence.
    pub(super) fn pass(&mut self, sample: f32) -> f32 {
        let sample = if sample.is_finite() { sample } else { 0.0 };
        self.state = POLE * self.state + (1.0 + POLE) / 2.0 * (sample - self.before);
        self.before = sample;
        if self.limit.is_finite() && self.limit > 0.0 {
            self.limit * (self.state / self.limit).tanh()
        } else {
            self.state
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passed(limit: f32, amplitude: f32) -> Vec<f32> {
        let mut loudspeaker = Loudspeaker::new(limit);
        let tone = crate::sound::tone(1000.0, amplitude, Duration::from_secs(1));
        tone.iter().map(|sample| loudspeaker.pass(*sample)).collect()
    }

    /// Amplitude at `hertz` over the middle half second.
    fn amplitude(samples: &[f32], hertz: f64) -> f64 {
        let middle = &samples[12_000..36_000];
        let angle = |n: usize| n as f64 * hertz / 48_000.0 * std::f64::consts::TAU;
        let part = |of: fn(f64) -> f64| {
            middle.iter().enumerate().map(|(n, s)| f64::from(*s) * of(angle(n))).sum::<f64>() / 12_000.0
        };
        part(f64::sin).hypot(part(f64::cos))
    }

    #[test]
    fn clipping_is_bounded_and_makes_odd_harmonics_only() {
        let loud = passed(0.5, 1.0);
        assert!(loud.iter().all(|sample| sample.abs() <= 0.5));
        let [first, second, third] = [1000.0, 2000.0, 3000.0].map(|hertz| amplitude(&loud, hertz));
        assert!(third > 0.05 * first, "{third} of {first}");
        assert!(second < 0.001 * first, "{second} of {first}");
        // At a tenth of the limit: less than a thousandth.
        let quiet = passed(0.5, 0.05);
        assert!(amplitude(&quiet, 3000.0) < 1e-3 * amplitude(&quiet, 1000.0));
    }

    #[test]
    fn without_a_limit_it_is_linear_and_rubbish_is_silence() {
        let linear = passed(f32::INFINITY, 1.0);
        assert!(amplitude(&linear, 3000.0) < 1e-4 * amplitude(&linear, 1000.0));
        assert_eq!(Loudspeaker::new(0.7).pass(f32::NAN), 0.0);
    }
}
