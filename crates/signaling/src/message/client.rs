//! What a client sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Candidate, Empty, Headers, Reveal, Update, WireError};
use crate::call::CallEndCause;
use crate::id::{ApplicationKey, CallId, DeviceCredential, DeviceId, SessionId, UserId};

/// A message from client to server. Those about a call name it in the envelope's `call_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "body")]
pub enum ClientMessage {
    /// The first frame of a connection.
    #[serde(rename = "hello")]
    Hello(Hello),
    /// Renews the registration in band.
    #[serde(rename = "register")]
    Register(Register),
    /// Calls a user.
    #[serde(rename = "call.start")]
    CallStart(CallStart),
    /// This device rings.
    #[serde(rename = "call.ringing")]
    CallRinging(Empty),
    /// The local person accepted.
    #[serde(rename = "call.answer")]
    CallAnswer(Answer),
    /// The caller shows the nonce it had committed to.
    #[serde(rename = "call.reveal")]
    CallReveal(Reveal),
    /// A trickled candidate.
    #[serde(rename = "call.candidate")]
    CallCandidate(Candidate),
    /// A renegotiation.
    #[serde(rename = "call.update")]
    CallUpdate(Update),
    /// Media is connected at this end.
    #[serde(rename = "call.established")]
    CallEstablished(Empty),
    /// Asks for STUN and TURN servers with credentials that have not ended: before an ICE restart late in a call.
    #[serde(rename = "call.ice_servers")]
    CallIceServers(Empty),
    /// How a call was at this end, once it is over. Nothing follows from it but statistics.
    #[serde(rename = "call.report")]
    CallReport(CallReport),
    /// Denies, cancels or ends a call.
    #[serde(rename = "call.hangup")]
    CallHangup(Hangup),
    /// Asks the server to wake this device by Web Push when it is called and not connected.
    #[serde(rename = "push.subscribe")]
    PushSubscribe(PushSubscription),
    /// Ends what `push.subscribe` began.
    #[serde(rename = "push.unsubscribe")]
    PushUnsubscribe(Empty),
    /// Acknowledges by the envelope's `ack` alone.
    #[serde(rename = "ack")]
    Ack(Empty),
    /// Asks for a `pong`.
    #[serde(rename = "ping")]
    Ping(Empty),
}

/// Opens a session or takes it up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The application.
    pub application_key: ApplicationKey,
    /// The local user.
    pub user: UserId,
    /// This installation.
    pub device_id: DeviceId,
    /// How the device proves itself.
    pub credential: Credential,
    /// The session to take up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Answered calls of this device: a server that was restarted takes them over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<LiveCall>,
}

/// An answered call as this device knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveCall {
    /// The call.
    pub call_id: CallId,
    /// Whether this device is the caller.
    pub outgoing: bool,
    /// The other person.
    pub remote: UserId,
    /// The nonce that came with the answer, where one did: of two devices of the callee that answered at once, it tells which one the caller has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// How a device proves itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A registration token (JWT) from the application.
    Token(String),
    /// The credential an earlier `welcome` brought.
    Device(DeviceCredential),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(redacted)",
            Self::Device(_) => "Device(redacted)",
        })
    }
}

/// Names the session to take up again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resume {
    /// The session.
    pub session: SessionId,
    /// The secret of the last `welcome`; usable once.
    pub token: String,
    /// The last event that was handled; 2^53 - 1 asks for a snapshot.
    pub last_seq: u64,
    /// The epoch of the last `welcome`: a server of another one was restarted, and takes over the calls of the hello.
    #[serde(default)]
    pub epoch: String,
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume")
            .field("session", &self.session)
            .field("last_seq", &self.last_seq)
            .finish_non_exhaustive()
    }
}

/// A fresh registration token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Register {
    /// The JWT.
    pub token: String,
}

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Register(redacted)")
    }
}

/// Calls a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallStart {
    /// Who is called.
    pub to: UserId,
    /// Application headers, at most 1024 bytes.
    #[serde(default)]
    pub headers: Headers,
    /// The offer, at most 32 KiB.
    pub sdp: String,
    /// The caller's commitment for the authentication string: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// What the caller calls themselves, at most 255 bytes. Nobody vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Accepts a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The answer, at most 32 KiB (RFC 8866).
    pub sdp: String,
    /// The callee's nonce for the authentication string, where the caller committed to one: 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// Ends a call from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hangup {
    /// Why.
    pub cause: CallEndCause,
    /// The error, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
}

/// How a call was at one end. What was not measured is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallReport {
    /// The estimated opinion of what was heard here, in hundredths: 100 to 500 (ITU-T G.107).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos_hundredths: Option<u32>,
    /// Packets that were sent to this end and did not come, of a thousand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_per_mille: Option<u32>,
    /// The round trip of the sound's packets, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u32>,
    /// Interarrival jitter at this end (RFC 3550, section 6.4.1), in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u32>,
    /// Whether the sound went through a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<bool>,
}

impl CallReport {
    /// Whether every number can be what it says.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        const MINUTE: u32 = 60_000;
        self.mos_hundredths.is_none_or(|mos| (100..=500).contains(&mos))
            && self.lost_per_mille.is_none_or(|lost| lost <= 1000)
            && self.round_trip_ms.is_none_or(|time| time <= MINUTE)
            && self.jitter_ms.is_none_or(|time| time <= MINUTE)
    }
}

/// Where and how a device is woken, as a browser's `PushSubscription` tells it (RFC 8030, RFC 8291).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushSubscription {
    /// The push service's address for this device, an https URL of at most 2048 bytes. Whoever knows it can disturb the device.
    pub endpoint: String,
    /// The device's public key: base64url of the 65 bytes of an uncompressed P-256 point.
    pub p256dh: String,
    /// The device's authentication secret: base64url of 16 bytes.
    pub auth: String,
}

impl std::fmt::Debug for PushSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushSubscription(redacted)")
    }
}

impl ClientMessage {
    /// Its `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Register(_) => "register",
            Self::CallStart(_) => "call.start",
            Self::CallRinging(_) => "call.ringing",
            Self::CallAnswer(_) => "call.answer",
            Self::CallReveal(_) => "call.reveal",
            Self::CallCandidate(_) => "call.candidate",
            Self::CallUpdate(_) => "call.update",
            Self::CallEstablished(_) => "call.established",
            Self::CallIceServers(_) => "call.ice_servers",
            Self::CallReport(_) => "call.report",
            Self::CallHangup(_) => "call.hangup",
            Self::PushSubscribe(_) => "push.subscribe",
            Self::PushUnsubscribe(_) => "push.unsubscribe",
            Self::Ack(_) => "ack",
            Self::Ping(_) => "ping",
        }
    }

    /// Every `type` of this direction.
    pub const TYPES: [&'static str; 16] = [
        "hello",
        "register",
        "call.start",
        "call.ringing",
        "call.answer",
        "call.reveal",
        "call.candidate",
        "call.update",
        "call.established",
        "call.ice_servers",
        "call.report",
        "call.hangup",
        "push.subscribe",
        "push.unsubscribe",
        "ack",
        "ping",
    ];
}
