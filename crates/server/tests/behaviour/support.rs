//! A server on a free port and phones that speak the protocol by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use offhook_server::{Application, RunningServer, Server, ServerConfig};
use offhook_signaling::call::{CallEndCause, DeviceAddress};
use offhook_signaling::message::{
    Answer, Bye, CallStart, Candidate, Credential, Empty, Ended, Hangup, Headers, Hello, LiveCall, Resume,
    Snapshot, Welcome, WireError,
};
use offhook_signaling::token::{ApplicationSecret, MintRequest, mint};
use offhook_signaling::wire::{self, Frame};
use offhook_signaling::{
    ApplicationKey, CallId, ClientMessage, DeviceCredential, DeviceId, MessageId, PATH, SUBPROTOCOL,
    ServerMessage, UnixSeconds, UserId,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

pub(crate) const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
pub(crate) const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";
pub(crate) const OFFER: &str = "v=0 offer";
pub(crate) const ANSWER: &str = "v=0 answer";
/// A test that waits this long for one event has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// A time limit that is meant to pass.
pub(crate) const SOON: Duration = Duration::from_millis(100);

pub(crate) fn config() -> ServerConfig {
    ServerConfig::default()
        .listen("127.0.0.1:0".parse().unwrap())
        .application(Application::from_parts(KEY, SECRET).unwrap())
}

pub(crate) async fn serve(config: ServerConfig) -> RunningServer {
    Server::bind(config).await.unwrap()
}

pub(crate) fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A token for `user` that is good for ten minutes.
pub(crate) fn token(user: &str, nonce: &str) -> String {
    signed(SECRET, user, now(), 600, nonce)
}

pub(crate) fn signed(
    secret: &str,
    user: &str,
    issued_at: UnixSeconds,
    ttl_seconds: u64,
    nonce: &str,
) -> String {
    mint(&MintRequest {
        application_key: &ApplicationKey::new(KEY).unwrap(),
        secret: &ApplicationSecret::from_base64(secret).unwrap(),
        user: &UserId::new(user).unwrap(),
        issued_at,
        ttl_seconds,
        nonce,
        instance_expires: None,
    })
}

pub(crate) fn address(user: &str, device: &str) -> DeviceAddress {
    DeviceAddress {
        application: ApplicationKey::new(KEY).unwrap(),
        user: UserId::new(user).unwrap(),
        device: DeviceId::new(device).unwrap(),
    }
}

pub(crate) fn hello(user: &str, device: &str, credential: Credential) -> Hello {
    Hello {
        application_key: ApplicationKey::new(KEY).unwrap(),
        user: UserId::new(user).unwrap(),
        device_id: DeviceId::new(device).unwrap(),
        credential,
        resume: None,
        calls: Vec::new(),
    }
}

pub(crate) fn candidate(line: &str) -> Candidate {
    Candidate { candidate: line.to_owned(), ..Candidate::default() }
}

/// One connection of one device.
pub(crate) struct Phone {
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    sent: u64,
    pub(crate) last_seq: u64,
    /// The welcome of [`Phone::log_in`].
    pub(crate) welcome: Option<Welcome>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Phone {
    pub(crate) async fn try_connect(url: &str, connector: Option<Connector>) -> tungstenite::Result<Self> {
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        let connecting = connect_async_tls_with_config(request, None, true, connector);
        let (socket, _) = timeout(PATIENCE, connecting).await.unwrap()?;
        Ok(Self { socket: Some(socket), sent: 0, last_seq: 0, welcome: None, snapshot: None })
    }

    /// A connection over a socket of the test's own.
    pub(crate) async fn over(server: &RunningServer, stream: TcpStream) -> Self {
        let mut request = server.signal_url().into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        let connecting = tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream));
        let (socket, _) = timeout(PATIENCE, connecting).await.unwrap().unwrap();
        Self { socket: Some(socket), sent: 0, last_seq: 0, welcome: None, snapshot: None }
    }

    /// A connection that has said nothing yet.
    pub(crate) async fn connect(server: &RunningServer) -> Self {
        Self::try_connect(&server.signal_url(), None).await.unwrap()
    }

    /// A registered device, by a fresh token.
    pub(crate) async fn register(server: &RunningServer, user: &str, device: &str) -> Self {
        let token = token(user, &format!("{user}-{device}"));
        Self::log_in(server, hello(user, device, Credential::Token(token))).await
    }

    /// A device that is let in.
    pub(crate) async fn log_in(server: &RunningServer, hello: Hello) -> Self {
        let mut phone = Self::connect(server).await;
        phone.greet(hello).await;
        phone
    }

    pub(crate) async fn greet(&mut self, hello: Hello) {
        self.say(ClientMessage::Hello(hello)).await;
        let ServerMessage::Welcome(welcome) = self.next().await.message else { panic!("no welcome") };
        if !welcome.resumed {
            let ServerMessage::Snapshot(snapshot) = self.next().await.message else { panic!("no snapshot") };
            self.snapshot = Some(snapshot);
        }
        // A device that proved itself by its credential keeps it.
        let kept = self.welcome.take().and_then(|before| before.credential);
        self.welcome = Some(Welcome { credential: welcome.credential.clone().or(kept), ..*welcome });
    }

    /// How the session is taken up again.
    pub(crate) fn resume(&self) -> Resume {
        let welcome = self.welcome.as_ref().unwrap();
        Resume {
            session: welcome.session.clone(),
            token: welcome.resume_token.clone(),
            last_seq: self.last_seq,
            epoch: welcome.epoch.clone(),
        }
    }

    pub(crate) fn credential(&self) -> DeviceCredential {
        self.welcome.as_ref().unwrap().credential.as_ref().unwrap().secret.clone()
    }

    pub(crate) async fn say(&mut self, message: ClientMessage) -> MessageId {
        self.send(None, message).await
    }

    pub(crate) async fn send(&mut self, call: Option<&str>, message: ClientMessage) -> MessageId {
        self.sent += 1;
        let id = MessageId::new(format!("c{}", self.sent)).unwrap();
        self.send_as(&id, call, message).await;
        id
    }

    /// Sends under a given name, for instance once more.
    pub(crate) async fn send_as(&mut self, id: &MessageId, call: Option<&str>, message: ClientMessage) {
        let call_id = call.map(|call| CallId::new(call).unwrap());
        let frame = Frame { id: id.clone(), seq: self.sent, ack: self.last_seq, call_id, message };
        self.text(&wire::write(&frame)).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.message(Message::Text(text.into())).await;
    }

    /// Sends as far as the server still reads.
    pub(crate) async fn message(&mut self, message: Message) {
        let _ = timeout(PATIENCE, self.socket().send(message)).await.unwrap();
    }

    /// Sends a command and gives its outcome; events that come before are put in `events`.
    pub(crate) async fn ask(&mut self, call: &str, message: ClientMessage) -> Option<WireError> {
        let id = self.send(Some(call), message).await;
        loop {
            if let ServerMessage::Outcome(outcome) = self.next().await.message
                && outcome.of.as_ref() == Some(&id)
            {
                return outcome.error;
            }
        }
    }

    /// The same for what is not about a call.
    pub(crate) async fn ask_of(&mut self, message: ClientMessage) -> Option<WireError> {
        let id = self.say(message).await;
        loop {
            if let ServerMessage::Outcome(outcome) = self.next().await.message
                && outcome.of.as_ref() == Some(&id)
            {
                return outcome.error;
            }
        }
    }

    pub(crate) async fn call(&mut self, call: &str, to: &str) {
        self.start(call, to, None).await;
    }

    /// Calls, and says who calls.
    pub(crate) async fn call_as(&mut self, name: &str, call: &str, to: &str) {
        self.start(call, to, Some(name.to_owned())).await;
    }

    async fn start(&mut self, call: &str, to: &str, display_name: Option<String>) {
        let start = CallStart {
            to: UserId::new(to).unwrap(),
            headers: Headers::new(),
            sdp: OFFER.to_owned(),
            commitment: None,
            display_name,
        };
        self.send(Some(call), ClientMessage::CallStart(start)).await;
    }

    pub(crate) async fn ring(&mut self, call: &str) {
        self.send(Some(call), ClientMessage::CallRinging(Empty {})).await;
    }

    pub(crate) async fn answer(&mut self, call: &str) {
        self.send(Some(call), ClientMessage::CallAnswer(Answer { sdp: ANSWER.to_owned(), nonce: None }))
            .await;
    }

    pub(crate) async fn hang_up(&mut self, call: &str, cause: CallEndCause, error: Option<WireError>) {
        self.send(Some(call), ClientMessage::CallHangup(Hangup { cause, error })).await;
    }

    /// The next frame of the server.
    pub(crate) async fn next(&mut self) -> Frame<ServerMessage> {
        let text = loop {
            match timeout(PATIENCE, self.socket().next()).await.expect("an event in time") {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a frame, got {other:?}"),
            }
        };
        let frame = wire::parse::<ServerMessage>(text.as_str()).unwrap();
        if frame.seq != 0 {
            assert_eq!(frame.seq, self.last_seq + 1, "events come without gap or repetition");
            self.last_seq = frame.seq;
        }
        frame
    }

    /// The next frame, or `None` when the server is gone.
    pub(crate) async fn next_if_there(&mut self) -> Option<Frame<ServerMessage>> {
        loop {
            match timeout(PATIENCE, self.socket().next()).await.expect("an event in time")?.ok()? {
                Message::Text(text) => {
                    let frame = wire::parse::<ServerMessage>(text.as_str()).unwrap();
                    self.last_seq = self.last_seq.max(frame.seq);
                    return Some(frame);
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The next event about a call; outcomes are skipped.
    pub(crate) async fn event(&mut self) -> (String, ServerMessage) {
        loop {
            let frame = self.next().await;
            if let Some(call) = frame.call_id {
                return (call.to_string(), frame.message);
            }
            assert!(
                matches!(&frame.message, ServerMessage::Outcome(outcome) if outcome.error.is_none()),
                "unexpected {:?}",
                frame.message
            );
        }
    }

    /// Events about calls until one ends, as short words.
    pub(crate) async fn until_end(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            let (_, message) = self.event().await;
            words.push(word(&message));
            if matches!(message, ServerMessage::CallEnded(_)) {
                return words;
            }
        }
    }

    /// The next event about a call.
    pub(crate) async fn call_event(&mut self) -> ServerMessage {
        loop {
            let frame = self.next().await;
            if frame.call_id.is_some() {
                return frame.message;
            }
        }
    }

    /// An event about a call that came before the answer to a ping, or a moment later.
    pub(crate) async fn quiet_or_event(&mut self) -> Option<ServerMessage> {
        tokio::time::sleep(SOON).await;
        self.say(ClientMessage::Ping(Empty {})).await;
        let mut event = None;
        loop {
            let frame = self.next().await;
            if frame.call_id.is_some() {
                event = Some(frame.message);
            } else if matches!(frame.message, ServerMessage::Pong(_)) {
                return event;
            }
        }
    }

    /// The events about calls that came before the answer to a ping.
    pub(crate) async fn words_so_far(&mut self) -> Vec<String> {
        self.say(ClientMessage::Ping(Empty {})).await;
        let mut words = Vec::new();
        loop {
            let frame = self.next().await;
            if frame.call_id.is_some() {
                words.push(word(&frame.message));
            } else if matches!(frame.message, ServerMessage::Pong(_)) {
                return words;
            }
        }
    }

    /// The connection breaks, without a word. What the device knows stays.
    pub(crate) fn hang_the_line(mut self) -> Self {
        self.socket = None;
        self
    }

    /// How many frames it has sent.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Names its next frame as if it had sent so many.
    pub(crate) const fn count_from(&mut self, sent: u64) {
        self.sent = sent;
    }

    /// Goes on as the device that `old` was.
    pub(crate) fn remember(&mut self, old: &Self) {
        self.last_seq = old.last_seq;
        self.sent = old.sent;
        self.welcome = old.welcome.clone();
    }

    fn socket(&mut self) -> &mut WebSocketStream<MaybeTlsStream<TcpStream>> {
        self.socket.as_mut().expect("the line was not hung")
    }

    pub(crate) async fn expect(&mut self, expected: &str) {
        assert_eq!(word(&self.event().await.1), expected);
    }

    /// Nothing about a call has come so far: what the server said before its answer to a ping would be here.
    pub(crate) async fn expect_silence(&mut self) {
        self.say(ClientMessage::Ping(Empty {})).await;
        loop {
            let frame = self.next().await;
            assert_eq!(frame.call_id, None, "unexpected {:?}", frame.message);
            if matches!(frame.message, ServerMessage::Pong(_)) {
                return;
            }
        }
    }

    /// Reads to the end: the `bye`, if there was one, and the close code, if the close was orderly.
    pub(crate) async fn end(&mut self) -> (Option<Bye>, Option<u16>) {
        let mut bye = None;
        loop {
            match timeout(PATIENCE, self.socket().next()).await.expect("an end in time") {
                Some(Ok(Message::Text(text))) => {
                    if let ServerMessage::Bye(said) = wire::parse(text.as_str()).unwrap().message {
                        bye = Some(said);
                    }
                }
                Some(Ok(Message::Close(frame))) => return (bye, frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (bye, None),
            }
        }
    }

    /// The reason of a refused hello.
    pub(crate) async fn refusal(server: &RunningServer, hello: Hello) -> (Option<WireError>, Option<u16>) {
        let mut phone = Self::connect(server).await;
        phone.say(ClientMessage::Hello(hello)).await;
        let (bye, code) = phone.end().await;
        (bye.and_then(|bye| bye.error), code)
    }
}

/// A caller and a callee that talk.
pub(crate) async fn talking(server: &RunningServer, call: &str) -> (Phone, Phone) {
    let mut alice = Phone::register(server, "alice", "a1").await;
    let mut bob = Phone::register(server, "bob", "b1").await;
    alice.call(call, "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    bob.ring(call).await;
    alice.expect("ringing").await;
    bob.answer(call).await;
    bob.expect("answered").await;
    alice.expect("answered").await;
    (alice, bob)
}

/// A call event in a word or two.
pub(crate) fn word(message: &ServerMessage) -> String {
    match message {
        ServerMessage::CallIncoming(incoming) => format!("incoming from {}", incoming.from),
        ServerMessage::CallProgressing(_) => "progressing".to_owned(),
        ServerMessage::CallRinging(_) => "ringing".to_owned(),
        ServerMessage::CallAnswered(_) => "answered".to_owned(),
        ServerMessage::CallCandidate(candidate) => format!("candidate {}", candidate.candidate),
        ServerMessage::CallUpdate(_) => "update".to_owned(),
        ServerMessage::CallEstablished(_) => "established".to_owned(),
        ServerMessage::CallEnded(Ended { cause, error: None }) => format!("ended {cause:?}"),
        ServerMessage::CallEnded(Ended { cause, error: Some(error) }) => format!("ended {cause:?} {error:?}"),
        other => panic!("not a call event: {other:?}"),
    }
}

pub(crate) fn live(call: &str, outgoing: bool, remote: &str) -> LiveCall {
    LiveCall {
        call_id: CallId::new(call).unwrap(),
        outgoing,
        remote: UserId::new(remote).unwrap(),
        nonce: None,
    }
}

pub(crate) fn path_url(server: &RunningServer, query: &str) -> String {
    format!("{}{PATH}?{query}", server.url())
}

impl Phone {
    /// `None` when the hello was welcome, else why not.
    pub(crate) async fn refusal_or_welcome(server: &RunningServer, hello: Hello) -> Option<WireError> {
        let mut phone = Self::connect(server).await;
        phone.say(ClientMessage::Hello(hello)).await;
        match phone.next().await.message {
            ServerMessage::Welcome(_) => None,
            ServerMessage::Bye(bye) => bye.error,
            other => panic!("unexpected {other:?}"),
        }
    }
}
