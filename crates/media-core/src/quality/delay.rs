//! How a delay was distributed over a call, in bounded memory.

use std::time::Duration;

/// Bins of a millisecond; what is longer is in the last.
const BINS: usize = 2000;

/// Delays of a call, counted by the millisecond up to two seconds.
#[derive(Debug, Clone)]
pub struct DelayDistribution {
    counts: Box<[u32; BINS]>,
    total: u64,
}

/// Delays that so many stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayPercentiles {
    /// Half.
    pub p50: Duration,
    /// 95 of a hundred.
    pub p95: Duration,
    /// 99 of a hundred.
    pub p99: Duration,
    /// All.
    pub most: Duration,
}

impl Default for DelayDistribution {
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    fn default() -> Self {
        Self { counts: Box::new([0; BINS]), total: 0 }
    }
}

impl DelayDistribution {
    /// Counts one delay.
    pub fn add(&mut self, delay: Duration) {
        let bin = usize::try_from(delay.as_millis()).unwrap_or(usize::MAX).min(BINS - 1);
        self.counts[bin] = self.counts[bin].saturating_add(1);
        self.total += 1;
    }

    /// Rounded up to milliseconds, at most 2 s; `None` before the first.
    pub fn percentiles(&self) -> Option<DelayPercentiles> {
        (self.total > 0).then(|| DelayPercentiles {
            p50: self.within(0.5),
            p95: self.within(0.95),
            p99: self.within(0.99),
            most: self.within(1.0),
        })
    }

    fn within(&self, share: f64) -> Duration {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        Duration::from_millis(reached.unwrap_or(BINS - 1) as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let mut delays = DelayDistribution::default();
        assert_eq!(delays.percentiles(), None);
        (0..100).for_each(|ms| delays.add(Duration::from_micros(1000 * ms + 500)));
        let ms = Duration::from_millis;
        let expected = DelayPercentiles { p50: ms(50), p95: ms(95), p99: ms(99), most: ms(100) };
        assert_eq!(delays.percentiles(), Some(expected));
        delays.add(Duration::MAX);
        assert_eq!(delays.percentiles().map(|found| found.most), Some(ms(2000)));
    }
}
