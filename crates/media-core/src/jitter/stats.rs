//! What the receive path did, from its beginning.

use crate::units::{Dbov, MediaTime, Ppm};
use std::time::Duration;

/// Counters and last values; plain data. Sounds are counted in samples at 48 kHz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReceiveStats {
    /// Packets taken in.
    pub packets_received: u64,
    /// Packets that never came, as far as is known.
    pub packets_lost: u64,
    /// Packets that came after all of their sound was due.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicate: u64,
    /// Packets refused: not Opus, or of a stream that was not accepted.
    pub packets_discarded: u64,
    /// Packets whose sound was decoded.
    pub packets_played: u64,
    /// Packets taken in and given up: damaged, pushed out by newer ones, jumped over, or of a stream that ended.
    pub packets_flushed: u64,
    /// Packets that wait to be played.
    pub packets_waiting: u64,
    /// Samples pulled.
    pub pulled: u64,
    /// Samples decoded from their own packet.
    pub decoded: u64,
    /// Samples decoded from an exact copy in a later packet (RFC 2198).
    pub red: u64,
    /// Samples restored from the coarse copy that the codec put into the packet that followed.
    pub fec: u64,
    /// Samples restored from the deep redundancy of a later packet.
    pub dred: u64,
    /// Samples made up.
    pub concealed: u64,
    /// Of these, in gaps of at most 20 ms that are over: hardly heard.
    pub concealed_short: u64,
    /// Of these, in gaps of over 120 ms that are over: little is left of what was said.
    pub concealed_long: u64,
    /// Concealed samples while the far end spoke.
    pub concealed_speech: u64,
    /// Samples of silence: before the first packet, after the end, and in pauses of the far end.
    pub silence: u64,
    /// Samples taken out to catch up.
    pub accelerated: u64,
    /// Samples put in to fall back.
    pub expanded: u64,
    /// Samples decoded or made up and then dropped, to be live again after a long stop.
    pub dropped: u64,
    /// Samples decoded or made up and not played yet.
    pub buffered: u64,
    /// Samples used up beyond those pulled, because the sender's clock is faster; negative when it is slower.
    pub resampled: i64,
    /// Samples of media time that were jumped over; pauses of the far end are none.
    pub skipped: u64,
    /// How often sound was taken out or put in.
    pub stretches: u64,
    /// Gaps of 150 ms and more.
    pub interruptions: u64,
    /// From arrival to playout of the last decoded packet.
    pub playout_delay: Option<Duration>,
    /// Mean of that over all decoded packets.
    pub mean_playout_delay: Option<Duration>,
    /// Wanted playout delay above the fastest packets.
    pub target_delay: Option<Duration>,
    /// How much faster the sender's clock runs, once that is known.
    pub drift: Option<Ppm>,
    /// Level of the far end.
    pub level: Dbov,
    /// Whether the far end speaks.
    pub voice: bool,
    /// When the first decoded sound was pulled.
    pub first_sound: Option<MediaTime>,
}

impl Default for ReceiveStats {
    fn default() -> Self {
        Self {
            packets_received: 0,
            packets_lost: 0,
            packets_late: 0,
            packets_duplicate: 0,
            packets_discarded: 0,
            packets_played: 0,
            packets_flushed: 0,
            packets_waiting: 0,
            pulled: 0,
            decoded: 0,
            red: 0,
            fec: 0,
            dred: 0,
            concealed: 0,
            concealed_short: 0,
            concealed_long: 0,
            concealed_speech: 0,
            silence: 0,
            accelerated: 0,
            expanded: 0,
            dropped: 0,
            buffered: 0,
            resampled: 0,
            skipped: 0,
            stretches: 0,
            interruptions: 0,
            playout_delay: None,
            mean_playout_delay: None,
            target_delay: None,
            drift: None,
            level: Dbov::SILENCE,
            voice: false,
            first_sound: None,
        }
    }
}

impl ReceiveStats {
    /// Share of the sound since the first packet that was made up, in percent; `None` before it.
    pub fn concealed_percent(&self) -> Option<f64> {
        let sound = self.decoded + self.red + self.fec + self.dred + self.concealed;
        (self.decoded > 0).then(|| 100.0 * self.concealed as f64 / sound as f64)
    }
}
