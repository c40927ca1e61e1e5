//! Calls whose sides use relayed addresses alone: over every way to a TURN server, and what becomes of them without one.

use std::net::SocketAddr;
use std::time::Duration;

use offhook::{Call, CallEndCause, CallState, Timeouts};
use offhook_server::{RunningServer, Server, ServerConfig, TurnConfig, TurnCounters, TurnSecret};
use serde_json::Value;

use crate::network::{Silence, silenced};
use crate::support::{
    ALICE_HUMS, BOB_HUMS, CAROL_HUMS, Person, assert_ended, becomes, builder, impatient, server_config, talk,
    within,
};
use crate::tls::certificate;

const SHARED: &str = "sixteen letters!";
const WRONG: &str = "another sixteen!";

fn relay_config(ip: &str) -> TurnConfig {
    let mut config = TurnConfig::new(SocketAddr::new(ip.parse().unwrap(), 0));
    config.secret = Some(TurnSecret::new(SHARED));
    // Where tests live.
    config.allow_peers = vec!["127.0.0.0/8".parse().unwrap()];
    config
}

/// A relay on an address of its own.
async fn relay(ip: &str) -> RunningServer {
    let config = ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).turn(relay_config(ip));
    Server::bind(config).await.unwrap()
}

fn counters(relay: &RunningServer) -> TurnCounters {
    relay.turn_counters().unwrap()
}

/// A server that tells these relays, and no other.
async fn server_with(urls: Vec<String>, secret: &str) -> RunningServer {
    let config = server_config().without_turn().shared_relay(urls, TurnSecret::new(secret));
    Server::bind(config).await.unwrap()
}

fn url(relay: &RunningServer, protocol: &str) -> String {
    format!("turn:{}?transport={protocol}", relay.turn_addr().unwrap())
}

/// Somebody who hides their addresses.
async fn hidden(server: &RunningServer, user: &str, hum: f64, timeouts: Timeouts) -> Person {
    let builder = builder(server, user).relay_only(true).timeouts(timeouts);
    Person::start_with(builder, user, hum).await
}

async fn hidden_pair(server: &RunningServer, timeouts: Timeouts) -> (Person, Person) {
    let alice = hidden(server, "alice", ALICE_HUMS, timeouts).await;
    (alice, hidden(server, "bob", BOB_HUMS, timeouts).await)
}

async fn both_hear(alice: &mut Person, bob: &mut Person) {
    alice.ear.hears(BOB_HUMS).await;
    bob.ear.hears(ALICE_HUMS).await;
}

/// The address of the relay a call uses.
fn relay_of(call: &Call) -> Option<String> {
    call.stats().transport.path.map(|(local, _)| local.address.ip().to_string())
}

fn report(call: &Call) -> Value {
    serde_json::to_value(call.report()).unwrap()
}

/// A whole call over one way to the relay, or with `each` allocations of a side over more; its report tells which, on both sides.
async fn talks_over(
    server: &RunningServer,
    relay: &RunningServer,
    roots: Vec<Vec<u8>>,
    (protocol, each): (&str, u64),
) {
    let person = |user, hum| {
        let builder = builder(server, user).relay_only(true).root_certificates(roots.clone());
        Person::start_with(builder, user, hum)
    };
    let (mut alice, mut bob) = (person("alice", ALICE_HUMS).await, person("bob", BOB_HUMS).await);
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    both_hear(&mut alice, &mut bob).await;
    becomes("allocations", || counters(relay).allocations, |there| *there == 2 * each).await;
    outgoing.hang_up();
    for call in [&outgoing, &incoming] {
        assert_ended(call, CallEndCause::HungUp).await;
        let ice = &report(call)["ice"];
        assert_eq!((&ice["local_kind"], &ice["remote_kind"]), (&"relay".into(), &"relay".into()), "{ice}");
        assert_eq!(ice["relay"], protocol, "{ice}");
    }
    // Both give theirs back at once.
    becomes("no allocation", || counters(relay).allocations, |left| *left == 0).await;
    assert!(counters(relay).relayed_bytes > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_udp() {
    let relay = relay("127.0.0.1").await;
    let server = server_with(vec![url(&relay, "udp")], SHARED).await;
    talks_over(&server, &relay, Vec::new(), ("udp", 1)).await;
    assert_eq!(counters(&relay).connections, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp() {
    let relay = relay("127.0.0.1").await;
    let server = server_with(vec![url(&relay, "tcp")], SHARED).await;
    talks_over(&server, &relay, Vec::new(), ("tcp", 1)).await;
    becomes("no connection", || counters(&relay).connections, |left| *left == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key, root) = certificate(folder.path());
    let config = ServerConfig::default()
        .listen("127.0.0.1:0".parse().unwrap())
        .tls(chain, key)
        .turn(relay_config("127.0.0.1"));
    let relay = Server::bind(config).await.unwrap();
    let url = format!("turns:{}?transport=tcp", relay.turn_tls_addr().unwrap());
    let server = server_with(vec![url], SHARED).await;
    talks_over(&server, &relay, vec![root], ("tls", 1)).await;
}

/// The relay inside the server that has the call, told with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_servers_own_relay() {
    let server = Server::bind(server_config().turn(relay_config("127.0.0.1"))).await.unwrap();
    talks_over(&server, &server, Vec::new(), ("udp", 2)).await;
}

/// Over UDP nothing tells that the relay is gone: only the silence does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_lost_is_replaced_by_another() {
    for protocol in ["udp", "tcp"] {
        let relays = [relay("127.0.0.1").await, relay("127.0.0.2").await];
        let server = server_with(relays.iter().map(|relay| url(relay, protocol)).collect(), SHARED).await;
        let timeouts = Timeouts { silence: Duration::from_secs(1), ..Timeouts::default() };
        let (mut alice, mut bob) = hidden_pair(&server, timeouts).await;
        let (outgoing, incoming) = talk(&alice, &mut bob).await;
        both_hear(&mut alice, &mut bob).await;
        let lost = relay_of(&outgoing).unwrap();
        let [first, second] = relays;
        let left = if lost == "127.0.0.1" {
            drop(first);
            second
        } else {
            drop(second);
            first
        };
        let elsewhere = |found: &Option<String>| found.as_ref().is_some_and(|found| *found != lost);
        for call in [&outgoing, &incoming] {
            becomes("a path through the other relay", || relay_of(call), elsewhere).await;
        }
        both_hear(&mut alice, &mut bob).await;
        assert_eq!(outgoing.state(), CallState::Established);
        assert!(counters(&left).relayed_bytes > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_relay_left_the_call_ends() {
    let relay = relay("127.0.0.1").await;
    let server = server_with(vec![url(&relay, "udp")], SHARED).await;
    let (mut alice, mut bob) = hidden_pair(&server, impatient()).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    both_hear(&mut alice, &mut bob).await;
    drop(relay);
    assert_ended(&outgoing, CallEndCause::Inactive).await;
    assert_ended(&incoming, CallEndCause::Inactive).await;
}

/// Nobody waits for a path that cannot come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_end_a_hidden_call_at_once_and_hinder_no_other() {
    let relay = relay("127.0.0.1").await;
    let server = server_with(vec![url(&relay, "udp"), url(&relay, "tcp")], WRONG).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let alice = hidden(&server, "alice", ALICE_HUMS, Timeouts { media: LONG, ..Timeouts::default() }).await;
    let outgoing = within("calling", alice.client.call_client().call_user("bob")).await.unwrap();
    let incoming = bob.incoming().await;
    within("answering", incoming.answer()).await.unwrap();
    for call in [&outgoing, &incoming] {
        let details = assert_ended(call, CallEndCause::Failure).await;
        assert!(details.established.is_none() && details.error.is_some(), "{details:?}");
    }
    assert_eq!(counters(&relay).allocated, 0);
    assert!(counters(&relay).refused_credentials > 0);

    let mut carol = Person::start(&server, "carol", CAROL_HUMS).await;
    let (outgoing, _) = talk(&carol, &mut bob).await;
    carol.ear.hears(BOB_HUMS).await;
    assert_eq!(report(&outgoing)["ice"]["local_kind"], "host");
}

/// More than any test waits.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_used_up_their_share_of_the_relay_keeps_what_they_have() {
    let mut config = relay_config("127.0.0.1");
    config.limits.allocations_per_user = 1;
    let server = Server::bind(server_config().turn(config)).await.unwrap();
    let timeouts = Timeouts { media: LONG, ..Timeouts::default() };
    let (mut alice, mut bob) = hidden_pair(&server, timeouts).await;
    let (first, _) = talk(&alice, &mut bob).await;
    let mut carol = Person::start(&server, "carol", CAROL_HUMS).await;
    let second = within("calling", alice.client.call_client().call_user("carol")).await.unwrap();
    let incoming = carol.incoming().await;
    within("answering", incoming.answer()).await.unwrap();
    assert_ended(&second, CallEndCause::Failure).await;
    assert!(counters(&server).refused_quota > 0);
    both_hear(&mut alice, &mut bob).await;
    assert_eq!(first.state(), CallState::Established);
}

/// A device that vanishes gives nothing back: the server does, when the call is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_had_on_the_relay_ends_with_the_call() {
    let server = Server::bind(server_config().turn(relay_config("127.0.0.1"))).await.unwrap();
    let silence = Silence::default();
    let alice = builder(&server, "alice").relay_only(true);
    let alice = Person::start_with(alice, "alice", ALICE_HUMS).await;
    let bob = builder(&server, "bob").relay_only(true).packet_path(silenced(&silence));
    let mut bob = Person::start_with(bob, "bob", BOB_HUMS).await;
    let (outgoing, _incoming) = talk(&alice, &mut bob).await;
    // Over UDP and over TCP each.
    becomes("allocations", || counters(&server).allocations, |there| *there == 4).await;
    silence.begin();
    outgoing.hang_up();
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    becomes("what alice gave back", || counters(&server).allocations, |left| (1..=2).contains(left)).await;
    becomes("no allocation", || counters(&server).allocations, |left| *left == 0).await;
}
