//! Two people talk: rung, answered, connected, each hears the other, one hangs up.

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, established, names, server, talk, within};
use offhook::{CallDirection, CallEndCause, CallEvent, CallState, Headers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_hear_each_other_and_both_know_the_end() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    alice.ear.hears(BOB_HUMS).await;
    bob.ear.hears(ALICE_HUMS).await;

    assert_eq!(outgoing.id(), incoming.id());
    assert_eq!(
        (outgoing.direction(), incoming.direction()),
        (CallDirection::Outbound, CallDirection::Inbound)
    );
    assert_eq!((outgoing.remote_user_id(), incoming.remote_user_id()), ("bob", "alice"));
    assert_eq!((outgoing.state(), incoming.state()), (CallState::Established, CallState::Established));
    outgoing.hang_up();
    for call in [&outgoing, &incoming] {
        let details = assert_ended(call, CallEndCause::HungUp).await;
        assert!(details.answered.unwrap() <= details.established.unwrap());
        assert!(details.established.unwrap() <= details.ended.unwrap());
        assert_eq!(details.error, None);
        assert_eq!(call.state(), CallState::Ended);
    }
    alice.client.terminate().await;
    assert!(!alice.client.is_started() && within("the end", alice.events.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_the_published_order() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let headers = Headers::from([("subject".to_owned(), "lunch".to_owned())]);
    let outgoing = alice.client.call_client().call_user_with_headers("bob", headers.clone()).await.unwrap();
    let incoming = bob.incoming().await;
    assert_eq!((incoming.state(), incoming.headers()), (CallState::Init, &headers));
    incoming.answer().await.unwrap();
    let caller = established(&mut outgoing.events()).await;
    assert_eq!(names(&caller), ["Progressing", "Ringing", "Answered", "Established"]);
    assert_eq!(names(&established(&mut incoming.events()).await), ["Answered", "Established"]);
    incoming.hang_up();
    let mut last = None;
    while let Some(event) = within("the end", outgoing.next_event()).await {
        last = Some(event);
    }
    assert!(matches!(last, Some(CallEvent::Ended(details)) if details.end_cause == CallEndCause::HungUp));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_is_reported() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    bob.ear.hears(ALICE_HUMS).await;
    incoming.hang_up();
    assert_ended(&incoming, CallEndCause::HungUp).await;
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    let report = incoming.report();
    let stats = &report.stats;
    assert!(stats.transport.sent.packets > 0 && stats.transport.received.packets > 0, "{stats:?}");
    assert!(stats.transport.dtls.is_some() && stats.transport.srtp.is_some());
    assert!(stats.transport.path.is_some() && stats.connected.is_some() && stats.first_sound.is_some());
    assert_eq!(stats.codec.unwrap().name, "opus");
    assert!(stats.stream.receive.decoded > 0);
    assert!(stats.latency.is_some() && stats.quality.is_some_and(|quality| quality.mos > 1.0), "{stats:?}");
    assert!(report.duration.is_some() && report.details.end_cause == CallEndCause::HungUp);
    assert_eq!(report.call_id.as_str(), outgoing.id());
}

#[tokio::test]
async fn a_call_works_on_one_thread_too() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    alice.ear.hears(BOB_HUMS).await;
    // The last handle gone ends the client and its calls.
    drop(alice);
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    assert_ended(&incoming, CallEndCause::HungUp).await;
}

#[test]
fn sound_goes_on_while_the_application_blocks_its_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_server, _alice, mut bob, incoming) = runtime.block_on(async {
        let server = server().await;
        let alice = Person::start(&server, "alice", ALICE_HUMS).await;
        let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
        let (_, incoming) = talk(&alice, &mut bob).await;
        (server, alice, bob, incoming)
    });
    // Nothing runs on the application's only thread from here on: not the server, not the signaling.
    let elsewhere = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    elsewhere.block_on(bob.ear.hears(ALICE_HUMS));
    assert_eq!(incoming.state(), CallState::Established);
    runtime.block_on(bob.client.terminate());
    assert_eq!(incoming.state(), CallState::Ended);
}
