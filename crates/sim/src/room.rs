//! A room with a loudspeaker and a microphone in it, for whoever cancels echoes.
//!
//! What is played passes a loudspeaker that bends loud sound, the reflections of the room and a delay (buffers of the devices, the way through the
//! air), and is heard by a microphone whose clock is another than the loudspeaker's, together with the person in the room and with noise. Sample
//! by sample and by seed: the same sound gives the same recording, whether it is fed at once or, in a closed loop, block by block.

mod loudspeaker;
mod reflections;
mod sampler;

use std::time::Duration;

use crate::SAMPLE_RATE;
use crate::measure::Decibels;
use crate::rng::Rng;

use loudspeaker::Loudspeaker;
pub use reflections::impulse_response;
use reflections::{Convolver, PARTITION};
use sampler::{REACH, Sampler};

/// Shortest delay: what is played has passed the reflections by then.
const SHORTEST: Duration = Duration::from_millis(12);
/// Longest delay.
const LONGEST: Duration = Duration::from_millis(1000);

/// How a room is.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomConfig {
    /// Chooses the reflections and the noise.
    pub seed: u64,
    /// From a sample's being played to its direct sound's being captured; 12 ms to 1 s.
    pub delay: Duration,
    /// From when on the delay is another one, in the microphone's time; in order.
    pub delay_jumps: Vec<DelayJump>,
    /// Time in which the reflections fall by 60 dB: 60 to 200 ms in furnished rooms.
    pub decay: Duration,
    /// Level of the echo against what is played, without the loudspeaker's bend.
    pub echo_gain: Decibels,
    /// Largest amplitude of the loudspeaker, which it approaches softly (odd harmonics); not finite, or not above 0: it is linear.
    pub loudspeaker_limit: f32,
    /// Level of the microphone's noise, RMS; -100 is none.
    pub noise: Decibels,
    /// Level of the person in the room at the microphone, against the sound given.
    pub near_gain: Decibels,
    /// How much the microphone's clock is faster than the loudspeaker's, in parts per million.
    pub skew_ppm: f64,
}

/// A change of the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayJump {
    /// When.
    pub at: Duration,
    /// The delay from then on.
    pub delay: Duration,
}

impl Default for RoomConfig {
    /// A small loudspeaker on a desk: 40 ms, reflections of 120 ms, an echo 6 dB below what is played, clocks in step.
    fn default() -> Self {
        Self {
            seed: 1,
            delay: Duration::from_millis(40),
            delay_jumps: Vec::new(),
            decay: Duration::from_millis(120),
            echo_gain: Decibels(-6.0),
            loudspeaker_limit: 0.7,
            noise: Decibels(-70.0),
            near_gain: Decibels(0.0),
            skew_ppm: 0.0,
        }
    }
}

/// The room, as time passes in it.
#[derive(Debug, Clone)]
pub struct Room {
    config: RoomConfig,
    loudspeaker: Loudspeaker,
    convolver: Convolver,
    sampler: Sampler,
    noise: Rng,
    captured: u64,
    jumps_done: usize,
    delay: f64,
}

impl Room {
    /// A room in which nothing sounded yet. Delays out of range are brought into it.
    pub fn new(config: RoomConfig) -> Self {
        let response = impulse_response(config.decay, config.seed);
        let echo = config.echo_gain.to_amplitude() as f32;
        let response: Vec<f32> = response.iter().map(|tap| tap * echo).collect();
        Self {
            loudspeaker: Loudspeaker::new(config.loudspeaker_limit),
            convolver: Convolver::new(&response),
            sampler: Sampler::default(),
            noise: Rng::stream(config.seed, 11),
            captured: 0,
            jumps_done: 0,
            delay: samples_of(config.delay),
            config,
        }
    }

    /// The loudspeaker plays this, in its own clock.
    pub fn play(&mut self, samples: &[f32]) {
        let Self { loudspeaker, convolver, sampler, .. } = self;
        for sample in samples {
            convolver.push(loudspeaker.pass(*sample), |made| sampler.push(made));
        }
    }

    /// The microphone captures `out.len()` samples in its own clock, while the person says `near` (silence after its end).
    ///
    /// What is played has to be ahead: of what was not played yet, nothing is heard.
    pub fn capture(&mut self, near: &[f32], out: &mut [f32]) {
        let near_gain = self.config.near_gain.to_amplitude() as f32;
        let noise = if self.config.noise.0 > -100.0 { self.config.noise.to_amplitude() } else { 0.0 };
        for (n, out) in out.iter_mut().enumerate() {
            let position = self.position();
            let echo = self.sampler.at(position);
            let hiss = (noise * self.noise.normal()) as f32;
            let said = near.get(n).map_or(0.0, |sample| sample * near_gain);
            *out = (echo + said + hiss).clamp(-1.0, 1.0);
            self.captured += 1;
        }
        let position = self.position();
        self.sampler.forget_before(position - samples_of(LONGEST) * 2.0);
    }

    /// All of `played` and `near` at once: what the microphone captures in the time of `near`.
    pub fn record(&mut self, played: &[f32], near: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; near.len()];
        // Played one second ahead, and silence after it so that its echo ends.
        let mut ahead = played.iter().copied().chain(std::iter::repeat(0.0));
        let step = PARTITION;
        let lead: Vec<f32> = ahead.by_ref().take(SAMPLE_RATE as usize).collect();
        self.play(&lead);
        for (near, out) in near.chunks(step).zip(out.chunks_mut(step)) {
            let block: Vec<f32> = ahead.by_ref().take(step).collect();
            self.play(&block);
            self.capture(near, out);
        }
        out
    }

    /// Where in what was played the next captured sample lies.
    fn position(&mut self) -> f64 {
        let time = self.captured as f64 / f64::from(SAMPLE_RATE);
        while let Some(jump) = self.config.delay_jumps.get(self.jumps_done)
            && time >= jump.at.as_secs_f64()
        {
            self.delay = samples_of(jump.delay);
            self.jumps_done += 1;
        }
        self.captured as f64 / (1.0 + self.config.skew_ppm * 1e-6) - self.delay
    }
}

/// The delay in samples; what the interpolation looks ahead is within the shortest.
fn samples_of(delay: Duration) -> f64 {
    const { assert!(PARTITION + REACH <= SAMPLE_RATE as usize * 12 / 1000) };
    delay.clamp(SHORTEST, LONGEST).as_secs_f64() * f64::from(SAMPLE_RATE)
}
