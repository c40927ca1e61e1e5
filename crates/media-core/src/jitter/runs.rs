//! How many packets in a row are lost at a time: losses in a run are one event, not many.

/// What is left of the count at each new run: the last twenty or so matter.
const LEFT: f32 = 0.95;
/// Packets so close together are of one run: copies at several distances bring them back in another order.
const CLOSE: i64 = 2;

/// The runs of packets that were lost and came back in others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Runs {
    packets: f32,
    runs: f32,
    last: Option<i64>,
}

impl Runs {
    /// The packet of this number was lost.
    pub(super) fn take(&mut self, sequence: i64) {
        if self.last.is_none_or(|last| sequence.saturating_sub(last).saturating_abs() > CLOSE) {
            self.packets *= LEFT;
            self.runs = self.runs * LEFT + 1.0;
        }
        self.packets += 1.0;
        self.last = Some(sequence);
    }

    /// Packets per run, at least 1.
    pub(super) fn length(&self) -> f32 {
        (self.packets / self.runs.max(1.0)).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(lost: impl Iterator<Item = i64>) -> f32 {
        let mut runs = Runs::default();
        lost.for_each(|sequence| runs.take(sequence));
        runs.length()
    }

    #[test]
    fn losses_on_their_own_are_runs_of_one_and_bursts_are_as_long_as_they_are() {
        assert!((length(std::iter::empty()) - 1.0).abs() < 1e-6);
        assert!((length((0..900).step_by(9)) - 1.0).abs() < 1e-6);
        assert!((length((0..4000).filter(|n| n % 40 < 4)) - 4.0).abs() < 0.1);
        // Brought back by copies three and six packets later, in turn.
        assert!((length([2, 0, 1, 3].into_iter()) - 4.0).abs() < 1e-6);
        assert!(length([i64::MIN, i64::MAX, 0].into_iter()) >= 1.0);
    }
}
