//! How alike heard and spoken are once the delay is taken out.

use std::time::Duration;

use super::correlate::{Correlator, energy};
use super::filter::{BAND_RATE, speech_band};
use super::{DelayTrack, index_of, time_of};

const WINDOW: Duration = Duration::from_millis(200);
const HOP: Duration = Duration::from_millis(100);
/// How far a window may lie from the track, for delay that moves between two points of it.
const SLACK: Duration = Duration::from_millis(10);

/// Correlation of heard with spoken after alignment, 0..=1.
///
/// Both signals are limited to 300 Hz to 4 kHz (codecs turn the phase below). Each 200 ms window of `spoken` (every 100 ms) is placed in `heard` by
/// the delay track, within 10 ms of it where it fits best, and the normalised cross-correlation there is taken (never
/// below 0). The result is the mean over all windows, weighted by the window's energy in `spoken`: loud speech counts,
/// silence does not. 1 is the same waveform at any loudness; lost speech pulls it down by its share of the energy.
/// Opus in its voice mode at 32 kb/s, nothing lost, gave 0.981 to 0.986 on three voices, at 16 kb/s 0.966 to 0.979;
/// 10 % random loss without redundancy 0.85 to 0.89.
/// Windows that would lie beyond the end of `heard` are left out.
///
/// `None` when the track is empty: nothing was aligned.
pub fn correlation(spoken: &[f32], heard: &[f32], track: &DelayTrack) -> Option<f64> {
    let (spoken, heard) = (speech_band(spoken), speech_band(heard));
    let (window, hop, slack) =
        (index_of(WINDOW, BAND_RATE), index_of(HOP, BAND_RATE), index_of(SLACK, BAND_RATE));
    let mut correlator = Correlator::new();
    let (mut weighted, mut weight) = (0.0, 0.0);
    for start in (0..(spoken.len() + 1).saturating_sub(window)).step_by(hop) {
        let piece = &spoken[start..start + window];
        let place = start + index_of(track.at(time_of(start, BAND_RATE))?, BAND_RATE);
        let stretch = place.saturating_sub(slack)..place + window + slack;
        if place + window > heard.len() {
            break;
        }
        let stretch = &heard[stretch.start..stretch.end.min(heard.len())];
        let piece_energy = energy(piece);
        let ncc = correlator.best_match(piece, stretch).map_or(0.0, |found| found.ncc.max(0.0));
        weighted += piece_energy * ncc;
        weight += piece_energy;
    }
    (weight > 0.0).then(|| weighted / weight)
}
