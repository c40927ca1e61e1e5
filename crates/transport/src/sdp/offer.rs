//! What our offers ask for.

use super::media::Media;
use crate::config::{Direction, SessionConfig};

/// The first offer follows the configuration; later ones keep the numbers that are in use (RFC 9429, section 5.2.2).
pub(crate) fn media_to_offer(config: &SessionConfig, agreed: Option<&Media>, direction: Direction) -> Media {
    if let Some(agreed) = agreed {
        return Media { direction, ..agreed.clone() };
    }
    Media {
        opus: config.opus.payload_type,
        red: config.red_payload_type,
        telephone_event_48k: Some(config.telephone_event_48k),
        telephone_event_8k: Some(config.telephone_event_8k),
        direction,
        packet_time: None,
        max_packet_time: None,
        in_band_fec: false,
        dtx: false,
        max_average_bitrate: None,
        audio_level_id: Some(1),
        transport_sequence_id: Some(3),
        reduced_size_rtcp: true,
        short_reports: config.short_reports,
    }
}
