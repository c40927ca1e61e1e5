//! Our descriptions as text.

use sdp::description::common::{Address, Attribute, ConnectionInformation};
use sdp::description::media::{MediaDescription, MediaName, RangedPort};
use sdp::description::session::{Origin, SessionDescription, TimeDescription, Timing};

use super::media::Media;
use super::parse::{Section, Setup};
use super::{AUDIO_LEVEL_URI, SHORT_REPORT, SHORT_REPORT_VERSION, TRANSPORT_SEQUENCE_URI};
use crate::certificate::Fingerprint;
use crate::config::OpusParams;

/// Everything one of our descriptions says.
#[derive(Debug)]
pub(crate) struct LocalDescription<'a> {
    pub(crate) session_id: u64,
    pub(crate) version: u64,
    pub(crate) ufrag: &'a str,
    pub(crate) password: &'a str,
    pub(crate) ice_lite: bool,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Setup,
    pub(crate) sections: &'a [Section],
    pub(crate) audio_section: usize,
    /// Whether the audio section is in a BUNDLE group: always in offers, in answers when the offer had one.
    pub(crate) bundle: bool,
    pub(crate) media: &'a Media,
    pub(crate) opus: &'a OpusParams,
    pub(crate) ssrc: u32,
    pub(crate) cname: &'a str,
    pub(crate) candidates: Vec<String>,
}

/// The text, lines ended by CR LF.
pub(crate) fn write(local: &LocalDescription<'_>) -> String {
    let mut attributes = Vec::new();
    let mid = local.sections.get(local.audio_section).and_then(|section| section.mid.as_deref());
    if let Some(mid) = mid.filter(|_| local.bundle) {
        attributes.push(attribute("group", format!("BUNDLE {mid}")));
    }
    attributes.push(attribute("msid-semantic", "WMS *"));
    if local.ice_lite {
        attributes.push(flag("ice-lite"));
    }
    let section = |(place, section)| {
        if place == local.audio_section { audio_section(local, section) } else { rejected_section(section) }
    };
    SessionDescription {
        origin: Origin {
            username: "-".to_owned(),
            session_id: local.session_id,
            session_version: local.version,
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            unicast_address: "127.0.0.1".to_owned(),
        },
        session_name: "-".to_owned(),
        time_descriptions: vec![TimeDescription {
            timing: Timing { start_time: 0, stop_time: 0 },
            repeat_times: Vec::new(),
        }],
        attributes,
        media_descriptions: local.sections.iter().enumerate().map(section).collect(),
        ..SessionDescription::default()
    }
    .marshal()
}

fn audio_section(local: &LocalDescription<'_>, section: &Section) -> MediaDescription {
    let media = local.media;
    let mut attributes = transport_attributes(local, section);
    attributes.extend(extension_attributes(media));
    attributes.push(flag(media.direction.attribute()));
    if media.direction.sends() {
        attributes.push(attribute("msid", format!("{} audio", local.cname)));
    }
    attributes.push(flag("rtcp-mux"));
    if media.reduced_size_rtcp {
        attributes.push(flag("rtcp-rsize"));
    }
    if media.short_reports {
        attributes.push(attribute(SHORT_REPORT, SHORT_REPORT_VERSION.to_string()));
    }
    attributes.extend(format_attributes(media, local.opus));
    attributes.push(attribute("ssrc", format!("{} cname:{}", local.ssrc, local.cname)));
    let lines = local.candidates.iter().filter_map(|line| line.strip_prefix("candidate:"));
    attributes.extend(lines.map(|value| attribute("candidate", value)));
    let formats = [Some(media.opus), media.red, media.telephone_event_48k, media.telephone_event_8k];
    let formats = formats.iter().flatten().map(u8::to_string).collect();
    media_description(section, 9, formats, attributes)
}

fn transport_attributes(local: &LocalDescription<'_>, section: &Section) -> Vec<Attribute> {
    let setup = match local.setup {
        Setup::ActPass => "actpass",
        Setup::Active => "active",
        Setup::Passive => "passive",
    };
    let mut attributes = vec![
        attribute("rtcp", "9 IN IP4 0.0.0.0"),
        attribute("ice-ufrag", local.ufrag),
        attribute("ice-pwd", local.password),
        attribute("ice-options", "trickle"),
        attribute("fingerprint", format!("sha-256 {}", local.fingerprint)),
        attribute("setup", setup),
    ];
    attributes.extend(section.mid.as_deref().map(|mid| attribute("mid", mid)));
    attributes
}

fn extension_attributes(media: &Media) -> impl Iterator<Item = Attribute> {
    [(media.audio_level_id, AUDIO_LEVEL_URI), (media.transport_sequence_id, TRANSPORT_SEQUENCE_URI)]
        .into_iter()
        .filter_map(|(id, uri)| Some(attribute("extmap", format!("{} {uri}", id?))))
}

fn format_attributes(media: &Media, opus: &OpusParams) -> Vec<Attribute> {
    let payload_type = media.opus;
    let packet_time = opus.packet_time.as_millis().max(1);
    let mut parameters = format!("{payload_type} minptime=10;useinbandfec={}", u8::from(opus.in_band_fec));
    if opus.dtx {
        parameters.push_str(";usedtx=1");
    }
    if let Some(bitrate) = opus.max_average_bitrate {
        parameters.push_str(&format!(";maxaveragebitrate={bitrate}"));
    }
    let mut attributes = vec![attribute("rtpmap", format!("{payload_type} opus/48000/2"))];
    if media.transport_sequence_id.is_some() {
        attributes.push(attribute("rtcp-fb", format!("{payload_type} transport-cc")));
    }
    attributes.push(attribute("fmtp", parameters));
    if let Some(red) = media.red {
        attributes.push(attribute("rtpmap", format!("{red} red/48000/2")));
        attributes.push(attribute("fmtp", format!("{red} {payload_type}/{payload_type}")));
    }
    for (event, clock) in [(media.telephone_event_48k, 48_000), (media.telephone_event_8k, 8_000)] {
        if let Some(event) = event {
            attributes.push(attribute("rtpmap", format!("{event} telephone-event/{clock}")));
            attributes.push(attribute("fmtp", format!("{event} 0-15")));
        }
    }
    attributes.push(attribute("ptime", packet_time.to_string()));
    attributes
}

/// Port 0 refuses the section (RFC 3264, section 6); `inactive` says the same to those who look only there.
fn rejected_section(section: &Section) -> MediaDescription {
    let mid = section.mid.as_deref().map(|mid| attribute("mid", mid));
    let attributes = mid.into_iter().chain([flag("inactive")]).collect();
    media_description(section, 0, section.formats.clone(), attributes)
}

fn media_description(
    section: &Section,
    port: isize,
    formats: Vec<String>,
    attributes: Vec<Attribute>,
) -> MediaDescription {
    MediaDescription {
        media_name: MediaName {
            media: section.kind.clone(),
            port: RangedPort { value: port, range: None },
            protos: section.protocol.split('/').map(str::to_owned).collect(),
            formats,
        },
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            address: Some(Address { address: "0.0.0.0".to_owned(), ttl: None, range: None }),
        }),
        attributes,
        ..MediaDescription::default()
    }
}

fn attribute(key: &str, value: impl Into<String>) -> Attribute {
    Attribute { key: key.to_owned(), value: Some(value.into()) }
}

fn flag(key: &str) -> Attribute {
    Attribute { key: key.to_owned(), value: None }
}
