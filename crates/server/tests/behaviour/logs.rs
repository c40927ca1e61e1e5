//! What is logged without being asked for: which calls there were and how they ended, and nothing of who spoke with whom.

use std::io::Write;
use std::sync::{Arc, Mutex};

use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Credential, Empty};

use crate::pages::get;
use crate::support::{ANSWER, OFFER, Phone, candidate, config, hello, serve, token};

/// What was logged so far.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const CALLER: &str = "sofia-the-caller";
const CALLEE: &str = "boris-the-callee";

/// A whole call, a refused registration and requests for pages; gives what none of it may show.
async fn everyday(log: &Log, folder: &std::path::Path) -> Vec<String> {
    let server = serve(config().data(folder)).await;
    // The server's own address is told at its start; those of others never.
    log.0.lock().unwrap().clear();
    let mut caller = Phone::register(&server, CALLER, "device-of-sofia").await;
    let mut callee = Phone::register(&server, CALLEE, "device-of-boris").await;
    caller.call("call-17", CALLEE).await;
    caller.expect("progressing").await;
    callee.expect(&format!("incoming from {CALLER}")).await;
    callee.ring("call-17").await;
    caller.expect("ringing").await;
    caller.send(Some("call-17"), ClientMessage::CallCandidate(candidate("typ host 192.0.2.77 4242"))).await;
    callee.expect("candidate typ host 192.0.2.77 4242").await;
    callee.answer("call-17").await;
    caller.expect("answered").await;
    caller.send(Some("call-17"), ClientMessage::CallEstablished(Empty {})).await;
    caller.ask("no-such-call", ClientMessage::CallRinging(Empty {})).await;
    callee.hang_up("call-17", CallEndCause::HungUp, None).await;
    caller.expect("ended HungUp").await;
    let refused = token("somebody-else", "n");
    Phone::refusal(&server, hello(CALLER, "device-of-sofia", Credential::Token(refused.clone()))).await;
    caller.text("{ this is no frame").await;
    get(&server, &format!("/{CALLER}")).await;
    let secret = caller.credential().expose().to_owned();
    let resume = caller.resume();
    server.shutdown().await;
    let texts = [CALLER, CALLEE, "device-of-", OFFER, ANSWER, "192.0.2.77", "127.0.0.1", "somebody-else"];
    let mut hidden: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    hidden.extend([refused, secret, resume.token, resume.session.to_string()]);
    hidden
}

/// Whatever the level: what lets somebody in. The CLI keeps the libraries below from logging frames.
#[tokio::test]
async fn nothing_that_lets_anybody_in_is_in_any_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("offhook_server=trace,offhook_signaling=trace,debug")
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let hidden = everyday(&log, folder.path()).await;
    drop(guard);
    let text = log.text();
    assert!(text.contains(CALLER), "at this level people are named");
    // The last four: token, credential, resume token, session.
    for secret in hidden.iter().rev().skip(1).take(3).map(String::as_str).chain([crate::support::SECRET]) {
        assert!(!text.contains(secret), "{secret:?} is in the log:\n{text}");
    }
}

#[tokio::test]
async fn nothing_of_people_is_in_the_usual_log_and_calls_are_named() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_writer(move || writer.clone())
        .finish();
    // The runtime of this test has one thread: what the server's tasks log comes here, and nothing of other tests.
    let guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let hidden = everyday(&log, folder.path()).await;
    drop(guard);
    let text = log.text();
    for secret in hidden {
        assert!(!text.contains(&secret), "{secret:?} is in the log:\n{text}");
    }
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    for message in ["call started", "call ended"] {
        let line = lines.iter().find(|line| line["fields"]["message"] == message);
        let line = line.unwrap_or_else(|| panic!("{message} is not in\n{text}"));
        assert_eq!(line["fields"]["call_id"], "call-17", "{line}");
    }
    assert!(lines.iter().any(|line| line["fields"]["message"] == "registration refused"), "{text}");
}
