//! The bytes of a recording: docs/FLIGHT_RECORDING.md. All numbers are little-endian.

use super::Kept;
use crate::recv::ReceiveConfig;
use crate::units::MediaTime;

/// The first bytes of every recording.
pub(super) const MAGIC: [u8; 8] = *b"OFFHOOKR";
/// The version that is written; a reader refuses others.
pub(super) const VERSION: u16 = 1;
/// Bytes before the first record.
pub(super) const HEADER: usize = 32;
/// Bytes before the body of a record: its kind and the body's length.
pub(super) const RECORD_HEADER: usize = 3;
/// Bytes of a packet's record before its payload.
pub(super) const PACKET: usize = 22;
/// Kinds of records.
pub(super) const KIND_PACKET: u8 = 1;
pub(super) const KIND_SECOND: u8 = 2;
pub(super) const KIND_MOMENT: u8 = 3;
/// 35 years, in microseconds.
const MOST_MICROS: u64 = 1 << 50;
/// In the place of a payload type: there is none.
const NO_PAYLOAD_TYPE: u8 = 0xff;

/// What a replay needs to know of how the call received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// RTP payload type of Opus.
    pub opus_payload_type: u8,
    /// RTP payload type of redundant audio (RFC 2198), where it was agreed on.
    pub red_payload_type: Option<u8>,
    /// RTP payload types of telephone-event.
    pub dtmf_payload_types: [Option<u8>; 2],
    /// What one percent of made-up sound is worth, in milliseconds of delay.
    pub price_per_percent: f32,
}

impl From<&ReceiveConfig> for Settings {
    fn from(config: &ReceiveConfig) -> Self {
        Self {
            opus_payload_type: config.opus_payload_type,
            red_payload_type: config.red_payload_type,
            dtmf_payload_types: config.dtmf_payload_types,
            price_per_percent: config.price_per_percent,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&ReceiveConfig::default())
    }
}

/// Something that happened at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When, on the engine's clock.
    pub at: MediaTime,
    /// What.
    pub kind: MomentKind,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MomentKind {
    /// Media was connected.
    Connected,
    /// A quality warning began; its place in [`WarningKind::ALL`](crate::quality::WarningKind::ALL).
    WarningTriggered(u8),
    /// It ended.
    WarningRecovered(u8),
    /// The path moved to other addresses.
    PathChanged,
    /// The peer is not heard from any more.
    PeerLost,
    /// It is again.
    PeerBack,
    /// The call ended.
    Ended,
}

impl MomentKind {
    pub(super) const fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::Connected => [1, 0],
            Self::WarningTriggered(kind) => [2, kind],
            Self::WarningRecovered(kind) => [3, kind],
            Self::PathChanged => [4, 0],
            Self::PeerLost => [5, 0],
            Self::PeerBack => [6, 0],
            Self::Ended => [7, 0],
        }
    }

    /// `None` for what a later version may have added.
    pub(super) const fn from_bytes([code, detail]: [u8; 2]) -> Option<Self> {
        Some(match code {
            1 => Self::Connected,
            2 => Self::WarningTriggered(detail),
            3 => Self::WarningRecovered(detail),
            4 => Self::PathChanged,
            5 => Self::PeerLost,
            6 => Self::PeerBack,
            7 => Self::Ended,
            _ => return None,
        })
    }
}

pub(super) fn header(settings: &Settings, kept: Kept, forgotten: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let type_of = |payload_type: Option<u8>| payload_type.unwrap_or(NO_PAYLOAD_TYPE);
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&(HEADER as u16).to_le_bytes());
    bytes[12] = u8::from(kept == Kept::Sound);
    bytes[13] = settings.opus_payload_type;
    bytes[14] = type_of(settings.red_payload_type);
    bytes[15] = type_of(settings.dtmf_payload_types[0]);
    bytes[16] = type_of(settings.dtmf_payload_types[1]);
    bytes[20..24].copy_from_slice(&settings.price_per_percent.to_le_bytes());
    bytes[24..].copy_from_slice(&forgotten.to_le_bytes());
    bytes
}

/// A time that stands at `at`; `None` for one that no call reaches: arithmetic with it would overflow.
pub(super) fn time(bytes: &[u8], at: usize) -> Option<MediaTime> {
    let micros = i64::from_le_bytes(array(bytes, at)?);
    (micros.unsigned_abs() <= MOST_MICROS).then(|| MediaTime::from_micros(micros))
}

pub(super) fn payload_type(byte: u8) -> Option<u8> {
    (byte < 128).then_some(byte)
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Writes `payload` with each run of zeros as a zero and its length, and without those at its end.
pub(super) fn squeeze(payload: &[u8], mut put: impl FnMut(u8)) {
    let end = payload.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut rest = &payload[..end];
    while let Some(byte) = rest.first() {
        let run = rest.iter().take(255).take_while(|next| **next == 0).count();
        put(*byte);
        if run > 0 {
            put(run as u8);
        }
        rest = &rest[run.max(1)..];
    }
}

/// Undoes [`squeeze`] into `out`, which is as long as the payload was; `None` when the two do not fit.
pub(super) fn stretch(squeezed: &[u8], out: &mut [u8]) -> Option<()> {
    let (mut bytes, mut at) = (squeezed.iter(), 0);
    while let Some(byte) = bytes.next() {
        if *byte == 0 {
            let run = usize::from(*bytes.next()?);
            // A run of nothing is never written.
            out.get_mut(at..at + run).filter(|zeros| !zeros.is_empty())?.fill(0);
            at += run;
        } else {
            *out.get_mut(at)? = *byte;
            at += 1;
        }
    }
    out.get_mut(at..)?.fill(0);
    Some(())
}
