//! The machine gets another address during a call: the call moves to it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, becomes, builder, server, talk};
use offhook::{AddressSource, CallState};

/// Addresses that a test changes.
#[derive(Debug)]
struct Addresses(Mutex<Vec<IpAddr>>);

impl Addresses {
    fn new(address: &str) -> Arc<Self> {
        Arc::new(Self(Mutex::new(vec![address.parse().unwrap()])))
    }

    fn set(&self, addresses: &[&str]) {
        *self.0.lock().unwrap() = addresses.iter().map(|address| address.parse().unwrap()).collect();
    }
}

impl AddressSource for Addresses {
    fn addresses(&self) -> Vec<IpAddr> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_follows_from_either_side() {
    let server = server().await;
    let (alices, bobs) = (Addresses::new("127.0.0.1"), Addresses::new("127.0.0.1"));
    let alice_builder = builder(&server, "alice").addresses(alices.clone());
    let bob_builder = builder(&server, "bob").addresses(bobs.clone());
    let mut alice = Person::start_with(alice_builder, "alice", ALICE_HUMS).await;
    let mut bob = Person::start_with(bob_builder, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    alice.ear.hears(BOB_HUMS).await;

    for (call, addresses) in [(&outgoing, &alices), (&incoming, &bobs)] {
        let path = || call.stats().transport.path.map(|(local, _)| local.address.ip().to_string());
        assert_eq!(path().as_deref(), Some("127.0.0.1"));
        // Away for a moment, then back elsewhere.
        addresses.set(&[]);
        bob.ear.hears(ALICE_HUMS).await;
        addresses.set(&["127.0.0.2"]);
        becomes("the new path", path, |local| local.as_deref() == Some("127.0.0.2")).await;
        alice.ear.hears(BOB_HUMS).await;
        bob.ear.hears(ALICE_HUMS).await;
        assert_eq!(call.state(), CallState::Established);
    }
}
