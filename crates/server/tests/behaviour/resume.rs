//! A client that lost its connection comes back and has missed nothing.

use offhook_signaling::ClientMessage;
use offhook_signaling::message::Credential;

use crate::support::{Phone, candidate, config, hello, serve, talking};

/// Bob comes back with what he knows of his session.
async fn back(server: &offhook_server::RunningServer, bob: &Phone, token: Option<&str>) -> Phone {
    let mut hello = hello("bob", "b1", Credential::Device(bob.credential()));
    let mut resume = bob.resume();
    if let Some(token) = token {
        token.clone_into(&mut resume.token);
    }
    hello.resume = Some(resume);
    let mut again = Phone::connect(server).await;
    again.last_seq = bob.last_seq;
    again.greet(hello).await;
    again
}

#[tokio::test]
async fn missed_events_are_replayed_once_and_in_order() {
    let server = serve(config()).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    bob.message(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    bob.end().await;
    for line in ["one", "two", "three"] {
        alice.send(Some("c"), ClientMessage::CallCandidate(candidate(line))).await;
    }
    alice.expect_silence().await;
    let mut bob = back(&server, &bob, None).await;
    assert!(bob.welcome.as_ref().unwrap().resumed);
    for line in ["one", "two", "three"] {
        bob.expect(&format!("candidate {line}")).await;
    }
    bob.expect_silence().await;
}

#[tokio::test]
async fn a_connection_that_hangs_is_replaced_by_its_resume() {
    let server = serve(config()).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    let mut again = back(&server, &bob, None).await;
    assert!(again.welcome.as_ref().unwrap().resumed);
    bob.end().await;
    alice.send(Some("c"), ClientMessage::CallCandidate(candidate("one"))).await;
    again.expect("candidate one").await;
}

#[tokio::test]
async fn without_the_right_resume_token_a_snapshot_brings_the_calls() {
    let server = serve(config()).await;
    let (mut alice, bob) = talking(&server, "c").await;
    alice.send(Some("c"), ClientMessage::CallCandidate(candidate("one"))).await;
    alice.expect_silence().await;
    let mut hello = hello("bob", "b1", Credential::Device(bob.credential()));
    hello.resume = Some(offhook_signaling::message::Resume { token: "guessed".to_owned(), ..bob.resume() });
    let mut again = Phone::connect(&server).await;
    // Bob's old events are the ones he saw and the candidate.
    again.last_seq = bob.last_seq + 1;
    again.greet(hello).await;
    assert!(!again.welcome.as_ref().unwrap().resumed);
    let call = again.snapshot.clone().unwrap().calls.remove(0);
    assert_eq!((call.call_id.as_str(), call.outgoing, call.remote.as_str()), ("c", false, "alice"));
    again.expect("candidate one").await;
}

#[tokio::test]
async fn an_invented_event_number_ends_in_a_snapshot() {
    let server = serve(config()).await;
    let (_alice, mut bob) = talking(&server, "c").await;
    bob.last_seq += 1000;
    let mut hello = hello("bob", "b1", Credential::Device(bob.credential()));
    hello.resume = Some(bob.resume());
    let again = Phone::log_in(&server, hello).await;
    assert_eq!(again.snapshot.unwrap().calls.len(), 1);
}

#[tokio::test]
async fn a_session_that_begins_anew_ends_the_calls_of_the_one_before() {
    let server = serve(config()).await;
    let (mut alice, bob) = talking(&server, "c").await;
    let again = Phone::log_in(&server, hello("bob", "b1", Credential::Device(bob.credential()))).await;
    assert!(again.snapshot.unwrap().calls.is_empty());
    alice.expect("ended Inactive").await;
}
