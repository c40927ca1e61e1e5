//! One device of the random runs: its client, and what the application on it has seen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::world::Dice;
use crate::call::{CallEndCause, CallState, DeviceAddress};
use crate::client::{ClientConfig, ClientMachine, StoredCredential};
use crate::event::{CallEvent, ClientEvent};
use crate::id::{ApplicationKey, CallId, DeviceId, UserId};
use crate::message::ClientMessage;
use crate::verification::Verification;
use crate::wire;

/// What one running application has seen of one call.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) outgoing: bool,
    pub(super) state: CallState,
    pub(super) accepted: bool,
    pub(super) candidates: Vec<String>,
    pub(super) described: bool,
    pub(super) verification: Option<Verification>,
}

/// One device: its client, the application's view, its line to the server.
pub(super) struct Device {
    pub(super) address: DeviceAddress,
    pub(super) machine: ClientMachine<Dice>,
    pub(super) stored: Option<StoredCredential>,
    pub(super) wake: Option<Instant>,
    pub(super) seen: BTreeMap<CallId, Seen>,
    pub(super) line: Option<Line>,
    pub(super) reachable: bool,
    /// How many candidates it found, by call.
    pub(super) said: BTreeMap<CallId, usize>,
    pub(super) was_started: bool,
    pub(super) has_failed: bool,
}

/// One connection. A cut line loses what is under way; each end learns of it on its own time.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) to_server: VecDeque<String>,
    pub(super) to_client: VecDeque<String>,
    pub(super) cut: bool,
}

impl Line {
    pub(super) fn is_busy(&self) -> bool {
        !self.to_server.is_empty() || !self.to_client.is_empty()
    }
}

impl Device {
    pub(super) fn new(seed: usize, user: &str, device: &str) -> Self {
        let application = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").expect("a UUID");
        let user = UserId::new(user).expect("letters");
        let device = DeviceId::new(device).expect("a letter and a digit");
        let config = ClientConfig::new(application.clone(), user.clone(), device.clone());
        Self {
            address: DeviceAddress { application, user, device },
            machine: ClientMachine::new(config, Dice(seed as u64)),
            stored: None,
            wake: None,
            seen: BTreeMap::new(),
            line: None,
            reachable: true,
            said: BTreeMap::new(),
            was_started: false,
            has_failed: false,
        }
    }

    /// A description of this device with its certificate, as large as is wanted.
    pub(super) fn description(&self, size: usize) -> String {
        let pair = format!("{:02X}", self.address.device.as_str().bytes().fold(7, u8::wrapping_mul));
        let line = format!("a=fingerprint:sha-256 {}\r\n", [pair.as_str(); 32].join(":"));
        format!("{line}{}", "o".repeat(size))
    }

    pub(super) fn is_settled(&self) -> bool {
        let idle = self.line.as_ref().is_some_and(|line| !line.cut && !line.is_busy());
        idle && self.machine.is_started()
    }

    pub(super) fn send(&mut self, text: String) {
        self.check_consent(&text);
        if let Some(line) = self.line.as_mut().filter(|line| !line.cut) {
            line.to_server.push_back(text);
        }
    }

    /// Nothing of a callee's media leaves before its person accepted.
    fn check_consent(&self, text: &str) {
        let frame = wire::parse::<ClientMessage>(text).expect("a machine writes readable frames");
        let Some(id) = frame.call_id else { return };
        let media = matches!(
            frame.message,
            ClientMessage::CallAnswer(_) | ClientMessage::CallCandidate(_) | ClientMessage::CallUpdate(_)
        );
        if media {
            let seen = &self.seen[&id];
            assert!(seen.outgoing || seen.accepted, "{text} left before the person accepted");
        }
    }

    /// What the application is told: published orders only, nothing twice.
    pub(super) fn note(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::IncomingCall { call, .. } => {
                let before = self.seen.insert(call, Seen::default());
                assert!(before.is_none(), "an incoming call is told once");
            }
            ClientEvent::Call(id, event) => {
                let seen = self.seen.get_mut(&id).expect("a call is known before its first event");
                seen.note(event);
            }
            ClientEvent::Failed(error) => {
                assert!(!self.was_started, "a running client failed: {error}");
                self.has_failed = true;
            }
            ClientEvent::Started => self.was_started = true,
            ClientEvent::CredentialsRequired | ClientEvent::Reconnecting => {}
        }
    }
}

impl Seen {
    fn note(&mut self, event: CallEvent) {
        let next = match event {
            CallEvent::Progressing => CallState::Progressing,
            CallEvent::Ringing => CallState::Ringing,
            CallEvent::Answered => CallState::Answered,
            CallEvent::Established => CallState::Established,
            CallEvent::Ended { cause, .. } => {
                assert_ne!(cause, CallEndCause::None);
                CallState::Ended
            }
            CallEvent::RemoteCandidate(candidate) => return self.note_candidate(candidate.candidate),
            CallEvent::RemoteDescription(_) => {
                assert!(self.outgoing && !std::mem::replace(&mut self.described, true));
                return;
            }
            CallEvent::RemoteUpdate(_) | CallEvent::IceServers(_) => return,
            CallEvent::Verification(verification) => return self.note_verification(verification),
        };
        assert!(self.state.may_become(next, self.outgoing), "{:?} then {next:?}", self.state);
        assert!(self.outgoing || next != CallState::Answered || self.accepted, "answered by nobody");
        self.state = next;
    }

    /// Nobody in these worlds changes what the ends exchange.
    fn note_verification(&mut self, verification: Verification) {
        assert!(matches!(verification, Verification::Ready(_)), "{verification:?} between honest ends");
        assert!(self.verification.replace(verification).is_none(), "told twice");
    }

    fn note_candidate(&mut self, candidate: String) {
        assert_ne!(self.state, CallState::Ended);
        assert!(!self.candidates.contains(&candidate), "candidate {candidate} came twice");
        self.candidates.push(candidate);
    }
}
