//! All devices of the callee ring; the first that accepts has the call.

use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Answer, WireError};

use crate::support::{ANSWER, Phone, candidate, config, serve, talking};

#[tokio::test]
async fn all_devices_ring_and_the_first_answer_wins() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bobs = Vec::new();
    for device in ["b1", "b2", "b3"] {
        bobs.push(Phone::register(&server, "bob", device).await);
    }
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    for bob in &mut bobs {
        bob.expect("incoming from alice").await;
        bob.ring("c").await;
    }
    alice.expect("ringing").await;
    bobs[1].answer("c").await;
    alice.expect("answered").await;
    bobs[1].expect("answered").await;
    for loser in [0, 2] {
        bobs[loser].expect("ended OtherDeviceAnswered").await;
        let late = ClientMessage::CallAnswer(Answer { sdp: ANSWER.to_owned(), nonce: None });
        assert!(bobs[loser].ask("c", late).await.is_some());
    }
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_device_that_comes_while_it_rings_rings_too() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    alice.send(Some("c"), ClientMessage::CallCandidate(candidate("one"))).await;
    alice.expect_silence().await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    let snapshot = bob.snapshot.clone().unwrap();
    assert_eq!(snapshot.calls[0].remote.as_str(), "alice");
    bob.expect("incoming from alice").await;
    bob.expect("candidate one").await;
    bob.ring("c").await;
    alice.expect("ringing").await;
}

#[tokio::test]
async fn candidates_and_news_pass_between_the_two() {
    let server = serve(config()).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    alice.send(Some("c"), ClientMessage::CallCandidate(candidate("from alice"))).await;
    bob.expect("candidate from alice").await;
    bob.send(Some("c"), ClientMessage::CallCandidate(candidate("from bob"))).await;
    alice.expect("candidate from bob").await;
    bob.send(Some("c"), ClientMessage::CallEstablished(offhook_signaling::message::Empty {})).await;
    alice.expect("established").await;
}

#[tokio::test]
async fn nothing_of_a_callee_reaches_the_caller_before_it_accepts() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    let early = ClientMessage::CallCandidate(candidate("early"));
    assert_eq!(bob.ask("c", early).await, Some(WireError::OutOfOrder));
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_stranger_has_no_part_in_a_call() {
    let server = serve(config()).await;
    let (mut alice, _bob) = talking(&server, "c").await;
    let mut mallory = Phone::register(&server, "mallory", "m1").await;
    let hang_up = offhook_signaling::message::Hangup { cause: CallEndCause::HungUp, error: None };
    for message in [
        ClientMessage::CallHangup(hang_up),
        ClientMessage::CallCandidate(candidate("evil")),
        ClientMessage::CallAnswer(Answer { sdp: ANSWER.to_owned(), nonce: None }),
    ] {
        assert_eq!(mallory.ask("c", message).await, Some(WireError::UnknownCall));
    }
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_command_that_is_repeated_is_carried_out_once() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    let id = bob.send(Some("c"), ClientMessage::CallRinging(offhook_signaling::message::Empty {})).await;
    bob.send_as(&id, Some("c"), ClientMessage::CallRinging(offhook_signaling::message::Empty {})).await;
    for _ in 0..2 {
        let offhook_signaling::ServerMessage::Outcome(outcome) = bob.next().await.message else {
            panic!("no outcome")
        };
        assert_eq!((outcome.of, outcome.error), (Some(id.clone()), None));
    }
    alice.expect("ringing").await;
    alice.expect_silence().await;
}
