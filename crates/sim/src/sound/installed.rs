//! Human speech from packages of the system, for demonstrations and tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::load_wav;
use super::tone::samples_in;
use crate::SAMPLE_RATE;

/// RMS where speech is active: -23 dBFS.
const ACTIVE_RMS: f32 = 0.0708;
/// Frames louder than this are speech.
const ACTIVE_ABOVE: f32 = 0.01;
/// Longest silence kept, inside a recording and between two.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
const PAUSE_BETWEEN: Duration = Duration::from_millis(180);
/// Recordings with less speech than this are tones and clicks, or too short to be of use.
const LEAST_SPEECH: Duration = Duration::from_millis(400);

/// Recordings that hold no speech.
const NOT_SPEECH: [&str; 6] =
    ["Noise", "ascending-2tone", "beep", "beeperr", "descending-2tone", "tt-monkeys"];
/// Recordings of whole sentences; they come first.
const SENTENCES: &str = "demo-";

/// One of the two voices of a demonstration call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The voice of alsa-utils (48 kHz); another one where that package is missing.
    Alice,
    /// The voice of asterisk-core-sounds-en-wav (8 kHz); another one where that package is missing.
    Bob,
}

/// Why no human speech was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpeechError {
    /// None of the packages is installed. Install one, or give a WAV file, or use
    /// [`synthetic_speech`](super::synthetic_speech).
    #[error("no recorded speech on this machine; install it with: apt-get install {packages}")]
    NotInstalled {
        /// Package names for apt.
        packages: &'static str,
    },
}

/// Human speech of exactly `length`, from the packages installed on this machine: recordings one after another with
/// pauses of at most 300 ms, at an active level of about -23 dBFS. The two voices never say the same words at the same
/// time.
///
/// # Errors
/// [`SpeechError::NotInstalled`] names the packages.
pub fn speech_for_demo(voice: Voice, length: Duration) -> Result<Vec<f32>, SpeechError> {
    speech_for_demo_under(Path::new("/usr/share"), voice, length)
}

/// Like [`speech_for_demo`], with another folder in the place of `/usr/share`.
///
/// # Errors
/// As [`speech_for_demo`].
pub fn speech_for_demo_under(share: &Path, voice: Voice, length: Duration) -> Result<Vec<f32>, SpeechError> {
    let alsa = share.join("sounds/alsa");
    let asterisk = share.join("asterisk/sounds/en_US_f_Allison");
    let (own, others) = match voice {
        Voice::Alice => (alsa, asterisk),
        Voice::Bob => (asterisk, alsa),
    };
    let mut speech = said(&recordings(&own), length);
    if speech.is_empty() {
        // The same voice for both: from the other end of the list, so that they do not say the same words.
        speech = said(&recordings(&others).into_iter().rev().collect::<Vec<_>>(), length);
    }
    if speech.is_empty() {
        return Err(SpeechError::NotInstalled { packages: "alsa-utils asterisk-core-sounds-en-wav" });
    }
    normalise_active(&mut speech, ACTIVE_RMS);
    Ok(speech)
}

/// Scales so that the RMS of the active part is `rms`, less where a peak would clip.
pub(super) fn normalise_active(sound: &mut [f32], rms: f32) {
    let Some(level) = crate::measure::active_level(sound) else {
        return;
    };
    let peak = sound.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    let gain = (rms / level.to_amplitude() as f32).min(0.95 / peak);
    sound.iter_mut().for_each(|sample| *sample *= gain);
}

/// The speech files of a folder, sentences first, then by name; empty when there is no such folder.
fn recordings(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let speech = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        path.extension().is_some_and(|extension| extension == "wav") && !NOT_SPEECH.contains(&stem)
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(speech).collect();
    let sentences =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SENTENCES));
    files.sort_by_cached_key(|path| (!sentences(path), path.clone()));
    files
}

/// The recordings one after another, over again if need be, for exactly `length`; empty when none can be read.
fn said(files: &[PathBuf], length: Duration) -> Vec<f32> {
    let wanted = samples_in(length);
    let mut speech: Vec<f32> = Vec::with_capacity(wanted);
    for path in files {
        // A damaged file is passed over: the next one will do.
        let Ok(recording) = load_wav(path) else { continue };
        let Some(words) = without_long_silence(&recording) else { continue };
        speech.extend(words);
        speech.extend(std::iter::repeat_n(0.0, samples_in(PAUSE_BETWEEN)));
        if speech.len() >= wanted {
            break;
        }
    }
    if !speech.is_empty() {
        let once = speech.len();
        speech = (0..wanted).map(|n| speech[n % once]).collect();
    }
    speech
}

/// The recording without silence at its ends and with shorter pauses; `None` when it holds too little speech.
fn without_long_silence(recording: &[f32]) -> Option<Vec<f32>> {
    let frame = SAMPLE_RATE as usize / 100;
    let active: Vec<bool> = recording.chunks(frame).map(|frame| rms(frame) > ACTIVE_ABOVE).collect();
    if active.iter().filter(|active| **active).count() * frame < samples_in(LEAST_SPEECH) {
        return None;
    }
    // A soft beginning or ending of a word lies below the threshold: one frame is kept on either side.
    let first = active.iter().position(|active| *active)?.saturating_sub(2);
    let last = (active.iter().rposition(|active| *active)? + 3).min(active.len());
    let longest_pause = samples_in(LONGEST_PAUSE) / frame;
    let mut words = Vec::with_capacity(recording.len());
    let mut quiet = 0;
    for (samples, active) in recording.chunks(frame).zip(&active).take(last).skip(first) {
        quiet = if *active { 0 } else { quiet + 1 };
        if quiet <= longest_pause {
            words.extend_from_slice(samples);
        }
    }
    Some(words)
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}
