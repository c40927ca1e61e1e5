//! The stages in their order.

use offhook_media_core::dsp::{AudioLevel, LevelMeter};

use super::AudioProcessing;
use super::echo::{self, EchoCanceller};
use super::gain::{AutomaticGain, Heard};
use super::noise::{self, NoiseSuppressor};
use super::rumble::RumbleFilter;
use super::stage::{BLOCK, Switched};

/// A block is voice for the noise suppressor above this.
const VOICE: f32 = 0.5;
/// The far end speaks in a block whose mean square is above this (-60 dBFS), and for so many blocks after it: what it said is still in the room.
const FAR_END: f32 = 1e-6;
const FAR_END_BLOCKS: u32 = 35;

/// What a block is after the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enhanced {
    /// Level of what came out, and whether somebody speaks.
    pub level: AudioLevel,
}

/// High-pass, echo cancellation, noise suppression, automatic gain, voice activity: in this order, each with a switch.
///
/// Plain computing: the same sound gives the same sound. It allocates, and is not for real-time threads.
#[derive(Debug)]
pub struct Enhancer {
    rumble: Switched<RumbleFilter>,
    echo: Switched<EchoCanceller>,
    noise: Switched<NoiseSuppressor>,
    gain: Switched<AutomaticGain>,
    meter: LevelMeter,
    far_end_for: u32,
}

impl Default for Enhancer {
    fn default() -> Self {
        Self::new()
    }
}

impl Enhancer {
    /// A chain that heard nothing yet.
    pub fn new() -> Self {
        Self {
            rumble: Switched::new(RumbleFilter::new()),
            echo: Switched::new(EchoCanceller::new()),
            noise: Switched::new(NoiseSuppressor::new()),
            gain: Switched::new(AutomaticGain::new()),
            meter: LevelMeter::default(),
            far_end_for: 0,
        }
    }

    /// Processes 10 ms of the microphone in place: mono, 48 kHz, -1..=1; what is no number is silence, what is beyond is clipped. `far` is what the
    /// loudspeakers play at that time, or up to 450 ms before. A stage that is switched is faded in or out, within 30 ms; one that is off changes no
    /// sample.
    pub fn process(
        &mut self,
        settings: AudioProcessing,
        block: &mut [f32; BLOCK],
        far: &[f32; BLOCK],
    ) -> Enhanced {
        block.iter_mut().for_each(|sample| *sample = sound(*sample));
        let far = far.map(sound);
        self.note_far_end(&far);
        self.rumble.process(settings.high_pass_filter, block, ());
        self.echo.process(settings.echo_cancellation, block, &far);
        self.noise.process(settings.noise_suppression, block, ());
        let heard = Heard { voice: self.is_voice(), far_end: self.far_end_for > 0 };
        self.gain.process(settings.auto_gain_control, block, heard);
        let measured = self.meter.measure(block);
        let voice = if self.noise.is_running() { heard.voice } else { measured.voice };
        Enhanced { level: AudioLevel { voice, ..measured } }
    }

    /// How much later sound comes out than it came in, in samples, by the stages that are heard.
    pub fn delay(&self) -> usize {
        let echo = if self.echo.is_heard() { echo::DELAY } else { 0 };
        let noise = if self.noise.is_heard() { noise::DELAY } else { 0 };
        echo + noise
    }

    /// Another loudspeaker or microphone: the way between them is to be learned anew.
    pub fn forget_echo_path(&mut self) {
        self.echo.stage.forget_path();
    }

    /// What comes next has nothing to do with what was.
    pub fn reset(&mut self) {
        self.rumble.reset();
        self.echo.reset();
        self.noise.reset();
        self.gain.reset();
        self.meter = LevelMeter::default();
    }

    fn note_far_end(&mut self, far: &[f32; BLOCK]) {
        let mean_square = far.iter().map(|sample| sample * sample).sum::<f32>() / BLOCK as f32;
        let speaks = mean_square > FAR_END;
        self.far_end_for = if speaks { FAR_END_BLOCKS } else { self.far_end_for.saturating_sub(1) };
    }

    /// As the last block was heard; before the gain it may not depend on what the gain does.
    fn is_voice(&self) -> bool {
        if self.noise.is_running() { self.noise.stage.voice() > VOICE } else { self.meter.last().voice }
    }
}

fn sound(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_sim::measure::clicks;
    use offhook_sim::sound::synthetic_speech;

    use super::*;

    const SILENCE: [f32; BLOCK] = [0.0; BLOCK];

    fn passed(sound: &[f32], mut settings: impl FnMut(usize) -> AudioProcessing) -> Vec<f32> {
        let (mut chain, mut out) = (Enhancer::new(), Vec::new());
        for (n, block) in sound.chunks_exact(BLOCK).enumerate() {
            let mut block: [f32; BLOCK] = block.try_into().unwrap();
            chain.process(settings(n), &mut block, &SILENCE);
            out.extend_from_slice(&block);
        }
        out
    }

    #[test]
    fn off_it_changes_no_sample() {
        let spoken = synthetic_speech(Duration::from_secs(1), 1);
        let only_voice = AudioProcessing { voice_detection: true, ..AudioProcessing::OFF };
        assert_eq!(passed(&spoken, |_| only_voice), spoken);
    }

    #[test]
    fn switching_while_it_runs_makes_no_click() {
        let spoken = synthetic_speech(Duration::from_secs(6), 2);
        let before = clicks(&spoken).len();
        for bit in 0..5 {
            // Each on and off by itself every 130 ms, and all of them together.
            let bits = if bit == 4 { 15 } else { 1 << bit };
            let switched =
                passed(&spoken, |n| AudioProcessing::of_bits(if n / 13 % 2 == 0 { 0 } else { bits }));
            assert!(clicks(&switched).len() <= before, "{bit}: {:?}", clicks(&switched));
        }
    }

    #[test]
    fn what_is_no_number_is_silence_and_leaves_nothing_behind() {
        let mut spoken = synthetic_speech(Duration::from_secs(2), 3);
        for (n, sample) in spoken.iter_mut().enumerate().skip(24_000).take(4800) {
            *sample = [f32::NAN, f32::INFINITY, -1e30, f32::MIN_POSITIVE / 8.0][n % 4];
        }
        let (mut chain, mut last) = (Enhancer::new(), Vec::new());
        for block in spoken.chunks_exact(BLOCK) {
            let (mut near, far) = (block.try_into().unwrap(), block.try_into().unwrap());
            chain.process(AudioProcessing::ON, &mut near, far);
            assert!(near.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
            last = near.to_vec();
        }
        assert_eq!(last.len(), BLOCK);
        // It works on as before.
        let heard = passed(&synthetic_speech(Duration::from_secs(1), 4), |_| AudioProcessing::ON);
        assert!(heard.iter().any(|sample| sample.abs() > 0.05));
    }

    #[test]
    fn voice_is_told_from_noise() {
        let voice_of = |sound: &[f32]| {
            let mut chain = Enhancer::new();
            let blocks = sound.chunks_exact(BLOCK).skip(20);
            let voice = |block: &[f32]| {
                chain.process(AudioProcessing::ON, &mut block.try_into().unwrap(), &SILENCE).level.voice
            };
            blocks.map(voice).filter(|voice| *voice).count()
        };
        let noise = offhook_sim::sound::noise(0.02, Duration::from_secs(4), 1);
        assert!(voice_of(&noise[96_000..]) < 20, "{}", voice_of(&noise[96_000..]));
        assert!(voice_of(&synthetic_speech(Duration::from_secs(2), 5)) > 60);
    }
}
