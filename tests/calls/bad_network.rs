//! Networks that lose, delay and go silent.

use std::net::SocketAddr;
use std::time::Duration;

use offhook::{CallEndCause, Client, Device};
use offhook_sim::net::LinkConfig;
use tokio::net::TcpListener;

use crate::network::{Log, emulated};
use crate::support::{
    ALICE_HUMS, BOB_HUMS, KEY, Person, assert_ended, builder, client_event, server, talk, token, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_hear_each_other_through_loss_and_jitter() {
    let server = server().await;
    let log = Log::default();
    let lossy = |seed| LinkConfig::lossy(seed, 0.1, Duration::from_millis(20));
    let alice_builder = builder(&server, "alice").packet_path(emulated(lossy(1), &log));
    let bob_builder = builder(&server, "bob").packet_path(emulated(lossy(2), &log));
    let mut alice = Person::start_with(alice_builder, "alice", ALICE_HUMS).await;
    let mut bob = Person::start_with(bob_builder, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    for _ in 0..5 {
        alice.ear.hears(BOB_HUMS).await;
        bob.ear.hears(ALICE_HUMS).await;
    }
    outgoing.hang_up();
    assert_ended(&incoming, CallEndCause::HungUp).await;
    assert!(log.all().len() > 100, "everything passes the emulated network");
    let stats = incoming.stats().stream.receive;
    assert!(stats.packets_lost > 0 && stats.concealed + stats.fec > 0, "{stats:?}");
}

/// A server that takes connections and says nothing.
async fn black_hole() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            silent.push(socket);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_holds_nobody_up() {
    let address = black_hole().await;
    let client = Client::builder()
        .application_key(KEY)
        .user_id("alice")
        .environment_host(address.to_string())
        .microphone(Device::null())
        .build()
        .unwrap();
    let mut events = client.start().await.unwrap();
    let registration = client_event(&mut events, "CredentialsRequired", |event| match event {
        offhook::ClientEvent::CredentialsRequired(registration) => Some(registration),
        _ => None,
    })
    .await;
    registration.register(token("alice")).await.unwrap();
    tokio::task::yield_now().await;
    within("the end", client.terminate()).await;
    assert!(within("the end of events", events.next()).await.is_none());
    assert!(within("a new start", client.start()).await.is_ok());
}
