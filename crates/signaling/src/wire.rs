//! Text frames to messages and back, with every limit checked on the way in.

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{CallId, MessageId};
use crate::message::{
    Candidate, ClientMessage, Headers, Limits, PushSubscription, ServerMessage, Snapshot, WireError,
};

/// The protocol version in `v`.
pub const VERSION: u32 = 1;
/// Push services use a few hundred bytes.
const MOST_ENDPOINT: u32 = 2048;
/// Both keys as base64url, and room for padding.
const MOST_PUSH_KEYS: u32 = 256;
/// What a caller calls themselves.
pub const MOST_DISPLAY_NAME: u32 = 255;
/// A commitment or a nonce, of any form.
const MOST_PART: u32 = 64;

/// One message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<M> {
    /// The sender's name for this frame.
    pub id: MessageId,
    /// The number of a server's call event, else 0.
    pub seq: u64,
    /// The highest number the sender has handled.
    pub ack: u64,
    /// The call the message is about.
    pub call_id: Option<CallId>,
    /// The message.
    pub message: M,
}

/// Why a frame could not be read. None of these needs the connection to be closed, except
/// [`ParseError::TooLarge`] when frames keep coming.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A limit of [`Limits`] was passed; send less.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit.
        max: usize,
        /// The frame, so that the answer can name it; `None` when the frame itself is too large to be read.
        id: Option<MessageId>,
    },
    /// Not JSON, or the envelope is not of our form.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// A version or type this end does not know; answer with an `error` frame.
    #[error("unsupported {what}")]
    Unsupported {
        /// `version` or `type`.
        what: &'static str,
        /// The frame, so that the answer can name it.
        id: Option<MessageId>,
    },
    /// The body does not fit its type; answer with an `error` frame.
    #[error("bad body of {kind}: {reason}")]
    Body {
        /// The frame, so that the answer can name it.
        id: MessageId,
        /// The known type.
        kind: String,
        /// What is wrong.
        reason: String,
    },
}

impl ParseError {
    /// The number that the answer carries.
    #[must_use]
    pub const fn wire(&self) -> WireError {
        match self {
            Self::TooLarge { .. } => WireError::TooLarge,
            Self::Unsupported { .. } => WireError::Unsupported,
            Self::Malformed(_) | Self::Body { .. } => WireError::Malformed,
        }
    }

    /// The frame it is about, when that much was readable.
    #[must_use]
    pub const fn id(&self) -> Option<&MessageId> {
        match self {
            Self::TooLarge { id, .. } | Self::Unsupported { id, .. } => id.as_ref(),
            Self::Body { id, .. } => Some(id),
            Self::Malformed(_) => None,
        }
    }

    /// The same about a frame that has a name.
    fn about(self, frame: &MessageId) -> Self {
        match self {
            Self::TooLarge { what, max, id: None } => Self::TooLarge { what, max, id: Some(frame.clone()) },
            other => other,
        }
    }
}

/// The envelope as it stands on the wire, for its schema.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Envelope {
    v: u32,
    id: MessageId,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    ack: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call_id: Option<CallId>,
    #[serde(default)]
    body: Value,
}

/// What is read before it is known what the body must be.
#[derive(Debug, Deserialize)]
struct Head {
    v: u32,
    id: MessageId,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    ack: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    call_id: Option<CallId>,
    /// Whether there is one.
    #[serde(default)]
    body: Option<IgnoredAny>,
}

/// A frame as it is written. `type` comes before `body`: a reader then knows what it reads.
#[derive(Serialize)]
struct Written<'a, M> {
    v: u32,
    id: &'a MessageId,
    seq: u64,
    ack: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a CallId>,
    #[serde(flatten)]
    message: &'a M,
}

/// A direction of the protocol.
pub trait Message: Serialize + DeserializeOwned + JsonSchema {
    /// Every known `type`.
    fn types() -> &'static [&'static str];
    /// Checks the limits of what is inside.
    ///
    /// # Errors
    /// [`ParseError::TooLarge`] naming what passed its limit.
    fn check(&self, limits: &Limits) -> Result<(), ParseError>;
    /// Whether the envelope must name a call.
    fn needs_call(kind: &str) -> bool {
        kind.starts_with("call.")
    }
}

/// Reads one text frame under the default [`Limits`].
///
/// # Errors
/// [`ParseError`]; nothing is allocated for a frame over the size limit.
pub fn parse<M: Message>(text: &str) -> Result<Frame<M>, ParseError> {
    let limits = Limits::default();
    at_most("frame", text.len(), limits.frame_bytes)?;
    let head: Head = serde_json::from_str(text).map_err(|e| ParseError::Malformed(e.to_string()))?;
    if head.v != VERSION {
        return Err(ParseError::Unsupported { what: "version", id: Some(head.id) });
    }
    if !M::types().contains(&head.kind.as_str()) {
        return Err(ParseError::Unsupported { what: "type", id: Some(head.id) });
    }
    let Head { id, seq, ack, kind, call_id, body, .. } = head;
    let bad = |reason: String| ParseError::Body { id: id.clone(), kind: kind.clone(), reason };
    if M::needs_call(&kind) && call_id.is_none() {
        return Err(bad("call_id is missing".to_owned()));
    }
    // A second pass over the text costs less than a tree of the body would.
    let message: M = match body {
        Some(IgnoredAny) => serde_json::from_str(text),
        None => serde_json::from_value(serde_json::json!({ "type": kind, "body": {} })),
    }
    .map_err(|e| bad(e.to_string()))?;
    message.check(&limits).map_err(|error| error.about(&id))?;
    Ok(Frame { id, seq, ack, call_id, message })
}

/// Writes one text frame.
///
/// # Panics
/// Never for the two message types of this crate: they hold only strings, numbers and string-keyed maps.
pub fn write<M: Message>(frame: &Frame<M>) -> String {
    #[expect(
        clippy::unwrap_used,
        reason = "our message types hold only strings, numbers and string-keyed maps"
    )]
    let text = serde_json::to_string(&Written {
        v: VERSION,
        id: &frame.id,
        seq: frame.seq,
        ack: frame.ack,
        call_id: frame.call_id.as_ref(),
        message: &frame.message,
    })
    .unwrap();
    text
}

impl Message for ClientMessage {
    fn types() -> &'static [&'static str] {
        &Self::TYPES
    }

    fn check(&self, limits: &Limits) -> Result<(), ParseError> {
        match self {
            // What one device names is told to others, who take no longer ones.
            Self::Hello(m) => m.calls.iter().try_for_each(|call| part(call.nonce.as_deref())),
            Self::CallStart(m) => {
                headers(&m.headers, limits)?;
                part(m.commitment.as_deref())?;
                name(m.display_name.as_deref())?;
                sdp(&m.sdp, limits)
            }
            Self::CallAnswer(m) => {
                part(m.nonce.as_deref())?;
                sdp(&m.sdp, limits)
            }
            Self::CallReveal(m) => part(Some(&m.nonce)),
            Self::CallUpdate(m) => sdp(&m.sdp, limits),
            Self::CallCandidate(m) => candidate(m),
            Self::PushSubscribe(m) => subscription(m),
            _ => Ok(()),
        }
    }
}

impl Message for ServerMessage {
    fn types() -> &'static [&'static str] {
        &Self::TYPES
    }

    fn check(&self, limits: &Limits) -> Result<(), ParseError> {
        match self {
            Self::Snapshot(m) => snapshot(m),
            Self::CallIncoming(m) => {
                headers(&m.headers, limits)?;
                part(m.commitment.as_deref())?;
                name(m.display_name.as_deref())?;
                sdp(&m.sdp, limits)
            }
            Self::CallAnswered(m) => {
                part(m.nonce.as_deref())?;
                sdp(&m.sdp, limits)
            }
            Self::CallReveal(m) => part(Some(&m.nonce)),
            Self::CallUpdate(m) => sdp(&m.sdp, limits),
            Self::CallCandidate(m) => candidate(m),
            _ => Ok(()),
        }
    }
}

fn candidate(m: &Candidate) -> Result<(), ParseError> {
    at_most("candidate", m.candidate.len() + m.mid.len() + m.ufrag.len(), 1024)
}

fn snapshot(m: &Snapshot) -> Result<(), ParseError> {
    let mut calls = m.calls.iter();
    calls.try_for_each(|call| {
        part(call.commitment.as_deref())?;
        part(call.nonce.as_deref())?;
        name(call.display_name.as_deref())
    })
}

fn name(text: Option<&str>) -> Result<(), ParseError> {
    at_most("display name", text.map_or(0, str::len), MOST_DISPLAY_NAME)
}

fn part(text: Option<&str>) -> Result<(), ParseError> {
    at_most("part of the authentication string", text.map_or(0, str::len), MOST_PART)
}

fn subscription(m: &PushSubscription) -> Result<(), ParseError> {
    at_most("push endpoint", m.endpoint.len(), MOST_ENDPOINT)?;
    at_most("push keys", m.p256dh.len() + m.auth.len(), MOST_PUSH_KEYS)
}

fn sdp(text: &str, limits: &Limits) -> Result<(), ParseError> {
    at_most("session description", text.len(), limits.sdp_bytes)
}

fn headers(headers: &Headers, limits: &Limits) -> Result<(), ParseError> {
    at_most("headers", header_bytes(headers), limits.header_bytes)
}

/// Keys and values together, in bytes of UTF-8.
#[must_use]
pub fn header_bytes(headers: &Headers) -> usize {
    headers.iter().map(|(k, v)| k.len() + v.len()).sum()
}

fn at_most(what: &'static str, size: usize, max: u32) -> Result<(), ParseError> {
    let max = max as usize;
    if size > max { Err(ParseError::TooLarge { what, max, id: None }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_ignored_and_unknown_types_are_named() {
        let ok = r#"{"v":1,"id":"a","type":"ping","new":1}"#;
        assert!(matches!(parse::<ClientMessage>(ok).unwrap().message, ClientMessage::Ping(_)));
        let unknown = r#"{"v":1,"id":"a","type":"call.hologram","call_id":"c"}"#;
        let error = parse::<ClientMessage>(unknown).unwrap_err();
        assert_eq!((error.wire(), error.id().map(MessageId::as_str)), (WireError::Unsupported, Some("a")));
    }

    #[test]
    fn limits_are_checked() {
        let long = "x".repeat(32_769);
        let text =
            format!(r#"{{"v":1,"id":"a","type":"call.answer","call_id":"c","body":{{"sdp":"{long}"}}}}"#);
        let error = parse::<ClientMessage>(&text).unwrap_err();
        assert_eq!((error.wire(), error.id().map(MessageId::as_str)), (WireError::TooLarge, Some("a")));
        let error = parse::<ClientMessage>(&" ".repeat(65_537)).unwrap_err();
        assert_eq!((error.wire(), error.id()), (WireError::TooLarge, None));
    }

    #[test]
    fn a_nonce_that_no_client_would_take_comes_in_by_no_hello() {
        let hello = |length| {
            let call = format!(
                r#"{{"call_id":"c","outgoing":false,"remote":"alice","nonce":"{}"}}"#,
                "0".repeat(length)
            );
            let body = format!(
                r#""application_key":"a32e5a8d-f7d8-411c-9645-9038e8dd051d","user":"bob","device_id":"b","credential":{{"token":"t"}},"calls":[{call}]"#
            );
            parse::<ClientMessage>(&format!(r#"{{"v":1,"id":"a","type":"hello","body":{{{body}}}}}"#))
        };
        assert!(hello(64).is_ok());
        assert_eq!(hello(65).unwrap_err().wire(), WireError::TooLarge);
    }
}
