//! What a server sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Candidate, Empty, Headers, IceServer, Limits, Reveal, Update, WireError};
use crate::UnixSeconds;
use crate::call::{CallEndCause, CallState};
use crate::id::{CallId, DeviceCredential, MessageId, SessionId, UserId};

/// A message from server to client. Call events are numbered by the envelope's `seq`; others carry 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "body")]
pub enum ServerMessage {
    /// The session is open.
    #[serde(rename = "welcome")]
    Welcome(Box<Welcome>),
    /// All live calls of this device; replaces the client's table.
    #[serde(rename = "snapshot")]
    Snapshot(Snapshot),
    /// The registration is renewed.
    #[serde(rename = "registered")]
    Registered(Registered),
    /// The outcome of one client command.
    #[serde(rename = "outcome")]
    Outcome(Outcome),
    /// Somebody calls.
    #[serde(rename = "call.incoming")]
    CallIncoming(Incoming),
    /// The callee is being reached.
    #[serde(rename = "call.progressing")]
    CallProgressing(Progressing),
    /// A device of the callee rings.
    #[serde(rename = "call.ringing")]
    CallRinging(Empty),
    /// The callee accepted (to the caller), or this device won (to the callee).
    #[serde(rename = "call.answered")]
    CallAnswered(Answered),
    /// The nonce that the caller had committed to.
    #[serde(rename = "call.reveal")]
    CallReveal(Reveal),
    /// A candidate of the other side.
    #[serde(rename = "call.candidate")]
    CallCandidate(Candidate),
    /// A renegotiation by the other side.
    #[serde(rename = "call.update")]
    CallUpdate(Update),
    /// The other side's media is connected.
    #[serde(rename = "call.established")]
    CallEstablished(Empty),
    /// STUN and TURN servers for this call, as asked for.
    #[serde(rename = "call.ice_servers")]
    CallIceServers(IceServers),
    /// The call is over.
    #[serde(rename = "call.ended")]
    CallEnded(Ended),
    /// Acknowledges by the envelope's `ack` alone.
    #[serde(rename = "ack")]
    Ack(Empty),
    /// Answers `ping`.
    #[serde(rename = "pong")]
    Pong(Empty),
    /// A frame could not be used.
    #[serde(rename = "error")]
    Error(Outcome),
    /// The server closes the connection.
    #[serde(rename = "bye")]
    Bye(Bye),
}

/// Opens a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The session.
    pub session: SessionId,
    /// The secret for the next resume; usable once.
    pub resume_token: String,
    /// Changes whenever the server forgot its sessions.
    pub epoch: String,
    /// Whether missed events follow; otherwise a `snapshot` follows.
    pub resumed: bool,
    /// How often the client sends `ping`, in milliseconds.
    pub heartbeat_ms: u32,
    /// What the server accepts.
    pub limits: Limits,
    /// The server's clock.
    pub server_time: UnixSeconds,
    /// STUN and TURN servers of calls that name none of their own.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// A new device credential, after a token was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<IssuedCredential>,
}

impl std::fmt::Debug for Welcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Welcome")
            .field("session", &self.session)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

/// A device credential and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedCredential {
    /// The secret.
    pub secret: DeviceCredential,
    /// When it ends.
    pub expires: UnixSeconds,
}

/// Answers `register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The new credential.
    pub credential: IssuedCredential,
}

/// The outcome of a client frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The client frame this is about, when it was readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MessageId>,
    /// Why it was refused; absent when it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
    /// A sentence for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Somebody calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incoming {
    /// Who calls.
    pub from: UserId,
    /// Application headers.
    #[serde(default)]
    pub headers: Headers,
    /// The offer.
    pub sdp: String,
    /// The caller's commitment for the authentication string: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// What the caller calls themselves, at most 255 bytes. Nobody vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// STUN and TURN servers for this call and device; where there are none, those of `welcome`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer>,
}

/// The callee is being reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progressing {
    /// STUN and TURN servers for this call and device; where there are none, those of `welcome`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer>,
}

/// STUN and TURN servers for one call and device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IceServers {
    /// The servers.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
}

/// The callee accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    /// The answer, to the caller; empty to the callee's winning device.
    #[serde(default)]
    pub sdp: String,
    /// Who answered, when the call was led to somebody else than whom the caller called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// To the caller, the callee's nonce for the authentication string: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// Why.
    pub cause: CallEndCause,
    /// The error, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

/// All live calls of this device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The calls.
    pub calls: Vec<CallSnapshot>,
}

/// One live call as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallSnapshot {
    /// The call.
    pub call_id: CallId,
    /// Whether this device is the caller.
    pub outgoing: bool,
    /// The other person.
    pub remote: UserId,
    /// How far the call is.
    pub state: CallState,
    /// Application headers.
    #[serde(default)]
    pub headers: Headers,
    /// The other side's first description, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<String>,
    /// The caller's commitment for the authentication string, to a callee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// What the caller calls themselves, to a callee; at most 255 bytes. Nobody vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The callee's nonce for the authentication string, to the caller of an answered call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// What a client does after `bye`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ByeAction {
    /// Connect again and take the session up.
    Resume,
    /// Connect again with a new session.
    Reconnect,
    /// Do not come back by yourself.
    Stop,
}

/// The server closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bye {
    /// What to do next.
    pub action: ByeAction,
    /// How long to wait first, in milliseconds.
    #[serde(default)]
    pub retry_after_ms: u32,
    /// Why, when it was a fault of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

impl ServerMessage {
    /// Every `type` of this direction.
    pub const TYPES: [&'static str; 18] = [
        "welcome",
        "snapshot",
        "registered",
        "outcome",
        "call.incoming",
        "call.progressing",
        "call.ringing",
        "call.answered",
        "call.reveal",
        "call.candidate",
        "call.update",
        "call.established",
        "call.ice_servers",
        "call.ended",
        "ack",
        "pong",
        "error",
        "bye",
    ];
}
