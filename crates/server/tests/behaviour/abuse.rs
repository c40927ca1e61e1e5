//! What a hostile peer tries, and what it does to others: nothing. Each case of docs/SECURITY_MODEL.md that a socket can show.

use std::time::{Duration, Instant};

use offhook_server::{Limits, Rate, RunningServer, SessionTimers};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{ByeAction, CallStart, Credential, Empty, Headers, Register, WireError};
use offhook_signaling::{ClientMessage, ServerMessage, UserId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::metrics::{counting, scrape, value};
use crate::rest::{ask, own};
use crate::support::{KEY, Phone, SOON, config, hello, now, serve, signed, token};

/// A server that takes this long to end what it should has not ended it.
const PATIENCE: Duration = Duration::from_secs(20);
const WRONG: &str = "bx8hTTQJF0OPXL32r1LHMA==";

/// So many at once, and then nothing for an hour.
const fn only(burst: u32) -> Rate {
    Rate { interval: Duration::from_secs(3600), burst }
}

async fn limited(limits: Limits) -> RunningServer {
    serve(config().limits(limits)).await
}

async fn connect(server: &RunningServer) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

/// Whether the server ends the connection by itself.
async fn ends(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server ends it");
}

fn start(to: &str) -> ClientMessage {
    start_with(to, "s")
}

fn start_with(to: &str, sdp: &str) -> ClientMessage {
    let (to, sdp) = (UserId::new(to).unwrap(), sdp.to_owned());
    ClientMessage::CallStart(CallStart {
        to,
        headers: Headers::new(),
        sdp,
        commitment: None,
        display_name: None,
    })
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_not_even_greeted() {
    let server = limited(Limits { attempts_per_address: only(3), ..Limits::default() }).await;
    for _ in 0..3 {
        drop(connect(&server).await);
    }
    let mut refused = connect(&server).await;
    ends(&mut refused).await;
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test]
async fn registrations_of_an_address_and_of_an_application_are_limited() {
    for limits in [
        Limits { registrations_per_address: only(2), ..Limits::default() },
        Limits { registrations_per_application: only(2), ..Limits::default() },
    ] {
        let server = limited(limits).await;
        let mut alice = Phone::register(&server, "alice", "a1").await;
        let bob = Phone::register(&server, "bob", "b1").await;
        let carol = hello("carol", "c1", Credential::Token(token("carol", "c")));
        assert_eq!(Phone::refusal(&server, carol).await, (Some(WireError::RateLimited), Some(4007)));
        let renewal = ClientMessage::Register(Register { token: token("alice", "renewal") });
        assert_eq!(alice.ask_of(renewal).await, Some(WireError::RateLimited), "renewals count");
        // Who is registered comes back whenever they like.
        Phone::log_in(&server, hello("bob", "b1", Credential::Device(bob.credential()))).await;
    }
}

#[tokio::test]
async fn who_guesses_tokens_or_passwords_is_not_listened_to_for_a_while() {
    let server = limited(Limits { refusals_per_address: only(3), ..Limits::default() }).await;
    let wrong = || Credential::Token(signed(WRONG, "alice", now(), 600, "n"));
    assert_eq!(
        Phone::refusal(&server, hello("alice", "a1", wrong())).await.0,
        Some(WireError::TokenSignature)
    );
    let made_up = Credential::Device(offhook_signaling::DeviceCredential::new("x".repeat(43)));
    assert_eq!(
        Phone::refusal(&server, hello("alice", "a1", made_up)).await.0,
        Some(WireError::CredentialRefused)
    );
    assert_eq!(ask(&server, "GET /v1/calls", &own()).await.0, 200);
    assert_eq!(ask(&server, "GET /v1/calls", &crate::rest::basic(KEY, WRONG)).await.0, 401);
    // That were three; now the right ones are not looked at either.
    let right = hello("alice", "a1", Credential::Token(token("alice", "right")));
    let (error, code) = Phone::refusal(&server, right).await;
    assert_eq!((error, code), (Some(WireError::RateLimited), Some(4007)));
    let (status, body) = ask(&server, "GET /v1/calls", &own()).await;
    assert!(status == 429 && body.contains("42900"), "{status} {body}");
}

#[tokio::test]
async fn requests_of_an_application_are_limited() {
    let server = limited(Limits { requests_per_application: only(2), ..Limits::default() }).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(ask(&server, "GET /v1/calls", &own()).await.0);
    }
    assert_eq!(seen, [200, 200, 429]);
}

#[tokio::test]
async fn calls_from_an_address_and_in_an_application_are_limited() {
    for limits in [
        Limits { calls_per_address: only(2), ..Limits::default() },
        Limits { calls_per_application: only(2), ..Limits::default() },
    ] {
        let server = limited(limits).await;
        let mut alice = Phone::register(&server, "alice", "a1").await;
        let mut bob = Phone::register(&server, "bob", "b1").await;
        assert_eq!(alice.ask("one", start("carol")).await, None);
        assert_eq!(bob.ask("two", start("carol")).await, None);
        assert_eq!(bob.ask("three", start("carol")).await, Some(WireError::RateLimited));
    }
}

#[tokio::test]
async fn a_device_has_a_limited_number_of_calls_at_once() {
    let server = limited(Limits { calls_per_user: only(1000), ..Limits::default() }).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    for call in 0..32 {
        assert_eq!(alice.ask(&format!("call{call}"), start("nobody")).await, None);
    }
    assert!(alice.ask("call32", start("nobody")).await.is_some());
}

#[tokio::test]
async fn who_floods_is_read_more_slowly_and_nobody_else() {
    let slow = Rate { interval: Duration::from_millis(50), burst: 4 };
    let server = limited(Limits { messages_per_user: slow, ..Limits::default() }).await;
    let mut alices =
        [Phone::register(&server, "alice", "a1").await, Phone::register(&server, "alice", "a2").await];
    let mut bob = Phone::register(&server, "bob", "b1").await;
    let begun = Instant::now();
    for _ in 0..6 {
        for alice in &mut alices {
            alice.say(ClientMessage::Ping(Empty {})).await;
        }
    }
    bob.expect_silence().await;
    let of_bob = begun.elapsed();
    for alice in &mut alices {
        for _ in 0..6 {
            assert!(matches!(alice.next().await.message, ServerMessage::Pong(_)), "nothing is lost");
        }
    }
    // Twelve on two connections, four of them at once.
    assert!(begun.elapsed() >= slow.interval * 7, "{:?}", begun.elapsed());
    assert!(of_bob < slow.interval * 4, "{of_bob:?}");
}

#[tokio::test]
async fn pings_and_fragments_of_the_websocket_are_read_no_faster_than_messages() {
    let slow = Rate { interval: Duration::from_millis(50), burst: 4 };
    let server = limited(Limits { messages_per_connection: slow, ..Limits::default() }).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let begun = Instant::now();
    for _ in 0..12 {
        alice.message(Message::Ping(Vec::new().into())).await;
    }
    alice.say(ClientMessage::Ping(Empty {})).await;
    assert!(matches!(alice.next().await.message, ServerMessage::Pong(_)), "nothing is lost");
    assert!(begun.elapsed() >= slow.interval * 7, "{:?}", begun.elapsed());
    // Fragments make no message before the last of them: they are counted by their bytes.
    let mut bob = Phone::register(&server, "bob", "b1").await;
    let fragment = |kind, text: &'static str, is_last| {
        Message::Frame(Frame::message(text.as_bytes(), OpCode::Data(kind), is_last))
    };
    let begun = Instant::now();
    bob.message(fragment(Data::Text, r#"{"v":1,"id":"x","#, false)).await;
    for _ in 0..8000 {
        bob.message(fragment(Data::Continue, "", false)).await;
    }
    bob.message(fragment(Data::Continue, r#""type":"ping"}"#, true)).await;
    assert!(matches!(bob.next().await.message, ServerMessage::Pong(_)), "nothing is lost");
    // Six bytes each, as many as eleven messages of 4 KiB.
    assert!(begun.elapsed() >= slow.interval * 6, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_has_not_said_hello_is_not_read_faster() {
    let slow = Rate { interval: Duration::from_millis(50), burst: 4 };
    let server = limited(Limits { messages_per_connection: slow, ..Limits::default() }).await;
    let mut stranger = Phone::connect(&server).await;
    let begun = Instant::now();
    for _ in 0..12 {
        stranger.message(Message::Ping(Vec::new().into())).await;
    }
    stranger.greet(hello("alice", "a1", Credential::Token(token("alice", "late")))).await;
    assert!(begun.elapsed() >= slow.interval * 7, "{:?}", begun.elapsed());
}

fn hasty() -> SessionTimers {
    SessionTimers { hello: SOON, ..SessionTimers::default() }
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off() {
    let server = serve(config().session_timers(hasty())).await;
    let mut stream = connect(&server).await;
    let begun = Instant::now();
    for byte in b"GET /v1/signal HTTP/1.1\r\nHost: offhook\r\nX-Slow: ".iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20)).await;
    }
    let mut silent = connect(&server).await;
    ends(&mut silent).await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: offhook\r\n\r\n").await.unwrap();
    ends(&mut idle).await;
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test]
async fn a_body_that_drips_in_is_not_waited_for() {
    let server = serve(config().session_timers(hasty())).await;
    let mut stream = connect(&server).await;
    let head = format!(
        "PATCH /v1/calls/c HTTP/1.1\r\nHost: offhook\r\nAuthorization: {}\r\nContent-Length: 60000\r\n\r\n{{",
        own()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    ends(&mut stream).await;
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_begin_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = crate::tls::files(folder.path());
    let server = serve(config().tls(certificate, key).session_timers(hasty())).await;
    let mut stream = connect(&server).await;
    ends(&mut stream).await;
    let mut stream = connect(&server).await;
    stream.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    ends(&mut stream).await;
}

#[tokio::test]
async fn who_does_not_read_what_they_asked_for_is_dropped() {
    let server = serve(config().session_timers(hasty())).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.local_addr()).await.unwrap();
    let request = "GET /offhook.js HTTP/1.1\r\nHost: offhook\r\n\r\n".repeat(200);
    // Megabytes of answers; the server stops taking requests when they are not read.
    let _ = timeout(SOON, stream.write_all(request.as_bytes())).await;
    let begun = Instant::now();
    while server.connection_count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "still there");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_device_that_does_not_read_is_cut_off_and_holds_up_nobody() {
    let plenty = Rate { interval: Duration::from_micros(1), burst: 100_000 };
    let limits = Limits { calls_per_user: plenty, messages_per_connection: plenty, ..Limits::default() };
    let server = counting(config().limits(limits)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.local_addr()).await.unwrap();
    let mut deaf = Phone::over(&server, stream).await;
    deaf.greet(hello("bob", "b1", Credential::Token(token("bob", "deaf")))).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let cut_off = "offhook_connections_closed_total{reason=\"slow_consumer\"}";
    let offer = "s".repeat(30_000);
    // The kernel takes some megabytes, then the queue of the connection 256 KiB.
    for call in 0..1000 {
        let call = format!("call{call}");
        assert_eq!(alice.ask(&call, start_with("bob", &offer)).await, None);
        alice.hang_up(&call, CallEndCause::Canceled, None).await;
        if value(&scrape(&server).await, cut_off) >= 1.0 {
            break;
        }
    }
    assert!(value(&scrape(&server).await, cut_off) >= 1.0);
    assert_eq!(alice.ask("last", start("carol")).await, None, "the others go on");
    drop(deaf);
}

#[tokio::test]
async fn whoever_is_over_a_limit_is_told_to_come_back_later() {
    let server = limited(Limits { registrations_per_address: only(1), ..Limits::default() }).await;
    let _alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::connect(&server).await;
    bob.say(ClientMessage::Hello(hello("bob", "b1", Credential::Token(token("bob", "b"))))).await;
    let bye = bob.end().await.0.unwrap();
    assert!(bye.action == ByeAction::Reconnect && bye.retry_after_ms > 0);
}
