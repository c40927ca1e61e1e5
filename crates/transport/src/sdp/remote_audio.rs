//! The peer's audio section: formats, their parameters, extensions, direction.

use std::time::Duration;

use sdp::description::common::Attribute;
use sdp::description::media::MediaDescription;

use super::{AUDIO_LEVEL_URI, SHORT_REPORT, SdpError, TRANSPORT_SEQUENCE_URI};
use crate::config::Direction;

/// What the peer says about its audio, before it is matched with our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteAudio {
    pub(crate) opus: u8,
    pub(crate) red: Option<u8>,
    pub(crate) telephone_event_48k: Option<u8>,
    pub(crate) telephone_event_8k: Option<u8>,
    /// Seen from the peer.
    pub(crate) direction: Direction,
    pub(crate) packet_time: Option<Duration>,
    pub(crate) max_packet_time: Option<Duration>,
    pub(crate) in_band_fec: bool,
    pub(crate) dtx: bool,
    pub(crate) max_average_bitrate: Option<u32>,
    pub(crate) audio_level_id: Option<u8>,
    pub(crate) transport_sequence_id: Option<u8>,
    pub(crate) reduced_size_rtcp: bool,
    pub(crate) short_reports: bool,
}

impl RemoteAudio {
    pub(crate) fn of(section: &MediaDescription, session: &[Attribute]) -> Result<Self, SdpError> {
        if !section.has_attribute("rtcp-mux") {
            return Err(SdpError::NoRtcpMux);
        }
        let formats = Formats { section };
        let opus = formats.payload_type("opus/48000/2").ok_or(SdpError::NoOpus)?;
        let fmtp = formats.parameters(opus);
        let flag = |name: &str| fmtp.iter().any(|(key, value)| key == name && value == "1");
        let bitrate =
            fmtp.iter().find(|(key, _)| key == "maxaveragebitrate").and_then(|(_, value)| value.parse().ok());
        let direction = direction_of(&section.attributes).or_else(|| direction_of(session));
        let audio_level_id = extension_id(section, AUDIO_LEVEL_URI);
        let mut taken = vec![opus];
        // One number for two formats: the first has it, nothing could tell the other apart.
        let mut distinct = |found: Option<u8>| {
            let number = found.filter(|number| !taken.contains(number))?;
            taken.push(number);
            Some(number)
        };
        Ok(Self {
            opus,
            red: distinct(formats.payload_types("red/48000/2").find(|red| formats.red_carries(*red, opus))),
            telephone_event_48k: distinct(formats.payload_type("telephone-event/48000")),
            telephone_event_8k: distinct(formats.payload_type("telephone-event/8000")),
            direction: direction.unwrap_or_default(),
            packet_time: milliseconds(section, "ptime"),
            max_packet_time: milliseconds(section, "maxptime"),
            in_band_fec: flag("useinbandfec"),
            dtx: flag("usedtx"),
            max_average_bitrate: bitrate.filter(|rate| (6_000..=510_000).contains(rate)),
            audio_level_id,
            transport_sequence_id: extension_id(section, TRANSPORT_SEQUENCE_URI)
                .filter(|id| audio_level_id != Some(*id)),
            reduced_size_rtcp: section.has_attribute("rtcp-rsize"),
            short_reports: values(section, SHORT_REPORT)
                .any(|version| version.trim().parse().is_ok_and(|version: u8| version > 0)),
        })
    }
}

/// A word as RFC 8866 allows it where we repeat it.
pub(crate) fn is_token(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
}

fn values<'a>(section: &'a MediaDescription, key: &'static str) -> impl Iterator<Item = &'a str> {
    let attributes = section.attributes.iter().filter(move |attribute| attribute.key == key);
    attributes.filter_map(|attribute| attribute.value.as_deref())
}

fn direction_of(attributes: &[Attribute]) -> Option<Direction> {
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .find(|direction| attributes.iter().any(|attribute| attribute.key == direction.attribute()))
}

fn milliseconds(section: &MediaDescription, key: &'static str) -> Option<Duration> {
    let number: u64 = values(section, key).next()?.trim().parse().ok()?;
    (1..=120).contains(&number).then(|| Duration::from_millis(number))
}

/// Only identifiers of the one-byte form, and only without a direction that forbids us to send it.
fn extension_id(section: &MediaDescription, uri: &str) -> Option<u8> {
    values(section, "extmap").find_map(|value| {
        let mut words = value.split_ascii_whitespace();
        let id = words.next()?;
        let id = id.split('/').next()?.parse().ok().filter(|id| (1..=14).contains(id))?;
        (words.next()? == uri).then_some(id)
    })
}

struct Formats<'a> {
    section: &'a MediaDescription,
}

impl Formats<'_> {
    fn payload_type(&self, encoding: &str) -> Option<u8> {
        self.payload_types(encoding).next()
    }

    /// The listed dynamic payload types whose `rtpmap` is this encoding.
    fn payload_types(&self, encoding: &str) -> impl Iterator<Item = u8> {
        let listed = &self.section.media_name.formats;
        values(self.section, "rtpmap").filter_map(move |value| {
            let (payload_type, name) = value.trim().split_once(' ')?;
            // Firefox names the one channel of telephone-event, which is the default.
            let name = name.trim().strip_suffix("/1").unwrap_or_else(|| name.trim());
            let known =
                name.eq_ignore_ascii_case(encoding) && listed.iter().any(|format| format == payload_type);
            // 64 to 95 would be taken for RTCP on a shared port (RFC 5761, section 4).
            let number = payload_type.parse().ok().filter(|number| matches!(number, 35..=63 | 96..=127))?;
            known.then_some(number)
        })
    }

    fn format_text(&self, payload_type: u8) -> Option<&str> {
        values(self.section, "fmtp").find_map(|value| {
            let (format, rest) = value.trim().split_once(' ')?;
            (format.parse() == Ok(payload_type)).then_some(rest.trim())
        })
    }

    fn parameters(&self, payload_type: u8) -> Vec<(String, String)> {
        let text = self.format_text(payload_type).unwrap_or_default();
        let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().to_owned())).collect()
    }

    /// RED without parameters, or with `opus/opus/…`.
    fn red_carries(&self, red: u8, opus: u8) -> bool {
        let text = self.format_text(red).unwrap_or_default();
        text.is_empty() || text.split('/').all(|format| format.parse() == Ok(opus))
    }
}
