//! Counters and measures of a session. What was not measured is `None`.

use std::time::Duration;

use crate::event::{DtlsVersion, PathEnd, SrtpProfile};

/// A snapshot; see [`Session::stats`](crate::Session::stats).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TransportStats {
    /// Round trip by RTCP (LSR and DLSR, RFC 3550, section 6.4.1), the newest.
    pub rtt: Option<Duration>,
    /// Round trip of the newest answered connectivity check.
    pub ice_rtt: Option<Duration>,
    /// What we sent.
    pub sent: StreamStats,
    /// What we received.
    pub received: StreamStats,
    /// Share of our packets that the peer lost since its previous report, 0 to 1.
    pub remote_loss: Option<f64>,
    /// How many of our packets the peer lost since the beginning; duplicates count against losses.
    pub remote_lost: Option<i64>,
    /// Interarrival jitter the peer sees (RFC 3550, section 6.4.1).
    pub remote_jitter: Option<Duration>,
    /// Interarrival jitter we see.
    pub jitter: Option<Duration>,
    /// Share of the peer's packets that we lost in the newest report interval, 0 to 1.
    pub loss: Option<f64>,
    /// How many of the peer's packets we lost since the beginning.
    pub lost: Option<i64>,
    /// Datagrams that were not used, by reason.
    pub rejected: RejectedDatagrams,
    /// Negotiated DTLS version.
    pub dtls: Option<DtlsVersion>,
    /// Negotiated SRTP profile.
    pub srtp: Option<SrtpProfile>,
    /// Our and the peer's end of the path in use.
    pub path: Option<(PathEnd, PathEnd)>,
    /// From the first description of the peer to media that flows; `None` before.
    pub setup: Option<Duration>,
    /// DTLS handshakes that had to be begun again.
    pub dtls_restarts: u32,
    /// Received packets that found the queue of [`Session::poll_rtp`](crate::Session::poll_rtp) full.
    pub receive_overruns: u64,
}

/// Totals of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// RTP packets.
    pub packets: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// RTCP packets (datagrams).
    pub rtcp_packets: u64,
}

/// Why a received datagram was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Empty, too large or of no known protocol (RFC 7983).
    Unknown,
    /// STUN that does not parse or does not prove knowledge of our password.
    Stun,
    /// On a pair of addresses that never passed a connectivity check.
    UnvalidatedSource,
    /// DTLS that is malformed or comes when none is expected.
    Dtls,
    /// Media before there are keys.
    NoKeys,
    /// An RTP header that breaks RFC 3550.
    MalformedRtp,
    /// SRTP or SRTCP whose authentication failed.
    Unauthenticated,
    /// A packet that was received before, or is too old to tell.
    Replayed,
    /// More sources (SSRC) than one peer may use.
    TooManySources,
    /// A payload type that was not negotiated.
    PayloadType,
    /// Authenticated RTCP that breaks its own lengths.
    MalformedRtcp,
    /// From a TURN server, but no answer to what was asked and no packet of a peer it lets through.
    Relay,
}

impl RejectReason {
    /// All reasons, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::Unknown,
        Self::Stun,
        Self::UnvalidatedSource,
        Self::Dtls,
        Self::NoKeys,
        Self::MalformedRtp,
        Self::Unauthenticated,
        Self::Replayed,
        Self::TooManySources,
        Self::PayloadType,
        Self::MalformedRtcp,
        Self::Relay,
    ];
}

/// How many datagrams were not used, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RejectedDatagrams([u64; RejectReason::ALL.len()]);

impl RejectedDatagrams {
    /// The count of one reason.
    #[must_use]
    pub fn get(&self, reason: RejectReason) -> u64 {
        self.0[reason as usize]
    }

    /// All reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: RejectReason) {
        self.0[reason as usize] += 1;
    }
}
