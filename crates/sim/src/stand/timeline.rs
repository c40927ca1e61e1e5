//! What happened when: packets and pulls.

use std::fmt::Write as _;
use std::time::Duration;

use offhook_media_core::recv::{ReceiveStats, Taken};
use offhook_media_core::send::Rung;

use super::receiver::BLOCK_MICROS;

/// A packet on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentPacket {
    /// First sample of its sound, counted from the beginning of the speech.
    pub start: i64,
    /// Samples of sound.
    pub samples: u32,
    /// When it left, microseconds on the sender's clock; in a replay, when it would have arrived if it were one of the fastest.
    pub left: i64,
    /// When it arrived, microseconds on the receiver's clock; `None` when lost.
    pub arrival: Option<i64>,
    /// What the receiver did with it; `None` when it was lost or still on its way at the end.
    pub taken: Option<Taken>,
    /// Bytes of RTP payload.
    pub bytes: u16,
}

/// How packets are made from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, microseconds on the sender's clock.
    pub at: i64,
    /// How.
    pub rung: Rung,
}

/// How sound came about, or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SoundKind {
    /// Decoded from its own packet.
    Decoded,
    /// Decoded from an exact copy in a later packet (RFC 2198).
    Red,
    /// Restored from the codec's copy in the packet after.
    Fec,
    /// Restored from deep redundancy in a later packet.
    Dred,
    /// Made up.
    Concealed,
    /// Silence or noise in pauses of the far end, and where nothing has come for a second.
    ComfortNoise,
    /// Silence before the first sound.
    LeadIn,
    /// Taken out to catch up.
    Accelerated,
    /// Put in to fall back.
    Expanded,
    /// Never heard: jumped over, or dropped after decoding.
    Skipped,
}

impl SoundKind {
    /// All kinds, in the order of their columns.
    pub const ALL: [Self; 10] = [
        Self::Decoded,
        Self::Red,
        Self::Fec,
        Self::Dred,
        Self::Concealed,
        Self::ComfortNoise,
        Self::LeadIn,
        Self::Accelerated,
        Self::Expanded,
        Self::Skipped,
    ];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decoded => "decoded",
            Self::Red => "red",
            Self::Fec => "fec",
            Self::Dred => "dred",
            Self::Concealed => "concealed",
            Self::ComfortNoise => "comfort_noise",
            Self::LeadIn => "lead_in",
            Self::Accelerated => "accelerated",
            Self::Expanded => "expanded",
            Self::Skipped => "skipped",
        }
    }

    /// Samples of this kind so far; whether somebody was heard before decides what silence is.
    fn count(self, stats: &ReceiveStats, is_playing: bool) -> u64 {
        match self {
            Self::Decoded => stats.decoded,
            Self::Red => stats.red,
            Self::Fec => stats.fec,
            Self::Dred => stats.dred,
            Self::Concealed => stats.concealed,
            Self::ComfortNoise if is_playing => stats.silence,
            Self::LeadIn if !is_playing => stats.silence,
            Self::ComfortNoise | Self::LeadIn => 0,
            Self::Accelerated => stats.accelerated,
            Self::Expanded => stats.expanded,
            Self::Skipped => stats.skipped + stats.dropped,
        }
    }
}

/// One pull of 5 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// When its first sample is heard, microseconds on the receiver's clock.
    pub at: i64,
    /// Which captured sample is heard right after it; `None` while nothing is played.
    pub position: Option<i64>,
    /// Wanted delay over that of the fastest packets.
    pub target: Option<Duration>,
    /// Samples of every kind that were added to what is played, or taken from it, since the pull before.
    sounds: [u32; SoundKind::ALL.len()],
}

impl Tick {
    /// What changed from the pull `before` to `after`.
    pub(super) fn between(
        at: i64,
        position: Option<i64>,
        before: &ReceiveStats,
        after: &ReceiveStats,
    ) -> Self {
        let is_playing = before.first_sound.is_some();
        let since = |kind: SoundKind| {
            kind.count(after, is_playing).saturating_sub(kind.count(before, is_playing)) as u32
        };
        Self { at, position, target: after.target_delay, sounds: SoundKind::ALL.map(since) }
    }

    /// Samples of a kind in this pull.
    pub const fn samples(&self, kind: SoundKind) -> u32 {
        self.sounds[kind as usize]
    }

    /// Spoken to heard at the end of this pull, in milliseconds.
    pub fn delay_ms(&self) -> Option<f64> {
        Some((self.at + BLOCK_MICROS) as f64 / 1e3 - self.position? as f64 / 48.0)
    }
}

/// Every pull as CSV, one line each: `at_ms,position_ms,delay_ms,target_ms`, then milliseconds of every [`SoundKind`]. What is not known is
/// empty.
pub fn timeline_csv(ticks: &[Tick]) -> String {
    let mut text = String::from("at_ms,position_ms,delay_ms,target_ms");
    for kind in SoundKind::ALL {
        text = text + "," + kind.name();
    }
    text.push('\n');
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    for tick in ticks {
        let position = number(tick.position.map(|position| position as f64 / 48.0));
        let target = number(tick.target.map(|target| target.as_secs_f64() * 1e3));
        let at = tick.at as f64 / 1e3;
        // Writing to a String cannot fail.
        let _ = write!(text, "{at:.3},{position},{},{target}", number(tick.delay_ms()));
        for kind in SoundKind::ALL {
            let _ = match tick.samples(kind) {
                0 => write!(text, ",0"),
                samples => write!(text, ",{:.3}", f64::from(samples) / 48.0),
            };
        }
        text.push('\n');
    }
    text
}
