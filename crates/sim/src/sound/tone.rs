//! Tones, chirps, noise.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::SAMPLE_RATE;
use crate::rng::Rng;

/// Length of one [`chirp`].
const CHIRP_LENGTH: Duration = Duration::from_millis(30);
const CHIRP_FROM_HZ: f64 = 400.0;
const CHIRP_TO_HZ: f64 = 7000.0;

/// Digital silence.
pub fn silence(length: Duration) -> Vec<f32> {
    vec![0.0; samples_in(length)]
}

/// A sine of `frequency` hertz and peak `amplitude`, with 5 ms fades at both ends.
pub fn tone(frequency: f64, amplitude: f32, length: Duration) -> Vec<f32> {
    let count = samples_in(length);
    let fade = samples_in(Duration::from_millis(5)).max(1) as f32;
    let sine = |n: usize| (TAU * frequency * n as f64 / f64::from(SAMPLE_RATE)).sin() as f32;
    let gain = |n: usize| (n.min(count - n) as f32 / fade).min(1.0);
    (0..count).map(|n| amplitude * gain(n) * sine(n)).collect()
}

/// A 30 ms sweep from 400 Hz to 7 kHz under a Hann window, peak near `amplitude`: easy to find by a matched filter.
pub fn chirp(amplitude: f32) -> Vec<f32> {
    let count = samples_in(CHIRP_LENGTH);
    let rise = (CHIRP_TO_HZ - CHIRP_FROM_HZ) / 2.0 / CHIRP_LENGTH.as_secs_f64();
    let sample = |n: usize| {
        let t = n as f64 / f64::from(SAMPLE_RATE);
        let window = 0.5 - 0.5 * (TAU * n as f64 / (count - 1) as f64).cos();
        amplitude * (window * (TAU * (CHIRP_FROM_HZ * t + rise * t * t)).sin()) as f32
    };
    (0..count).map(sample).collect()
}

/// Chirps in silence, the gaps between them random in 600..1200 ms so that no shift of the train looks like itself.
pub fn chirp_train(amplitude: f32, length: Duration, seed: u64) -> Vec<f32> {
    let mut sound = silence(length);
    let chirp = chirp(amplitude);
    let mut rng = Rng::new(seed);
    let mut next_gap = || samples_in(rng.duration(Duration::from_millis(600), Duration::from_millis(1200)));
    let mut start = next_gap() / 2;
    while start + chirp.len() <= sound.len() {
        sound[start..start + chirp.len()].copy_from_slice(&chirp);
        start += next_gap();
    }
    sound
}

/// White Gaussian noise of the given RMS amplitude, clipped at full scale.
pub fn noise(rms: f32, length: Duration, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..samples_in(length)).map(|_| (rms * rng.normal() as f32).clamp(-1.0, 1.0)).collect()
}

/// Whole samples in `length`.
pub(super) fn samples_in(length: Duration) -> usize {
    (length.as_secs_f64() * f64::from(SAMPLE_RATE)).round() as usize
}
