//! What can go wrong, one enum per operation; each variant says what the caller can do.

use thiserror::Error;

use crate::relay::RelayError;
pub use crate::sdp::SdpError;

/// No certificate could be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The crypto library refused; retrying helps only when the system lacked randomness.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
}

/// A session could not be made, or a description not be made or taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The system gives no random numbers: nothing secure can be done on this machine now.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// A value of the configuration is impossible; correct it.
    #[error("configuration: {0}")]
    Config(&'static str),
    /// The peer's description cannot be used; end the call or ask for another.
    #[error("session description: {0}")]
    Sdp(#[from] SdpError),
    /// The operation does not fit the state of offer and answer; wait for the other's description or roll back.
    #[error("{operation} is not possible while {state}")]
    WrongState {
        /// What was asked for.
        operation: &'static str,
        /// Where the negotiation stands.
        state: &'static str,
    },
    /// Both sides offered at once and this side does not give way: ignore the offer, the peer takes ours.
    #[error("both sides sent an offer; the peer gives way")]
    Glare,
    /// The session is closed or failed; make a new one.
    #[error("the session has ended")]
    Ended,
}

/// A remote candidate line cannot be used; the others still can.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CandidateError {
    /// Longer than any real candidate.
    #[error("candidate line of {0} bytes is too long")]
    TooLong(usize),
    /// Not the grammar of RFC 8839, section 5.1.
    #[error("not a candidate line: {0}")]
    Malformed(&'static str),
    /// More candidates than one peer may send.
    #[error("more than {0} candidates")]
    TooMany(usize),
    /// The session is closed or failed.
    #[error("the session has ended")]
    Ended,
}

/// A local address cannot become a candidate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalCandidateError {
    /// Not a unicast address a peer could reach; use the address of one interface.
    #[error("not usable as a candidate: {0}")]
    Address(String),
    /// More sockets than one session may have.
    #[error("more than {0} local candidates")]
    TooMany(usize),
}

/// A packet was not sent.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum SendRtpError {
    /// No keys or no way to the peer yet (or consent was lost): drop the packet and go on.
    #[error("not connected")]
    NotConnected,
    /// The negotiated direction does not let this side send, and what was under way when that was agreed is out: drop the packet.
    #[error("on hold: this side does not send")]
    OnHold,
    /// The payload type was not negotiated; use one from [`Session::media`](crate::Session::media).
    #[error("payload type {0} was not negotiated")]
    PayloadType(u8),
    /// Longer than fits a datagram that passes everywhere.
    #[error("payload of {0} bytes is too long")]
    TooLong(usize),
    /// The keys are used up (2^48 packets) or the crypto library refused: restart the session.
    #[error("the packet could not be protected")]
    Protect,
}

/// A short report was not sent; the next one says the same and more.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum SendReportError {
    /// No keys or no way to the peer yet (or consent was lost).
    #[error("not connected")]
    NotConnected,
    /// The peer does not take short reports: it learns the same from receiver reports and transport-wide feedback.
    #[error("the peer takes no short reports")]
    NotAgreed,
    /// Empty or longer than [`MAX_SHORT_REPORT`](crate::rtcp::MAX_SHORT_REPORT).
    #[error("a short report of {0} bytes")]
    Length(usize),
}

/// Why a session ended by itself.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[non_exhaustive]
pub enum TransportError {
    /// No candidate pair worked in time: the network between the two lets no UDP through.
    #[error("no network path to the peer was found in time")]
    IceTimeout,
    /// Only relayed addresses may be used and no TURN server gave one: name one that can be reached and takes the credentials.
    #[error("no TURN server gave a relayed address, and others may not be used{}", because(.last))]
    NoRelay {
        /// What the last one said; `None` when there was none to ask.
        last: Option<RelayError>,
    },
    /// A path was found but DTLS did not finish in time.
    #[error("the DTLS handshake did not finish in time")]
    DtlsTimeout,
    /// DTLS failed for good, after new attempts.
    #[error("DTLS failed: {0}")]
    Dtls(String),
    /// The peer's certificate is not the signaled one: somebody else answers. Never go on.
    #[error("the peer's certificate does not match the signaled fingerprint")]
    FingerprintMismatch,
    /// The negotiated keys could not be used.
    #[error("the SRTP keys could not be used: {0}")]
    Srtp(String),
}

fn because(why: &Option<RelayError>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}
