//! What one session is told before it starts.

use std::sync::Arc;
use std::time::Duration;

use crate::certificate::Certificate;

/// Who sent the first offer. Decides the ICE role and who gives way in a glare (the answerer does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This side calls [`Session::create_offer`](crate::Session::create_offer) first; it controls ICE.
    Offerer,
    /// This side calls [`Session::handle_offer`](crate::Session::handle_offer) first.
    Answerer,
}

/// DTLS versions to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsVersions {
    /// 1.3 where the peer can, otherwise 1.2.
    #[default]
    Auto,
    /// 1.2 only, for peers whose 1.3 is faulty.
    Only12,
}

/// The part this side takes in the DTLS handshake when the peer leaves the choice (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsPart {
    /// Sends the ClientHello: half a round trip faster, what RFC 8842 recommends to answerers.
    #[default]
    Active,
    /// Waits for the peer's ClientHello.
    Passive,
}

/// Which way sound flows, seen from this side (RFC 8866, section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// This side only sends: the peer is on hold.
    SendOnly,
    /// This side only receives.
    RecvOnly,
    /// Nothing flows: the call is on hold.
    Inactive,
}

impl Direction {
    /// Whether this side sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether this side receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(crate) fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The same flow seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What remains when both sides must agree to each way.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// How Opus is offered (RFC 7587).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusParams {
    /// Payload type in our offers, 96 to 127. An answer takes the peer's.
    pub payload_type: u8,
    /// Sound per packet that we ask the peer for (`ptime`).
    pub packet_time: Duration,
    /// Whether we ask the peer for in-band forward error correction (`useinbandfec`).
    pub in_band_fec: bool,
    /// Whether we ask the peer to pause in silence (`usedtx`).
    pub dtx: bool,
    /// Bit rate in bits per second that we ask the peer not to exceed (`maxaveragebitrate`); `None` leaves it open.
    pub max_average_bitrate: Option<u32>,
}

impl Default for OpusParams {
    fn default() -> Self {
        Self {
            payload_type: 111,
            packet_time: Duration::from_millis(20),
            in_band_fec: true,
            dtx: false,
            max_average_bitrate: None,
        }
    }
}

/// Everything one [`Session`](crate::Session) needs to know.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Shared by all sessions of the process.
    pub certificate: Arc<Certificate>,
    /// Who sends the first offer.
    pub role: Role,
    /// DTLS versions to speak.
    pub dtls: DtlsVersions,
    /// Our part in DTLS when we answer an offer that leaves the choice.
    pub dtls_part: DtlsPart,
    /// How Opus is offered.
    pub opus: OpusParams,
    /// Payload type of RED with Opus in it (RFC 2198) in our offers; `None`: RED is neither offered nor accepted.
    pub red_payload_type: Option<u8>,
    /// Whether this side takes short reports of how its packets are received (RTCP APP `OFHK`), and says so.
    pub short_reports: bool,
    /// Payload type of telephone-event at 48 kHz (RFC 4733) in our offers.
    pub telephone_event_48k: u8,
    /// Payload type of telephone-event at 8 kHz in our offers.
    pub telephone_event_8k: u8,
    /// The direction asked for at first; later [`Session::set_direction`](crate::Session::set_direction).
    pub direction: Direction,
    /// Only answer connectivity checks, never send any (RFC 8445, section 2.5). For hosts with a public address.
    pub ice_lite: bool,
    /// Only relayed addresses are gathered, told and used: the peer learns none of this side's own. Published as
    /// `setUseRelayIceCandidatesOnly`. Without a TURN server such a session never connects.
    pub relay_only: bool,
    /// From the remote description to keys on both sides; then [`Event::Failed`](crate::Event::Failed).
    pub connect_timeout: Duration,
    /// Without an answered check for this long the peer is lost (RFC 7675: at most 30 s).
    pub consent_timeout: Duration,
    /// Time between transport-wide feedback reports; 100 to 250 ms is customary.
    pub feedback_interval: Duration,
}

impl SessionConfig {
    /// The defaults of a voice call, for one role.
    #[must_use]
    pub fn new(certificate: Arc<Certificate>, role: Role) -> Self {
        Self {
            certificate,
            role,
            dtls: DtlsVersions::Auto,
            dtls_part: DtlsPart::Active,
            opus: OpusParams::default(),
            red_payload_type: Some(63),
            short_reports: true,
            telephone_event_48k: 110,
            telephone_event_8k: 126,
            direction: Direction::SendRecv,
            ice_lite: false,
            relay_only: false,
            connect_timeout: Duration::from_secs(30),
            consent_timeout: Duration::from_secs(25),
            // Each costs both sides a wake.
            feedback_interval: Duration::from_millis(250),
        }
    }
}
