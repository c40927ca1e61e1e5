//! A recording, read from bytes that anybody may have made.

use thiserror::Error;

use super::wire::{
    self, HEADER, KIND_MOMENT, KIND_PACKET, KIND_SECOND, MAGIC, Moment, MomentKind, PACKET, RECORD_HEADER,
    Settings, VERSION, array,
};
use super::{Kept, MOST_PAYLOAD, Second};
use crate::recv::IncomingPacket;
use crate::units::MediaTime;

/// Why bytes are no recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// Another kind of file: choose one that `save_recording` or `--record` wrote.
    #[error("this is no flight recording: it does not begin with \"OFFHOOKR\"")]
    NotARecording,
    /// Of a later version: read it with a newer Offhook.
    #[error("the recording is of version {0}; this Offhook reads version 1")]
    Version(u16),
    /// The file ends within a record: it was not written, or not copied, to its end.
    #[error("the recording is cut off at byte {at}")]
    Truncated {
        /// Where the record that is cut off begins.
        at: usize,
    },
    /// A record contradicts itself: the file is damaged.
    #[error("the recording is damaged at byte {at}")]
    Damaged {
        /// Where the record begins.
        at: usize,
    },
}

/// A recording whose records were all checked. It borrows the bytes and copies none.
#[derive(Debug, Clone, Copy)]
pub struct Recording<'a> {
    settings: Settings,
    kept: Kept,
    forgotten: u64,
    records: &'a [u8],
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A packet arrived.
    Packet(RecordedPacket<'a>),
    /// How the call stood.
    Second(Second),
    /// Something happened.
    Moment(Moment),
}

/// A packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedPacket<'a> {
    /// When, on the engine's clock.
    pub arrival: MediaTime,
    /// RTP synchronization source.
    pub ssrc: u32,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP marker bit.
    pub marker: bool,
    /// Bytes of its payload, at most [`MOST_PAYLOAD`].
    pub payload_bytes: usize,
    squeezed: &'a [u8],
}

impl<'a> Recording<'a> {
    /// Checks and reads. Takes memory for nothing, and time for every byte once.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordingError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(RecordingError::NotARecording);
        }
        let cut = RecordingError::Truncated { at: 0 };
        let version = u16::from_le_bytes(array(bytes, 8).ok_or(cut)?);
        if version != VERSION {
            return Err(RecordingError::Version(version));
        }
        let header = usize::from(u16::from_le_bytes(array(bytes, 10).ok_or(cut)?));
        let head: [u8; HEADER] = array(bytes, 0).ok_or(cut)?;
        if header < HEADER {
            return Err(RecordingError::Damaged { at: 0 });
        }
        let records = bytes.get(header..).ok_or(cut)?;
        let price = f32::from_le_bytes([head[20], head[21], head[22], head[23]]);
        let settings = Settings {
            opus_payload_type: wire::payload_type(head[13]).ok_or(RecordingError::Damaged { at: 0 })?,
            red_payload_type: wire::payload_type(head[14]),
            dtmf_payload_types: [head[15], head[16]].map(wire::payload_type),
            price_per_percent: price,
        };
        if !(price.is_finite() && (0.0..=10_000.0).contains(&price)) {
            return Err(RecordingError::Damaged { at: 0 });
        }
        let kept = if head[12] & 1 == 0 { Kept::Arrivals } else { Kept::Sound };
        let [.., a, b, c, d, e, f, g, h] = head;
        let recording =
            Self { settings, kept, forgotten: u64::from_le_bytes([a, b, c, d, e, f, g, h]), records };
        recording.check(header)?;
        Ok(recording)
    }

    fn check(&self, header: usize) -> Result<(), RecordingError> {
        let mut rest = self.records;
        while !rest.is_empty() {
            let at = header + self.records.len() - rest.len();
            let (kind, body, after) = split(rest).ok_or(RecordingError::Truncated { at })?;
            let is_sound = match kind {
                KIND_PACKET => RecordedPacket::parse(body)
                    .is_some_and(|packet| packet.payload(&mut [0; MOST_PAYLOAD]).is_some()),
                KIND_SECOND => Second::from_bytes(body).is_some(),
                KIND_MOMENT => body.len() >= 10 && wire::time(body, 0).is_some(),
                _ => true,
            };
            if !is_sound {
                return Err(RecordingError::Damaged { at });
            }
            rest = after;
        }
        Ok(())
    }

    /// How the call received.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it keeps of packets.
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Records that gave way to newer ones: where there are any, the beginning of the call is missing.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All records, oldest first. Kinds of a later version are left out.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = self.records;
        std::iter::from_fn(move || {
            while let Some((kind, body, after)) = split(rest) {
                rest = after;
                let record = match kind {
                    KIND_PACKET => RecordedPacket::parse(body).map(Record::Packet),
                    KIND_SECOND => Second::from_bytes(body).map(Record::Second),
                    KIND_MOMENT => moment(body).map(Record::Moment),
                    _ => None,
                };
                if record.is_some() {
                    return record;
                }
            }
            None
        })
    }

    /// The packets, in the order in which they arrived.
    pub fn packets(&self) -> impl Iterator<Item = RecordedPacket<'a>> + use<'a> {
        self.records().filter_map(|record| match record {
            Record::Packet(packet) => Some(packet),
            Record::Second(_) | Record::Moment(_) => None,
        })
    }
}

impl<'a> RecordedPacket<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, squeezed) = body.split_first_chunk::<PACKET>()?;
        let payload_bytes = usize::from(u16::from_le_bytes([head[20], head[21]]));
        Some(Self {
            arrival: wire::time(head, 0)?,
            ssrc: u32::from_le_bytes(array(head, 8)?),
            timestamp: u32::from_le_bytes(array(head, 12)?),
            sequence: u16::from_le_bytes(array(head, 16)?),
            payload_type: head[18] & 0x7f,
            marker: head[18] & 0x80 != 0,
            payload_bytes,
            squeezed,
        })
    }

    /// Its payload, in `buffer`; where only arrivals were kept, all sound in it is zero. `None` for one that was not read from a
    /// [`Recording`].
    pub fn payload<'b>(&self, buffer: &'b mut [u8; MOST_PAYLOAD]) -> Option<&'b [u8]> {
        let payload = buffer.get_mut(..self.payload_bytes)?;
        wire::stretch(self.squeezed, payload)?;
        Some(payload)
    }

    /// The packet as the receive path takes it.
    pub fn incoming<'b>(&self, buffer: &'b mut [u8; MOST_PAYLOAD]) -> Option<IncomingPacket<'b>> {
        Some(IncomingPacket {
            arrival: self.arrival,
            payload_type: self.payload_type,
            marker: self.marker,
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            payload: self.payload(buffer)?,
        })
    }
}

/// Kind and body of the first record, and the records after it.
fn split(records: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, low, high], rest) = records.split_first_chunk::<RECORD_HEADER>()?;
    let (body, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
    Some((*kind, body, rest))
}

fn moment(body: &[u8]) -> Option<Moment> {
    let at = wire::time(body, 0)?;
    Some(Moment { at, kind: MomentKind::from_bytes(array(body, 8)?)? })
}
