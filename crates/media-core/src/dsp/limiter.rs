//! Keeps the sum of several sounds within full scale.

/// Nothing that leaves it is larger.
const CEILING: f32 = 1.0;
/// The gain falls so fast at most: all of it in 1 ms, in samples at 48 kHz.
const ATTACK: f32 = 48.0;
/// The gain comes back with a time constant of 400 ms: its share per sample.
const RELEASE: f32 = 1.0 / 19_200.0;
/// Closer than this to where it goes the gain is there; a sum of much smaller steps would not arrive.
const ARRIVED: f32 = 1e-3;

/// Turns sound down while it would be larger than full scale. It looks at a whole block before that leaves, so it adds no delay; sound within
/// full scale passes untouched, bit by bit.
#[derive(Debug, Clone)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Limits in place; the samples are numbers.
    pub fn apply(&mut self, samples: &mut [f32]) {
        let peak = samples.iter().fold(0.0, |peak: f32, sample| peak.max(sample.abs()));
        let allowed = if peak > CEILING { CEILING / peak } else { 1.0 };
        if allowed < self.gain {
            self.attack(allowed, samples);
        } else if self.gain < 1.0 {
            self.release(allowed, samples);
        }
    }

    /// The gain is down where the sound first needs it; where that is sooner than it may fall, the little that is left over is cut.
    fn attack(&mut self, allowed: f32, samples: &mut [f32]) {
        let first = samples.iter().position(|sample| sample.abs() * self.gain > CEILING).unwrap_or(0);
        let over = first.max(((1.0 - allowed / self.gain) * ATTACK).ceil() as usize);
        let step = (allowed - self.gain) / over as f32;
        for (n, sample) in samples.iter_mut().enumerate() {
            if n < over {
                self.gain += step;
            }
            *sample = (*sample * self.gain.max(allowed)).clamp(-CEILING, CEILING);
        }
        self.gain = allowed;
    }

    fn release(&mut self, allowed: f32, samples: &mut [f32]) {
        for sample in samples {
            self.gain += (allowed - self.gain) * RELEASE;
            *sample = (*sample * self.gain).clamp(-CEILING, CEILING);
        }
        if allowed - self.gain < ARRIVED {
            self.gain = allowed;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may allocate")]
mod tests {
    use super::*;

    fn tone(hertz: f32, amplitude: f32, samples: usize) -> Vec<f32> {
        let phase = |n: usize| n as f32 / 48_000.0 * hertz * std::f32::consts::TAU;
        (0..samples).map(|n| amplitude * phase(n).sin()).collect()
    }

    fn limited(sound: &[f32]) -> Vec<f32> {
        let (mut limiter, mut out) = (Limiter::default(), sound.to_vec());
        out.chunks_mut(120).for_each(|block| limiter.apply(block));
        out
    }

    #[test]
    fn sound_within_full_scale_is_untouched() {
        let sound = tone(440.0, 1.0, 48_000);
        assert!(limited(&sound) == sound);
    }

    #[test]
    fn loud_sound_keeps_its_shape_and_stays_within_full_scale() {
        let out = limited(&tone(440.0, 8.0, 48_000));
        assert!(out.iter().all(|sample| sample.abs() <= CEILING));
        // Turned down, not cut: what differs from a tone of full scale is small.
        let wanted = tone(440.0, 1.0, 48_000);
        let error: f32 = out.iter().zip(&wanted).skip(480).map(|(out, wanted)| (out - wanted).powi(2)).sum();
        assert!(error < 1e-4 * 24_000.0, "{error}");
        let cut = out[480..].windows(2).filter(|pair| pair[0].abs() == CEILING && pair[0] == pair[1]).count();
        assert_eq!(cut, 0);
    }

    #[test]
    fn the_gain_comes_back_and_then_nothing_is_touched_again() {
        let quiet = tone(440.0, 0.5, 5 * 48_000);
        let out = limited(&[tone(440.0, 4.0, 4800), quiet.clone()].concat());
        let after = &out[4800..];
        assert!(after[..480].iter().all(|sample| sample.abs() < 0.2));
        assert!(after[4 * 48_000..] == quiet[4 * 48_000..]);
    }

    #[test]
    fn a_sudden_peak_makes_no_step_in_the_sound_around_it() {
        let mut sound = tone(200.0, 0.9, 9600);
        sound.iter_mut().skip(4800).for_each(|sample| *sample *= 6.0);
        let out = limited(&sound);
        let steepest = out.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        // A tone of 200 Hz at six times its size rises by 0.14 a sample by itself.
        assert!(steepest < 0.15, "{steepest}");
    }
}
