//! What a report is made of. All of it serialises, so a report can be drawn again from its JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::{Comparison, DelayTrack, LevelPoint, level_track};

/// Columns of a waveform in the page: about one per unit of the plot's width.
const WAVEFORM_COLUMNS: usize = 900;
/// Length of one point of a level plot.
const LEVEL_FRAME: Duration = Duration::from_millis(50);

/// One call, as told to a person. Durations are seconds in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// The page's heading, e.g. "Offhook demo call".
    pub title: String,
    /// One line under it: when, where, which settings.
    pub subtitle: String,
    /// Whether the call did what it should.
    pub verdict: Verdict,
    /// One sentence that says why.
    pub summary: String,
    /// Length of the plots' time axis.
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// The figures that matter most, shown large.
    pub figures: Vec<Figure>,
    /// One entry per direction of the call, normally two.
    pub directions: Vec<Direction>,
    /// What happened on both sides, in order of time.
    pub events: Vec<TimelineEvent>,
    /// Where the delay comes from, in the order sound passes; empty when unknown.
    pub latency: Vec<LatencyPart>,
    /// Plain remarks at the end: what was not measured, how a figure is defined.
    pub notes: Vec<String>,
}

/// How the call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides heard each other.
    Good,
    /// They heard each other, with damage worth a look.
    Fair,
    /// They did not.
    Bad,
}

/// One number with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, e.g. "Mouth to ear (median)".
    pub label: String,
    /// The value as shown, e.g. "38.2"; `None` is shown as "not measured".
    pub value: Option<String>,
    /// Its unit, e.g. "ms"; may be empty.
    pub unit: String,
    /// What a reader who has never seen it should know, in a few words.
    pub hint: String,
}

impl Figure {
    /// A figure with `value` already formatted.
    pub fn new(
        label: impl Into<String>,
        value: Option<String>,
        unit: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { label: label.into(), value, unit: unit.into(), hint: hint.into() }
    }
}

/// One direction of the call: what one person spoke and the other heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Who speaks.
    pub speaker: String,
    /// Who hears.
    pub listener: String,
    /// What entered the speaker's capture side.
    pub spoken: Envelope,
    /// What left the listener's render side.
    pub heard: Envelope,
    /// Delay measured on the sound.
    pub delay: Vec<DelaySample>,
    /// Level of what was spoken.
    pub spoken_level: Vec<LevelSample>,
    /// Level of what was heard.
    pub heard_level: Vec<LevelSample>,
    /// Losses, concealments, gaps.
    pub marks: Vec<Mark>,
    /// This direction's figures, shown as a table.
    pub figures: Vec<Figure>,
}

impl Direction {
    /// A direction with everything that follows from the sound: waveforms, delay, levels, and a mark for every gap.
    /// `comparison` is that of `spoken` and `heard`. Figures and further marks are the caller's to add.
    pub fn measured(
        speaker: impl Into<String>,
        listener: impl Into<String>,
        (spoken, heard): (&[f32], &[f32]),
        comparison: &Comparison,
    ) -> Self {
        Self {
            speaker: speaker.into(),
            listener: listener.into(),
            spoken: Envelope::of(spoken, WAVEFORM_COLUMNS),
            heard: Envelope::of(heard, WAVEFORM_COLUMNS),
            delay: DelaySample::from_track(&comparison.track),
            spoken_level: LevelSample::from_track(&level_track(spoken, LEVEL_FRAME)),
            heard_level: LevelSample::from_track(&level_track(heard, LEVEL_FRAME)),
            marks: gap_marks(comparison),
            figures: Vec::new(),
        }
    }
}

/// Gaps at the time they were heard.
fn gap_marks(comparison: &Comparison) -> Vec<Mark> {
    let gaps = comparison.silence.iter().flat_map(|silence| &silence.gaps);
    gaps.map(|gap| Mark {
        at: gap.at + comparison.track.at(gap.at).unwrap_or_default(),
        length: gap.length,
        kind: MarkKind::Gap,
    })
    .collect()
}

/// A waveform reduced to its lowest and highest value per column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Length of the sound it was made from.
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// `[lowest, highest]` per column, equal parts of `duration`.
    pub columns: Vec<[f32; 2]>,
}

impl Envelope {
    /// Reduces sound at [`SAMPLE_RATE`](crate::SAMPLE_RATE) to at most `columns` columns.
    pub fn of(samples: &[f32], columns: usize) -> Self {
        let count = columns.min(samples.len());
        let bound = |column: usize| column * samples.len() / count;
        Self {
            duration: crate::measure::duration_of(samples),
            columns: (0..count).map(|column| extremes(&samples[bound(column)..bound(column + 1)])).collect(),
        }
    }
}

fn extremes(samples: &[f32]) -> [f32; 2] {
    samples.iter().fold([0.0, 0.0], |[low, high], &sample| [low.min(sample), high.max(sample)])
}

/// Delay at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DelaySample {
    /// When it was spoken.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// Spoken to heard.
    #[serde(with = "seconds")]
    pub delay: Duration,
}

impl DelaySample {
    /// The points of a measured track.
    pub fn from_track(track: &DelayTrack) -> Vec<Self> {
        track.points.iter().map(|point| Self { at: point.at, delay: point.delay }).collect()
    }
}

/// Level at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LevelSample {
    /// When.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// RMS level in decibels below full scale (0 is loudest).
    pub dbfs: f32,
}

impl LevelSample {
    /// The points of a measured level track.
    pub fn from_track(track: &[LevelPoint]) -> Vec<Self> {
        track.iter().map(|point| Self { at: point.at, dbfs: point.level.0 as f32 }).collect()
    }
}

/// Something that happened to the sound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When it began.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// How long it lasted; zero for a moment.
    #[serde(with = "seconds")]
    pub length: Duration,
    /// What it was.
    pub kind: MarkKind,
}

/// Kinds of [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// A packet never arrived.
    Lost,
    /// A packet arrived after its playout time.
    Late,
    /// Lost sound was restored from redundancy (in-band FEC, RED, DRED).
    Recovered,
    /// Lost sound was made up.
    Concealed,
    /// Speech became silence.
    Gap,
    /// Playout was stretched or shortened.
    Stretched,
}

/// Whose event it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The person who calls.
    Caller,
    /// The person who is called.
    Callee,
    /// The server.
    Server,
}

/// One entry of the call's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// Time since the call was started.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// Whose.
    pub side: Side,
    /// Its name, e.g. "Ringing".
    pub name: String,
    /// A few words more; may be empty.
    pub detail: String,
}

/// One part of mouth to ear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyPart {
    /// Stage, e.g. "Jitter buffer".
    pub name: String,
    /// Its share.
    #[serde(with = "seconds")]
    pub share: Duration,
    /// What the stage does, in a few words.
    pub hint: String,
}

/// Durations as seconds in JSON.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
