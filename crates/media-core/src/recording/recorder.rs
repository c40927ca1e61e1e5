//! The newest of a call, in bounded memory.

use std::collections::VecDeque;

use super::outline::blank_sound;
use super::wire::{
    self, HEADER, KIND_MOMENT, KIND_PACKET, KIND_SECOND, Moment, PACKET, RECORD_HEADER, Settings,
};
use super::{Kept, MOST_PAYLOAD, Second};
use crate::recv::IncomingPacket;

/// Records as they stand in the file; the oldest give way.
#[derive(Debug, Clone)]
pub struct FlightRecorder {
    settings: Settings,
    kept: Kept,
    records: Records,
    /// Where a packet's record is made: its payload, and its body, in which a zero may become two bytes.
    payload: Box<[u8; MOST_PAYLOAD]>,
    body: Box<[u8; PACKET + 2 * MOST_PAYLOAD]>,
}

impl FlightRecorder {
    /// A recorder that holds `most_bytes`, and nothing yet.
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    pub fn new(kept: Kept, most_bytes: usize) -> Self {
        Self {
            settings: Settings::default(),
            kept,
            records: Records { most_bytes, bytes: VecDeque::new(), forgotten: 0 },
            payload: Box::new([0; MOST_PAYLOAD]),
            body: Box::new([0; PACKET + 2 * MOST_PAYLOAD]),
        }
    }

    /// What is kept of packets.
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Takes note of how the call receives, as agreed last.
    pub const fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes note of a packet that arrived. One that is longer than [`MOST_PAYLOAD`] is none of a call's: it is left out.
    pub fn packet(&mut self, packet: &IncomingPacket<'_>) {
        let Self { settings, kept, records, payload, body } = self;
        let Some(payload) = payload.get_mut(..packet.payload.len()) else { return };
        payload.copy_from_slice(packet.payload);
        if *kept == Kept::Arrivals {
            blank_sound(settings, packet.payload_type, payload);
        }
        body[..8].copy_from_slice(&packet.arrival.as_micros().to_le_bytes());
        body[8..12].copy_from_slice(&packet.ssrc.to_le_bytes());
        body[12..16].copy_from_slice(&packet.timestamp.to_le_bytes());
        body[16..18].copy_from_slice(&packet.sequence.to_le_bytes());
        body[18] = packet.payload_type & 0x7f | u8::from(packet.marker) << 7;
        body[20..22].copy_from_slice(&(payload.len() as u16).to_le_bytes());
        let mut length = PACKET;
        wire::squeeze(payload, |byte| {
            body[length] = byte;
            length += 1;
        });
        records.append(KIND_PACKET, &body[..length]);
    }

    /// Takes note of how the call stands.
    pub fn second(&mut self, second: &Second) {
        self.records.append(KIND_SECOND, &second.to_bytes());
    }

    /// Takes note of something that happened.
    pub fn moment(&mut self, moment: &Moment) {
        let mut body = [0; 10];
        body[..8].copy_from_slice(&moment.at.as_micros().to_le_bytes());
        body[8..].copy_from_slice(&moment.kind.to_bytes());
        self.records.append(KIND_MOMENT, &body);
    }

    /// Bytes of memory that records take, at most what it was made with.
    pub fn bytes(&self) -> usize {
        self.records.bytes.len()
    }

    /// The recording so far, as a file holds it: [`Recording::parse`](super::Recording::parse) reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (older, newer) = self.records.bytes.as_slices();
        [&wire::header(&self.settings, self.kept, self.records.forgotten), older, newer].concat()
    }
}

#[derive(Debug, Clone)]
struct Records {
    most_bytes: usize,
    bytes: VecDeque<u8>,
    forgotten: u64,
}

impl Records {
    fn append(&mut self, kind: u8, body: &[u8]) {
        let length = RECORD_HEADER + body.len();
        if HEADER + length > self.most_bytes {
            self.forgotten += 1;
            return;
        }
        while HEADER + self.bytes.len() + length > self.most_bytes {
            self.forget_oldest();
        }
        let [low, high] = (body.len() as u16).to_le_bytes();
        self.bytes.extend([kind, low, high]);
        self.bytes.extend(body);
    }

    fn forget_oldest(&mut self) {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        let length = RECORD_HEADER + usize::from(u16::from_le_bytes([byte(1), byte(2)]));
        self.bytes.drain(..length.min(self.bytes.len()));
        self.forgotten += 1;
    }
}
