//! How much sound that was not what was said hurts, by how it came about.

use std::time::Duration;

/// Sound of a call that was not what the far end said. Filled from the receive path's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImpairedSound {
    /// Filled with silence or noise, or speech that was skipped.
    pub absent: Duration,
    /// Made up by the codec in gaps of at most 20 ms.
    pub concealed_short: Duration,
    /// Made up by the codec in gaps of 20 to 120 ms.
    pub concealed: Duration,
    /// Made up by the codec in gaps of over 120 ms.
    pub concealed_long: Duration,
    /// Restored from a copy of lower rate (in-band FEC, or RED that is not exact).
    pub copied: Duration,
    /// Restored from deep redundancy (DRED).
    pub deep_redundancy: Duration,
    /// Added or taken away by time stretching, beyond 5 % of any second.
    pub stretched: Duration,
}

impl ImpairedSound {
    /// The weighted part of `speech`, in percent; `None` while nothing was said. The weights are those of the crowd test that ships with
    /// libopus' deep redundancy, as the share of the damage that is left.
    pub fn percent_of(&self, speech: Duration) -> Option<f64> {
        if speech.is_zero() {
            return None;
        }
        let weighted = [
            (self.absent, 1.0),
            (self.concealed_short, 0.3),
            (self.concealed, 0.6),
            (self.concealed_long, 1.0),
            (self.copied, 0.1),
            (self.deep_redundancy, 0.2),
            (self.stretched, 0.05),
        ];
        let lost: f64 = weighted.iter().map(|(length, weight)| length.as_secs_f64() * weight).sum();
        Some((100.0 * lost / speech.as_secs_f64()).min(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_weighed_by_its_making() {
        let second = Duration::from_secs(1);
        let sound = ImpairedSound { absent: second, copied: second, ..ImpairedSound::default() };
        assert!((sound.percent_of(Duration::from_secs(110)).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(sound.percent_of(Duration::ZERO), None);
        assert_eq!(ImpairedSound::default().percent_of(second), Some(0.0));
    }

    #[test]
    fn more_is_lost_than_was_said_only_by_rounding() {
        let sound = ImpairedSound { absent: Duration::from_secs(2), ..ImpairedSound::default() };
        assert_eq!(sound.percent_of(Duration::from_secs(1)), Some(100.0));
    }
}
