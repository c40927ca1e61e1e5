//! Keys, mute and hold in a call.

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, server, talk, until};
use offhook::{CallEvent, DtmfError, HoldError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_arrive_in_order() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    outgoing.send_dtmf("1*9#D").unwrap();
    let mut events = incoming.events();
    let mut keys = String::new();
    while keys.len() < 5 {
        let seen = until(&mut events, "a key", |event| matches!(event, CallEvent::DtmfReceived(_))).await;
        keys.extend(seen.last().map(|event| match event {
            CallEvent::DtmfReceived(key) => *key,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(keys, "1*9#D");
    assert!(matches!(outgoing.send_dtmf("12x"), Err(DtmfError::NotSent(_))));
    bob.ear.hears(ALICE_HUMS).await;
    outgoing.hang_up();
    crate::support::ended(&mut outgoing.events()).await;
    assert!(matches!(outgoing.send_dtmf("1"), Err(DtmfError::WrongState)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_muted_microphone_is_not_heard() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, _incoming) = talk(&alice, &mut bob).await;
    bob.ear.hears(ALICE_HUMS).await;
    outgoing.mute();
    assert!(outgoing.is_muted());
    bob.ear.hears_silence().await;
    alice.ear.hears(BOB_HUMS).await;
    outgoing.unmute();
    bob.ear.hears(ALICE_HUMS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_on_hold_is_silent_both_ways_and_comes_back() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    bob.ear.hears(ALICE_HUMS).await;
    incoming.hold().unwrap();
    bob.ear.hears_silence().await;
    alice.ear.hears_silence().await;
    incoming.resume().unwrap();
    bob.ear.hears(ALICE_HUMS).await;
    alice.ear.hears(BOB_HUMS).await;
    outgoing.hang_up();
    crate::support::ended(&mut outgoing.events()).await;
    assert_eq!(outgoing.hold(), Err(HoldError::WrongState));
}
