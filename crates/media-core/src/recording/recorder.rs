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
    most_bytes: usize,
    records: VecDeque<u8>,
    forgotten: u64,
    /// Where a packet's record is made: its payload, and its body.
    payload: Vec<u8>,
    body: Vec<u8>,
}

impl FlightRecorder {
    /// A recorder that holds `most_bytes`, and nothing yet.
    pub fn new(kept: Kept, most_bytes: usize) -> Self {
        let settings = Settings::default();
        let (payload, body) = (Vec::new(), Vec::new());
        Self { settings, kept, most_bytes, records: VecDeque::new(), forgotten: 0, payload, body }
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
        if packet.payload.len() > MOST_PAYLOAD {
            return;
        }
        let (mut payload, mut body) = (std::mem::take(&mut self.payload), std::mem::take(&mut self.body));
        payload.clear();
        payload.extend_from_slice(packet.payload);
        if self.kept == Kept::Arrivals {
            blank_sound(&self.settings, packet.payload_type, &mut payload);
        }
        let mut head = [0; PACKET];
        head[..8].copy_from_slice(&packet.arrival.as_micros().to_le_bytes());
        head[8..12].copy_from_slice(&packet.ssrc.to_le_bytes());
        head[12..16].copy_from_slice(&packet.timestamp.to_le_bytes());
        head[16..18].copy_from_slice(&packet.sequence.to_le_bytes());
        head[18] = packet.payload_type & 0x7f | u8::from(packet.marker) << 7;
        head[20..22].copy_from_slice(&(payload.len() as u16).to_le_bytes());
        body.clear();
        body.extend_from_slice(&head);
        wire::squeeze(&payload, |byte| body.push(byte));
        self.append(KIND_PACKET, &body);
        (self.payload, self.body) = (payload, body);
    }

    /// Takes note of how the call stands.
    pub fn second(&mut self, second: &Second) {
        self.append(KIND_SECOND, &second.to_bytes());
    }

    /// Takes note of something that happened.
    pub fn moment(&mut self, moment: &Moment) {
        let mut body = [0; 10];
        body[..8].copy_from_slice(&moment.at.as_micros().to_le_bytes());
        body[8..].copy_from_slice(&moment.kind.to_bytes());
        self.append(KIND_MOMENT, &body);
    }

    /// Bytes of memory that records take, at most what it was made with.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// The recording so far, as a file holds it: [`Recording::parse`](super::Recording::parse) reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (older, newer) = self.records.as_slices();
        [&wire::header(&self.settings, self.kept, self.forgotten), older, newer].concat()
    }

    fn append(&mut self, kind: u8, body: &[u8]) {
        let length = RECORD_HEADER + body.len();
        if HEADER + length > self.most_bytes {
            self.forgotten += 1;
            return;
        }
        while HEADER + self.records.len() + length > self.most_bytes {
            self.forget_oldest();
        }
        let [low, high] = (body.len() as u16).to_le_bytes();
        self.records.extend([kind, low, high]);
        self.records.extend(body);
    }

    fn forget_oldest(&mut self) {
        let byte = |at: usize| self.records.get(at).copied().unwrap_or(0);
        let length = RECORD_HEADER + usize::from(u16::from_le_bytes([byte(1), byte(2)]));
        self.records.drain(..length.min(self.records.len()));
        self.forgotten += 1;
    }
}
