//! A back end is asked about calls and told of them.

use std::time::{Duration, Instant};

use offhook_server::{Application, CallbackDigest, Callbacks, RunningServer, ServerConfig};
use offhook_signaling::call::{CallEndCause, CallTimers, Unanswered};
use serde_json::json;

use crate::backend::{Answer, Backend, header};
use crate::metrics::{counting, scrape, value};
use crate::rest::{ask, json, own};
use crate::support::{KEY, Phone, SECRET, config, serve};

const GO_ON: &str = r#"{"action":{"name":"continue"}}"#;
/// Nothing listens there.
const NOBODY: &str = "http://127.0.0.1:1/";

fn hooked(callbacks: Callbacks) -> ServerConfig {
    let application = Application::from_parts(KEY, SECRET).unwrap().with_callbacks(callbacks);
    config().applications(vec![application])
}

async fn alice_and_bob(server: &RunningServer) -> (Phone, Phone) {
    (Phone::register(server, "alice", "a1").await, Phone::register(server, "bob", "b1").await)
}

#[tokio::test]
async fn a_call_is_told_in_order_from_its_start_to_its_end() {
    let mut backend = Backend::start(|_| Answer::svaml(GO_ON)).await;
    let server = serve(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    let asked = backend.next().await;
    assert_eq!(asked.path, "/offhook?app=1");
    let event = &asked.event;
    assert_eq!(
        (&event["event"], &event["callid"], &event["version"]),
        (&"ice".into(), &"c".into(), &1.into())
    );
    assert_eq!((&event["user"], &event["to"]["endpoint"]), (&"alice".into(), &"bob".into()));
    assert_eq!((&event["domain"], &event["applicationKey"]), (&"mxp".into(), &KEY.into()));
    bob.answer("c").await;
    alice.expect("answered").await;
    let asked = backend.next().await;
    assert_eq!((&asked.event["event"], &asked.event["device"]), (&"ace".into(), &"b1".into()));
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    let asked = backend.next().await;
    let event = &asked.event;
    assert_eq!(
        (&event["event"], &event["reason"], &event["result"]),
        (&"dice".into(), &"CALLERHANGUP".into(), &"ANSWERED".into())
    );
    assert!(event["duration"].is_u64() && backend.is_quiet());
}

#[tokio::test]
async fn a_reply_ends_the_call_before_it_rings() {
    let mut backend = Backend::start(|_| Answer::svaml(r#"{"action":{"name":"hangup"}}"#)).await;
    let server = serve(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    alice.call("c", "bob").await;
    assert_eq!(alice.until_end().await, ["progressing", "ended Denied"]);
    bob.expect_silence().await;
    assert_eq!((backend.event().await, backend.event().await), ("ice".to_owned(), "dice".to_owned()));
    let over = json(&ask(&server, "GET /v1/calls/c", &own()).await.1);
    assert_eq!((&over["reason"], &over["result"]), (&"MANAGERHANGUP".into(), &"NOANSWER".into()));
}

#[tokio::test]
async fn a_reply_leads_the_call_elsewhere_with_other_headers() {
    let reply = r#"{"instructions":[{"name":"say","text":"x"}],"action":{"name":"connectMxp",
        "destination":{"type":"username","endpoint":"carol"},"callHeaders":[{"key":"queue","value":"7"}]}}"#;
    let mut backend = Backend::start(move |_| Answer::svaml(reply)).await;
    let server = serve(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    let mut carol = Phone::register(&server, "carol", "c1").await;
    alice.call("c", "bob").await;
    let (_, incoming) = carol.event().await;
    let offhook_signaling::ServerMessage::CallIncoming(incoming) = incoming else { panic!("{incoming:?}") };
    assert_eq!(incoming.headers, [("queue".to_owned(), "7".to_owned())].into());
    bob.expect_silence().await;
    alice.hang_up("c", CallEndCause::Canceled, None).await;
    alice.until_end().await;
    backend.event().await;
    let told = backend.next().await.event;
    assert_eq!(
        (&told["to"]["endpoint"], &told["callHeaders"]),
        (&"carol".into(), &json!([{ "key": "queue", "value": "7" }]))
    );
}

#[tokio::test]
async fn a_reply_to_the_answer_ends_the_call() {
    let decide = |event: &serde_json::Value| match event["event"].as_str() {
        Some("ace") => Answer::svaml(r#"{"action":{"name":"hangup"}}"#),
        _ => Answer::svaml(""),
    };
    let backend = Backend::start(decide).await;
    let server = serve(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    alice.call("c", "bob").await;
    bob.expect("incoming from alice").await;
    bob.answer("c").await;
    assert_eq!(alice.until_end().await, ["progressing", "answered", "ended HungUp"]);
}

#[tokio::test]
async fn the_fallback_is_asked_where_the_first_fails_refuses_or_sends_elsewhere() {
    for first in [
        None,
        Some(Answer::Say(500, String::new())),
        Some(Answer::Say(307, GO_ON.to_owned())),
        Some(Answer::Say(404, String::new())),
    ] {
        let refuses = first.clone();
        let primary = match first {
            Some(answer) => Backend::start(move |_| answer.clone()).await.url,
            None => NOBODY.to_owned(),
        };
        let mut fallback = Backend::start(|_| Answer::svaml(r#"{"action":{"name":"hangup"}}"#)).await;
        let callbacks = Callbacks { fallback_url: Some(fallback.url.clone()), ..Callbacks::new(primary) };
        let server = serve(hooked(callbacks)).await;
        let (mut alice, _bob) = alice_and_bob(&server).await;
        alice.call("c", "bob").await;
        assert_eq!(alice.until_end().await, ["progressing", "ended Denied"], "{refuses:?}");
        assert_eq!(fallback.event().await, "ice");
    }
}

#[tokio::test]
async fn a_call_about_which_nothing_is_said_goes_on_or_ends_as_configured() {
    for (on_failure, url) in
        [Unanswered::Continue, Unanswered::HangUp].into_iter().flat_map(|on| [(on, true), (on, false)])
    {
        let backend = Backend::start(|_| Answer::Silence).await;
        let url = if url { backend.url.as_str() } else { NOBODY };
        let callbacks = Callbacks { timeout_ms: 300, on_failure, ..Callbacks::new(url) };
        let server = serve(hooked(callbacks)).await;
        let (mut alice, mut bob) = alice_and_bob(&server).await;
        alice.call("c", "bob").await;
        match on_failure {
            Unanswered::Continue => bob.expect("incoming from alice").await,
            Unanswered::HangUp => {
                assert_eq!(alice.until_end().await, ["progressing", "ended Denied"]);
                bob.expect_silence().await;
                let over = json(&ask(&server, "GET /v1/calls/c", &own()).await.1);
                assert_eq!((&over["reason"], &over["result"]), (&"CALLBACKERROR".into(), &"FAILED".into()));
            }
        }
    }
}

#[tokio::test]
async fn a_reply_that_is_not_understood_counts_as_none() {
    let huge = " ".repeat(20_000);
    for reply in [r#"{"action":{"name":"park"}}"#, "<html>", huge.as_str()] {
        let reply = reply.to_owned();
        let backend = Backend::start(move |_| Answer::svaml(&reply)).await;
        let callbacks = Callbacks { on_failure: Unanswered::HangUp, ..Callbacks::new(&backend.url) };
        let server = serve(hooked(callbacks)).await;
        let (mut alice, _bob) = alice_and_bob(&server).await;
        alice.call("c", "bob").await;
        assert_eq!(alice.until_end().await, ["progressing", "ended Denied"]);
    }
}

#[tokio::test]
async fn what_failed_is_told_again_in_the_order_of_the_call() {
    let mut failures = 0;
    let mut backend = Backend::start(move |event| match event["event"].as_str() {
        Some("ace") if failures == 0 => {
            failures += 1;
            Answer::Say(503, String::new())
        }
        _ => Answer::svaml(""),
    })
    .await;
    let server = serve(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    alice.call("c", "bob").await;
    bob.expect("incoming from alice").await;
    bob.answer("c").await;
    bob.expect("answered").await;
    bob.hang_up("c", CallEndCause::HungUp, None).await;
    bob.until_end().await;
    // Another call does not wait for it.
    alice.call("d", "nobody").await;
    alice.hang_up("d", CallEndCause::Canceled, None).await;
    let mut told = Vec::new();
    for _ in 0..6 {
        let event = backend.next().await.event;
        told.push(format!("{} {}", event["callid"].as_str().unwrap(), event["event"].as_str().unwrap()));
    }
    let of = |call: &str| -> Vec<&String> { told.iter().filter(|event| event.starts_with(call)).collect() };
    assert_eq!(of("c"), ["c ice", "c ace", "c ace", "c dice"]);
    assert_eq!(of("d"), ["d ice", "d dice"]);
    assert!(
        told.iter().position(|event| event == "d dice") < told.iter().position(|event| event == "c dice"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_back_end_that_says_nothing_holds_up_nothing_but_its_own_calls() {
    let backend = Backend::start(|_| Answer::Silence).await;
    let callbacks = Callbacks { timeout_ms: 30_000, ..Callbacks::new(&backend.url) };
    let server = serve(hooked(callbacks)).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    for call in 0..20 {
        alice.call(&format!("c{call}"), "bob").await;
    }
    let began = Instant::now();
    bob.expect_silence().await;
    let listed = json(&ask(&server, "GET /v1/calls", &own()).await.1);
    assert_eq!(listed["calls"].as_array().unwrap().len(), 20);
    assert!(listed["calls"].as_array().unwrap().iter().all(|call| call["state"] == "init"), "{listed}");
    alice.hang_up("c7", CallEndCause::Canceled, None).await;
    loop {
        let (call, message) = alice.event().await;
        if matches!(message, offhook_signaling::ServerMessage::CallEnded(_)) {
            assert_eq!(call, "c7");
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_end_that_was_told_at_shutdown_reaches_the_back_end() {
    let mut backend = Backend::start(|_| Answer::svaml(GO_ON)).await;
    let server = serve(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    alice.call("c", "bob").await;
    bob.expect("incoming from alice").await;
    alice.hang_up("c", CallEndCause::Canceled, None).await;
    alice.until_end().await;
    server.shutdown().await;
    assert_eq!((backend.event().await, backend.event().await), ("ice".to_owned(), "dice".to_owned()));
}

#[tokio::test]
async fn the_digest_of_the_published_api_is_sent_where_it_is_wanted() {
    let mut backend = Backend::start(|_| Answer::svaml("")).await;
    let callbacks = Callbacks { digest: CallbackDigest::Md5, ..Callbacks::new(&backend.url) };
    let timers = CallTimers { progress: Duration::from_millis(50), ..CallTimers::default() };
    let server = serve(hooked(callbacks).call_timers(timers)).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call("c", "nobody").await;
    assert_eq!(alice.until_end().await, ["progressing", "ended Timeout"]);
    let asked = backend.next().await;
    assert_eq!(header(&asked.head, "content-md5").len(), 24);
    assert!(header(&asked.head, "x-content-sha256").is_empty());
    assert_eq!(backend.next().await.event["reason"], "TIMEOUT");
}

/// Until a sample has this value.
async fn counted(server: &RunningServer, sample: &str, wanted: f64) {
    let end = Instant::now() + Duration::from_secs(20);
    while (value(&scrape(server).await, sample) - wanted).abs() > f64::EPSILON {
        assert!(Instant::now() < end, "{sample} is not {wanted}: {}", value(&scrape(server).await, sample));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_came_of_callbacks_is_counted() {
    let mut backend = Backend::start(|event| match event["event"].as_str() {
        Some("ice") => Answer::svaml(GO_ON),
        Some("ace") => Answer::svaml("neither JSON nor SVAML"),
        _ => Answer::Silence,
    })
    .await;
    let server = counting(hooked(Callbacks::new(&backend.url))).await;
    let (mut alice, mut bob) = alice_and_bob(&server).await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    bob.answer("c").await;
    alice.expect("answered").await;
    counted(&server, r#"offhook_callbacks_total{event="answered",outcome="misunderstood"}"#, 1.0).await;
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    for event in ["ice", "ace", "dice"] {
        assert_eq!(backend.event().await, event);
    }
    let page = scrape(&server).await;
    for (sample, count) in [
        (r#"offhook_callbacks_total{event="incoming",outcome="answered"}"#, 1.0),
        (r#"offhook_callbacks_total{event="incoming",outcome="dropped"}"#, 0.0),
        (r#"offhook_callbacks_total{event="disconnected",outcome="unanswered"}"#, 0.0),
        ("offhook_callback_seconds_count", 2.0),
        // The last one is under way: nobody answers it.
        (r#"offhook_queue_depth{queue="callbacks"}"#, 1.0),
    ] {
        assert_eq!(value(&page, sample), count, "{sample}");
    }
}
