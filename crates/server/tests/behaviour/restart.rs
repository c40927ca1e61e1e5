//! A server that was restarted takes over the calls that went on without it.

use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Credential, LiveCall};

use crate::support::{Phone, SOON, candidate, config, hello, live, serve, talking};

async fn back(
    server: &offhook_server::RunningServer,
    user: &str,
    device: &str,
    old: &Phone,
    call: LiveCall,
) -> Phone {
    let mut hello = hello(user, device, Credential::Device(old.credential()));
    hello.resume = Some(old.resume());
    hello.calls = vec![call];
    Phone::log_in(server, hello).await
}

#[tokio::test]
async fn answered_calls_outlive_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let (alice, bob) = talking(&server, "c").await;
    let epoch = alice.welcome.as_ref().unwrap().epoch.clone();
    server.shutdown().await;

    let server = serve(config().data(folder.path())).await;
    let mut alice = back(&server, "alice", "a1", &alice, live("c", true, "bob")).await;
    let mut bob = back(&server, "bob", "b1", &bob, live("c", false, "alice")).await;
    for phone in [&alice, &bob] {
        assert_ne!(phone.welcome.as_ref().unwrap().epoch, epoch);
        assert_eq!(phone.snapshot.as_ref().unwrap().calls.len(), 1);
    }
    bob.send(Some("c"), ClientMessage::CallCandidate(candidate("after"))).await;
    alice.expect("candidate after").await;
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    bob.expect("ended HungUp").await;
}

/// A device whose connection broke before the welcome still speaks of the session that the old server gave it.
#[tokio::test]
async fn who_never_saw_the_welcome_comes_again_and_has_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let (alice, bob) = talking(&server, "c").await;
    server.shutdown().await;
    let server = serve(config().data(folder.path())).await;
    for _ in 0..2 {
        drop(back(&server, "bob", "b1", &bob, live("c", false, "alice")).await);
    }
    let mut caller = back(&server, "alice", "a1", &alice, live("c", true, "bob")).await;
    let mut callee = back(&server, "bob", "b1", &bob, live("c", false, "alice")).await;
    for phone in [&caller, &callee] {
        assert_eq!(phone.snapshot.as_ref().unwrap().calls.len(), 1);
    }
    callee.hang_up("c", CallEndCause::HungUp, None).await;
    caller.expect("ended HungUp").await;
    let again = back(&server, "bob", "b1", &bob, live("c", false, "alice")).await;
    assert!(again.snapshot.unwrap().calls.is_empty(), "it is over");
}

#[tokio::test]
async fn a_side_that_does_not_come_back_ends_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let (alice, _bob) = talking(&server, "c").await;
    server.shutdown().await;
    let timers = offhook_signaling::call::CallTimers { resume: SOON, ..Default::default() };
    let server = serve(config().data(folder.path()).call_timers(timers)).await;
    let mut alice = back(&server, "alice", "a1", &alice, live("c", true, "bob")).await;
    alice.expect("ended Inactive").await;
}

#[tokio::test]
async fn a_stranger_cannot_step_into_a_call_that_outlived_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let (_alice, bob) = talking(&server, "c").await;
    let mallory = Phone::register(&server, "mallory", "m1").await;
    server.shutdown().await;
    let server = serve(config().data(folder.path())).await;
    let mut mallory = back(&server, "mallory", "m1", &mallory, live("c", true, "bob")).await;
    let bob = back(&server, "bob", "b1", &bob, live("c", false, "alice")).await;
    assert!(bob.snapshot.as_ref().unwrap().calls.is_empty());
    mallory.expect_silence().await;
}

#[tokio::test]
async fn a_server_that_was_there_all_the_time_takes_nothing_over() {
    let server = serve(config()).await;
    let bob = Phone::register(&server, "bob", "b1").await;
    let mut hello = hello("bob", "b1", Credential::Device(bob.credential()));
    hello.resume = Some(offhook_signaling::message::Resume {
        session: offhook_signaling::SessionId::new("lost").unwrap(),
        ..bob.resume()
    });
    hello.calls = vec![live("ended-long-ago", false, "alice")];
    assert!(Phone::log_in(&server, hello).await.snapshot.unwrap().calls.is_empty());
}
