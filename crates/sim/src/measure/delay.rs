//! How much later each piece of speech is heard.

use std::time::Duration;

use super::correlate::{Correlator, energy};
use super::filter::{BAND_RATE, speech_band};
use super::{index_of, time_of};

/// A match below this is no match.
const LEAST_NCC: f64 = 0.6;
/// Windows this much below the mean level of the whole signal are not looked for.
const ACTIVE_BELOW_MEAN_DB: f64 = 12.0;
/// Points further than this from the median around them found another pitch period.
const FARTHEST_FROM_MEDIAN: Duration = Duration::from_millis(40);
const MEDIAN_POINTS: usize = 9;

/// How to look for delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelaySearch {
    /// Length of the piece of `spoken` that is looked for.
    pub window: Duration,
    /// Time from one piece to the next.
    pub hop: Duration,
    /// Longest delay looked for.
    pub max_delay: Duration,
}

impl Default for DelaySearch {
    /// 400 ms every 200 ms, delays up to 1.5 s.
    fn default() -> Self {
        Self {
            window: Duration::from_millis(400),
            hop: Duration::from_millis(200),
            max_delay: Duration::from_millis(1500),
        }
    }
}

impl DelaySearch {
    /// 200 ms every 50 ms: follows quick changes, mistakes a pitch period more often.
    pub fn fine() -> Self {
        Self { window: Duration::from_millis(200), hop: Duration::from_millis(50), ..Self::default() }
    }
}

/// Delay of one piece of speech.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DelayPoint {
    /// When the piece was spoken (its beginning).
    pub at: Duration,
    /// Spoken to heard.
    pub delay: Duration,
    /// Normalised cross-correlation at that delay, 0.6..=1.
    pub ncc: f64,
}

/// Delay over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DelayTrack {
    /// In order of time; only pieces that were found.
    pub points: Vec<DelayPoint>,
    /// Pieces of speech looked for.
    pub pieces: usize,
}

/// The distribution of a track's delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelaySummary {
    /// Mean.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 95th percentile.
    pub p95: Duration,
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

/// Looks for each piece of `spoken` in `heard` by normalised cross-correlation in 300 Hz to 4 kHz, to a fraction of
/// 1/16 ms. Pieces that are quiet are not looked for; those not found, or found a pitch period off, give no point.
pub fn delay_track(spoken: &[f32], heard: &[f32], search: &DelaySearch) -> DelayTrack {
    track_in_band(&speech_band(spoken), &speech_band(heard), search)
}

fn track_in_band(spoken: &[f32], heard: &[f32], search: &DelaySearch) -> DelayTrack {
    let window = index_of(search.window, BAND_RATE).max(1);
    let hop = index_of(search.hop, BAND_RATE).max(1);
    let reach = index_of(search.max_delay, BAND_RATE);
    let least = active_threshold(spoken) * window as f64;
    let mut correlator = Correlator::new();
    let mut track = DelayTrack::default();
    for start in (0..(spoken.len() + 1).saturating_sub(window)).step_by(hop) {
        let piece = &spoken[start..start + window];
        if energy(piece) < least {
            continue;
        }
        let stretch =
            heard.get(start..heard.len().min(reach.saturating_add(start + window))).unwrap_or_default();
        if stretch.len() < window {
            continue;
        }
        track.pieces += 1;
        let found = correlator.best_match(piece, stretch).filter(|found| found.ncc > LEAST_NCC);
        track.points.extend(found.map(|found| DelayPoint {
            at: time_of(start, BAND_RATE),
            delay: Duration::from_secs_f64(found.shift.max(0.0) / f64::from(BAND_RATE)),
            ncc: found.ncc,
        }));
    }
    track.points = without_outliers(&track.points);
    track
}

/// Energy per sample above which a piece is looked for.
fn active_threshold(samples: &[f32]) -> f64 {
    let mean = energy(samples) / samples.len().max(1) as f64;
    (mean * 10f64.powf(-ACTIVE_BELOW_MEAN_DB / 10.0)).max(1e-12)
}

fn without_outliers(points: &[DelayPoint]) -> Vec<DelayPoint> {
    if points.len() <= MEDIAN_POINTS {
        return points.to_vec();
    }
    let near_median = |(n, point): (usize, &DelayPoint)| {
        let median = median_around(points, n)?;
        (point.delay.abs_diff(median) < FARTHEST_FROM_MEDIAN).then_some(*point)
    };
    points.iter().enumerate().filter_map(near_median).collect()
}

/// Median delay of the points nearest to the n-th.
fn median_around(points: &[DelayPoint], n: usize) -> Option<Duration> {
    let count = MEDIAN_POINTS.min(points.len());
    let first = n.saturating_sub(count / 2).min(points.len() - count);
    percentile(points[first..first + count].iter().map(|point| point.delay), 0.5)
}

/// Nearest-rank percentile, `share` in 0..=1.
fn percentile(delays: impl Iterator<Item = Duration>, share: f64) -> Option<Duration> {
    let mut sorted: Vec<Duration> = delays.collect();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

impl DelayTrack {
    /// This track with every delay replaced by the median around it: without points that found another pitch period.
    pub(super) fn steadied(&self) -> Self {
        let steady = |(n, point): (usize, &DelayPoint)| {
            Some(DelayPoint { delay: median_around(&self.points, n)?, ..*point })
        };
        Self { points: self.points.iter().enumerate().filter_map(steady).collect(), pieces: self.pieces }
    }

    /// Share of the pieces looked for that were found, 0..=1; `None` when none was looked for.
    pub fn found_share(&self) -> Option<f64> {
        (self.pieces > 0).then(|| self.points.len() as f64 / self.pieces as f64)
    }

    /// Nearest-rank percentile of the delays, `share` in 0..=1; `None` for an empty track.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        percentile(self.points.iter().map(|point| point.delay), share)
    }

    /// Mean, median, 95th percentile and extremes; `None` for an empty track.
    pub fn summary(&self) -> Option<DelaySummary> {
        let sum: Duration = self.points.iter().map(|point| point.delay).sum();
        Some(DelaySummary {
            mean: sum.checked_div(u32::try_from(self.points.len()).ok()?)?,
            p50: self.percentile(0.5)?,
            p95: self.percentile(0.95)?,
            min: self.percentile(0.0)?,
            max: self.percentile(1.0)?,
        })
    }

    /// The delay at a time, between points on the straight line, before and after as at the nearest; `None` for an
    /// empty track.
    pub fn at(&self, time: Duration) -> Option<Duration> {
        let after = self.points.partition_point(|point| point.at <= time);
        let (Some(left), Some(right)) =
            (after.checked_sub(1).map(|n| self.points[n]), self.points.get(after))
        else {
            return self.points.get(after).or_else(|| self.points.last()).map(|point| point.delay);
        };
        let progress = (time - left.at).as_secs_f64() / (right.at - left.at).as_secs_f64();
        let seconds = left.delay.as_secs_f64() * (1.0 - progress) + right.delay.as_secs_f64() * progress;
        Some(Duration::from_secs_f64(seconds))
    }
}
