//! ICE, DTLS-SRTP, RTP, RTCP and SDP of Offhook, without I/O.
//!
//! A [`Session`] is one call's connection to one peer. It opens no socket, reads no clock and starts no thread: the owner
//! feeds it datagrams, descriptions and the time, and drains [`Session::poll_output`] after each until it says
//! [`Output::Timeout`], and [`Session::poll_rtp`] until it says `None`.
//!
//! No byte from the network reaches a library parser before this crate's own parse has validated it, and none reaches the
//! application before it was authenticated.

pub mod candidate;
mod certificate;
mod config;
mod consent;
pub mod demux;
mod dtls;
mod error;
mod event;
mod feedback;
#[doc(hidden)]
pub mod fuzzing;
mod ice;
mod ice_url;
mod path_report;
mod relay;
pub mod rtcp;
pub mod rtp_header;
pub mod sdp;
mod session;
mod srtp;
mod stats;
mod stun_gather;

pub use certificate::{Certificate, Fingerprint};
pub use config::{Direction, DtlsPart, DtlsVersions, OpusParams, Role, SessionConfig};
pub use error::{
    CandidateError, CertificateError, LocalCandidateError, SdpError, SendReportError, SendRtpError,
    SessionError, TransportError,
};
pub use event::{
    AudioLevel, CandidateKind, Carrier, Connected, DtlsVersion, Event, FeedbackReport, IceState, Output,
    PacketFate, PathEnd, ReceivedRtp, RtpToSend, SrtpProfile, Transmit,
};
pub use ice_url::{IceService, IceUrl, IceUrlError};
pub use path_report::PathReport;
pub use relay::{RelayError, RelayProtocol, TurnServer};
pub use sdp::Media;
pub use session::{MAX_PAYLOAD, Session};
pub use stats::{RejectReason, RejectedDatagrams, StreamStats, TransportStats};
