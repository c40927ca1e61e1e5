//! How to send.

use super::ladder::LadderConfig;
use super::redundancy::Redundancy;
use crate::codec::{EncoderConfig, Profile};
use crate::units::PacketTime;

/// Who wants a cheaper encoder than this wants no neural network beside it, which costs a fifth of it.
const LEAST_COMPLEXITY_WITH_DRED: u8 = 5;

/// How to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendConfig {
    /// Media time per packet.
    pub packet_time: PacketTime,
    /// The encoder's settings.
    pub encoder: EncoderConfig,
    /// RTP payload type of Opus.
    pub opus_payload_type: u8,
    /// RTP payload type of telephone-event at 48 kHz, where the peer takes it.
    pub dtmf_payload_type: Option<u8>,
    /// RTP payload type of redundant audio (RFC 2198), where the peer takes it.
    pub red_payload_type: Option<u8>,
    /// What may protect the sound against loss.
    pub redundancy: Redundancy,
    /// Whether the far end is known to restore sound from deep redundancy (DRED): to any other it is bits and work for nothing.
    pub deep_redundancy: bool,
    /// RTP timestamp of the first sample.
    pub initial_timestamp: u32,
}

impl Default for SendConfig {
    /// 10 ms packets, Opus as payload type 111, no DTMF, redundancy as it serves best but without RFC 2198.
    fn default() -> Self {
        Self {
            packet_time: PacketTime::Ms10,
            encoder: EncoderConfig::default(),
            opus_payload_type: 111,
            dtmf_payload_type: None,
            red_payload_type: None,
            redundancy: Redundancy::Auto,
            deep_redundancy: true,
            initial_timestamp: 0,
        }
    }
}

impl SendConfig {
    /// What the ladder may use. Least latency has no speech layer, so neither copies nor redundancy of the codec's own.
    pub(super) fn ladder(&self) -> LadderConfig {
        let EncoderConfig { bitrate, in_band_fec, profile, complexity, .. } = self.encoder;
        let voice = profile == Profile::Voice;
        LadderConfig {
            bitrate,
            packet_time: self.packet_time,
            redundancy: self.redundancy,
            in_band_fec: in_band_fec && voice,
            red: self.red_payload_type.is_some(),
            dred: self.deep_redundancy && voice && complexity >= LEAST_COMPLEXITY_WITH_DRED,
        }
    }
}
