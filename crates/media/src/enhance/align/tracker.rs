//! Decides from correlations where the echo is: a change is believed only when it is clear, and seen twice.

use super::correlator::{Correlation, Peak};

/// A height that says something about where the echo is.
const TELLING: f32 = 7.0;
/// A height, and one of all others as a share of it, that tell of another place. Voices repeat themselves, and two voices at once fit now and then:
/// such peaks are lower, and have rivals.
const CLEAR: f32 = 10.0;
const RIVAL: f32 = 0.65;
/// While the place believed in has this share of the highest peak, the echo is still there: the other is a reflection, or the voice's own period.
const STILL_THERE: f32 = 1.0 / 1.5;
/// The echo's place is looked for so far around, and a second sighting is one of the same place so far apart. Thinned samples.
const REACH: usize = 3;
const SAME: f64 = 4.0;
const SIGHTINGS: u32 = 2;
/// How fast the place believed in follows what is seen.
const FOLLOWS: f64 = 0.1;

/// What a correlation tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sighting {
    /// Nothing.
    None,
    /// The echo is where it was, with this lag.
    Here(f64),
    /// It is somewhere else than it was, or is known for the first time.
    Moved(f64),
}

/// Where the echo is. Lags are in thinned samples.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    lag: Option<f64>,
    candidate: Option<(f64, u32)>,
}

impl Tracker {
    pub(super) fn observe(&mut self, correlation: &Correlation<'_>) -> Sighting {
        let Some(highest) = correlation.highest() else {
            return Sighting::None;
        };
        if let Some(lag) = &mut self.lag
            && let Some(here) = correlation.near(*lag, REACH)
            && here.height >= highest.height * STILL_THERE
        {
            self.candidate = None;
            if here.height < TELLING {
                return Sighting::None;
            }
            *lag += FOLLOWS * (here.lag - *lag);
            return Sighting::Here(here.lag);
        }
        if highest.height < CLEAR || correlation.rival(highest) > RIVAL * highest.height {
            return Sighting::None;
        }
        self.sight(highest)
    }

    /// Counts sightings of another place.
    fn sight(&mut self, peak: Peak) -> Sighting {
        let count = match self.candidate {
            Some((lag, count)) if (lag - peak.lag).abs() <= SAME => count + 1,
            _ => 1,
        };
        if count < SIGHTINGS {
            self.candidate = Some((peak.lag, count));
            return Sighting::None;
        }
        *self = Self { lag: Some(peak.lag), candidate: None };
        Sighting::Moved(peak.lag)
    }
}
