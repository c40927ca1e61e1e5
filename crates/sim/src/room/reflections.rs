//! The reflections of a room: a dense impulse response and its convolution.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::SAMPLE_RATE;
use crate::rng::Rng;

/// Samples convolved at once: 10 ms. What is pushed comes out when its partition is full.
pub(super) const PARTITION: usize = 480;
/// Energy of the reflections against the direct sound's.
const REFLECTED: f64 = 1.0;

/// A direct sound and decaying noise after it, of unit energy together; the noise has fallen by 60 dB after `decay`, where it ends.
pub fn impulse_response(decay: Duration, seed: u64) -> Vec<f32> {
    let length = (decay.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
    let mut rng = Rng::stream(seed, 7);
    let mut response = vec![0.0; length.max(1)];
    for (n, tap) in response.iter_mut().enumerate().skip(1) {
        *tap = rng.normal() * 10f64.powf(-3.0 * n as f64 / length as f64);
    }
    let reflected: f64 = response.iter().map(|tap| tap * tap).sum();
    if reflected > 0.0 {
        let scale = (REFLECTED / reflected).sqrt();
        response.iter_mut().for_each(|tap| *tap *= scale);
    }
    response[0] = 1.0;
    let energy: f64 = response.iter().map(|tap| tap * tap).sum();
    response.iter().map(|tap| (tap / energy.sqrt()) as f32).collect()
}

/// Uniformly partitioned convolution by overlap-save.
#[derive(Clone)]
pub(super) struct Convolver {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    response: Vec<Vec<Complex<f32>>>,
    /// Spectra of the last inputs, the newest at `newest`.
    past: Vec<Vec<Complex<f32>>>,
    newest: usize,
    input: Vec<f32>,
    filled: usize,
}

impl Convolver {
    pub(super) fn new(response: &[f32]) -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(2 * PARTITION), planner.plan_fft_inverse(2 * PARTITION));
        let spectrum = |taps: &[f32]| {
            let mut padded = vec![0.0; 2 * PARTITION];
            padded[..taps.len()].copy_from_slice(taps);
            transformed(&*forward, &mut padded)
        };
        let response: Vec<_> = response.chunks(PARTITION).map(spectrum).collect();
        let past = vec![forward.make_output_vec(); response.len()];
        Self { forward, inverse, response, past, newest: 0, input: vec![0.0; 2 * PARTITION], filled: 0 }
    }

    /// Takes a sample; hands on a partition of finished ones when there is one.
    pub(super) fn push(&mut self, sample: f32, made: impl FnOnce(&[f32])) {
        self.input[PARTITION + self.filled] = sample;
        self.filled += 1;
        if self.filled < PARTITION {
            return;
        }
        self.filled = 0;
        self.newest = (self.newest + 1) % self.past.len();
        self.past[self.newest] = transformed(&*self.forward, &mut self.input.clone());
        self.input.copy_within(PARTITION.., 0);
        let mut sum = self.forward.make_output_vec();
        for (age, response) in self.response.iter().enumerate() {
            let past = &self.past[(self.newest + self.past.len() - age) % self.past.len()];
            for ((sum, past), response) in sum.iter_mut().zip(past).zip(response) {
                *sum += past * response;
            }
        }
        let mut output = self.inverse.make_output_vec();
        // unwrap: the lengths are those the transform was planned for, and the ends of a product of real spectra are real.
        self.inverse.process(&mut sum, &mut output).expect("lengths as planned");
        output.iter_mut().for_each(|sample| *sample /= 2.0 * PARTITION as f32);
        made(&output[PARTITION..]);
    }
}

impl fmt::Debug for Convolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Convolver").field("partitions", &self.response.len()).finish_non_exhaustive()
    }
}

fn transformed(forward: &dyn RealToComplex<f32>, samples: &mut [f32]) -> Vec<Complex<f32>> {
    let mut spectrum = forward.make_output_vec();
    // unwrap: the lengths are those the transform was planned for.
    forward.process(samples, &mut spectrum).expect("lengths as planned");
    spectrum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_decays_by_60_db_and_has_unit_energy() {
        let response = impulse_response(Duration::from_millis(200), 3);
        let energy = |taps: &[f32]| taps.iter().map(|tap| f64::from(tap * tap)).sum::<f64>();
        assert!((energy(&response) - 1.0).abs() < 1e-3);
        let (early, late) = (energy(&response[1..961]), energy(&response[8640..]));
        // Nine tenths of the decay lie between the two: 54 dB.
        let fall = 10.0 * (early / late).log10();
        assert!((fall - 54.0).abs() < 2.0, "{fall}");
        assert_ne!(response, impulse_response(Duration::from_millis(200), 4));
    }

    #[test]
    fn the_convolution_is_the_sum_of_products() {
        let response = impulse_response(Duration::from_millis(25), 1);
        let mut rng = Rng::new(2);
        let input: Vec<f32> = (0..4 * PARTITION).map(|_| rng.normal() as f32 * 0.1).collect();
        let (mut convolver, mut output) = (Convolver::new(&response), Vec::new());
        input.iter().for_each(|sample| convolver.push(*sample, |made| output.extend_from_slice(made)));
        assert_eq!(output.len(), input.len());
        for n in [0, 1, 479, 480, 1199, 1919] {
            let direct: f32 = (0..=n.min(response.len() - 1)).map(|age| input[n - age] * response[age]).sum();
            assert!((output[n] - direct).abs() < 1e-5, "{n}: {} for {direct}", output[n]);
        }
    }
}
