//! What offer and answer agreed on.

use std::time::Duration;

use crate::config::Direction;

/// The negotiated audio, seen from this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Payload type of Opus.
    pub opus: u8,
    /// Payload type of RED carrying Opus, where both know it.
    pub red: Option<u8>,
    /// Payload type of telephone-event at 48 kHz.
    pub telephone_event_48k: Option<u8>,
    /// Payload type of telephone-event at 8 kHz.
    pub telephone_event_8k: Option<u8>,
    /// Which way sound flows.
    pub direction: Direction,
    /// Sound per packet that the peer asks for (`ptime`).
    pub packet_time: Option<Duration>,
    /// Most sound per packet that the peer takes (`maxptime`).
    pub max_packet_time: Option<Duration>,
    /// The peer wants in-band forward error correction.
    pub in_band_fec: bool,
    /// The peer wants pauses in silence.
    pub dtx: bool,
    /// The peer does not want more bits per second of Opus.
    pub max_average_bitrate: Option<u32>,
    /// Identifier of the audio level extension (RFC 6464).
    pub audio_level_id: Option<u8>,
    /// Identifier of the transport-wide sequence extension.
    pub transport_sequence_id: Option<u8>,
    /// The peer takes RTCP of reduced size (RFC 5506).
    pub reduced_size_rtcp: bool,
    /// Both sides know short reports (RTCP APP `OFHK`).
    pub short_reports: bool,
}

impl Media {
    /// Whether packets of this payload type belong to the session.
    #[must_use]
    pub fn has_payload_type(&self, payload_type: u8) -> bool {
        payload_type == self.opus
            || [self.red, self.telephone_event_48k, self.telephone_event_8k].contains(&Some(payload_type))
    }

    /// The clock of a payload type in ticks per second.
    #[must_use]
    pub fn clock_rate(&self, payload_type: u8) -> u32 {
        if self.telephone_event_8k == Some(payload_type) { 8_000 } else { 48_000 }
    }
}
