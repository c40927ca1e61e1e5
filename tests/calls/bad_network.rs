//! Networks that lose, delay and go silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offhook::{CallEndCause, Client, Device, PacketPath, PacketPathFactory, Transmit};
use offhook_sim::net::{Link, LinkConfig};
use tokio::net::TcpListener;

use crate::support::{
    ALICE_HUMS, BOB_HUMS, KEY, Person, assert_ended, builder, client_event, server, talk, token, within,
};

/// An emulated network in front of the socket.
struct Emulated {
    link: Link<Transmit>,
    sent: Arc<AtomicU64>,
}

impl PacketPath for Emulated {
    fn submit(&mut self, now: Instant, datagram: Transmit) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.link.send(now, datagram.contents.len(), datagram);
    }

    fn next_due(&self) -> Option<Instant> {
        self.link.next_due()
    }

    fn poll(&mut self, now: Instant) -> Option<Transmit> {
        self.link.poll(now)
    }
}

fn emulated(seed: u64, sent: &Arc<AtomicU64>) -> PacketPathFactory {
    let sent = Arc::clone(sent);
    Arc::new(move || {
        let config = LinkConfig::lossy(seed, 0.1, Duration::from_millis(20));
        Box::new(Emulated { link: Link::new(config, Instant::now()).unwrap(), sent: Arc::clone(&sent) })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_hear_each_other_through_loss_and_jitter() {
    let server = server().await;
    let sent = Arc::new(AtomicU64::new(0));
    let alice_builder = builder(&server, "alice").packet_path(emulated(1, &sent));
    let bob_builder = builder(&server, "bob").packet_path(emulated(2, &sent));
    let mut alice = Person::start_with(alice_builder, "alice", ALICE_HUMS).await;
    let mut bob = Person::start_with(bob_builder, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    for _ in 0..5 {
        alice.ear.hears(BOB_HUMS).await;
        bob.ear.hears(ALICE_HUMS).await;
    }
    outgoing.hang_up();
    assert_ended(&incoming, CallEndCause::HungUp).await;
    assert!(sent.load(Ordering::Relaxed) > 100, "everything passes the emulated network");
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
