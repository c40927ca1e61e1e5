//! The band in which speech is compared.

use std::f64::consts::{SQRT_2, TAU};

use crate::SAMPLE_RATE;
use crate::sound::resample;

/// Rate at which signals are compared.
pub(super) const BAND_RATE: u32 = 16_000;
const LOW_EDGE_HZ: f64 = 300.0;
const HIGH_EDGE_HZ: f64 = 4000.0;

/// 300 Hz to 4 kHz at [`BAND_RATE`]: where speech is understood and codecs keep the waveform. Below, speech codecs have
/// a high-pass that turns the phase, which nobody hears but which would look like damage. Both signals pass the same
/// filter, so its own phase falls out of every comparison.
pub(super) fn speech_band(samples: &[f32]) -> Vec<f32> {
    let mut band = resample(samples, SAMPLE_RATE, BAND_RATE);
    for section in [
        Biquad::low_pass(HIGH_EDGE_HZ),
        Biquad::low_pass(HIGH_EDGE_HZ),
        Biquad::high_pass(LOW_EDGE_HZ),
        Biquad::high_pass(LOW_EDGE_HZ),
    ] {
        section.run(&mut band);
    }
    band
}

/// A second-order Butterworth section (bilinear transform).
struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
}

impl Biquad {
    fn low_pass(edge: f64) -> Self {
        let cosine = (TAU * edge / f64::from(BAND_RATE)).cos();
        Self::with_numerator(edge, [(1.0 - cosine) / 2.0, 1.0 - cosine, (1.0 - cosine) / 2.0])
    }

    fn high_pass(edge: f64) -> Self {
        let cosine = (TAU * edge / f64::from(BAND_RATE)).cos();
        Self::with_numerator(edge, [(1.0 + cosine) / 2.0, -1.0 - cosine, (1.0 + cosine) / 2.0])
    }

    fn with_numerator(edge: f64, b: [f64; 3]) -> Self {
        let turn = TAU * edge / f64::from(BAND_RATE);
        let alpha = turn.sin() / SQRT_2;
        let a0 = 1.0 + alpha;
        Self { b: b.map(|b| b / a0), a: [-2.0 * turn.cos() / a0, (1.0 - alpha) / a0] }
    }

    fn run(&self, samples: &mut [f32]) {
        let mut state = [0.0; 2];
        for sample in samples {
            let input = f64::from(*sample);
            let output = self.b[0] * input + state[0];
            state =
                [self.b[1] * input - self.a[0] * output + state[1], self.b[2] * input - self.a[1] * output];
            *sample = output as f32;
        }
    }
}
