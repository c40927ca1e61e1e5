//! Two people call each other at the same moment: one call comes about, and nobody sees a second one ring.

use offhook::{ClientEvent, WireError};

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, ended, established, server, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_the_two_calls_goes_on() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (by_alice, by_bob) = tokio::join!(
        alice.client.call_client().call_user("bob"),
        bob.client.call_client().call_user("alice")
    );
    let (by_alice, by_bob) = (by_alice.unwrap(), by_bob.unwrap());
    // One of them is rung; the other's own call is over by then, or ends.
    let (incoming, surviving, lost) = tokio::select! {
        incoming = bob.incoming() => (incoming, &by_alice, &by_bob),
        incoming = alice.incoming() => (incoming, &by_bob, &by_alice),
    };
    assert_eq!(incoming.id(), surviving.id());
    assert_eq!(ended(&mut lost.events()).await.error, Some(WireError::Glare));
    within("answering", incoming.answer()).await.unwrap();
    established(&mut surviving.events()).await;
    for person in [&mut alice, &mut bob] {
        while let Some(event) = person.events.try_next() {
            assert!(!matches!(event, ClientEvent::IncomingCall(_)), "a second call rang");
        }
    }
}
