//! Session descriptions (RFC 8866) as JSEP (RFC 9429) uses them, for one audio section.
//!
//! Syntax is the `sdp` crate's; what is accepted, answered and offered is decided here.

mod answer;
mod media;
mod offer;
mod parse;
mod remote_audio;
mod write;

use thiserror::Error;

pub use media::Media;
pub use parse::{RemoteDescription, Section, Setup};

pub(crate) use answer::{media_from_answer, media_from_offer};
pub(crate) use offer::media_to_offer;
pub(crate) use write::{LocalDescription, write};

/// A description longer than this is refused before it is parsed.
pub const MAX_DESCRIPTION: usize = 32 * 1024;
/// More lines than any browser writes for audio and video.
pub const MAX_LINES: usize = 1024;
/// More media sections are refused.
pub const MAX_SECTIONS: usize = 16;

pub(crate) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
pub(crate) const TRANSPORT_SEQUENCE_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Attribute of an audio section: the highest version of short reports (RTCP APP `OFHK`) its side takes. Whoever does not know it
/// passes it over (RFC 8866, section 5.13).
pub(crate) const SHORT_REPORT: &str = "x-offhook-report";
/// The version we write and read.
pub(crate) const SHORT_REPORT_VERSION: u8 = 1;

/// Why a peer's description cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdpError {
    /// Longer than [`MAX_DESCRIPTION`] or [`MAX_LINES`].
    #[error("the description is too large ({bytes} bytes in {lines} lines)")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// Its lines.
        lines: usize,
    },
    /// Breaks the grammar of RFC 8866.
    #[error("not a session description: {0}")]
    Syntax(String),
    /// No audio section with a protocol we speak (`UDP/TLS/RTP/SAVPF`).
    #[error("no audio section over DTLS-SRTP")]
    NoAudio,
    /// The audio section was rejected by the peer.
    #[error("the peer rejected the audio section")]
    AudioRejected,
    /// Opus at 48 kHz is not among the formats.
    #[error("the peer does not speak Opus")]
    NoOpus,
    /// An attribute we cannot do without is missing or malformed.
    #[error("attribute {0} is missing or malformed")]
    Attribute(&'static str),
    /// RTP and RTCP on one port (RFC 8858) is the only form we speak.
    #[error("the peer does not multiplex RTP and RTCP")]
    NoRtcpMux,
    /// Its sections are not those of our offer.
    #[error("the answer does not match the offer")]
    AnswerMismatch,
    /// The certificate changed during the session; only a new session can take a new one.
    #[error("the fingerprint changed during the session")]
    FingerprintChanged,
}
