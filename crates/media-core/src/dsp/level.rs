//! How loud, and whether somebody speaks.

use crate::units::Dbov;

/// Speech is this far above the noise, and never below -60 dBov.
const ABOVE_NOISE: f32 = 8.0;
const QUIETEST_SPEECH: f32 = 1e-6;
/// Samples for which voice is held after it fell silent: 200 ms.
const HANGOVER: usize = 9600;
/// Natural logarithm of the rise of the noise floor per sample: 1 dB in a second.
const NOISE_RISE: f32 = 0.230_26 / 48_000.0;

/// What the audio-level header extension carries (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Level.
    pub level: Dbov,
    /// Whether it is voice.
    pub voice: bool,
}

impl AudioLevel {
    /// Nothing.
    pub const SILENCE: Self = Self { level: Dbov::SILENCE, voice: false };
}

/// Measures level and voice activity of a stream, block by block.
#[derive(Debug, Clone)]
pub struct LevelMeter {
    noise: f32,
    hangover: usize,
    last: AudioLevel,
}

impl Default for LevelMeter {
    fn default() -> Self {
        Self { noise: QUIETEST_SPEECH / ABOVE_NOISE, hangover: 0, last: AudioLevel::SILENCE }
    }
}

impl LevelMeter {
    /// Measures a block of any length; what it remembers does not depend on how sound is cut into blocks.
    pub fn measure(&mut self, samples: &[f32]) -> AudioLevel {
        if samples.is_empty() {
            return self.last;
        }
        let mean_square = mean_square(samples);
        // The noise floor falls at once and rises slowly. Below the quietest speech it would only take longer to come back from silence.
        let risen = self.noise * (NOISE_RISE * samples.len() as f32).exp();
        self.noise = mean_square.min(risen).max(QUIETEST_SPEECH / ABOVE_NOISE);
        if mean_square > self.noise * ABOVE_NOISE {
            self.hangover = HANGOVER;
        } else {
            self.hangover = self.hangover.saturating_sub(samples.len());
        }
        self.last = AudioLevel { level: Dbov::of_mean_square(mean_square), voice: self.hangover > 0 };
        self.last
    }

    /// Whether `samples`, which were not measured yet, are no louder than the noise so far.
    pub fn is_noise(&self, samples: &[f32]) -> bool {
        mean_square(samples) <= self.noise * ABOVE_NOISE
    }

    /// The last measurement.
    pub const fn last(&self) -> AudioLevel {
        self.last
    }
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_rfc() {
        assert_eq!(LevelMeter::default().measure(&[1.0, -1.0]).level.get(), 0);
        assert_eq!(LevelMeter::default().measure(&[0.1, -0.1]).level.get(), 20);
        assert_eq!(LevelMeter::default().measure(&[0.0; 480]), AudioLevel::SILENCE);
    }

    #[test]
    fn voice_is_held_over_short_pauses() {
        let mut meter = LevelMeter::default();
        assert!(meter.measure(&[0.1; 480]).voice);
        assert!(meter.measure(&[0.0; 480]).voice);
        for _ in 0..380 {
            assert!(meter.last().voice);
            meter.measure(&[0.0; 24]);
        }
        assert!(!meter.last().voice);
    }

    #[test]
    fn steady_noise_is_not_voice() {
        let mut meter = LevelMeter::default();
        for _ in 0..3000 {
            meter.measure(&[0.003; 480]);
        }
        assert!(!meter.last().voice);
        assert!(meter.measure(&[0.1; 480]).voice);
    }
}
