//! A histogram that one thread writes and any thread reads, without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Four buckets per doubling, from 1 us to over a minute.
const BUCKETS: usize = 104;

/// Durations, to 19 % of their value.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    largest_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], largest_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts a duration. Real-time safe.
    pub(crate) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)].fetch_add(1, Relaxed);
        self.largest_us.fetch_max(micros, Relaxed);
    }

    /// The upper edge of the bucket below which `share` (0..=1) of all lie; `None` when nothing was counted.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        let index = counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(upper_edge(index).min(self.largest_us.load(Relaxed))))
    }

    /// The longest.
    pub(crate) fn largest(&self) -> Option<Duration> {
        self.quantile(1.0).map(|_| Duration::from_micros(self.largest_us.load(Relaxed)))
    }
}

fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(1);
    let octave = micros.ilog2() as usize;
    // The two bits below the highest one divide the doubling into four, as far as there are any.
    let quarter = if octave >= 2 { micros >> (octave - 2) } else { micros << (2 - octave) } as usize & 3;
    (octave * 4 + quarter).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    let start = 1_u64 << octave;
    start + ((quarter + 1) * start).div_ceil(4) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near_the_truth() {
        let histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.largest()), (None, None));
        (1..=1000).for_each(|n| histogram.record(Duration::from_micros(n * 10)));
        for (share, truth) in [(0.5, 5000.0), (0.99, 9900.0)] {
            let found = histogram.quantile(share).unwrap().as_micros() as f64;
            assert!((0.99..1.25).contains(&(found / truth)), "{share}: {found}");
        }
        assert_eq!(histogram.largest(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn every_duration_has_a_bucket_that_holds_it() {
        for micros in (0..5000).chain([u64::MAX]) {
            let bucket = bucket_of(micros);
            assert!(bucket < BUCKETS);
            assert!(bucket == BUCKETS - 1 || upper_edge(bucket) >= micros, "{micros}");
        }
    }
}
