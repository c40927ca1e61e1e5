//! Automatic gain: voices come to an even loudness.

use offhook_media_core::dsp::decibel::{amplitude_of, decibel_of};

use super::stage::{BLOCK, Stage};

/// RMS to which a voice is brought, over the blocks in which it sounds.
const TARGET_DB: f32 = -22.0;
/// Furthest the gain goes. More would bring up rooms, and close loops.
const MOST_DB: f32 = 20.0;
const LEAST_DB: f32 = -12.0;
/// How fast it goes, per block: 4 dB in a second up, 12 dB down.
const UP_DB: f32 = 0.04;
const DOWN_DB: f32 = 0.12;
/// Noise is not brought up above this.
const MOST_NOISE_DB: f32 = -55.0;
/// The noise floor falls at once and rises so much per block: 1 dB in a second.
const NOISE_RISE_DB: f32 = 0.01;
/// A block below this is no voice.
const QUIETEST_DB: f32 = -60.0;
/// So many blocks of voice are heard before it is believed: 200 ms.
const BELIEVED_AFTER: u32 = 20;
/// Share by which the voice's level follows a block; a louder one is followed faster.
const FOLLOW_UP: f32 = 0.1;
const FOLLOW_DOWN: f32 = 0.02;
/// A peak is brought to this at most; a sound that jumps up within a block is bent above it.
const MOST_PEAK: f32 = 0.9;

/// What the gain hears of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// It is voice.
    pub(super) voice: bool,
    /// The far end speaks, or just did: what is heard may be its echo, which is not brought up.
    pub(super) far_end: bool,
}

/// The gain stage.
#[derive(Debug)]
pub(super) struct AutomaticGain {
    voice_db: f32,
    noise_db: f32,
    heard: u32,
    /// Where the gain slowly goes.
    gain_db: f32,
    /// What the last block ended with.
    factor: f32,
}

impl AutomaticGain {
    pub(super) const fn new() -> Self {
        Self { voice_db: TARGET_DB, noise_db: -90.0, heard: 0, gain_db: 0.0, factor: 1.0 }
    }

    fn learn(&mut self, block: &[f32; BLOCK], heard: Heard) {
        let mean_square = block.iter().map(|sample| sample * sample).sum::<f32>() / BLOCK as f32;
        let level_db = decibel_of(mean_square.sqrt()).max(-100.0);
        self.noise_db = level_db.min(self.noise_db + NOISE_RISE_DB);
        if heard.far_end || !heard.voice || level_db < QUIETEST_DB {
            return;
        }
        self.heard = self.heard.saturating_add(1);
        let follow = match self.heard {
            // The first blocks count alike.
            first @ 1..=BELIEVED_AFTER => 1.0 / first as f32,
            _ if level_db > self.voice_db => FOLLOW_UP,
            _ => FOLLOW_DOWN,
        };
        self.voice_db += (level_db - self.voice_db) * follow;
        if self.heard > BELIEVED_AFTER {
            let wanted =
                (TARGET_DB - self.voice_db).min(MOST_NOISE_DB - self.noise_db).clamp(LEAST_DB, MOST_DB);
            self.gain_db = wanted.clamp(self.gain_db - DOWN_DB, self.gain_db + UP_DB);
        }
    }
}

impl Stage for AutomaticGain {
    type Beside<'a> = Heard;

    fn process(&mut self, block: &mut [f32; BLOCK], heard: Heard) {
        self.learn(block, heard);
        let peak = block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        // A sound that is loud of itself is not turned down for its peak.
        let most = if peak > 0.0 { (MOST_PEAK / peak).max(1.0) } else { f32::INFINITY };
        let target = amplitude_of(self.gain_db).min(most);
        let step = (target - self.factor) / BLOCK as f32;
        for sample in block.iter_mut() {
            self.factor += step;
            *sample *= self.factor;
        }
        self.factor = target;
        block.iter_mut().for_each(|sample| *sample = bent(*sample));
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

/// Below the largest peak as it is, above it ever closer to full scale.
fn bent(sample: f32) -> f32 {
    let over = (sample.abs() - MOST_PEAK) / (1.0 - MOST_PEAK);
    if over <= 0.0 { sample } else { sample.signum() * (MOST_PEAK + (1.0 - MOST_PEAK) * over / (1.0 + over)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_sim::measure::active_level;
    use offhook_sim::sound::synthetic_speech;

    use super::*;

    const VOICE: Heard = Heard { voice: true, far_end: false };

    fn passed(samples: &[f32], heard: Heard) -> Vec<f32> {
        let (mut stage, mut out) = (AutomaticGain::new(), Vec::new());
        for block in samples.chunks_exact(BLOCK) {
            let mut block: [f32; BLOCK] = block.try_into().unwrap();
            let loud = block.iter().any(|sample| sample.abs() > 0.002);
            stage.process(&mut block, Heard { voice: heard.voice && loud, ..heard });
            out.extend_from_slice(&block);
        }
        out
    }

    fn speech_at(db: f32) -> Vec<f32> {
        // -23 dBFS as it is made.
        synthetic_speech(Duration::from_secs(12), 8).iter().map(|s| s * amplitude_of(db + 23.0)).collect()
    }

    #[test]
    fn soft_and_loud_voices_come_closer() {
        for level in [-36.0, -23.0, -12.0] {
            let out = passed(&speech_at(level), VOICE);
            let end = active_level(&out[8 * 48_000..]).unwrap().0;
            assert!((end + 22.0).abs() < 4.0, "{end} for {level}");
            assert!(out.iter().all(|sample| sample.abs() < 1.0));
        }
    }

    #[test]
    fn what_is_not_voice_or_may_be_echo_is_not_brought_up() {
        let soft = speech_at(-40.0);
        for heard in [Heard { voice: false, far_end: false }, Heard { voice: true, far_end: true }] {
            assert_eq!(passed(&soft, heard), soft, "{heard:?}");
        }
    }
}
