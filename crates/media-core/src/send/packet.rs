//! One payload on its way to the transport.

use crate::dsp::AudioLevel;
use crate::units::MediaTime;

/// Most bytes of a payload.
pub const MOST_PAYLOAD: usize = 1200;

/// A payload with what the RTP header needs. Sequence number, source, extensions and encryption are the transport's.
#[derive(Clone, Copy)]
pub struct OutgoingPacket {
    /// RTP payload type.
    pub payload_type: u8,
    /// First packet after a pause, or of a key.
    pub marker: bool,
    /// RTP timestamp at 48 kHz.
    pub timestamp: u32,
    /// Level of the sound in it.
    pub level: AudioLevel,
    /// When its last sound came: of the media thread, the beginning of a tick.
    pub made: MediaTime,
    pub(super) len: u16,
    pub(super) bytes: [u8; MOST_PAYLOAD],
}

impl OutgoingPacket {
    /// An empty packet to fill.
    pub const fn empty() -> Self {
        Self {
            payload_type: 0,
            marker: false,
            timestamp: 0,
            level: AudioLevel::SILENCE,
            made: MediaTime::ZERO,
            len: 0,
            bytes: [0; MOST_PAYLOAD],
        }
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Lets `write` fill the payload; it returns the length it used, capped at the room there is.
    pub(super) fn fill<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        let len = write(&mut self.bytes)?.min(MOST_PAYLOAD);
        self.len = len as u16;
        Ok(())
    }
}

impl std::fmt::Debug for OutgoingPacket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OutgoingPacket")
            .field("payload_type", &self.payload_type)
            .field("marker", &self.marker)
            .field("timestamp", &self.timestamp)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
