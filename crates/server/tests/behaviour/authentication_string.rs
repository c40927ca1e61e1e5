//! What the two sides exchange for their authentication string passes the server as it is: to all that ring, from the winner, once.

use offhook_server::RunningServer;
use offhook_signaling::message::{Answer, CallStart, Credential, Headers, Resume, Reveal, WireError};
use offhook_signaling::{ClientMessage, ServerMessage, UserId};

use crate::support::{ANSWER, OFFER, Phone, config, hello, live, serve};

const COMMITMENT: &str = "commitment, opaque to a server";
const NONCE: &str = "the callee's";
const REVEALED: &str = "the caller's";

fn reveal(nonce: &str) -> ClientMessage {
    ClientMessage::CallReveal(Reveal { nonce: nonce.to_owned() })
}

async fn ring(server: &RunningServer) -> (Phone, Phone, Phone) {
    let mut alice = Phone::register(server, "alice", "a1").await;
    let mut desk = Phone::register(server, "bob", "desk").await;
    let mut mobile = Phone::register(server, "bob", "mobile").await;
    let start = CallStart {
        to: UserId::new("bob").unwrap(),
        headers: Headers::new(),
        sdp: OFFER.to_owned(),
        commitment: Some(COMMITMENT.to_owned()),
        display_name: Some("Alice A.".to_owned()),
    };
    alice.send(Some("c"), ClientMessage::CallStart(start)).await;
    alice.expect("progressing").await;
    for bob in [&mut desk, &mut mobile] {
        let (_, ServerMessage::CallIncoming(incoming)) = bob.event().await else { panic!("it rings") };
        assert_eq!(incoming.commitment.as_deref(), Some(COMMITMENT));
        assert_eq!(incoming.display_name.as_deref(), Some("Alice A."));
    }
    (alice, desk, mobile)
}

async fn answer(alice: &mut Phone, bob: &mut Phone) {
    let answer = Answer { sdp: ANSWER.to_owned(), nonce: Some(NONCE.to_owned()) };
    bob.send(Some("c"), ClientMessage::CallAnswer(answer)).await;
    let (_, ServerMessage::CallAnswered(told)) = bob.event().await else { panic!("it won") };
    assert_eq!((told.sdp.as_str(), told.nonce), ("", None));
    let (_, ServerMessage::CallAnswered(told)) = alice.event().await else { panic!("it is answered") };
    assert_eq!(told.nonce.as_deref(), Some(NONCE));
}

async fn expect_reveal(bob: &mut Phone) {
    let (_, ServerMessage::CallReveal(told)) = bob.event().await else { panic!("it is revealed") };
    assert_eq!(told.nonce, REVEALED);
}

#[tokio::test]
async fn all_that_ring_get_the_commitment_and_the_winner_alone_the_nonce() {
    let server = serve(config()).await;
    let (mut alice, mut desk, mut mobile) = ring(&server).await;
    assert_eq!(alice.ask("c", reveal(REVEALED)).await, Some(WireError::OutOfOrder), "nobody answered");
    answer(&mut alice, &mut mobile).await;
    desk.expect("ended OtherDeviceAnswered").await;
    assert_eq!(
        mobile.ask("c", reveal(REVEALED)).await,
        Some(WireError::OutOfOrder),
        "callees reveal nothing"
    );
    assert_eq!(desk.ask("c", reveal(REVEALED)).await, Some(WireError::UnknownCall));
    assert_eq!(alice.ask("c", reveal(REVEALED)).await, None);
    expect_reveal(&mut mobile).await;
    assert_eq!(alice.ask("c", reveal(REVEALED)).await, None, "repeated");
    assert_eq!(alice.ask("c", reveal("another")).await, Some(WireError::OutOfOrder));
    mobile.expect_silence().await;
    let too_long = reveal(&"0".repeat(65));
    alice.send(Some("c"), too_long).await;
    let ServerMessage::Error(outcome) = alice.next().await.message else { panic!("refused") };
    assert_eq!(outcome.error, Some(WireError::TooLarge));
}

#[tokio::test]
async fn a_callee_whose_events_are_lost_is_told_again() {
    let server = serve(config()).await;
    let (mut alice, _desk, mut mobile) = ring(&server).await;
    answer(&mut alice, &mut mobile).await;
    assert_eq!(alice.ask("c", reveal(REVEALED)).await, None);
    let mut hello = hello("bob", "mobile", Credential::Device(mobile.credential()));
    hello.resume = Some(Resume { token: "guessed".to_owned(), ..mobile.resume() });
    let mut again = Phone::connect(&server).await;
    again.last_seq = mobile.last_seq + 1;
    again.greet(hello).await;
    assert!(!again.welcome.as_ref().unwrap().resumed);
    expect_reveal(&mut again).await;
}

#[tokio::test]
async fn a_server_that_was_started_again_passes_on_what_the_caller_says_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let (mut alice, _desk, mut mobile) = ring(&server).await;
    answer(&mut alice, &mut mobile).await;
    drop(server);
    let server = serve(config().data(folder.path())).await;
    let back = async |phone: &Phone, user: &str, device: &str, outgoing: bool, remote: &str| {
        let mut hello = hello(user, device, Credential::Device(phone.credential()));
        hello.resume = Some(phone.resume());
        hello.calls = vec![live("c", outgoing, remote)];
        Phone::log_in(&server, hello).await
    };
    let mut alice = back(&alice, "alice", "a1", true, "bob").await;
    assert_eq!(alice.ask("c", reveal(REVEALED)).await, None);
    let mut mobile = back(&mobile, "bob", "mobile", false, "alice").await;
    expect_reveal(&mut mobile).await;
}
