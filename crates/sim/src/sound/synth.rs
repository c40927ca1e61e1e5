//! Speech-like sound from nothing: glottal pulses through moving formants, with fricatives and pauses.

use std::f64::consts::{PI, TAU};
use std::time::Duration;

use super::tone::samples_in;
use crate::SAMPLE_RATE;
use crate::rng::Rng;

/// Vowel targets: first three formants in hertz.
const VOWELS: [[f64; 3]; 6] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
    [530.0, 1840.0, 2480.0],
    [570.0, 840.0, 2410.0],
    [490.0, 1350.0, 1690.0],
];
const BANDWIDTHS_HZ: [f64; 3] = [80.0, 100.0, 150.0];
const GAINS: [f64; 3] = [1.0, 0.6, 0.3];
/// RMS of the result where it is active: -23 dBFS.
const ACTIVE_RMS: f32 = 0.0708;

/// Sound with the features of speech that matter to codecs, jitter buffers and measures: a pitch that moves, formants
/// that glide, unvoiced consonants, syllables, and pauses of 150 to 300 ms between words. Never periodic for longer
/// than a syllable, so a delay found in it is unambiguous. Equal seeds give equal sound; the seed also chooses the
/// voice's pitch (90 to 220 Hz). Active level about -23 dBFS.
pub fn synthetic_speech(length: Duration, seed: u64) -> Vec<f32> {
    let total = samples_in(length);
    let mut rng = Rng::new(seed);
    let mut speaker = Speaker::new(&mut rng);
    let mut sound = Vec::with_capacity(total + SAMPLE_RATE as usize);
    while sound.len() < total {
        for _ in 0..1 + rng.below(3) {
            if rng.chance(0.6) {
                speaker.consonant(&mut rng, &mut sound);
            }
            speaker.vowel(&mut rng, &mut sound);
        }
        let pause = rng.duration(Duration::from_millis(150), Duration::from_millis(300));
        sound.extend(std::iter::repeat_n(0.0, samples_in(pause)));
    }
    sound.truncate(total);
    super::installed::normalise_active(&mut sound, ACTIVE_RMS);
    sound
}

struct Speaker {
    base_pitch: f64,
    pitch_phase: f64,
    formants: [f64; 3],
    resonators: [Resonator; 3],
}

impl Speaker {
    fn new(rng: &mut Rng) -> Self {
        Self {
            base_pitch: rng.range(90.0, 220.0),
            pitch_phase: 0.0,
            formants: VOWELS[0],
            resonators: [Resonator::default(); 3],
        }
    }

    /// 90 to 220 ms of voiced sound gliding to another vowel.
    fn vowel(&mut self, rng: &mut Rng, sound: &mut Vec<f32>) {
        let count = samples_in(rng.duration(Duration::from_millis(90), Duration::from_millis(220)));
        let (from, to) = (self.formants, VOWELS[rng.below(VOWELS.len() as u64) as usize]);
        let pitch_from = self.base_pitch * rng.range(0.85, 1.25);
        let pitch_to = self.base_pitch * rng.range(0.8, 1.15);
        let loudness = rng.range(0.6, 1.0);
        for n in 0..count {
            let progress = n as f64 / count as f64;
            self.formants = std::array::from_fn(|i| from[i] + (to[i] - from[i]) * progress);
            let pitch = pitch_from + (pitch_to - pitch_from) * progress;
            let excitation = self.glottal_flow(pitch) + 0.02 * rng.normal();
            let envelope = loudness * (PI * progress).sin().sqrt();
            sound.push((envelope * self.shape(excitation)) as f32);
        }
    }

    /// 40 to 90 ms of noise around a random frequency.
    fn consonant(&self, rng: &mut Rng, sound: &mut Vec<f32>) {
        let count = samples_in(rng.duration(Duration::from_millis(40), Duration::from_millis(90)));
        let centre = rng.range(2500.0, 6500.0);
        let mut filter = Resonator::default();
        for n in 0..count {
            let envelope = (PI * n as f64 / count as f64).sin();
            sound.push((0.25 * envelope * filter.run(rng.normal(), centre, 1500.0)) as f32);
        }
    }

    /// The derivative of the air flow of one pitch period: slow rise, sharp closure.
    fn glottal_flow(&mut self, pitch: f64) -> f64 {
        self.pitch_phase = (self.pitch_phase + pitch / f64::from(SAMPLE_RATE)).fract();
        match self.pitch_phase {
            opening if opening < 0.45 => 0.4 * (PI * opening / 0.45).sin(),
            closing if closing < 0.6 => -(PI * (closing - 0.45) / 0.15).sin(),
            _ => 0.0,
        }
    }

    fn shape(&mut self, excitation: f64) -> f64 {
        let formants = self.formants;
        let each = self.resonators.iter_mut().enumerate();
        each.map(|(i, resonator)| GAINS[i] * resonator.run(excitation, formants[i], BANDWIDTHS_HZ[i])).sum()
    }
}

/// A two-pole resonator of unit gain at its centre.
#[derive(Debug, Clone, Copy, Default)]
struct Resonator {
    past: [f64; 2],
}

impl Resonator {
    fn run(&mut self, input: f64, centre: f64, bandwidth: f64) -> f64 {
        let rate = f64::from(SAMPLE_RATE);
        let radius = (-PI * bandwidth / rate).exp();
        let turn = TAU * centre / rate;
        let gain = (1.0 - radius) * (1.0 - 2.0 * radius * (2.0 * turn).cos() + radius * radius).sqrt();
        let output = gain * input + 2.0 * radius * turn.cos() * self.past[0] - radius * radius * self.past[1];
        self.past = [output, self.past[0]];
        output
    }
}
