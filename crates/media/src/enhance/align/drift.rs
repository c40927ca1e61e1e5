//! How fast the echo's lag grows, from where it was seen: clocks of loudspeaker and microphone that are not one.

use std::collections::VecDeque;

/// Places that are remembered: six seconds of them at one in 40 ms.
const KEPT: usize = 150;
/// What has to be known before a slope is believed: places, and samples from the first to the last (2 s).
const ENOUGH: usize = 30;
const LONG_ENOUGH: f64 = 96_000.0;
/// Lags that grow faster than this are followed, until they do by less than the second: 15 and 5 ppm. In between lies what the estimate wavers by.
const FOLLOWED: f64 = 15e-6;
const LEFT: f64 = 5e-6;
/// Clocks are not further apart.
const MOST: f64 = 500e-6;
/// A place further off the line than so many times the mean is a mistake.
const MISTAKEN: f64 = 3.0;

/// A line through the lags that were seen. Times and lags are in samples.
#[derive(Debug, Clone, Default)]
pub(super) struct Drift {
    seen: VecDeque<(f64, f64)>,
    line: Option<Line>,
}

/// A lag that grows steadily.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    time: f64,
    lag: f64,
    /// Growth in samples per sample.
    pub(super) slope: f64,
}

impl Line {
    pub(super) fn at(&self, time: f64) -> f64 {
        self.lag + self.slope * (time - self.time)
    }

    fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Self> {
        let count = points.clone().count() as f64;
        let (time, lag) = points.clone().fold((0.0, 0.0), |sum, (t, l)| (sum.0 + t, sum.1 + l));
        let (time, lag) = (time / count, lag / count);
        let (along, across) = points.fold((0.0, 0.0), |sum, (t, l)| {
            (sum.0 + (t - time) * (t - time), sum.1 + (t - time) * (l - lag))
        });
        (along > 0.0).then(|| Self { time, lag, slope: across / along })
    }
}

impl Drift {
    pub(super) fn note(&mut self, time: f64, lag: f64) {
        if self.seen.len() == KEPT {
            self.seen.pop_front();
        }
        self.seen.push_back((time, lag));
        let span = self.seen.front().map_or(0.0, |(first, _)| time - first);
        if self.seen.len() < ENOUGH || span < LONG_ENOUGH {
            return;
        }
        let fitted = self.fitted();
        let least = if self.line.is_some() { LEFT } else { FOLLOWED };
        self.line = fitted.filter(|line| line.slope.abs() >= least && line.slope.abs() <= MOST);
    }

    /// The echo is at another place: what was seen before says nothing about where, but the clocks are what they were.
    pub(super) fn moved(&mut self, time: f64, lag: f64) {
        self.seen.clear();
        self.line = self.line.map(|line| Line { time, lag, ..line });
    }

    /// The line that the lag is on, if it grows at all.
    pub(super) fn line(&self) -> Option<Line> {
        self.line
    }

    fn fitted(&self) -> Option<Line> {
        let first = Line::through(self.seen.iter().copied())?;
        let off = |(time, lag): (f64, f64)| (lag - first.at(time)).abs();
        let mean = self.seen.iter().copied().map(off).sum::<f64>() / self.seen.len() as f64;
        Line::through(self.seen.iter().copied().filter(|place| off(*place) <= MISTAKEN * mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places 40 ms apart, off by up to a sample, one in twenty by 20 samples.
    fn seen(drift: &mut Drift, from: u32, count: u32, slope: f64) {
        for n in from..from + count {
            let time = f64::from(n) * 1920.0;
            let off = f64::from(n.wrapping_mul(7919) % 201) / 100.0 - 1.0;
            let mistake = if n % 20 == 7 { 20.0 } else { 0.0 };
            drift.note(time, 1000.0 + slope * time + off + mistake);
        }
    }

    #[test]
    fn the_slope_is_found_through_mistakes() {
        for slope in [100e-6, -100e-6, 300e-6, -40e-6] {
            let mut drift = Drift::default();
            seen(&mut drift, 0, 150, slope);
            let line = drift.line().unwrap();
            assert!((line.slope - slope).abs() < 3e-6, "{slope}: {line:?}");
            assert!((line.at(1920.0 * 150.0) - (1000.0 + slope * 1920.0 * 150.0)).abs() < 1.5, "{line:?}");
        }
    }

    #[test]
    fn a_lag_that_stands_still_has_no_line_and_too_little_tells_nothing() {
        let mut drift = Drift::default();
        seen(&mut drift, 0, 1000, 0.0);
        assert_eq!(drift.line(), None);
        let mut drift = Drift::default();
        seen(&mut drift, 0, 29, 100e-6);
        assert_eq!(drift.line(), None);
    }

    #[test]
    fn after_a_move_the_slope_is_what_it_was() {
        let mut drift = Drift::default();
        seen(&mut drift, 0, 150, 100e-6);
        let before = drift.line().unwrap().slope;
        drift.moved(400_000.0, 50.0);
        let line = drift.line().unwrap();
        assert_eq!((line.at(400_000.0), line.slope), (50.0, before));
        seen(&mut drift, 300, 150, 0.0);
        assert_eq!(drift.line(), None);
    }
}
