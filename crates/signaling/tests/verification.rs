//! The authentication string against whoever sits between two clients: a server, or who has taken it over.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use std::time::{Duration, Instant};

use offhook_signaling::client::{ClientConfig, ClientMachine, Output, StoredCredential};
use offhook_signaling::message::{
    Answered, CallStart, Empty, Headers, Incoming, Limits, Reveal, SdpKind, Snapshot, Update, Welcome,
};
use offhook_signaling::verification::{
    AuthenticationString, Callee, Caller, CertificateFingerprint, Nonce, Verification, VerificationError,
};
use offhook_signaling::wire::{self, Frame};
use offhook_signaling::{
    ApplicationKey, CallEvent, CallId, ClientEvent, ClientMessage, DeviceCredential, DeviceId, EntropySource,
    MessageId, ServerMessage, SessionId, UnixSeconds, UserId,
};
use proptest::prelude::*;

const CALL: &str = "a-call";
const ALICE: u8 = 0xa1;
const BOB: u8 = 0xb2;
const MALLORY: u8 = 0xee;

struct Dice(u64);

impl EntropySource for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

fn description(certificate: u8) -> String {
    let pair = format!("{certificate:02X}");
    format!("v=0\r\na=fingerprint:sha-256 {}\r\n", [pair.as_str(); 32].join(":"))
}

fn fingerprint(certificate: u8) -> CertificateFingerprint {
    CertificateFingerprint::of_description(&description(certificate)).unwrap()
}

fn call() -> CallId {
    CallId::new(CALL).unwrap()
}

#[test]
fn the_vectors_hold() {
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/authentication.json"));
    let vectors: serde_json::Value = serde_json::from_str(&file.unwrap()).unwrap();
    for case in vectors["strings"].as_array().unwrap() {
        let text = |side: &str, member: &str| case[side][member].as_str().unwrap().to_owned();
        let sdp = |side: &str| format!("a=fingerprint:sha-256 {}\r\n", text(side, "fingerprint"));
        let part = |side: &str| {
            (Bytes::of(&text(side, "nonce")), CertificateFingerprint::of_description(&sdp(side)).unwrap())
        };
        let id = CallId::new(case["call"].as_str().unwrap()).unwrap();
        let ((mut caller, callers), (mut callee, callees)) = (part("caller"), part("callee"));
        let caller = Caller::new(id.clone(), Nonce::random(&mut caller), callers);
        let commitment = caller.commitment().to_string();
        assert_eq!(case["commitment"], commitment);
        let answered = Callee::new(id, &commitment, &sdp("caller")).unwrap();
        let answered = answered.answer(Nonce::random(&mut callee), callees);
        let (at_caller, revealed, _) = caller.answered(&text("callee", "nonce"), &sdp("callee")).unwrap();
        let (at_callee, _) = answered.revealed(&revealed.to_string()).unwrap();
        assert_eq!(case["string"], at_caller.to_string());
        assert_eq!(at_caller, at_callee);
    }
    for case in vectors["descriptions"].as_array().unwrap() {
        let read = CertificateFingerprint::of_description(case["sdp"].as_str().unwrap()).ok();
        assert_eq!(
            case["fingerprint"].as_str().map(str::to_owned),
            read.map(|read| read.to_string()),
            "{case}"
        );
    }
}

/// Bytes that are given.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(hex: &str) -> Self {
        Self((0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect())
    }
}

impl EntropySource for Bytes {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0);
    }
}

/// Somebody in the middle with certificates of its own on both sides, who may even see what both strings will be before it has to say the
/// last word to the callee: it finds a nonce that makes the beginnings of the strings equal, and is refused with it.
#[test]
fn who_searches_for_equal_strings_is_stopped_by_the_commitment() {
    let mut dice = Dice(1);
    let alice = Caller::new(call(), Nonce::random(&mut dice), fingerprint(ALICE));
    // Mallory has to commit to something before Bob says anything.
    let mallory = Caller::new(call(), Nonce::random(&mut dice), fingerprint(MALLORY));
    let committed = mallory.commitment().to_string();
    let bobs_nonce = Nonce::random(&mut dice);
    let ring = || Callee::new(call(), &committed, &description(MALLORY)).unwrap();
    let bob = || ring().answer(bobs_nonce, fingerprint(BOB));
    // To Alice, Mallory answers with some nonce: her string is fixed.
    let (alices, _, _) =
        alice.answered(&Nonce::random(&mut dice).to_string(), &description(MALLORY)).unwrap();
    let alike = |bobs: &AuthenticationString| bobs.to_string()[..2] == alices.to_string()[..2];
    // Could Mallory choose its nonce only now, some hundred tries would find two equal digits, and 10^8 all of them.
    let found = (0..5000).find_map(|_| {
        let nonce = Nonce::random(&mut dice);
        let other = Caller::new(call(), nonce, fingerprint(MALLORY));
        let (string, _, _) = other.answered(&bobs_nonce.to_string(), &description(BOB)).unwrap();
        alike(&string).then_some(nonce)
    });
    let found = found.expect("a search would work");
    assert_eq!(
        bob().revealed(&found.to_string()).map(|(string, _)| string),
        Err(VerificationError::CommitmentBroken)
    );
    let (honest, nonce, _) = mallory.answered(&bobs_nonce.to_string(), &description(BOB)).unwrap();
    assert_eq!(bob().revealed(&nonce.to_string()).map(|(string, _)| string), Ok(honest));
    assert_ne!(honest, alices, "two certificates, two strings");
}

/// One client and what came of it.
struct End {
    machine: ClientMachine<Dice>,
    now: Instant,
    seq: u64,
    sent: Vec<ClientMessage>,
    told: Vec<Verification>,
    updates: usize,
}

impl End {
    fn new(user: &str, seed: u64) -> Self {
        let key = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
        let config = ClientConfig::new(key, UserId::new(user).unwrap(), DeviceId::new("d").unwrap());
        #[expect(clippy::disallowed_methods, reason = "the zero of virtual time: only differences count")]
        let now = Instant::now();
        let machine = ClientMachine::new(config, Dice(seed));
        let mut end = Self { machine, now, seq: 0, sent: Vec::new(), told: Vec::new(), updates: 0 };
        let stored = StoredCredential { secret: DeviceCredential::new("x"), expires: UnixSeconds(9_000_000) };
        end.machine.start(now, UnixSeconds(1000), Some(stored)).unwrap();
        end.drain();
        let welcome = Welcome {
            session: SessionId::new("s").unwrap(),
            resume_token: String::new(),
            epoch: String::new(),
            resumed: false,
            heartbeat_ms: 60_000,
            limits: Limits::default(),
            server_time: UnixSeconds(1000),
            ice_servers: Vec::new(),
            credential: None,
        };
        end.hear(ServerMessage::Welcome(Box::new(welcome)));
        end.hear(ServerMessage::Snapshot(Snapshot::default()));
        end
    }

    fn hear(&mut self, message: ServerMessage) {
        let unnumbered = |message: &ServerMessage| {
            matches!(message, ServerMessage::Welcome(_) | ServerMessage::Snapshot(_) | ServerMessage::Pong(_))
        };
        let numbered = !unnumbered(&message);
        self.seq += u64::from(numbered);
        let seq = if numbered { self.seq } else { 0 };
        let frame =
            Frame { id: MessageId::new("s").unwrap(), seq, ack: 0, call_id: Some(self.call()), message };
        self.machine.handle_frame(self.now, &wire::write(&frame));
        self.drain();
    }

    /// Its own call, or the one that rings here.
    fn call(&self) -> CallId {
        self.machine.live_calls().next().map_or_else(call, |(id, _)| id.clone())
    }

    fn view(&self) -> Verification {
        self.machine.call(&self.call()).map_or(Verification::Pending, |call| call.verification())
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect => self.machine.handle_connected(self.now),
                Output::Send(text) => self.sent.push(wire::parse(&text).unwrap().message),
                Output::Event(ClientEvent::Call(_, CallEvent::Verification(news))) => self.told.push(news),
                Output::Event(ClientEvent::Call(_, CallEvent::RemoteUpdate(_))) => self.updates += 1,
                Output::Timeout(..) => return,
                _ => {}
            }
        }
    }

    fn take<T>(&mut self, pick: impl Fn(&ClientMessage) -> Option<T>) -> Option<T> {
        let found = self.sent.iter().find_map(pick);
        self.sent.clear();
        found
    }
}

/// What happens to a part of the exchange on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Honest,
    Dropped,
    Malformed,
    /// Of somebody else's choice, well-formed.
    Replaced(u8),
    Repeated,
}

impl Way {
    fn carry(self, part: Option<String>) -> Option<String> {
        match self {
            Self::Honest | Self::Repeated => part,
            Self::Dropped => None,
            Self::Malformed => Some("not hexadecimal".to_owned()),
            Self::Replaced(byte) => Some(format!("{byte:02x}").repeat(32)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Middle {
    commitment: Way,
    nonce: Way,
    reveal: Way,
    /// Whose certificate each side is shown.
    callers: u8,
    callees: u8,
    /// A nonce before the answer, to whom.
    early: Option<bool>,
    /// Whose certificate a later offer to the caller names.
    update: Option<u8>,
    seed: u64,
}

fn ways() -> impl Strategy<Value = Way> {
    prop_oneof![
        6 => Just(Way::Honest),
        1 => Just(Way::Dropped),
        1 => Just(Way::Malformed),
        1 => any::<u8>().prop_map(Way::Replaced),
        1 => Just(Way::Repeated),
    ]
}

fn middles() -> impl Strategy<Value = Middle> {
    let shown = |own| prop_oneof![3 => Just(own), 1 => Just(MALLORY)];
    let early = prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let update = prop_oneof![3 => Just(None), 1 => Just(Some(BOB)), 1 => Just(Some(MALLORY))];
    (ways(), ways(), ways(), shown(ALICE), shown(BOB), early, update, any::<u64>()).prop_map(
        |(commitment, nonce, reveal, callers, callees, early, update, seed)| Middle {
            commitment,
            nonce,
            reveal,
            callers,
            callees,
            early,
            update,
            seed,
        },
    )
}

fn start_of(message: &ClientMessage) -> Option<CallStart> {
    if let ClientMessage::CallStart(start) = message { Some(start.clone()) } else { None }
}

/// A call from Alice to Bob through somebody in the middle.
fn run(middle: &Middle) -> (End, End) {
    let (mut alice, mut bob) = (End::new("alice", middle.seed), End::new("bob", !middle.seed));
    let to = UserId::new("bob").unwrap();
    let id = alice.machine.call_user(alice.now, to, Headers::new(), description(ALICE)).unwrap();
    alice.drain();
    let start = alice.take(start_of).unwrap();
    let from = UserId::new("alice").unwrap();
    let incoming = Incoming {
        from,
        headers: Headers::new(),
        sdp: description(middle.callers),
        commitment: middle.commitment.carry(start.commitment),
        display_name: start.display_name,
        ice_servers: Vec::new(),
    };
    // Both calls have one id: what the middle could gain by another is only that the strings differ.
    let frame = Frame {
        id: MessageId::new("s").unwrap(),
        seq: 1,
        ack: 0,
        call_id: Some(id.clone()),
        message: ServerMessage::CallIncoming(incoming),
    };
    bob.seq = 1;
    bob.machine.handle_frame(bob.now, &wire::write(&frame));
    bob.drain();
    let early = || ServerMessage::CallReveal(Reveal { nonce: "00".repeat(32) });
    match middle.early {
        Some(true) => alice.hear(early()),
        Some(false) => bob.hear(early()),
        None => {}
    }
    bob.machine.answer(bob.now, &id, description(BOB)).unwrap();
    bob.drain();
    let nonce = bob.take(|message| match message {
        ClientMessage::CallAnswer(answer) => Some(answer.nonce.clone()),
        _ => None,
    });
    let answered =
        Answered { sdp: description(middle.callees), by: None, nonce: middle.nonce.carry(nonce.flatten()) };
    alice.hear(ServerMessage::CallAnswered(answered));
    let revealed = alice.take(|message| match message {
        ClientMessage::CallReveal(reveal) => Some(reveal.nonce.clone()),
        _ => None,
    });
    if let Some(nonce) = middle.reveal.carry(revealed) {
        let times = if middle.reveal == Way::Repeated { 2 } else { 1 };
        for _ in 0..times {
            bob.hear(ServerMessage::CallReveal(Reveal { nonce: nonce.clone() }));
        }
    }
    if let Some(certificate) = middle.update {
        let update = Update { kind: SdpKind::Offer, sdp: description(certificate) };
        alice.hear(ServerMessage::CallUpdate(update));
    }
    (alice, bob)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// Equal strings mean that each side was shown the other's certificate; what was changed is never taken for something that is missing.
    #[test]
    fn equal_strings_mean_that_nobody_sits_between(middle in middles()) {
        let (alice, mut bob) = run(&middle);
        let genuine = middle.callers == ALICE && middle.callees == BOB;
        if let (Verification::Ready(one), Verification::Ready(other)) = (alice.view(), bob.view()) {
            prop_assert_eq!(one == other, genuine && is_untouched(middle.nonce));
            prop_assert!(is_untouched(middle.commitment) && is_untouched(middle.reveal) && middle.early.is_none());
        }
        for end in [&alice, &bob] {
            prop_assert!(end.told.len() <= 2, "{:?}", end.told);
            prop_assert!(end.told.last().is_none_or(|last| *last == end.view()));
            prop_assert!(!matches!(end.told.as_slice(), [Verification::Failed(_), _]), "nothing follows a failure");
        }
        let bob_took_part = middle.commitment != Way::Dropped;
        if !bob_took_part {
            prop_assert_eq!(bob.view(), Verification::Unavailable);
        }
        if alice.view() == Verification::Unavailable {
            prop_assert!(middle.nonce == Way::Dropped || bob.view() != Verification::Pending);
        }
        // What is still missing at Bob's is a failure in the end.
        for _ in 0..9 {
            bob.wait(Duration::from_secs(30));
            bob.hear(ServerMessage::Pong(Empty {}));
        }
        prop_assert!(!matches!(bob.view(), Verification::Pending));
        if middle.update == Some(MALLORY) && middle.callees == BOB && matches!(alice.told.first(), Some(Verification::Ready(_))) {
            prop_assert_eq!(alice.view(), Verification::Failed(VerificationError::FingerprintChanged));
            prop_assert_eq!(alice.updates, 0);
        }
    }

    #[test]
    fn any_text_names_one_certificate_or_none(text in "(a=fingerprint:sha-256 [0-9A-Fa-f:]{90,100}|[a-z\r\n :=]{0,40})*") {
        if let Ok(read) = CertificateFingerprint::of_description(&text) {
            prop_assert!(text.to_uppercase().contains(&read.to_string()));
        }
    }
}

fn is_untouched(way: Way) -> bool {
    matches!(way, Way::Honest | Way::Repeated)
}
