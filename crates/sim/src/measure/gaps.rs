//! Where speech became silence.

use std::time::Duration;

use super::level::{Decibels, level_of};
use super::{DelayTrack, index_of, time_of};
use crate::SAMPLE_RATE;

const FRAME: Duration = Duration::from_millis(10);
/// Heard is looked at this much before and after the frame as well, so that delay moving by a few milliseconds is not
/// taken for silence.
const MARGIN: Duration = Duration::from_millis(5);
/// Spoken frames above this are speech.
const SPEECH_ABOVE: Decibels = Decibels(-45.0);
/// Heard this much quieter than spoken is silence.
const SILENCE_BELOW_SPEECH: f64 = 25.0;

/// A stretch of speech that was heard as silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Beginning of the silence, by the time it was spoken.
    pub at: Duration,
    /// Length of the silence heard: all of it lies more than 25 dB below what was spoken.
    pub length: Duration,
}

/// What [`silence`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct SilenceReport {
    /// Every gap, in order of time. The shortest that can be told is 20 ms.
    pub gaps: Vec<Gap>,
    /// Share of the 10 ms frames with speech that were heard as silence, in percent.
    pub silent_percent: f64,
}

impl SilenceReport {
    /// The longest gap; zero when there is none.
    pub fn longest(&self) -> Duration {
        self.gaps.iter().map(|gap| gap.length).max().unwrap_or_default()
    }
}

/// Finds 10 ms frames whose speech (above -45 dBFS in `spoken`) is more than 25 dB quieter in `heard`, both at the place
/// the delay track gives and at the one its running median gives, and joins neighbours to gaps. A pause in `spoken`
/// ends a gap.
///
/// `None` when the track is empty or nothing was spoken.
pub fn silence(spoken: &[f32], heard: &[f32], track: &DelayTrack) -> Option<SilenceReport> {
    let frame = index_of(FRAME, SAMPLE_RATE);
    let steady = track.steadied();
    let mut report = SilenceReport { gaps: Vec::new(), silent_percent: 0.0 };
    let (mut speech, mut silent) = (0usize, 0usize);
    let mut gap_begin = None;
    for (n, piece) in spoken.chunks_exact(frame).enumerate() {
        let at = time_of(n * frame, SAMPLE_RATE);
        let Some(loudest) = loudest_at(heard, n * frame, [track.at(at)?, steady.at(at)?]) else {
            break;
        };
        let said = level_of(piece);
        let is_silent = said > SPEECH_ABOVE && loudest < said.0 - SILENCE_BELOW_SPEECH;
        speech += usize::from(said > SPEECH_ABOVE);
        silent += usize::from(is_silent);
        gap_begin = if is_silent { gap_begin.or(Some(at)) } else { close(&mut report.gaps, gap_begin, at) };
    }
    if let Some(last) = spoken.chunks_exact(frame).len().checked_sub(1) {
        close(&mut report.gaps, gap_begin, time_of((last + 1) * frame, SAMPLE_RATE));
    }
    report.silent_percent = 100.0 * silent as f64 / speech as f64;
    (speech > 0).then_some(report)
}

/// The level of the frame at `start` after the louder of two delays, margins included; `None` beyond the end.
fn loudest_at(heard: &[f32], start: usize, delays: [Duration; 2]) -> Option<f64> {
    let (frame, margin) = (index_of(FRAME, SAMPLE_RATE), index_of(MARGIN, SAMPLE_RATE));
    let level_after = |delay: Duration| {
        let place = start + index_of(delay, SAMPLE_RATE);
        Some(level_of(heard.get(place.saturating_sub(margin)..place + frame + margin)?).0)
    };
    Some(level_after(delays[0])?.max(level_after(delays[1])?))
}

/// Adds the gap of silent frames from `begin` to `end`, if one is open; the margins were silent as well.
fn close(gaps: &mut Vec<Gap>, begin: Option<Duration>, end: Duration) -> Option<Duration> {
    gaps.extend(
        begin.map(|begin| Gap { at: begin.saturating_sub(MARGIN), length: end - begin + 2 * MARGIN }),
    );
    None
}
