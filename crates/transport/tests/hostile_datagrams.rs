//! What outsiders and a hostile peer may send without harm.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{ALICE, BOB, World, address};
use offhook_transport::{Event, RejectReason, fuzzing};

const STRANGER: &str = "203.0.113.66:9";
/// An extension element longer than the packet: a panic in the `rtp` crate.
const LONG_ELEMENT: [u8; 20] = [0x90, 0x6F, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3];

fn inject(world: &mut World, source: SocketAddr, contents: &[u8]) {
    world.inject(source, address("127.0.0.1:5000"), contents.to_vec());
}

fn rejected(world: &World, reason: RejectReason) -> u64 {
    world.peers[BOB].session.stats().rejected.get(reason)
}

/// A second of talk goes through whole, both ways.
fn check_sound(world: &mut World) {
    world.run(Duration::from_millis(100));
    let before = [ALICE, BOB].map(|side| world.peers[side].heard.len());
    world.talk(Duration::from_secs(1));
    world.run(Duration::from_millis(100));
    for side in [ALICE, BOB] {
        assert_eq!(world.peers[side].heard.len(), before[side] + 50);
        assert!(!world.peers[side].events.contains(&Event::RemoteBye));
    }
}

#[test]
fn malformed_and_forged_media_is_counted_and_dropped() {
    let mut world = World::connected(1);
    world.talk(Duration::from_millis(100));
    let peer = address("127.0.0.1:4000");
    inject(&mut world, peer, &LONG_ELEMENT);
    assert_eq!(rejected(&world, RejectReason::MalformedRtp), 1);
    let mut forged = vec![0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9];
    forged.resize(80, 0x55);
    inject(&mut world, peer, &forged);
    assert_eq!(rejected(&world, RejectReason::Unauthenticated), 1);
    // Four to thirteen bytes of SRTCP: a panic in some libraries.
    for length in 1..=40 {
        let mut short = vec![0x80, 200, 0, 6, 0, 0, 0, 1];
        short.resize(length, 0);
        inject(&mut world, peer, &short);
    }
    assert_eq!(rejected(&world, RejectReason::Unknown), 7, "shorter than a header");
    assert_eq!(rejected(&world, RejectReason::MalformedRtcp), 33);
    check_sound(&mut world);
}

/// A good-bye with the encryption flag off, which would not be authenticated by the library.
#[test]
fn a_forged_good_bye_is_not_believed() {
    let mut world = World::connected(2);
    world.talk(Duration::from_secs(1));
    let peer = address("127.0.0.1:4000");
    let ssrc = world.peers[ALICE].session.local_ssrc();
    for tail in [0_usize, 14, 20, 30] {
        let mut forged = vec![0x81, 203, 0, 1];
        forged.extend(ssrc.to_be_bytes());
        forged.resize(8 + tail, 0);
        inject(&mut world, peer, &forged);
    }
    check_sound(&mut world);
}

#[test]
fn forged_sources_do_not_crowd_out_the_real_one() {
    let mut world = World::connected(3);
    let peer = address("127.0.0.1:4000");
    for ssrc in 0..5000_u32 {
        let mut forged = vec![0x80, 111, 0, 1, 0, 0, 0, 1];
        forged.extend(ssrc.to_be_bytes());
        forged.resize(100, 7);
        inject(&mut world, peer, &forged);
    }
    assert_eq!(rejected(&world, RejectReason::Unauthenticated), 5000);
    check_sound(&mut world);
}

#[test]
fn nothing_is_heard_twice() {
    let mut world = World::connected(4);
    world.talk(Duration::from_secs(1));
    world.run(Duration::from_millis(100));
    let heard = world.peers[BOB].heard.len();
    let (peer, stranger) = (address("127.0.0.1:4000"), address(STRANGER));
    let recorded: Vec<_> = world.tapped.iter().filter(|datagram| datagram.source == peer).cloned().collect();
    let media = recorded.iter().filter(|datagram| datagram.contents[0] >= 128).count() as u64;
    for datagram in &recorded {
        inject(&mut world, peer, &datagram.contents);
        inject(&mut world, stranger, &datagram.contents);
    }
    assert_eq!(world.peers[BOB].heard.len(), heard);
    assert!(rejected(&world, RejectReason::Replayed) >= media, "{:?}", world.peers[BOB].session.stats());
    check_sound(&mut world);
}

/// DTLS only on pairs that passed a connectivity check: a stranger's hello is not even answered.
#[test]
fn dtls_from_an_unchecked_address_is_not_answered() {
    let mut world = World::plain(5);
    world.swallows = |datagram| (20..=63).contains(&datagram[0]);
    world.negotiate();
    world.run(Duration::from_secs(1));
    let hello = world.tapped.iter().find(|datagram| (20..=63).contains(&datagram.contents[0])).cloned();
    let hello = hello.expect("the handshake has begun");
    world.tapped.clear();
    let target = hello.destination;
    let side = usize::from(target == address("127.0.0.1:5000"));
    for source in [address(STRANGER), address("127.0.0.1:4001")] {
        world.inject(source, target, hello.contents.clone());
    }
    let unvalidated = world.peers[side].session.stats().rejected.get(RejectReason::UnvalidatedSource);
    assert_eq!(unvalidated, 2);
    world.run(Duration::from_millis(500));
    let strange = |datagram: &&common::Datagram| datagram.destination.ip() == address(STRANGER).ip();
    assert_eq!(world.tapped.iter().filter(strange).count(), 0);
    world.swallows = |_| false;
    assert!(world.run_until(Duration::from_secs(3), World::both_connected));
}

#[test]
fn checks_with_a_wrong_password_change_nothing() {
    let mut world = World::connected(6);
    let checks: Vec<_> = world.tapped.iter().filter(|datagram| datagram.contents[0] < 4).cloned().collect();
    let before = rejected(&world, RejectReason::Stun);
    let mut forged = 0;
    for check in checks.iter().filter(|check| check.destination == address("127.0.0.1:5000")) {
        let mut contents = check.contents.clone();
        // Inside the integrity attribute, whatever follows it.
        let place = contents.len() - 20;
        contents[place] ^= 1;
        inject(&mut world, address(STRANGER), &contents);
        forged += 1;
    }
    assert!(forged > 0);
    assert_eq!(rejected(&world, RejectReason::Stun), before + forged);
    let (_, remote) = world.peers[BOB].session.stats().path.unwrap();
    assert_eq!(remote.address, address("127.0.0.1:4000"));
    check_sound(&mut world);
}

/// A peer with keys: bodies of NACK and FIR on which the `rtcp` crate panics, a feedback about more packets than there can
/// be, broken extensions and padding, payload types nobody agreed on.
#[test]
fn a_hostile_peer_harms_only_itself() {
    let mut world = World::connected(7);
    world.talk(Duration::from_secs(1));
    let mut flood = vec![0x8F, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0];
    flood.extend([0x1F, 0xFF].repeat(8));
    flood.extend([0xC0, 0, 0, 0]);
    let mut hostile: Vec<Vec<u8>> = vec![
        flood,
        vec![0x81, 205, 0, 1, 0, 0, 0, 1],
        vec![0x84, 206, 0, 1, 0, 0, 0, 1],
        vec![0x9F, 200, 0, 1, 0, 0, 0, 1],
        vec![0xA0, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 255],
        vec![0x80, 20, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 1],
    ];
    hostile.extend((0..30_u8).map(|ssrc| vec![0x80, 111, 0, 1, 0, 0, 0, 1, 9, 9, 9, ssrc, 1]));
    for plain in &hostile {
        let session = &mut world.peers[ALICE].session;
        let contents = fuzzing::authentic(session, plain).expect("alice has keys");
        inject(&mut world, address("127.0.0.1:4000"), &contents);
    }
    assert_eq!(rejected(&world, RejectReason::MalformedRtcp), 2);
    assert_eq!(
        (rejected(&world, RejectReason::MalformedRtp), rejected(&world, RejectReason::PayloadType)),
        (1, 1)
    );
    assert!(rejected(&world, RejectReason::TooManySources) > 10);
    check_sound(&mut world);
}
