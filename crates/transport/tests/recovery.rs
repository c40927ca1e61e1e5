//! Paths that change, break and come back.

mod common;

use std::time::Duration;

use common::{ALICE, BOB, World, address};
use offhook_transport::{Event, IceState};

fn dtls_records(world: &World) -> usize {
    world.tapped.iter().filter(|datagram| (20..=63).contains(&datagram.contents[0])).count()
}

#[test]
fn an_ice_restart_keeps_the_sound_and_the_keys() {
    let mut world = World::connected(1);
    world.talk(Duration::from_secs(1));
    let handshake = dtls_records(&world);
    for side in [ALICE, BOB] {
        let now = world.now;
        let offer = world.peers[side].session.restart_ice(now).unwrap();
        world.exchange(side, &offer);
        world.talk(Duration::from_secs(2));
    }
    assert_eq!(dtls_records(&world), handshake, "no new handshake");
    for side in [ALICE, BOB] {
        let heard = &world.peers[side].heard;
        assert!(
            heard.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)),
            "nothing lost"
        );
        assert!(heard.len() >= 240);
        let changed = world.peers[side].events.iter().any(|event| matches!(event, Event::PathChanged { .. }));
        assert!(changed, "{:?}", world.peers[side].events);
    }
}

#[test]
fn a_machine_that_changes_its_address_goes_on() {
    let mut world = World::connected(2);
    world.talk(Duration::from_secs(1));
    let handshake = dtls_records(&world);
    let (old, new) = (address("127.0.0.1:4000"), address("127.0.0.2:4000"));
    world.peers[ALICE].sockets = vec![new];
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_local_candidate(now, new).unwrap();
    session.remove_local_candidate(now, old);
    let offer = session.restart_ice(now).unwrap();
    assert!(offer.contains("127.0.0.2") && !offer.contains("127.0.0.1 4000"));
    world.talk(Duration::from_millis(200));
    world.exchange(ALICE, &offer);
    let before = world.peers[BOB].heard.len();
    world.talk(Duration::from_secs(2));
    assert!(world.peers[BOB].heard.len() >= before + 75, "{} then {}", before, world.peers[BOB].heard.len());
    assert_eq!(dtls_records(&world), handshake);
    let (ours, theirs) = world.peers[BOB].session.stats().path.unwrap();
    assert_eq!((ours.address, theirs.address), (address("127.0.0.1:5000"), new));
}

#[test]
fn without_answers_the_peer_is_lost_and_nothing_is_sent() {
    let mut world = World::connected(3);
    world.talk(Duration::from_secs(1));
    let broke = world.now;
    world.loss = 1.0;
    let lost = |world: &World| world.peers.iter().all(|peer| peer.events.contains(&Event::PeerLost));
    assert!(world.run_until(Duration::from_secs(40), lost));
    assert!(world.now - broke <= Duration::from_secs(30), "{:?}", world.now - broke);
    assert!(world.peers[ALICE].events.contains(&Event::IceState(IceState::Disconnected)));
    world.tapped.clear();
    world.talk(Duration::from_secs(5));
    assert!(world.tapped.iter().all(|datagram| datagram.contents[0] < 4), "only checks go out");
}

#[test]
fn a_short_outage_heals_by_itself() {
    let mut world = World::connected(4);
    world.talk(Duration::from_secs(1));
    world.loss = 1.0;
    world.talk(Duration::from_secs(15));
    world.loss = 0.0;
    let before = world.peers[BOB].heard.len();
    world.talk(Duration::from_secs(3));
    assert!(world.peers[BOB].heard.len() > before + 100);
    assert!(!world.peers[BOB].events.contains(&Event::PeerLost));
}

#[test]
fn a_restart_brings_a_lost_peer_back() {
    let mut world = World::connected(5);
    world.loss = 1.0;
    world.run(Duration::from_secs(60));
    assert!(!world.both_connected());
    world.loss = 0.0;
    let now = world.now;
    let offer = world.peers[BOB].session.restart_ice(now).unwrap();
    world.exchange(BOB, &offer);
    assert!(world.run_until(Duration::from_secs(5), World::both_connected));
    for peer in &world.peers {
        assert!(peer.events.contains(&Event::PeerBack), "{:?}", peer.events);
    }
    let before = world.peers[ALICE].heard.len();
    world.talk(Duration::from_secs(1));
    assert!(world.peers[ALICE].heard.len() >= before + 40);
}

#[test]
fn consent_holds_over_a_long_silent_call() {
    let mut world = World::connected(6);
    world.loss = 0.05;
    world.run(Duration::from_secs(3600));
    assert!(world.both_connected());
    assert!(world.peers.iter().all(|peer| !peer.events.contains(&Event::PeerLost)));
}
