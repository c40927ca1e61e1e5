//! What a session gives out.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::TransportError;
use crate::path_report::PathReport;
use crate::relay::{RelayError, RelayProtocol};
use crate::rtcp::ShortReport;

/// One output of [`Session::poll_output`](crate::Session::poll_output).
#[derive(Debug)]
pub enum Output {
    /// Send this datagram now.
    Transmit(Transmit),
    /// Something the application should know.
    Event(Event),
    /// Nothing more; call [`Session::handle_timeout`](crate::Session::handle_timeout) at this time at the latest.
    Timeout(Instant),
}

/// What carries bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Carrier {
    /// A socket for datagrams.
    #[default]
    Udp,
    /// A connection, plain or inside TLS: the bytes follow those before.
    Tcp,
}

/// A datagram to send, or bytes for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// What to send by.
    pub carrier: Carrier,
    /// The local socket to send from: one given to `add_local_candidate`; or the local end of a connection given to
    /// `add_turn_connection`.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// The bytes.
    pub contents: Bytes,
}

/// News of a session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A candidate line (`candidate:…`, without `a=`) to signal to the peer.
    LocalCandidate(String),
    /// All STUN servers answered or were given up; no more candidates unless a socket is added.
    GatheringDone,
    /// Connectivity changed.
    IceState(IceState),
    /// Keys are there and a path is nominated: media flows from now on. Once per session.
    Connected(Connected),
    /// Media now takes another path (better pair, address change, ICE restart).
    PathChanged {
        /// The local socket.
        local: SocketAddr,
        /// The peer's address.
        remote: SocketAddr,
    },
    /// No answered check for the consent time (RFC 7675): nothing is sent any more until an ICE restart succeeds.
    PeerLost,
    /// The peer answers again after [`Event::PeerLost`].
    PeerBack,
    /// The peer ended its stream or the DTLS association: it has hung up.
    RemoteBye,
    /// What became of packets we sent, from the peer's transport-wide feedback.
    Feedback(FeedbackReport),
    /// How the peer receives our packets, as its feedback and receiver reports say: from peers that take no short reports, at most four
    /// times a second.
    PathReport(PathReport),
    /// How the peer receives our packets, in its own words: only where [`Media::short_reports`](crate::Media::short_reports) is agreed.
    ShortReport(ShortReport),
    /// A TURN server gives no relayed address, or the address has ended. Other paths go on.
    RelayFailed {
        /// The socket or connection it was asked through.
        local: SocketAddr,
        /// The server.
        server: SocketAddr,
        /// How it was spoken to.
        protocol: RelayProtocol,
        /// The address that has ended; `None` when there was none yet.
        relayed: Option<SocketAddr>,
        /// Why.
        error: RelayError,
    },
    /// The session is over.
    Failed(TransportError),
}

/// What was negotiated when the session connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// DTLS version.
    pub dtls: DtlsVersion,
    /// SRTP protection profile.
    pub srtp: SrtpProfile,
    /// Our end of the path.
    pub local: PathEnd,
    /// The peer's end of the path.
    pub remote: PathEnd,
}

/// One end of the nominated candidate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathEnd {
    /// Transport address.
    pub address: SocketAddr,
    /// How the address was found; `None` when the pair is known only by its address.
    pub kind: Option<CandidateKind>,
    /// How the TURN server of our own relayed address is spoken to; `None` for every other address.
    pub relay: Option<RelayProtocol>,
}

/// Kinds of candidates (RFC 8445, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An address of the machine itself.
    Host,
    /// An address a STUN server saw.
    ServerReflexive,
    /// An address the peer saw.
    PeerReflexive,
    /// An address on a TURN server.
    Relayed,
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        })
    }
}

/// Where ICE stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IceState {
    /// Nothing was checked yet.
    New,
    /// Looking for a path.
    Checking,
    /// A path works.
    Connected,
    /// No path works at the moment.
    Disconnected,
}

/// DTLS versions that can be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtlsVersion {
    /// RFC 6347.
    V12,
    /// RFC 9147.
    V13,
}

impl fmt::Display for DtlsVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V12 => "DTLS 1.2",
            Self::V13 => "DTLS 1.3",
        })
    }
}

/// SRTP protection profiles that can be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// AES-128 counter mode with 80-bit HMAC-SHA1 (RFC 5764).
    Aes128CmSha1_80,
    /// AES-128-GCM (RFC 7714).
    AeadAes128Gcm,
    /// AES-256-GCM (RFC 7714).
    AeadAes256Gcm,
}

impl fmt::Display for SrtpProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aes128CmSha1_80 => "AES128_CM_SHA1_80",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        })
    }
}

/// Level of the sound in a packet (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Decibels below full scale, 0 (loudest) to 127 (silence).
    pub below_full_scale: u8,
    /// Whether the sender heard speech.
    pub voice: bool,
}

/// An authenticated RTP packet, borrowed from the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedRtp<'a> {
    /// When its datagram arrived.
    pub arrival: Instant,
    /// Payload type: tells Opus, RED and telephone-event apart.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp in the payload type's clock.
    pub timestamp: u32,
    /// Source of the stream; a new value is a new stream.
    pub ssrc: u32,
    /// The sender's level, where the peer sends it.
    pub audio_level: Option<AudioLevel>,
    /// The payload without padding.
    pub payload: &'a [u8],
}

/// A packet for [`Session::send_rtp`](crate::Session::send_rtp), which adds sequence number, SSRC and extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpToSend<'a> {
    /// One of the negotiated payload types.
    pub payload_type: u8,
    /// Marker bit: first packet after silence.
    pub marker: bool,
    /// Media timestamp in the payload type's clock.
    pub timestamp: u32,
    /// Sent with the packet where negotiated.
    pub audio_level: Option<AudioLevel>,
    /// At most [`MAX_PAYLOAD`](crate::MAX_PAYLOAD) bytes.
    pub payload: &'a [u8],
}

/// What became of packets we sent (transport-wide congestion control, draft-holmer-rmcat-transport-wide-cc-extensions-01).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedbackReport {
    /// In the order they were sent.
    pub packets: Vec<PacketFate>,
}

/// One packet of a [`FeedbackReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketFate {
    /// Counts our packets that have a transport-wide number, from 0.
    pub number: u64,
    /// When we sent it.
    pub sent: Instant,
    /// Its size in bytes as an SRTP packet.
    pub size: usize,
    /// Bytes of payload in it.
    pub payload: usize,
    /// When it arrived, on the peer's clock counted from an unknown start; `None` when it had not.
    pub arrived: Option<Duration>,
}
