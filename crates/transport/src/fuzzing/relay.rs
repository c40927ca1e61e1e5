//! What comes from a TURN server, or from whoever pretends to be one: datagrams, bytes of a connection, answers that are authentic and wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use turn_client_proto::types::attribute::{Data, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_client_proto::types::message::{ALLOCATE, DATA};
use turn_client_proto::types::stun::attribute::{ErrorCode, Nonce, Realm};
use turn_client_proto::types::stun::message::{
    IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWriteVec, TransactionId,
};
use turn_client_proto::types::stun::prelude::{MessageWrite, MessageWriteExt};
use turn_client_proto::types::{TurnCredentials, stun::message::LongTermKeyCredentials};

use super::input::Input;
use super::link::certificate;
use super::start;
use crate::config::{Role, SessionConfig};
use crate::event::{Carrier, Output, Transmit};
use crate::ice_url::IceUrl;
use crate::relay::{RelayProtocol, TurnServer};
use crate::session::Session;

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 3478);
const SOCKET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 4000);
const CONNECTION: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 6000);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 5000);
const REALM: &str = "offhook";
const MOST_OPERATIONS: usize = 48;
/// Outputs one operation may cause; more would never end.
const MOST_OUTPUTS: usize = 1024;

/// A URL of a STUN or TURN server: refused, or read as it can be written again.
///
/// # Panics
/// When an invariant does not hold.
pub fn ice_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(url) = IceUrl::parse(text) else { return };
    assert!(url.port != 0 && !url.host.is_empty());
    let (scheme, rest) = text.split_once(':').expect("it was taken");
    let query = rest.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let again = format!("{scheme}:{host}:{}{query}", url.port);
    assert_eq!(IceUrl::parse(&again), Ok(url));
}

/// A session that asks a hostile TURN server over UDP and TCP.
///
/// # Panics
/// When an invariant does not hold.
pub fn turn_server(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(mode) = input.byte() else { return };
    let Some(mut attack) = Attack::new() else { return };
    if mode & 1 == 0 {
        // An address over each, so that there is something to attack.
        for _ in 0..4 {
            attack.pass(Duration::from_millis(60));
            attack.answer_all();
        }
        assert!(mode & 2 != 0 || attack.candidates >= 2, "both addresses are there");
    }
    for _ in 0..MOST_OPERATIONS {
        if attack.operate(&mut input).is_none() {
            break;
        }
    }
    attack.pass(Duration::from_secs(60));
}

struct Attack {
    session: Session,
    now: Instant,
    /// Requests to the server that were not answered, the newest last.
    requests: Vec<Transmit>,
    candidates: usize,
}

impl Attack {
    fn new() -> Option<Self> {
        let now = start();
        let mut peer = Session::new(SessionConfig::new(certificate(), Role::Offerer), now).ok()?;
        peer.add_local_candidate(now, PEER).ok()?;
        let offer = peer.create_offer().ok()?;
        let mut session = Session::new(SessionConfig::new(certificate(), Role::Answerer), now).ok()?;
        session.add_local_candidate(now, SOCKET).ok()?;
        let server = |protocol| TurnServer {
            address: SERVER,
            protocol,
            username: "user".to_owned(),
            password: "password".to_owned(),
        };
        session.add_turn_server(now, server(RelayProtocol::Udp));
        session.add_turn_connection(now, CONNECTION, &server(RelayProtocol::Tcp));
        session.end_of_local_candidates(now);
        session.handle_offer(now, &offer).ok()?;
        let mut attack = Self { session, now, requests: Vec::new(), candidates: 0 };
        attack.drain();
        Some(attack)
    }

    fn operate(&mut self, input: &mut Input<'_>) -> Option<()> {
        let operation = input.byte()?;
        let carrier = if operation & 0x80 == 0 { Carrier::Udp } else { Carrier::Tcp };
        match operation & 7 {
            0 => self.send(carrier, input.chunk()?),
            1 => self.send(carrier, &[&[0x40, operation >> 4 & 3, 0], input.chunk()?].concat()),
            2 => {
                let body = input.chunk()?;
                let head =
                    [&[1, operation], &(body.len() as u16).to_be_bytes()[..], &[0x21, 0x12, 0xA4, 0x42]]
                        .concat();
                let transaction =
                    self.requests.last().and_then(|request| request.contents.get(8..20)).unwrap_or(&[0; 12]);
                let message = [&head[..], transaction, body].concat();
                self.send(carrier, &message);
            }
            3 => self.answer_newest(input.byte()?, input.word()?),
            4 => self.pass(Duration::from_millis(u64::from(input.byte()?) * 50)),
            5 => self.send(carrier, &indication(input.chunk()?)),
            6 => self.answer_all(),
            _ => self.session.handle_stream_closed(self.now, CONNECTION, SERVER),
        }
        self.drain();
        Some(())
    }

    fn send(&mut self, carrier: Carrier, bytes: &[u8]) {
        match carrier {
            Carrier::Udp => self.session.handle_datagram(self.now, SOCKET, SERVER, &mut bytes.to_vec()),
            Carrier::Tcp => self.session.handle_stream(self.now, CONNECTION, SERVER, bytes),
        }
        self.drain();
    }

    /// As an honest server would.
    fn answer_all(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            if let Some(answer) = honest(&request.contents, request.carrier) {
                self.send(request.carrier, &answer);
            }
        }
    }

    /// Authentic, but with a code or lifetime of any kind.
    fn answer_newest(&mut self, kind: u8, value: u16) {
        let Some(request) = self.requests.pop() else { return };
        let Ok(message) = Message::from_bytes(&request.contents) else { return };
        let answer = if kind & 1 == 0 {
            let mut answer = Message::builder_error(&message, MessageWriteVec::new());
            let Ok(code) = ErrorCode::builder(300 + value % 400).build() else { return };
            let nonce = Nonce::new(&value.to_string()).expect("short");
            let realm = Realm::new(REALM).expect("short");
            let added = answer.add_attribute(&code).is_ok()
                && answer.add_attribute(&nonce).is_ok()
                && answer.add_attribute(&realm).is_ok();
            assert!(added);
            answer
        } else {
            let mut answer = Message::builder_success(&message, MessageWriteVec::new());
            let lifetime = if kind & 2 == 0 { u32::from(value) } else { u32::MAX - u32::from(value) };
            answer.add_attribute(&Lifetime::new(lifetime)).expect("there is room");
            answer
        };
        let signed = if kind & 4 == 0 { sign(answer) } else { answer.finish() };
        self.send(request.carrier, &signed);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        loop {
            let next = self.drain();
            if next > end {
                self.now = end;
                self.session.handle_timeout(end);
                self.drain();
                return;
            }
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < 256, "a timer that stays due");
            self.now = self.now.max(next);
            self.session.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) -> Instant {
        while self.session.poll_rtp().is_some() {}
        for _ in 0..MOST_OUTPUTS {
            match self.session.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    let source = if transmit.carrier == Carrier::Udp { SOCKET } else { CONNECTION };
                    assert_eq!(transmit.source, source, "nothing is sent from elsewhere");
                    if transmit.destination == SERVER && is_request(&transmit.contents) {
                        self.requests.push(transmit);
                    }
                }
                Output::Event(crate::event::Event::LocalCandidate(line)) => {
                    self.candidates += usize::from(line.contains(" typ relay "));
                }
                Output::Event(_) => {}
                Output::Timeout(at) => return at,
            }
        }
        panic!("a session without end of outputs");
    }
}

/// Neither an indication nor channel data.
fn is_request(message: &[u8]) -> bool {
    message.first_chunk::<2>().is_some_and(|[high, low]| *high == 0 && low & 0x10 == 0)
}

/// A peer's datagram, as a server hands it on without a channel.
fn indication(contents: &[u8]) -> Vec<u8> {
    let transaction = TransactionId::generate();
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    message.add_attribute(&XorPeerAddress::new(PEER, transaction)).expect("there is room");
    message.add_attribute(&Data::new(contents)).expect("there is room");
    message.finish()
}

fn honest(request: &[u8], carrier: Carrier) -> Option<Vec<u8>> {
    let message = Message::from_bytes(request).ok()?;
    if message.nth_attribute::<Realm>(0).is_err() {
        let mut answer = Message::builder_error(&message, MessageWriteVec::new());
        answer.add_attribute(&ErrorCode::builder(ErrorCode::UNAUTHORIZED).build().ok()?).ok()?;
        answer.add_attribute(&Realm::new(REALM).ok()?).ok()?;
        answer.add_attribute(&Nonce::new("nonce").ok()?).ok()?;
        return Some(answer.finish());
    }
    let mut answer = Message::builder_success(&message, MessageWriteVec::new());
    if message.has_method(ALLOCATE) {
        let port = if carrier == Carrier::Udp { 50_000 } else { 50_001 };
        let relayed = SocketAddr::new(SERVER.ip(), port);
        answer.add_attribute(&XorRelayedAddress::new(relayed, message.transaction_id())).ok()?;
    }
    answer.add_attribute(&Lifetime::new(600)).ok()?;
    Some(sign(answer))
}

fn sign(mut answer: MessageWriteVec) -> Vec<u8> {
    let credentials: LongTermKeyCredentials =
        TurnCredentials::new("user", "password").into_long_term_credentials(REALM);
    answer.add_message_integrity(&credentials.into(), IntegrityAlgorithm::Sha1).expect("there is none yet");
    answer.finish()
}
