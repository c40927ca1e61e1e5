//! A gain that never clicks.

/// Time from one gain to another, in samples at 48 kHz: 5 ms.
const RAMP_SAMPLES: f32 = 240.0;

/// Multiplies, moving to a new gain over 5 ms.
#[derive(Debug, Clone)]
pub struct RampedGain {
    current: f32,
    target: f32,
    step: f32,
}

impl RampedGain {
    /// Begins at `gain`.
    pub const fn new(gain: f32) -> Self {
        Self { current: gain, target: gain, step: 0.0 }
    }

    /// Moves to `gain`, which is finite.
    pub fn set(&mut self, gain: f32) {
        if gain.is_finite() && gain != self.target {
            self.target = gain;
            self.step = (gain - self.current) / RAMP_SAMPLES;
        }
    }

    /// Applies it in place.
    pub fn apply(&mut self, samples: &mut [f32]) {
        if self.current == self.target {
            if self.current != 1.0 {
                samples.iter_mut().for_each(|sample| *sample *= self.current);
            }
            return;
        }
        for sample in samples {
            self.current += self.step;
            if (self.step > 0.0) == (self.current >= self.target) {
                self.current = self.target;
                self.step = 0.0;
            }
            *sample *= self.current;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_ramp_that_arrives() {
        for target in [0.0, 0.5, 2.0] {
            let mut gain = RampedGain::new(1.0);
            gain.set(target);
            let mut samples = [1.0_f32; 480];
            gain.apply(&mut samples);
            let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            assert!(steepest <= 1.01 / RAMP_SAMPLES, "{steepest}");
            assert_eq!(samples[479], target);
        }
    }
}
