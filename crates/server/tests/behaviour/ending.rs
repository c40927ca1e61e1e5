//! Every way in which a call ends while both sides are there.

use offhook_signaling::call::{CallEndCause, CallTimers};
use offhook_signaling::message::WireError;

use crate::support::{Phone, SOON, config, serve, talking};

/// Alice calls Bob, who has two devices that ring.
async fn ringing(timers: CallTimers) -> (offhook_server::RunningServer, Phone, Phone, Phone) {
    let server = serve(config().call_timers(timers)).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut first = Phone::register(&server, "bob", "b1").await;
    let mut second = Phone::register(&server, "bob", "b2").await;
    alice.call("c", "bob").await;
    for bob in [&mut first, &mut second] {
        bob.expect("incoming from alice").await;
        bob.ring("c").await;
    }
    (server, alice, first, second)
}

#[tokio::test]
async fn a_denial_ends_it_on_all_devices() {
    let (_server, mut alice, mut first, mut second) = ringing(CallTimers::default()).await;
    first.hang_up("c", CallEndCause::Denied, None).await;
    assert_eq!(alice.until_end().await, ["progressing", "ringing", "ended Denied"]);
    first.expect("ended Denied").await;
    second.expect("ended Canceled").await;
}

#[tokio::test]
async fn a_caller_that_gives_up_cancels() {
    let (_server, mut alice, mut first, mut second) = ringing(CallTimers::default()).await;
    alice.hang_up("c", CallEndCause::Canceled, None).await;
    assert_eq!(alice.until_end().await.last().unwrap(), "ended Canceled");
    first.expect("ended Canceled").await;
    second.expect("ended Canceled").await;
}

#[tokio::test]
async fn a_busy_device_leaves_the_others_ringing() {
    let (_server, mut alice, mut first, mut second) = ringing(CallTimers::default()).await;
    first.hang_up("c", CallEndCause::Denied, Some(WireError::Busy)).await;
    first.expect("ended Denied Busy").await;
    second.answer("c").await;
    second.expect("answered").await;
    alice.expect("progressing").await;
    alice.expect("ringing").await;
    alice.expect("answered").await;
}

#[tokio::test]
async fn a_callee_that_is_busy_everywhere_is_busy() {
    let (_server, mut alice, mut first, mut second) = ringing(CallTimers::default()).await;
    for bob in [&mut first, &mut second] {
        bob.hang_up("c", CallEndCause::Denied, Some(WireError::Busy)).await;
        bob.expect("ended Denied Busy").await;
    }
    assert_eq!(alice.until_end().await.last().unwrap(), "ended Denied Busy");
}

#[tokio::test]
async fn a_callee_that_never_answers_ends_it_after_the_set_up_time() {
    let timers = CallTimers { setup: SOON, ..CallTimers::default() };
    let (_server, mut alice, mut first, mut second) = ringing(timers).await;
    assert_eq!(alice.until_end().await.last().unwrap(), "ended NoAnswer");
    first.expect("ended NoAnswer").await;
    second.expect("ended NoAnswer").await;
}

#[tokio::test]
async fn either_side_hangs_up() {
    for caller_ends in [true, false] {
        let server = serve(config()).await;
        let (mut alice, mut bob) = talking(&server, "c").await;
        let ender = if caller_ends { &mut alice } else { &mut bob };
        ender.hang_up("c", CallEndCause::HungUp, None).await;
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
    }
}

#[tokio::test]
async fn media_that_cannot_connect_is_told_to_both() {
    let server = serve(config()).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    bob.hang_up("c", CallEndCause::Failure, Some(WireError::MediaFailed)).await;
    alice.expect("ended Failure MediaFailed").await;
    bob.expect("ended Failure MediaFailed").await;
}
