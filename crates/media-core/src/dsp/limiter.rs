//! Keeps the sum of several sounds within full scale.

/// Below this nothing changes.
const KNEE: f32 = 0.8;

/// Bends what is above 0.8 so that it stays below 1; a sum of far ends does not clip.
#[derive(Debug, Clone, Copy, Default)]
pub struct SoftLimiter;

impl SoftLimiter {
    /// Limits in place.
    pub fn apply(samples: &mut [f32]) {
        for sample in samples {
            let size = sample.abs();
            if size > KNEE {
                let over = (size - KNEE) / (1.0 - KNEE);
                *sample = sample.signum() * (KNEE + (1.0 - KNEE) * (over / (1.0 + over)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_sound_is_untouched_and_loud_sound_stays_in_range() {
        let mut samples = [0.5, -0.8, 0.9, -3.0, 100.0];
        SoftLimiter::apply(&mut samples);
        assert_eq!(samples[..2], [0.5, -0.8]);
        assert!(samples[2] < 0.9 && samples[2] > 0.8);
        assert!(samples.iter().all(|sample| sample.abs() < 1.0));
    }
}
