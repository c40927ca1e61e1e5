//! A hostile server cannot make a client answer: nothing of its media leaves before its person accepts, whatever comes in
//! whatever order.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use offhook_signaling::call::{CallEndCause, CallState};
use offhook_signaling::client::{ClientConfig, ClientMachine, Output, StoredCredential};
use offhook_signaling::message::{
    Answered, Bye, ByeAction, CallSnapshot, Candidate, Empty, Ended, Incoming, IssuedCredential, Limits,
    Outcome, Progressing, Registered, Reveal, SdpKind, Snapshot, Update, Welcome, WireError,
};
use offhook_signaling::wire::{self, Frame};
use offhook_signaling::{
    ApplicationKey, CallId, ClientEvent, ClientMessage, DeviceCredential, DeviceId, EntropySource, MessageId,
    ServerMessage, SessionId, UnixSeconds, UserId,
};
use proptest::prelude::*;

const CALLS: [&str; 3] = ["one", "two", "three"];

#[derive(Debug)]
struct Zeros;
impl EntropySource for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[derive(Debug, Clone)]
enum Attack {
    /// Any message about any call.
    Say(ServerMessage, usize, u64),
    /// The device finds a candidate for a call.
    Candidate(usize),
    /// The device says that media is connected.
    MediaConnected(usize),
    /// The device tries to renegotiate.
    Update(usize),
    Disconnect,
    Wait(u64),
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn welcome(resumed: bool) -> ServerMessage {
    ServerMessage::Welcome(Box::new(Welcome {
        session: SessionId::new("s").unwrap(),
        resume_token: "t".to_owned(),
        epoch: "e".to_owned(),
        resumed,
        heartbeat_ms: 15_000,
        limits: Limits::default(),
        server_time: UnixSeconds(1000),
        ice_servers: Vec::new(),
        credential: None,
    }))
}

fn credential() -> IssuedCredential {
    IssuedCredential { secret: DeviceCredential::new("x"), expires: UnixSeconds(9_000_000) }
}

fn messages() -> impl Strategy<Value = ServerMessage> {
    let sdp = || "v=0".to_owned();
    let incoming = Incoming {
        from: user("eve"),
        headers: BTreeMap::new(),
        sdp: sdp(),
        commitment: None,
        display_name: None,
        ice_servers: Vec::new(),
    };
    let outcome = |of: String, error| Outcome { of: MessageId::new(of).ok(), error, message: String::new() };
    let state = prop::sample::select(vec![
        CallState::Init,
        CallState::Progressing,
        CallState::Ringing,
        CallState::Answered,
        CallState::Established,
        CallState::Ended,
    ]);
    let snapshot =
        (any::<bool>(), state, any::<bool>(), 0..CALLS.len()).prop_map(move |(outgoing, state, full, i)| {
            ServerMessage::Snapshot(Snapshot {
                calls: vec![CallSnapshot {
                    call_id: CallId::new(CALLS[i]).unwrap(),
                    outgoing,
                    remote: user("eve"),
                    state,
                    headers: BTreeMap::new(),
                    sdp: full.then(sdp),
                    commitment: None,
                    display_name: None,
                    nonce: None,
                }],
            })
        });
    prop_oneof![
        4 => Just(ServerMessage::CallIncoming(incoming)),
        4 => Just(ServerMessage::CallAnswered(Answered { sdp: sdp(), ..Answered::default() })),
        2 => Just(ServerMessage::CallAnswered(Answered::default())),
        1 => Just(ServerMessage::CallReveal(Reveal { nonce: "00".repeat(32) })),
        1 => Just(ServerMessage::CallProgressing(Progressing::default())),
        1 => Just(ServerMessage::CallRinging(Empty {})),
        2 => Just(ServerMessage::CallEstablished(Empty {})),
        2 => Just(ServerMessage::CallCandidate(Candidate::default())),
        2 => Just(ServerMessage::CallUpdate(Update { kind: SdpKind::Offer, sdp: sdp() })),
        1 => Just(ServerMessage::CallEnded(Ended { cause: CallEndCause::HungUp, error: None })),
        2 => any::<bool>().prop_map(welcome),
        3 => snapshot,
        1 => Just(ServerMessage::Registered(Registered { credential: credential() })),
        1 => (1..40_u32).prop_map(move |n| ServerMessage::Outcome(outcome(format!("c{n}"), None))),
        1 => (1..40_u32).prop_map(move |n| {
            ServerMessage::Outcome(outcome(format!("c{n}"), Some(WireError::UnknownCall)))
        }),
        1 => Just(ServerMessage::Bye(Bye { action: ByeAction::Resume, retry_after_ms: 0, error: None })),
        1 => Just(ServerMessage::Pong(Empty {})),
    ]
}

fn attacks() -> impl Strategy<Value = Attack> {
    let call = 0..CALLS.len();
    prop_oneof![
        12 => (messages(), call.clone(), 0..60_u64).prop_map(|(message, call, seq)| Attack::Say(message, call, seq)),
        2 => call.clone().prop_map(Attack::Candidate),
        1 => call.clone().prop_map(Attack::MediaConnected),
        1 => call.prop_map(Attack::Update),
        1 => Just(Attack::Disconnect),
        2 => (0..40_000_u64).prop_map(Attack::Wait),
    ]
}

struct Victim {
    machine: ClientMachine<Zeros>,
    now: Instant,
    rang: Vec<CallId>,
}

impl Victim {
    fn new() -> Self {
        let key = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
        let config = ClientConfig::new(key, user("bob"), DeviceId::new("b1").unwrap());
        #[expect(clippy::disallowed_methods, reason = "the zero of virtual time: only differences count")]
        let now = Instant::now();
        let mut victim = Self { machine: ClientMachine::new(config, Zeros), now, rang: Vec::new() };
        let stored = StoredCredential { secret: DeviceCredential::new("x"), expires: UnixSeconds(9_000_000) };
        victim.machine.start(now, UnixSeconds(1000), Some(stored)).unwrap();
        victim.drain();
        victim
    }

    fn suffer(&mut self, attack: Attack) {
        let id = |call: usize| CallId::new(CALLS[call]).unwrap();
        match attack {
            Attack::Say(message, call, seq) => {
                let frame =
                    Frame { id: MessageId::new("s").unwrap(), seq, ack: 0, call_id: Some(id(call)), message };
                self.machine.handle_frame(self.now, &wire::write(&frame));
            }
            Attack::Candidate(call) => drop(self.machine.local_candidate(&id(call), Candidate::default())),
            Attack::MediaConnected(call) => self.machine.media_connected(self.now, &id(call)),
            Attack::Update(call) => {
                let update = Update { kind: SdpKind::Offer, sdp: "v=0".to_owned() };
                drop(self.machine.update(&id(call), update));
            }
            Attack::Disconnect => self.machine.handle_disconnected(self.now),
            Attack::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.machine.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect => self.machine.handle_connected(self.now),
                Output::Send(text) => check(&text),
                Output::Event(ClientEvent::IncomingCall { call, .. }) => self.rang.push(call),
                Output::Event(ClientEvent::CredentialsRequired) => {
                    drop(self.machine.register(self.now, "token".to_owned()));
                }
                Output::Timeout(..) => return,
                _ => {}
            }
        }
    }
}

fn check(text: &str) {
    let message = wire::parse::<ClientMessage>(text).unwrap().message;
    let media = matches!(
        message,
        ClientMessage::CallAnswer(_)
            | ClientMessage::CallCandidate(_)
            | ClientMessage::CallUpdate(_)
            | ClientMessage::CallEstablished(_)
    );
    assert!(!media, "{text} left, and nobody accepted anything");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaves_before_the_person_accepts(list in prop::collection::vec(attacks(), 0..60)) {
        let mut victim = Victim::new();
        for attack in list {
            victim.suffer(attack);
        }
        for (_, call) in victim.machine.live_calls() {
            assert!(!call.is_answered(), "a call became answered by itself");
        }
        let mut rang = victim.rang.clone();
        rang.dedup();
        assert_eq!(rang, victim.rang, "a call rang twice");
    }
}

#[test]
fn own_candidates_wait_for_the_person_and_leave_after_the_answer() {
    let mut victim = Victim::new();
    let call = CallId::new("one").unwrap();
    victim.suffer(Attack::Say(welcome(true), 0, 0));
    let incoming = Incoming {
        from: user("eve"),
        headers: BTreeMap::new(),
        sdp: "v=0".to_owned(),
        commitment: None,
        display_name: None,
        ice_servers: Vec::new(),
    };
    victim.suffer(Attack::Say(ServerMessage::CallIncoming(incoming), 0, 1));
    victim.suffer(Attack::Candidate(0));
    victim.machine.answer(victim.now, &call, "v=0 answer".to_owned()).unwrap();
    let mut left = Vec::new();
    while let Some(output) = victim.machine.poll_output() {
        match output {
            Output::Send(text) => left.push(wire::parse::<ClientMessage>(&text).unwrap().message),
            Output::Timeout(..) => break,
            _ => {}
        }
    }
    assert!(
        matches!(left.as_slice(), [ClientMessage::CallAnswer(_), ClientMessage::CallCandidate(_)]),
        "{left:?}"
    );
}
