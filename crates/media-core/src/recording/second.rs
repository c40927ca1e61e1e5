//! How a call stood, once a second.

use super::wire;
use crate::units::MediaTime;

/// One second of a call. What was not measured is `None`; counters count from the beginning of the call.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Second {
    /// When, on the engine's clock.
    pub at: MediaTime,
    /// Round trip, in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// Interarrival jitter (RFC 3550), in milliseconds.
    pub jitter_ms: Option<f32>,
    /// Share of this second's packets that was lost, 0 to 1.
    pub loss: Option<f32>,
    /// Playout delay of the last packet, in milliseconds.
    pub playout_delay_ms: Option<f32>,
    /// Wanted delay over that of the fastest packets, in milliseconds.
    pub target_delay_ms: Option<f32>,
    /// How much faster the sender's clock runs, in parts per million.
    pub drift_ppm: Option<f32>,
    /// R factor of the last seconds, 0 to 148.
    pub r_factor: Option<f32>,
    /// Level of this end, in dB of full scale: 0 is the loudest, -127 silence.
    pub outbound_level_db: Option<f32>,
    /// Level of the far end, in dB of full scale: 0 is the loudest, -127 silence.
    pub inbound_level_db: Option<f32>,
    /// Payload that was sent, in bits per second.
    pub sent_bps: Option<f32>,
    /// Of it exact copies (RFC 2198).
    pub sent_red_bps: Option<f32>,
    /// Of it deep redundancy.
    pub sent_dred_bps: Option<f32>,
    /// Payload that was received, in bits per second.
    pub received_bps: Option<f32>,
    /// Milliseconds of this second that were decoded from their own packet.
    pub decoded_ms: Option<f32>,
    /// Decoded from exact copies.
    pub red_ms: Option<f32>,
    /// Restored from the codec's copies.
    pub fec_ms: Option<f32>,
    /// Restored from deep redundancy.
    pub dred_ms: Option<f32>,
    /// Made up.
    pub concealed_ms: Option<f32>,
    /// Silence.
    pub silence_ms: Option<f32>,
    /// Put in or taken out by stretching.
    pub stretched_ms: Option<f32>,
    /// Never heard.
    pub skipped_ms: Option<f32>,
}

/// Fields beside the time.
const FIELDS: usize = 21;
/// Bytes of its record's body.
pub(super) const SECOND: usize = 8 + 4 * FIELDS;

impl Second {
    fn fields(&mut self) -> [&mut Option<f32>; FIELDS] {
        [
            &mut self.round_trip_ms,
            &mut self.jitter_ms,
            &mut self.loss,
            &mut self.playout_delay_ms,
            &mut self.target_delay_ms,
            &mut self.drift_ppm,
            &mut self.r_factor,
            &mut self.outbound_level_db,
            &mut self.inbound_level_db,
            &mut self.sent_bps,
            &mut self.sent_red_bps,
            &mut self.sent_dred_bps,
            &mut self.received_bps,
            &mut self.decoded_ms,
            &mut self.red_ms,
            &mut self.fec_ms,
            &mut self.dred_ms,
            &mut self.concealed_ms,
            &mut self.silence_ms,
            &mut self.stretched_ms,
            &mut self.skipped_ms,
        ]
    }

    pub(super) fn to_bytes(mut self) -> [u8; SECOND] {
        let mut bytes = [0; SECOND];
        let (time, fields) = bytes.split_at_mut(8);
        time.copy_from_slice(&self.at.as_micros().to_le_bytes());
        for (bytes, field) in fields.chunks_exact_mut(4).zip(self.fields()) {
            bytes.copy_from_slice(&field.unwrap_or(f32::NAN).to_le_bytes());
        }
        bytes
    }

    /// Fields that a shorter body has not are not measured; what a longer one has more is of a later version.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut second = Self { at: wire::time(bytes, 0)?, ..Self::default() };
        for (bytes, field) in bytes[8..].as_chunks::<4>().0.iter().zip(second.fields()) {
            *field = Some(f32::from_le_bytes(*bytes)).filter(|value| value.is_finite());
        }
        Some(second)
    }
}
