//! When a link stalls, generated as time goes on.

use std::time::Duration;

use super::Stalls;
use crate::rng::Rng;

/// Always between the beginning of two stalls.
const LEAST_GAP: Duration = Duration::from_millis(300);

/// The next (or present) stall of a link, in time since its origin.
#[derive(Debug, Clone)]
pub(crate) struct StallProcess {
    config: Stalls,
    rng: Rng,
    start: Duration,
    end: Duration,
}

impl StallProcess {
    pub(crate) fn new(config: Stalls, rng: Rng) -> Self {
        let mut process = Self { config, rng, start: Duration::ZERO, end: Duration::ZERO };
        process.draw_next();
        process
    }

    /// The end of the stall in which `at` lies. Times must not go backwards between calls.
    pub(crate) fn end_if_stalled(&mut self, at: Duration) -> Option<Duration> {
        while at >= self.end {
            self.draw_next();
        }
        (at >= self.start).then_some(self.end)
    }

    fn draw_next(&mut self) {
        let gap = Duration::from_secs_f64(self.rng.exponential(self.config.mean_gap.as_secs_f64()));
        self.start += gap + LEAST_GAP;
        self.end = self.start + self.rng.duration(self.config.shortest, self.config.longest);
    }
}
