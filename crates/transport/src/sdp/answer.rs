//! What comes out of an offer and an answer.

use super::SdpError;
use super::media::Media;
use super::parse::RemoteDescription;
use super::remote_audio::RemoteAudio;
use crate::config::{Direction, SessionConfig};

/// What we answer to a peer's offer: its numbers, and only what both know.
pub(crate) fn media_from_offer(
    offer: &RemoteDescription,
    config: &SessionConfig,
    wanted: Direction,
) -> Media {
    let audio = &offer.audio;
    let direction = wanted.and(audio.direction.reversed());
    let red = audio.red.filter(|_| config.red_payload_type.is_some());
    let short_reports = audio.short_reports && config.short_reports;
    let media = media_of(audio, direction);
    Media {
        red,
        short_reports,
        // The report says all that the feedback would, in a quarter of the packets.
        transport_sequence_id: media.transport_sequence_id.filter(|_| !short_reports),
        ..media
    }
}

/// What a peer's answer makes of our offer. Formats and extensions it did not repeat are off.
pub(crate) fn media_from_answer(
    answer: &RemoteDescription,
    offered: &Media,
    sections: usize,
) -> Result<Media, SdpError> {
    if answer.sections.len() != sections {
        return Err(SdpError::AnswerMismatch);
    }
    let audio = &answer.audio;
    let direction = offered.direction.and(audio.direction.reversed());
    let both = |ours: Option<u8>, theirs: Option<u8>| theirs.filter(|_| ours.is_some());
    Ok(Media {
        red: both(offered.red, audio.red),
        telephone_event_48k: both(offered.telephone_event_48k, audio.telephone_event_48k),
        telephone_event_8k: both(offered.telephone_event_8k, audio.telephone_event_8k),
        audio_level_id: both(offered.audio_level_id, audio.audio_level_id),
        transport_sequence_id: both(offered.transport_sequence_id, audio.transport_sequence_id),
        short_reports: offered.short_reports && audio.short_reports,
        ..media_of(audio, direction)
    })
}

fn media_of(audio: &RemoteAudio, direction: Direction) -> Media {
    Media {
        opus: audio.opus,
        red: audio.red,
        telephone_event_48k: audio.telephone_event_48k,
        telephone_event_8k: audio.telephone_event_8k,
        direction,
        packet_time: audio.packet_time,
        max_packet_time: audio.max_packet_time,
        in_band_fec: audio.in_band_fec,
        dtx: audio.dtx,
        max_average_bitrate: audio.max_average_bitrate,
        audio_level_id: audio.audio_level_id,
        transport_sequence_id: audio.transport_sequence_id,
        reduced_size_rtcp: audio.reduced_size_rtcp,
        short_reports: audio.short_reports,
    }
}
