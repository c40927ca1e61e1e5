//! The REST interface, as an application's back end meets it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_server::RunningServer;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::Credential;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{KEY, Phone, SECRET, config, hello, serve, talking};

/// Status and body of a request without a body.
pub(crate) async fn ask(server: &RunningServer, request: &str, authorization: &str) -> (u16, String) {
    send(server, request, authorization, "").await
}

/// Status and body of a request with a JSON body.
pub(crate) async fn send(
    server: &RunningServer,
    request: &str,
    authorization: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nAuthorization: {authorization}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Basic authentication of the usual application.
pub(crate) fn own() -> String {
    basic(KEY, SECRET)
}

pub(crate) fn basic(key: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")))
}

pub(crate) fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_call_that_is_over_is_shown_and_exported() {
    let server = serve(config()).await;
    let (mut alice, _bob) = talking(&server, "c").await;
    let own = basic(KEY, SECRET);
    assert_eq!(ask(&server, "GET /v1/records", &own).await.1, r#"{"records":[],"next":null}"#, "not over");
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    alice.until_end().await;
    let (status, body) = ask(&server, "GET /v1/calls/c", &own).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&json(&body)["result"], &json(&body)["reason"]),
        (&"ANSWERED".into(), &"CALLERHANGUP".into())
    );
    let (_, body) = ask(&server, "GET /v1/records?user=bob", &own).await;
    assert_eq!(json(&body)["records"][0]["call_id"], "c");
    let (_, body) = ask(&server, "GET /v1/records?format=csv", &own).await;
    let lines: Vec<&str> = body.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("c,alice,bob,a1,b1,"), "{body}");
    let (_, body) = ask(&server, "GET /v1/records?to=1", &own).await;
    assert!(json(&body)["records"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_device_is_listed_and_its_registration_ended() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let own = basic(KEY, SECRET);
    let (_, body) = ask(&server, "GET /v1/devices?user=alice", &own).await;
    assert_eq!(json(&body)["devices"][0]["device"], "a1");
    let _bob = Phone::register(&server, "bob", "b1").await;
    let (_, body) = ask(&server, "GET /v1/devices?limit=1", &own).await;
    assert_eq!(
        (&json(&body)["devices"][0]["user"], &json(&body)["next"]),
        (&"alice".into(), &"alice/a1".into())
    );
    let (_, body) = ask(&server, "GET /v1/devices?limit=1&after=alice/a1", &own).await;
    assert_eq!((&json(&body)["devices"][0]["user"], &json(&body)["next"]), (&"bob".into(), &Value::Null));
    assert_eq!(ask(&server, "GET /v1/devices?after=alice", &own).await.0, 400);
    assert_eq!(ask(&server, "DELETE /v1/devices/alice/a1", &own).await.0, 204);
    assert_eq!(alice.end().await.1, Some(4008));
    let again = hello("alice", "a1", Credential::Device(alice.credential()));
    assert!(Phone::refusal(&server, again).await.0.is_some());
    assert_eq!(ask(&server, "DELETE /v1/devices/alice/a1", &own).await.0, 404);
}

#[tokio::test]
async fn who_does_not_prove_an_application_gets_nothing_and_the_published_code() {
    let server = serve(config()).await;
    let other = "b32e5a8d-f7d8-411c-9645-9038e8dd051d";
    for (authorization, code) in [
        (String::new(), 40100),
        ("Bearer x".to_owned(), 40100),
        ("Basic !".to_owned(), 40100),
        (basic(KEY, "bx8hTTQJF0OPXL32r1LHMA=="), 40108),
        (basic(KEY, ""), 40108),
        (basic(other, SECRET), 40108),
        (format!("Application {KEY}:AAAA"), 40101),
    ] {
        let (status, body) = ask(&server, "GET /v1/records", &authorization).await;
        assert_eq!((status, json(&body)["errorCode"].as_u64()), (401, Some(code)), "{authorization}");
    }
    let (status, body) = ask(&server, "GET /v1/records?limit=0", &basic(KEY, SECRET)).await;
    assert_eq!((status, json(&body)["errorCode"].as_u64()), (400, Some(40001)));
}

#[tokio::test]
async fn a_path_or_method_that_is_not_there_is_refused_in_the_usual_form() {
    let server = serve(config()).await;
    for (request, code) in [
        ("GET /v1", 40400),
        ("GET /v1/", 40400),
        ("GET /v1/nothing", 40400),
        ("POST /v1/calls", 40500),
        ("PUT /v1/calls/c", 40500),
        ("DELETE /v1/records", 40500),
    ] {
        let (status, body) = ask(&server, request, &own()).await;
        assert_eq!(
            (u64::from(status), json(&body)["errorCode"].as_u64()),
            (code / 100, Some(code)),
            "{request}"
        );
    }
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(b"PUT /v1/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.to_ascii_lowercase().contains("\r\nallow: get,head\r\n"), "{answer}");
}
