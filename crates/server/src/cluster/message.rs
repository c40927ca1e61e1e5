//! What nodes say to each other: JSON, versioned, with every limit checked on the way in.
//!
//! Whoever can publish on the bus is trusted as a node is. What comes is still checked: a node of another release, or a fault in one,
//! must not bring the others down.

use bytes::Bytes;
use offhook_signaling::call::{CallState, CallTimers, CallView, DeviceAddress, LegView, Switchboard};
use offhook_signaling::message::{Headers, LiveCall, Resume, WireError};
use offhook_signaling::session::SessionState;
use offhook_signaling::wire::{self, Message as _};
use offhook_signaling::{
    ApplicationKey, CallId, ClientMessage, DeviceId, ServerMessage, UserId, message::Limits,
};
use serde::{Deserialize, Serialize};

use super::bus::MOST_MESSAGE;
use super::journal::Snapshot;
use super::listing::{List, Listed};
use super::node::NodeId;
use crate::admin::Glance;
use crate::store::{CallDetailRecord, MOST_RECORDS, UnixMillis};

const VERSION: u32 = 1;
/// Devices of one user, calls of one device: more is no honest message.
pub(crate) const MOST_NAMED: usize = 256;

/// Why a message of another node was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("larger than a message between nodes may be")]
    TooLarge,
    #[error("malformed: {0}")]
    Malformed(String),
    #[error("version {0}, this release speaks {VERSION}")]
    Version(u32),
    #[error("{0}")]
    Limit(String),
}

/// One message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    v: u32,
    /// Who says it.
    pub(crate) from: NodeId,
    /// The number under which an answer is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ask: Option<u64>,
    /// The number of the question that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answers: Option<u64>,
    pub(crate) application: ApplicationKey,
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// A device of the message's application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
}

/// A call and the term of its owner: what an owner of an earlier term says does not count any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallTerm {
    pub(crate) call_id: CallId,
    pub(crate) epoch: u64,
}

/// What happened to a device that has a part in a call of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceEvent {
    /// It is connected, at the node that says so.
    Connected,
    /// Its connection is lost; its session may come back.
    Disconnected,
    /// Its session is gone.
    Detached,
    /// It was sent a snapshot: what that does not hold is to be said again.
    SnapshotSent,
}

/// A device's part in a call of another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    #[serde(flatten)]
    pub(crate) term: CallTerm,
    pub(crate) owner: NodeId,
    pub(crate) outgoing: bool,
    pub(crate) remote: UserId,
    pub(crate) answered: bool,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body", rename_all = "snake_case")]
pub(crate) enum Body {
    /// To the nodes of a user: this call is for them; which devices are with you?
    Seek { call: CallTerm, caller: UserId, callee: UserId },
    /// To the owner: these devices are with me and can ring.
    Found { call_id: CallId, user: UserId, devices: Vec<DeviceId> },
    /// To the owner: they call each other, and the other call goes on.
    Glare { call_id: CallId },
    /// To the owners of calls that ring for a user: one more device of theirs is with me.
    Arrived { device: Device },
    /// To the nodes of a user: this device begins anew with me, an older session of it is over.
    Opened { device: Device },
    /// To a node that may have the session of a device: it is with me now.
    /// With `only_if_here`, whoever has no session of it says nothing.
    Claim { device: Device, resume: Option<ClaimedSession>, calls: Vec<CallId>, only_if_here: bool },
    /// Answers `Claim`: the session, when its token was right, and the calls that go on.
    Session { state: Option<Box<SessionState>>, parts: Vec<Part> },
    /// Answers `Claim` and `Attach`: I have nothing of it.
    Nothing,
    /// To the owner: a device said this about a call.
    Command { device: Device, call: CallTerm, message: Box<ClientMessage> },
    /// Answers `Command`.
    Outcome { error: Option<WireError> },
    /// To the owner: what happened to a device, in all calls or in one.
    Happened { device: Device, event: DeviceEvent, only: Option<CallId> },
    /// To the owner: a device with me remembers this call.
    Attach { device: Device, live: LiveCall },
    /// Answers `Attach`.
    Attached { part: Part },
    /// To the node of a device: tell it this. Where it is asked, `Delivered` or `Adopted` answers, or `Nothing` when it was not told.
    Deliver { device: Device, owner: NodeId, call: CallTerm, message: Box<ServerMessage> },
    /// Answers `Deliver`: it is in the device's session, or on its way to it.
    Delivered,
    /// To the nodes of both users: the call is mine from now on. To a node that takes itself for the owner in an earlier term, also as an
    /// answer to `Deliver`: it is mine.
    Adopted { call: CallTerm },
    /// To a node that was parted from this one: these calls are mine. Whoever has one of them in a later term says so likewise.
    Owns { calls: Vec<CallTerm> },
    /// To the nodes of both users: the call is nobody's from now on; whoever has a device of it takes it.
    Released { call: CallTerm },
    /// To the owner of calls, now and then: what tells that one is over can be lost where NATS changes.
    Holds { calls: Vec<CallId> },
    /// The answer: these are not the owner's, or it does not know that the node has devices in them.
    Strange { calls: Vec<CallId> },
    /// To the owner of a call: the application's back end, which asked me, wants this of it.
    Control { call_id: CallId, wish: Wish },
    /// Answers `Control`.
    Controlled(Controlled),
    /// To a node: the application's back end, which asked another one, wants to see your part of this list.
    List { list: List, limit: usize },
    /// Answers `List`.
    Listed(Listed),
    /// To a node: the operator wants to see what you have.
    Glance,
    /// Answers `Glance`.
    Seen(Box<Glance>),
    /// To every node, now and then, and to one that was not known: I live, and you can hear me.
    Here,
    /// To every node: what I had is with others now, or over. I am not to be missed.
    Left,
    /// To every node: end the sessions of this user, for this reason.
    Evict { user: UserId, device: Option<DeviceId>, reason: Eviction },
}

/// What an application's back end wants of a live call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    /// To see it.
    Look,
    /// To end it.
    HangUp,
    /// To ring somebody else, with these headers in place of the caller's.
    Redirect { to: UserId, headers: Option<Headers> },
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Controlled {
    /// The call.
    Seen(Box<SeenCall>),
    /// It is done, and on disk.
    Done,
    /// It is no live call of this node.
    Unknown,
    /// It is answered, so that it cannot be led elsewhere.
    Answered,
}

/// A live call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenCall {
    /// How far it is.
    pub(crate) state: CallState,
    /// The callee's devices that have heard of it; none after the answer.
    pub(crate) legs: Vec<LegView>,
    /// What its record would say if it ended now.
    pub(crate) so_far: CallDetailRecord,
}

impl SeenCall {
    pub(crate) fn new(view: CallView, now: UnixMillis) -> Self {
        let CallView { state, legs, so_far } = view;
        Self { state, legs, so_far: CallDetailRecord::new(so_far, now) }
    }
}

/// Why sessions end everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Eviction {
    /// The credentials were revoked.
    Revoked,
    /// The user was blocked.
    Blocked,
    /// The user was blocked, and is not any more.
    Unblocked,
}

/// How a client proves that a session is its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimedSession(pub(crate) Resume);

impl std::fmt::Debug for ClaimedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClaimedSession(redacted)")
    }
}

impl Device {
    pub(crate) fn of(address: &DeviceAddress) -> Self {
        Self { user: address.user.clone(), device: address.device.clone() }
    }

    pub(crate) fn address(&self, application: &ApplicationKey) -> DeviceAddress {
        DeviceAddress {
            application: application.clone(),
            user: self.user.clone(),
            device: self.device.clone(),
        }
    }
}

impl Message {
    pub(crate) const fn new(from: NodeId, application: ApplicationKey, body: Body) -> Self {
        Self { v: VERSION, from, ask: None, answers: None, application, body }
    }

    /// As an answer to this question, if it was one.
    pub(crate) fn answering(self, ask: Option<u64>) -> Self {
        Self { answers: ask, ..self }
    }

    /// As a question under this number.
    pub(crate) fn asking(self, number: u64) -> Self {
        Self { ask: Some(number), ..self }
    }

    /// Reads what another node sent.
    ///
    /// # Errors
    /// [`MessageError`]; nothing is allocated for a message over the size limit.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
        }
        if bytes.len() > MOST_MESSAGE {
            return Err(MessageError::TooLarge);
        }
        let malformed = |error: serde_json::Error| MessageError::Malformed(error.to_string());
        let Head { v } = serde_json::from_slice(bytes).map_err(malformed)?;
        if v != VERSION {
            return Err(MessageError::Version(v));
        }
        let message: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        message.body.check()?;
        Ok(message)
    }

    /// As it goes on the bus.
    ///
    /// # Panics
    /// Never: the types hold only strings, numbers and string-keyed maps.
    pub(crate) fn bytes(&self) -> Bytes {
        let text = serde_json::to_vec(self);
        text.expect("strings, numbers and string-keyed maps are always JSON").into()
    }
}

impl Body {
    fn check(&self) -> Result<(), MessageError> {
        let limits = Limits::default();
        let over = |error: wire::ParseError| MessageError::Limit(error.to_string());
        let many = |count: usize| {
            if count > MOST_NAMED { Err(MessageError::Limit("too many of them".to_owned())) } else { Ok(()) }
        };
        match self {
            Self::Command { message, .. } => message.check(&limits).map_err(over),
            Self::Deliver { message, .. } => message.check(&limits).map_err(over),
            Self::Found { devices, .. } => many(devices.len()),
            Self::Claim { calls, .. } => many(calls.len()),
            Self::Session { parts, .. } => many(parts.len()),
            Self::Holds { calls } | Self::Strange { calls } => many(calls.len()),
            Self::Owns { calls } => many(calls.len()),
            Self::Control { wish: Wish::Redirect { headers: Some(headers), .. }, .. } => {
                let is_allowed = wire::header_bytes(headers) <= limits.header_bytes as usize;
                if is_allowed { Ok(()) } else { Err(MessageError::Limit("headers are too large".to_owned())) }
            }
            Self::Controlled(Controlled::Seen(call)) => many(call.legs.len()),
            Self::List { limit, .. } if !(1..=MOST_RECORDS).contains(limit) => {
                Err(MessageError::Limit("the limit is none".to_owned()))
            }
            Self::Listed(listed) if !listed.is_sane(MOST_RECORDS) => {
                Err(MessageError::Limit("no page of a list".to_owned()))
            }
            Self::Seen(glance) => many(glance.count()),
            _ => Ok(()),
        }
    }
}

/// Bytes as a node gets them from the bus or finds them in the shared memory. What is read can be written and is then the same.
///
/// # Panics
/// When an invariant does not hold.
pub fn fuzz(data: &[u8]) {
    if let Some(snapshot) = Snapshot::parse(data) {
        assert_eq!(Snapshot::parse(&snapshot.bytes()), Some(snapshot.clone()), "what is read can be written");
        let Snapshot { so_far, .. } = snapshot;
        let call = so_far.clone().going_on(crate::environment::wall_millis());
        assert_eq!(call.answered_after.is_some(), call.talked.is_some());
        let (now, device) = (crate::environment::now(), DeviceId::new("d").expect("it is one"));
        let ringing =
            DeviceAddress { application: call.application.clone(), user: call.callee.clone(), device };
        let mut board = Switchboard::new(CallTimers::default());
        board.handle_restored(now, &call, &[ringing]);
        board.handle_timeout(now + std::time::Duration::from_secs(3600));
        assert!(!board.owns(&call.application, &call.call_id), "whose people do not come back, it ends");
        assert!(so_far.started_at(UnixMillis(1)).started == UnixMillis(1));
    }
    let Ok(message) = Message::parse(data) else { return };
    let again = message.bytes();
    if again.len() <= MOST_MESSAGE {
        assert_eq!(Message::parse(&again), Ok(message.clone()), "what is read can be written");
    }
    if let Body::Session { state: Some(state), .. } = message.body {
        let mut session =
            offhook_signaling::session::ServerSession::take_over(crate::environment::now(), *state);
        let last = session.last_seq();
        let text = session.event(None, ServerMessage::Pong(offhook_signaling::message::Empty {}));
        assert!(session.last_seq() == last + 1 && !text.is_empty());
        assert!(session.replay(last).is_none_or(|missed| missed.len() <= 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: Body) -> Message {
        let application = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
        Message::new("a_0123456789abcdef".parse().unwrap(), application, body)
    }

    #[test]
    fn what_is_written_is_read() {
        let device = Device { user: UserId::new("bob").unwrap(), device: DeviceId::new("b1").unwrap() };
        let call = CallTerm { call_id: CallId::new("c").unwrap(), epoch: 3 };
        let answer = ServerMessage::CallAnswered(offhook_signaling::message::Answered::default());
        for body in [
            Body::Nothing,
            Body::Seek {
                call: call.clone(),
                caller: UserId::new("alice").unwrap(),
                callee: device.user.clone(),
            },
            Body::Deliver {
                device: device.clone(),
                owner: "b_0123456789abcdef".parse().unwrap(),
                call,
                message: Box::new(answer),
            },
            Body::Happened { device, event: DeviceEvent::Disconnected, only: None },
        ] {
            let message = Message { ask: Some(7), ..message(body) };
            assert_eq!(Message::parse(&message.bytes()), Ok(message));
        }
    }

    #[test]
    fn every_seed_of_the_fuzzer_is_a_message() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/cluster_message");
        let mut kinds = std::collections::BTreeSet::new();
        for seed in std::fs::read_dir(folder).unwrap() {
            let path = seed.unwrap().path();
            let read = Message::parse(&std::fs::read(&path).unwrap());
            match path.file_name().unwrap().to_str().unwrap() {
                "version" => assert_eq!(read, Err(MessageError::Version(2))),
                "snapshot" => assert!(Snapshot::parse(&std::fs::read(&path).unwrap()).is_some()),
                name => {
                    let message = read.unwrap_or_else(|error| panic!("{name}: {error}"));
                    kinds.insert(serde_json::to_value(&message).unwrap()["type"].to_string());
                }
            }
        }
        assert_eq!(kinds.len(), 29, "each kind has one: {kinds:?}");
    }

    #[test]
    fn limits_and_versions_are_checked() {
        let found = Body::Found {
            call_id: CallId::new("c").unwrap(),
            user: UserId::new("bob").unwrap(),
            devices: vec![DeviceId::new("d").unwrap(); 257],
        };
        assert!(matches!(Message::parse(&message(found).bytes()), Err(MessageError::Limit(_))));
        let newer = Message { v: 2, ..message(Body::Nothing) };
        assert_eq!(Message::parse(&newer.bytes()), Err(MessageError::Version(2)));
        assert_eq!(Message::parse(&vec![b' '; MOST_MESSAGE + 1]), Err(MessageError::TooLarge));
        assert!(matches!(Message::parse(b"[]"), Err(MessageError::Malformed(_))));
    }
}
