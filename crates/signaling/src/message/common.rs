//! Parts that both directions share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Application headers of a call; keys and values together at most 1024 bytes of UTF-8.
pub type Headers = BTreeMap<String, String>;

/// A message without content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// Whether a session description offers or answers (RFC 9429 section 4.1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SdpKind {
    /// The first half of a negotiation.
    Offer,
    /// The second half of a negotiation.
    Answer,
}

/// One side's nonce of the authentication string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reveal {
    /// 64 hexadecimal digits.
    pub nonce: String,
}

/// One trickled ICE candidate (RFC 8838), or the end of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The candidate line without `a=`; empty when `end`.
    #[serde(default)]
    pub candidate: String,
    /// The media section it belongs to.
    #[serde(default)]
    pub mid: String,
    /// The user fragment of the ICE generation it belongs to.
    #[serde(default)]
    pub ufrag: String,
    /// No more candidates of this generation follow.
    #[serde(default)]
    pub end: bool,
}

/// A renegotiation of an answered call, for instance an ICE restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Update {
    /// Offer or answer.
    pub kind: SdpKind,
    /// The SDP text, at most 32 KiB.
    pub sdp: String,
}

/// What a server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Largest frame in bytes.
    pub frame_bytes: u32,
    /// Largest session description in bytes.
    pub sdp_bytes: u32,
    /// Most candidates of one call and side.
    pub candidates: u32,
    /// Most bytes of headers of one call.
    pub header_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_bytes: 65_536, sdp_bytes: 32_768, candidates: 64, header_bytes: 1024 }
    }
}

/// A STUN or TURN server. `Debug` does not show its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IceServer {
    /// Its addresses (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// TURN user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why a request or connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WireError {
    /// Not JSON, or a member is missing or of the wrong type.
    Malformed,
    /// A type or version this end does not know.
    Unsupported,
    /// A size limit was passed.
    TooLarge,
    /// A message that may not come now.
    OutOfOrder,
    /// The named call is not known to this device.
    UnknownCall,
    /// The call identifier is already taken.
    DuplicateCall,
    /// Both people called each other; the other call goes on.
    Glare,
    /// The callee is busy.
    Busy,
    /// Media could not connect.
    MediaFailed,
    /// Too many requests; wait.
    RateLimited,
    /// The token has the wrong form.
    TokenMalformed,
    /// The token is signed by another method than HS256.
    TokenAlgorithm,
    /// The signature does not match: the secret is wrong.
    TokenSignature,
    /// The token has ended.
    TokenExpired,
    /// The token is issued in the future: compare the clocks.
    TokenNotYetValid,
    /// The token lives longer than this server allows.
    TokenLifetime,
    /// The token is for another user or application.
    TokenSubject,
    /// Another device has used this token.
    TokenReplayed,
    /// The device credential is unknown, ended or revoked.
    CredentialRefused,
    /// The user is blocked: only the application's back end changes that.
    UserBlocked,
    /// This user id belongs to the server, for instance the echo user's: take another.
    UserReserved,
    /// The push subscription cannot be used: its endpoint is not a public https address, or its keys are malformed.
    BadEndpoint,
    /// This server sends no pushes.
    PushOff,
    /// Another node of the server, with the other side or the call, cannot be reached now: try again.
    Unreachable,
    /// The server failed.
    Internal,
}
