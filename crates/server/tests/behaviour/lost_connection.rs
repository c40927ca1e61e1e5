//! A side whose connection is gone and does not come back ends the call for the other, in bounded time.

use offhook_signaling::call::CallTimers;

use crate::support::{Phone, SOON, config, serve, talking};

#[tokio::test]
async fn a_killed_callee_ends_an_answered_call() {
    let server = serve(config().call_timers(CallTimers { resume: SOON, ..CallTimers::default() })).await;
    let (mut alice, bob) = talking(&server, "c").await;
    drop(bob);
    alice.expect("ended Inactive").await;
}

#[tokio::test]
async fn a_killed_caller_ends_an_answered_call() {
    let server = serve(config().call_timers(CallTimers { resume: SOON, ..CallTimers::default() })).await;
    let (alice, mut bob) = talking(&server, "c").await;
    drop(alice);
    bob.expect("ended Inactive").await;
}

#[tokio::test]
async fn a_caller_that_vanishes_stops_the_ringing() {
    let server = serve(config().call_timers(CallTimers { caller_gone: SOON, ..CallTimers::default() })).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("c", "bob").await;
    bob.expect("incoming from alice").await;
    bob.ring("c").await;
    alice.expect("progressing").await;
    alice.expect("ringing").await;
    drop(alice);
    bob.expect("ended Canceled").await;
}

#[tokio::test]
async fn a_callee_that_vanishes_while_ringing_leaves_it_unanswered() {
    let server = serve(config().call_timers(CallTimers { setup: SOON * 5, ..CallTimers::default() })).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("c", "bob").await;
    bob.expect("incoming from alice").await;
    bob.ring("c").await;
    drop(bob);
    assert_eq!(alice.until_end().await.last().unwrap(), "ended NoAnswer");
}
