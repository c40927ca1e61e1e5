//! The peer's description: sizes first, then the library's grammar, then what a call needs.

use std::io::Cursor;

use sdp::description::common::Attribute;
use sdp::description::media::MediaDescription;
use sdp::description::session::SessionDescription;

use super::remote_audio::{RemoteAudio, is_token};
use super::{MAX_DESCRIPTION, MAX_LINES, MAX_SECTIONS, SdpError};
use crate::candidate::{MAX_CANDIDATES, MAX_LINE};
use crate::certificate::Fingerprint;

/// The part a peer takes in DTLS (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// It can do either (offers).
    ActPass,
    /// It sends the ClientHello.
    Active,
    /// It waits for ours.
    Passive,
}

/// One media section, as much as an answer must repeat of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `audio`, `video`, `application`, …
    pub kind: String,
    /// Its protocol, such as `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// Its formats, never empty.
    pub formats: Vec<String>,
    /// Its identification (RFC 5888).
    pub mid: Option<String>,
}

/// A peer's offer or answer, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDescription {
    /// ICE user fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: String,
    /// The peer only answers checks.
    pub ice_lite: bool,
    /// SHA-256 fingerprint of the peer's certificate.
    pub fingerprint: Fingerprint,
    /// Its part in DTLS.
    pub setup: Setup,
    /// All media sections in order.
    pub sections: Vec<Section>,
    /// Which of them is our audio.
    pub audio_section: usize,
    /// Whether the peer bundles its sections (RFC 9143).
    pub bundle: bool,
    /// Candidate lines in the description, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<String>,
    /// Announced sources, at most 4.
    pub sources: Vec<u32>,
    pub(crate) audio: RemoteAudio,
}

/// Announced sources beyond these are not listened to.
const MAX_SOURCES: usize = 4;

impl RemoteDescription {
    /// Reads an offer or answer.
    ///
    /// # Errors
    /// [`SdpError`] says what cannot be used.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        check_size(text)?;
        let parsed = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| SdpError::Syntax(error.to_string()))?;
        let sections = sections_of(&parsed)?;
        let audio_section = choose_audio(&parsed)?;
        let place = &parsed.media_descriptions[audio_section];
        let lookup = Lookup { section: place, session: &parsed };
        let audio = RemoteAudio::of(place, &lookup.session.attributes)?;
        Ok(Self {
            ufrag: lookup.ice_value("ice-ufrag", 4)?,
            password: lookup.ice_value("ice-pwd", 22)?,
            ice_lite: parsed.attributes.iter().any(|attribute| attribute.key == "ice-lite"),
            fingerprint: lookup.fingerprint()?,
            setup: lookup.setup()?,
            bundle: parsed.attributes.iter().any(is_bundle),
            candidates: candidates_of(place, &parsed),
            sources: sources_of(place),
            sections,
            audio_section,
            audio,
        })
    }
}

fn check_size(text: &str) -> Result<(), SdpError> {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    if text.len() > MAX_DESCRIPTION || lines > MAX_LINES {
        return Err(SdpError::TooLarge { bytes: text.len(), lines });
    }
    let strange =
        text.chars().any(|character| character.is_control() && !matches!(character, '\r' | '\n' | '\t'));
    if strange { Err(SdpError::Syntax("control characters".to_owned())) } else { Ok(()) }
}

fn sections_of(parsed: &SessionDescription) -> Result<Vec<Section>, SdpError> {
    if parsed.media_descriptions.len() > MAX_SECTIONS {
        return Err(SdpError::Syntax("too many media sections".to_owned()));
    }
    parsed.media_descriptions.iter().map(section_of).collect()
}

fn section_of(media: &MediaDescription) -> Result<Section, SdpError> {
    let name = &media.media_name;
    let mid = media.attribute("mid").flatten();
    if mid.is_some_and(|mid| mid.len() > 64 || !is_token(mid)) {
        return Err(SdpError::Attribute("mid"));
    }
    if name.formats.is_empty() || !name.formats.iter().chain([&name.media]).all(|word| is_token(word)) {
        return Err(SdpError::Syntax("media formats".to_owned()));
    }
    Ok(Section {
        kind: name.media.clone(),
        protocol: name.protos.join("/"),
        formats: name.formats.clone(),
        mid: mid.map(str::to_owned),
    })
}

/// The first audio section over DTLS-SRTP that is not rejected.
fn choose_audio(parsed: &SessionDescription) -> Result<usize, SdpError> {
    let audio = |media: &&MediaDescription| media.media_name.media == "audio" && is_dtls_srtp(media);
    let all = || parsed.media_descriptions.iter().enumerate().filter(|(_, media)| audio(media));
    let live =
        all().find(|(_, media)| media.media_name.port.value != 0 || media.has_attribute("bundle-only"));
    match live {
        Some((place, _)) => Ok(place),
        None if all().next().is_some() => Err(SdpError::AudioRejected),
        None => Err(SdpError::NoAudio),
    }
}

fn is_dtls_srtp(media: &MediaDescription) -> bool {
    matches!(
        media.media_name.protos.join("/").as_str(),
        "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "RTP/SAVPF"
    )
}

fn is_bundle(attribute: &Attribute) -> bool {
    attribute.key == "group" && attribute.value.as_deref().is_some_and(|value| value.starts_with("BUNDLE"))
}

fn candidates_of(section: &MediaDescription, session: &SessionDescription) -> Vec<String> {
    let lines =
        section.attributes.iter().chain(&session.attributes).filter(|attribute| attribute.key == "candidate");
    let lines =
        lines.filter_map(|attribute| attribute.value.as_deref()).filter(|value| value.len() < MAX_LINE - 10);
    lines.take(MAX_CANDIDATES).map(|value| format!("candidate:{value}")).collect()
}

fn sources_of(section: &MediaDescription) -> Vec<u32> {
    let mut sources: Vec<u32> = Vec::new();
    for attribute in section.attributes.iter().filter(|attribute| attribute.key == "ssrc") {
        let number = attribute.value.as_deref().and_then(|value| value.split(' ').next()?.parse().ok());
        if let Some(source) = number.filter(|source| !sources.contains(source) && sources.len() < MAX_SOURCES)
        {
            sources.push(source);
        }
    }
    sources
}

/// Attributes that may stand in the section or for the whole session.
struct Lookup<'a> {
    section: &'a MediaDescription,
    session: &'a SessionDescription,
}

impl<'a> Lookup<'a> {
    fn values(&self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let attributes = self.section.attributes.iter().chain(&self.session.attributes);
        attributes
            .filter(move |attribute| attribute.key == key)
            .filter_map(|attribute| attribute.value.as_deref())
    }

    /// RFC 8839, section 5.4: 4 to 256 (fragment) or 22 to 256 (password) of `ice-char`.
    fn ice_value(&self, key: &'static str, shortest: usize) -> Result<String, SdpError> {
        let value = self.values(key).next().map(str::trim).ok_or(SdpError::Attribute(key))?;
        let known = |byte: u8| {
            byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/' || byte == b'-' || byte == b'_'
        };
        let good = (shortest..=256).contains(&value.len()) && value.bytes().all(known);
        if good { Ok(value.to_owned()) } else { Err(SdpError::Attribute(key)) }
    }

    fn fingerprint(&self) -> Result<Fingerprint, SdpError> {
        self.values("fingerprint")
            .filter_map(|value| value.trim().split_once(' '))
            .find(|(hash, _)| hash.eq_ignore_ascii_case("sha-256"))
            .and_then(|(_, digest)| Fingerprint::parse(digest.trim()))
            .ok_or(SdpError::Attribute("fingerprint"))
    }

    fn setup(&self) -> Result<Setup, SdpError> {
        match self.values("setup").next().map(str::trim) {
            Some("actpass") => Ok(Setup::ActPass),
            Some("active") => Ok(Setup::Active),
            Some("passive") => Ok(Setup::Passive),
            _ => Err(SdpError::Attribute("setup")),
        }
    }
}
