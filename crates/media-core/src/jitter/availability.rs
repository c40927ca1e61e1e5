//! How well the sound of each packet can be played with what has come so far.

/// Packets that are remembered.
const REMEMBERED: usize = 256;

/// A packet's sound as it was sent, in its own packet or as an exact copy.
pub const EXACT: f32 = 1.0;
/// The coarse copy that the codec puts into the next packet, against what would be made up.
pub const COARSE: f32 = 0.83;
/// The codec's deep redundancy, against what would be made up.
pub const DEEP: f32 = 0.67;

/// The best share known of each of the last packets.
#[derive(Debug, Clone)]
pub struct Availability {
    packets: [(i64, f32); REMEMBERED],
}

impl Default for Availability {
    fn default() -> Self {
        Self { packets: [(i64::MIN, 0.0); REMEMBERED] }
    }
}

impl Availability {
    /// Packet `sequence` can be played with `share` of its worth: by how much that is better than before. 0 also for what is forgotten.
    pub fn improve(&mut self, sequence: i64, share: f32) -> f32 {
        let (known, best) = &mut self.packets[sequence.rem_euclid(REMEMBERED as i64) as usize];
        if *known > sequence {
            return 0.0;
        }
        if *known < sequence {
            (*known, *best) = (sequence, 0.0);
        }
        let gain = (share - *best).max(0.0);
        *best += gain;
        gain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_worth_only_what_it_adds() {
        let mut availability = Availability::default();
        assert_eq!(availability.improve(7, COARSE), COARSE);
        assert_eq!(availability.improve(7, COARSE), 0.0);
        assert!((availability.improve(7, EXACT) - (EXACT - COARSE)).abs() < 1e-6);
        assert_eq!(availability.improve(7 + REMEMBERED as i64, EXACT), EXACT);
        assert_eq!(availability.improve(7, EXACT), 0.0);
        assert_eq!(availability.improve(-3, EXACT), EXACT);
    }
}
