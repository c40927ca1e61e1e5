//! How much is lost, and how long the gaps are (Gilbert: Capacity of a burst-noise channel, 1960).

use crate::feedback::NetworkReport;

/// What is left of a count after one more report: half after 2 s, and after 14 s.
const FAST: f32 = 0.917;
const SLOW: f32 = 0.9877;
/// So many packets without a loss are taken to have been seen before: one loss at the start is no tenth.
const PRIOR: f32 = 25.0;
/// And so many runs as independent losses make them.
const PRIOR_RUNS: f32 = 12.0;
/// Runs of each class are so long.
const RUN_LENGTHS: [f32; 5] = [1.0, 2.0, 3.4, 6.2, 12.0];
/// More packets than these lost in one report are an outage: no copy that is sent all the time would bridge it.
const OUTAGE: f32 = 14.0;

/// A path as the ladder sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Path {
    /// Share of packets that are lost.
    pub(super) loss: f32,
    /// How much likelier a packet is lost when its predecessor was, 0 (independent) to 1.
    pub(super) memory: f32,
    /// Milliseconds that the receiver waits for packets anyway, above the fastest.
    pub(super) wait: f32,
}

impl Path {
    /// The probability that a packet is lost if the one so many before it was.
    pub(super) fn lost_again(&self, distance: u8) -> f32 {
        self.loss + (1.0 - self.loss) * self.memory.powi(i32::from(distance))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    expected: f32,
    lost: f32,
    runs: f32,
    run_packets: f32,
}

/// Sums up reports; the newest weigh most.
#[derive(Debug, Clone, Default)]
pub(super) struct LossEstimate {
    fast: Counts,
    slow: Counts,
    wait: f32,
}

impl LossEstimate {
    pub(super) fn take(&mut self, report: &NetworkReport) {
        self.wait = report.packet_wait.map_or(0.0, |wait| wait.as_secs_f32() * 1e3);
        let expected = f32::from(report.expected);
        let lost = report.loss * expected;
        if lost > OUTAGE && report.loss > 0.5 {
            return;
        }
        let runs = report.bursts.map(f32::from);
        let packets: f32 = runs.iter().zip(RUN_LENGTHS).map(|(count, length)| count * length).sum();
        for (counts, left) in [(&mut self.fast, FAST), (&mut self.slow, SLOW)] {
            counts.expected = counts.expected * left + expected;
            counts.lost = counts.lost * left + lost;
            counts.runs = counts.runs * left + runs.iter().sum::<f32>();
            counts.run_packets = counts.run_packets * left + packets;
        }
    }

    /// Loss by the worse of the last seconds and the last half minute; gaps by the longer time.
    pub(super) fn path(&self) -> Path {
        let share = |counts: &Counts| counts.lost / (counts.expected + PRIOR);
        let loss = share(&self.fast).max(share(&self.slow)).clamp(0.0, 0.9);
        // Packets lost on their own make runs of 1 / (1 - loss); few runs say little.
        let alone = 1.0 / (1.0 - loss);
        let length = (self.slow.run_packets + PRIOR_RUNS * alone) / (self.slow.runs + PRIOR_RUNS);
        let memory = (1.0 - 1.0 / length.max(1.0) / (1.0 - loss)).clamp(0.0, 0.95);
        Path { loss, memory, wait: self.wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(expected: u16, loss: f32, bursts: [u8; 5], reports: usize) -> Path {
        let mut estimate = LossEstimate::default();
        let report = NetworkReport { expected, loss, bursts, ..NetworkReport::default() };
        (0..reports).for_each(|_| estimate.take(&report));
        estimate.path()
    }

    #[test]
    fn losses_on_their_own_have_no_memory_and_bursts_have() {
        let alone = path(100, 0.1, [8, 1, 0, 0, 0], 30);
        assert!((alone.loss - 0.1).abs() < 0.01 && alone.memory < 0.05, "{alone:?}");
        // 30 % in runs of 3.5: 1 - 1 / 3.5 / 0.7.
        let bursty = path(40, 0.3, [1, 0, 1, 1, 0], 30);
        assert!((bursty.memory - 0.6).abs() < 0.1, "{bursty:?}");
        assert!(bursty.lost_again(1) > 0.65 && (bursty.lost_again(30) - bursty.loss).abs() < 0.01);
    }

    #[test]
    fn one_loss_is_no_tenth_and_an_outage_is_none() {
        assert!(path(12, 1.0 / 12.0, [1, 0, 0, 0, 0], 1).loss < 0.03);
        assert_eq!(path(50, 1.0, [0, 0, 0, 0, 1], 1).loss, 0.0);
    }
}
