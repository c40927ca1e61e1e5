//! One sample rate to another, with a ratio that can follow a drifting clock.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};
use thiserror::Error;

use crate::units::Ppm;

/// Input samples of one step.
const CHUNK: usize = 120;
/// Furthest the ratio moves from nominal.
const MOST_RELATIVE: f64 = 1.01;

/// Why a resampler could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no resampler from {from} Hz to {to} Hz: {reason}")]
pub struct ResamplerError {
    /// Rate of the input.
    pub from: u32,
    /// Rate of the output.
    pub to: u32,
    reason: String,
}

/// Mono, streaming, allocation-free after construction; 0.7 ms of delay at 48 kHz.
pub struct Resampler {
    inner: Async<f32>,
    waiting: [f32; CHUNK],
    filled: usize,
    out: Box<[f32]>,
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Resampler").field("waiting", &self.filled).finish_non_exhaustive()
    }
}

impl Resampler {
    /// From `from` to `to` Hz.
    ///
    /// # Errors
    /// [`ResamplerError`] for rates of zero or too far apart.
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    #[expect(clippy::disallowed_macros, reason = "constructor")]
    pub fn new(from: u32, to: u32) -> Result<Self, ResamplerError> {
        let error = |reason: String| ResamplerError { from, to, reason };
        if from == 0 || to == 0 {
            return Err(error("a rate is zero".to_owned()));
        }
        let parameters = SincInterpolationParameters::new(64, WindowFunction::BlackmanHarris2)
            .oversampling_factor(128)
            .interpolation(SincInterpolationType::Cubic);
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, MOST_RELATIVE, &parameters, CHUNK, 1, FixedAsync::Input)
            .map_err(|cause| error(cause.to_string()))?;
        let out = vec![0.0; inner.output_frames_max()].into_boxed_slice();
        Ok(Self { inner, waiting: [0.0; CHUNK], filled: 0, out })
    }

    /// Makes the output this much faster than nominal: positive gives more samples per input. Moves there smoothly.
    pub fn follow(&mut self, drift: Ppm) {
        let relative = (1.0 + drift.0 * 1e-6).clamp(2.0 - MOST_RELATIVE, MOST_RELATIVE);
        if let Some(adjustable) = self.inner.as_adjustable() {
            // The ratio was clamped to what it accepts.
            let _ = adjustable.set_resample_ratio_relative(relative, true);
        }
    }

    /// Takes any number of samples and hands each finished block to `emit`.
    pub fn process(&mut self, mut samples: &[f32], mut emit: impl FnMut(&[f32])) {
        while !samples.is_empty() {
            let take = samples.len().min(CHUNK - self.filled);
            self.waiting[self.filled..self.filled + take].copy_from_slice(&samples[..take]);
            self.filled += take;
            samples = &samples[take..];
            if self.filled == CHUNK {
                self.filled = 0;
                emit(self.step());
            }
        }
    }

    fn step(&mut self) -> &[f32] {
        let room = self.out.len();
        let made = (|| {
            let input = InterleavedSlice::new(&self.waiting[..], 1, CHUNK).ok()?;
            let mut output = InterleavedSlice::new_mut(&mut self.out[..], 1, room).ok()?;
            self.inner.process_into_buffer(&input, &mut output, None).ok()
        })();
        &self.out[..made.map_or(0, |(_, made)| made)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, samples: usize) -> Vec<f32> {
        let phase = |n: usize| n as f64 * hertz / f64::from(rate) * std::f64::consts::TAU;
        (0..samples).map(|n| (0.5 * phase(n).sin()) as f32).collect()
    }

    fn converted(from: u32, to: u32, input: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut output = Vec::new();
        for chunk in input.chunks(333) {
            resampler.process(chunk, |block| output.extend_from_slice(block));
        }
        output
    }

    // Energy outside the tone, relative to the tone, by projection on sine and cosine.
    fn noise_db(samples: &[f32], rate: u32, hertz: f64) -> f64 {
        let (mut sine, mut cosine, mut total) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let phase = n as f64 * hertz / f64::from(rate) * std::f64::consts::TAU;
            sine += f64::from(*sample) * phase.sin();
            cosine += f64::from(*sample) * phase.cos();
            total += f64::from(*sample) * f64::from(*sample);
        }
        let tone = 2.0 * (sine * sine + cosine * cosine) / samples.len() as f64;
        10.0 * ((total - tone).abs() / tone).log10()
    }

    #[test]
    fn rates_are_converted_cleanly() {
        for (from, to) in [(44_100, 48_000), (48_000, 44_100), (16_000, 48_000), (96_000, 48_000)] {
            let output = converted(from, to, &tone(from, 1000.0, from as usize));
            let expected = to as usize;
            assert!(output.len().abs_diff(expected) < 400, "{from}->{to}: {}", output.len());
            // Ten whole periods in 10 ms at any of the rates: the projection leaks nothing.
            let block = to as usize / 100;
            let whole = (output.len() - 2000) / block * block;
            let noise = noise_db(&output[1000..1000 + whole], to, 1000.0);
            assert!(noise < -100.0, "{from}->{to}: {noise}");
        }
    }

    #[test]
    fn the_ratio_follows_a_drift() {
        let mut resampler = Resampler::new(48_000, 48_000).unwrap();
        resampler.follow(Ppm(1000.0));
        let mut made = 0;
        resampler.process(&tone(48_000, 440.0, 480_000), |block| made += block.len());
        assert!((made as f64 - 480_480.0).abs() < 100.0, "{made}");
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert!(Resampler::new(0, 48_000).is_err());
    }
}
