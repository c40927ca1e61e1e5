//! What a pipeline has sent.

use super::OutgoingPacket;
use super::redundancy::Rung;
use crate::dsp::AudioLevel;

/// Counters of a pipeline, from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendStats {
    /// Packets handed to the transport.
    pub packets: u64,
    /// Payload bytes in them, redundancy included.
    pub payload_bytes: u64,
    /// Of these, copies of earlier payloads and the headers that name them.
    pub red_bytes: u64,
    /// Of these, deep redundancy.
    pub dred_bytes: u64,
    /// How packets are made now.
    pub rung: Rung,
    /// Packets the encoder failed to make.
    pub encode_errors: u64,
    /// Level of the near end in the last packet, after muting.
    pub level: AudioLevel,
    /// Whether the near end is muted.
    pub muted: bool,
}

impl SendStats {
    /// Of a pipeline that has sent nothing, on this rung.
    pub(super) const fn new(rung: Rung) -> Self {
        Self {
            packets: 0,
            payload_bytes: 0,
            red_bytes: 0,
            dred_bytes: 0,
            rung,
            encode_errors: 0,
            level: AudioLevel::SILENCE,
            muted: false,
        }
    }

    pub(super) fn count(&mut self, packet: &OutgoingPacket) {
        self.packets += 1;
        self.payload_bytes += packet.payload().len() as u64;
    }
}
