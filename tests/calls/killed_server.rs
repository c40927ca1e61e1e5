//! The server dies during a call: sound goes on, the clients come back when it does, and the call is theirs as before.

use std::net::SocketAddr;

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, server_config, talk};
use offhook::{CallEndCause, CallState, ClientEvent};
use offhook_server::{RunningServer, Server};

async fn reconnecting(person: &mut Person) {
    person.event("Reconnecting", |event| matches!(event, ClientEvent::Reconnecting).then_some(())).await;
}

async fn reconnected(person: &mut Person) {
    person.event("Reconnected", |event| matches!(event, ClientEvent::Reconnected).then_some(())).await;
}

async fn serve(folder: &tempfile::TempDir, address: Option<SocketAddr>) -> RunningServer {
    let mut config = server_config().data(folder.path());
    if let Some(address) = address {
        config = config.listen(address);
    }
    Server::bind(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_goes_on_and_the_call_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder, None).await;
    let address = server.local_addr();
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    drop(server);
    for person in [&mut alice, &mut bob] {
        reconnecting(person).await;
    }
    alice.ear.hears(BOB_HUMS).await;
    bob.ear.hears(ALICE_HUMS).await;
    assert_eq!((outgoing.state(), incoming.state()), (CallState::Established, CallState::Established));

    let _server = serve(&folder, Some(address)).await;
    for person in [&mut alice, &mut bob] {
        reconnected(person).await;
    }
    alice.ear.hears(BOB_HUMS).await;
    outgoing.hang_up();
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    assert_ended(&incoming, CallEndCause::HungUp).await;
    // And a new call works.
    talk(&bob, &mut alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_without_a_server_reaches_the_other_side() {
    let server = crate::support::server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    drop(server);
    reconnecting(&mut bob).await;
    outgoing.hang_up();
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    assert_ended(&incoming, CallEndCause::HungUp).await;
    alice.client.terminate().await;
}
