//! A side behind an address translator learns its outside address from a STUN server and is reached there.

mod common;

use std::time::Duration;

use common::{ALICE, BOB, World, address};
use offhook_transport::{CandidateKind, Event};

const INSIDE: &str = "127.0.0.1:4000";
const OUTSIDE: &str = "198.51.100.7:40000";

/// Alice is behind the translator, before anything was signaled.
fn translated(seed: u64) -> World {
    let mut world = World::plain(seed);
    world.translator = Some((address(INSIDE), address(OUTSIDE)));
    world
}

fn has_line(world: &World, side: usize, parts: &[&str]) -> bool {
    world.peers[side].events.iter().any(|event| match event {
        Event::LocalCandidate(line) => parts.iter().all(|part| line.contains(part)),
        _ => false,
    })
}

#[test]
fn the_outside_address_is_signaled_and_used() {
    let mut world = translated(1);
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_stun_server(now, address(common::STUN_SERVER));
    session.end_of_local_candidates(now);
    assert!(
        !world.run_until(Duration::ZERO, |world| world.peers[ALICE].events.contains(&Event::GatheringDone))
    );
    world.run(Duration::from_millis(200));
    assert!(
        has_line(&world, ALICE, &["198.51.100.7 40000 typ srflx", "ufrag"]),
        "{:?}",
        world.peers[ALICE].events
    );
    assert!(world.peers[ALICE].events.contains(&Event::GatheringDone));
    world.negotiate();
    assert!(world.run_until(Duration::from_secs(5), World::both_connected));
    let (_, remote) = world.peers[BOB].session.stats().path.expect("connected");
    assert_eq!(remote.address, address(OUTSIDE));
    world.talk(Duration::from_secs(1));
    world.run(Duration::from_millis(100));
    assert_eq!([ALICE, BOB].map(|side| world.peers[side].heard.len()), [50, 50]);
}

/// Nobody was told the address: the peer sees it in alice's checks.
#[test]
fn without_a_server_the_peer_discovers_the_address() {
    let mut world = translated(2);
    world.negotiate();
    assert!(world.run_until(Duration::from_secs(5), World::both_connected));
    let (_, remote) = world.peers[BOB].session.stats().path.expect("connected");
    assert_eq!((remote.address, remote.kind), (address(OUTSIDE), Some(CandidateKind::PeerReflexive)));
}

#[test]
fn an_address_learned_elsewhere_can_be_given() {
    let mut world = translated(3);
    let now = world.now;
    world.peers[ALICE].session.add_server_reflexive(now, address(INSIDE), address(OUTSIDE)).unwrap();
    let offer = world.peers[ALICE].session.create_offer().unwrap();
    assert!(offer.contains("198.51.100.7 40000 typ srflx"), "{offer}");
    world.exchange(ALICE, &offer);
    assert!(world.run_until(Duration::from_secs(5), World::both_connected));
}

#[test]
fn a_server_that_does_not_answer_does_not_hold_up_the_end_of_gathering() {
    let mut world = World::plain(4);
    let now = world.now;
    let session = &mut world.peers[BOB].session;
    session.add_stun_server(now, address("192.0.2.200:3478"));
    session.end_of_local_candidates(now);
    let done = |world: &World| world.peers[BOB].events.contains(&Event::GatheringDone);
    assert!(!world.run_until(Duration::from_secs(1), done));
    assert!(world.run_until(Duration::from_secs(10), done));
}

/// A server asked during the call, through a socket added during the call.
#[test]
fn candidates_trickle_in_during_a_call() {
    let mut world = World::connected(5);
    let now = world.now;
    world.peers[BOB].sockets.push(address("127.0.0.3:5000"));
    let session = &mut world.peers[BOB].session;
    session.add_local_candidate(now, address("127.0.0.3:5000")).unwrap();
    session.add_stun_server(now, address(common::STUN_SERVER));
    world.talk(Duration::from_secs(1));
    assert!(has_line(&world, BOB, &["127.0.0.3 5000 typ host"]), "{:?}", world.peers[BOB].events);
    assert!(world.both_connected());
}
