//! Nobody answers, nobody is there: the caller is told in bounded time, and cannot tell an unknown callee from an offline one.

use std::time::Duration;

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, names, server_config, until, within};
use offhook::{CallEndCause, CallTimers};
use offhook_server::{RunningServer, Server};

async fn hasty_server() -> RunningServer {
    let timers = CallTimers {
        setup: Duration::from_millis(1500),
        progress: Duration::from_millis(500),
        acknowledge: Duration::from_millis(500),
        ..CallTimers::default()
    };
    Server::bind(server_config().call_timers(timers)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_does_not_answer() {
    let server = hasty_server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let outgoing = alice.client.call_client().call_user("bob").await.unwrap();
    let incoming = bob.incoming().await;
    let caller = assert_ended(&outgoing, CallEndCause::NoAnswer).await;
    let callee = assert_ended(&incoming, CallEndCause::NoAnswer).await;
    assert!(caller.rung.is_some() && caller.answered.is_none() && callee.answered.is_none());
    assert!(bob.client.microphone().is_none(), "no microphone before the person accepts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_offline_look_the_same() {
    let server = hasty_server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let carol = Person::start(&server, "carol", BOB_HUMS).await;
    carol.client.terminate().await;
    let mut seen = Vec::new();
    for callee in ["carol", "nobody-at-all"] {
        let call = within("calling", alice.client.call_client().call_user(callee)).await.unwrap();
        let events =
            until(&mut call.events(), "the end", |event| matches!(event, offhook::CallEvent::Ended(_))).await;
        let details = call.details();
        assert_eq!(details.rung, None);
        seen.push((names(&events), details.end_cause, details.error));
    }
    assert_eq!(seen[0], seen[1]);
}
