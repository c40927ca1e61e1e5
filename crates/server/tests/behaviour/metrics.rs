//! What is counted, who may read it, and that the documentation names all of it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_server::{RunningServer, Server, ServerConfig, TurnConfig};
use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Credential, Empty};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pages::{ask, get};
use crate::support::{Phone, config, hello, serve, talking, token};

pub(crate) const ADMIN: &str = "ada:correct horse battery";

pub(crate) async fn counting(config: ServerConfig) -> RunningServer {
    serve(config.metrics_listen(Some("127.0.0.1:0".parse().unwrap()))).await
}

/// From the listener that metrics have for themselves.
pub(crate) async fn scrape(server: &RunningServer) -> String {
    let mut stream = TcpStream::connect(server.metrics_addr().unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: offhook\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("openmetrics-text"), "{page}");
    page
}

/// The value of a sample, by its name and labels as they are written.
pub(crate) fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is not in\n{page}")).trim().parse().unwrap()
}

#[tokio::test]
async fn every_exported_name_is_documented_and_the_reverse() {
    let turn = TurnConfig::new("127.0.0.1:0".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = crate::tls::files(folder.path());
    let server = counting(config().turn(turn).tls(certificate, key).allocated_bytes(|| Some(4096))).await;
    let page = scrape(&server).await;
    let exported: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let documented: BTreeSet<String> = include_str!("../../../../docs/METRICS.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .filter(|(name, _)| !name.starts_with('/'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(exported.len() > 25, "{exported:?}");
    assert_eq!(exported, documented);
}

#[tokio::test]
async fn a_call_is_counted_from_its_start_to_its_end() {
    let server = counting(config()).await;
    let before = scrape(&server).await;
    assert_eq!(value(&before, "offhook_calls_started_total"), 0.0);
    assert_eq!(value(&before, r#"offhook_calls_ended_total{cause="hung_up"}"#), 0.0, "zero is told, too");
    let (mut alice, mut bob) = talking(&server, "c").await;
    bob.send(Some("c"), ClientMessage::CallEstablished(Empty {})).await;
    alice.expect("established").await;
    let during = scrape(&server).await;
    assert_eq!(value(&during, r#"offhook_calls{state="established"}"#), 1.0);
    // The echo user has a session, too.
    assert_eq!(value(&during, r#"offhook_sessions{state="connected"}"#), 3.0);
    assert!(value(&during, "offhook_connections") >= 2.0);
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    bob.expect("ended HungUp").await;
    let after = scrape(&server).await;
    for (sample, count) in [
        ("offhook_calls_started_total", 1.0),
        (r#"offhook_calls_ended_total{cause="hung_up"}"#, 1.0),
        (r#"offhook_calls{state="established"}"#, 0.0),
        ("offhook_call_setup_seconds_count", 1.0),
        ("offhook_call_talk_seconds_count", 1.0),
        (r#"offhook_registrations_total{by="token",outcome="accepted"}"#, 2.0),
        (r#"offhook_messages_received_total{type="call.start"}"#, 1.0),
        (r#"offhook_messages_received_total{type="call.hangup"}"#, 1.0),
        ("offhook_call_records_lost_total", 0.0),
    ] {
        assert_eq!(value(&after, sample), count, "{sample}");
    }
}

#[tokio::test]
async fn what_is_refused_is_counted_by_its_reason() {
    let server = counting(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.ask("nothing", ClientMessage::CallRinging(Empty {})).await;
    Phone::refusal(&server, hello("bob", "b1", Credential::Token("no.such.token".to_owned()))).await;
    Phone::refusal(&server, hello("bob", "b1", Credential::Token(token("alice", "n")))).await;
    let page = scrape(&server).await;
    assert_eq!(value(&page, r#"offhook_commands_refused_total{error="unknown_call"}"#), 1.0);
    assert_eq!(value(&page, r#"offhook_registrations_total{by="token",outcome="token_malformed"}"#), 1.0);
    assert_eq!(value(&page, r#"offhook_registrations_total{by="token",outcome="token_subject"}"#), 1.0);
    assert_eq!(value(&page, r#"offhook_connections_closed_total{reason="refused"}"#), 2.0);
}

pub(crate) async fn as_admin(server: &RunningServer, path: &str, credentials: &str) -> String {
    let proof = STANDARD.encode(credentials);
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: offhook\r\nAuthorization: Basic {proof}\r\nConnection: close\r\n\r\n"))
        .await
}

#[tokio::test]
async fn where_clients_connect_only_the_operator_reads_metrics() {
    let nobody = serve(config()).await;
    assert!(get(&nobody, "/metrics").await.starts_with("HTTP/1.1 404"), "without an operator there are none");
    let server = serve(config().admin(ADMIN.parse().ok())).await;
    let asked = get(&server, "/metrics").await;
    assert!(asked.starts_with("HTTP/1.1 401") && asked.contains("www-authenticate: Basic"), "{asked}");
    let page = as_admin(&server, "/metrics", ADMIN).await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("# TYPE offhook_calls gauge"), "{page}");
    for _ in 0..10 {
        let refused = as_admin(&server, "/metrics", "ada:wrong").await;
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    }
    let waiting = as_admin(&server, "/metrics", ADMIN).await;
    assert!(waiting.starts_with("HTTP/1.1 429"), "who guesses has to wait: {waiting}");
}

#[tokio::test]
async fn a_development_server_shows_them_to_its_machine() {
    let server = Server::bind(ServerConfig::default().listen("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let asked = ask(&server, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(asked.starts_with("HTTP/1.1 200"), "{asked}");
}
