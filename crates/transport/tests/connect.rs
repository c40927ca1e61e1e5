//! Two sessions find each other, through loss too, and refuse whom they should.

mod common;

use std::time::Duration;

use common::{ALICE, BOB, World, address, config};
use offhook_transport::{DtlsPart, DtlsVersion, DtlsVersions, Event, TransportError};

const LIMIT: Duration = Duration::from_secs(28);

fn connect(dtls: DtlsVersions, part: DtlsPart, loss: f64, seed: u64) -> World {
    let configs = [ALICE, BOB].map(|side| {
        let mut config = config(side);
        config.dtls = dtls;
        config.dtls_part = part;
        config
    });
    let mut world = World::new(configs, seed);
    world.loss = loss;
    world.negotiate();
    let connected = world.run_until(LIMIT, World::both_connected);
    assert!(
        connected,
        "{dtls:?} at {loss}, seed {seed}: {:?} {:?}",
        world.peers[0].events, world.peers[1].events
    );
    world
}

#[test]
fn without_loss_in_few_round_trips() {
    for (dtls, version) in [(DtlsVersions::Only12, DtlsVersion::V12), (DtlsVersions::Auto, DtlsVersion::V13)]
    {
        for part in [DtlsPart::Active, DtlsPart::Passive] {
            let world = connect(dtls, part, 0.0, 1);
            let took = world.now - world.start;
            assert!(took < Duration::from_millis(500), "{dtls:?} {part:?} took {took:?}");
            for peer in &world.peers {
                let connected = peer.events.iter().filter_map(|event| match event {
                    Event::Connected(connected) => Some(connected),
                    _ => None,
                });
                let connected: Vec<_> = connected.collect();
                assert_eq!(connected.len(), 1);
                assert_eq!(connected[0].dtls, version);
                assert_eq!(peer.session.stats().srtp, Some(connected[0].srtp));
                assert!(connected[0].remote.kind.is_some());
            }
        }
    }
}

/// Without delay on the network nothing in the machine may wait for a timer: it would be silence after the answer.
#[test]
fn no_timer_holds_up_the_set_up() {
    for (dtls, part) in [(DtlsVersions::Only12, DtlsPart::Passive), (DtlsVersions::Auto, DtlsPart::Active)] {
        let configs = [ALICE, BOB].map(|side| {
            let mut config = config(side);
            config.dtls = dtls;
            config.dtls_part = part;
            config
        });
        let mut world = World::new(configs, 9);
        world.delay = Duration::ZERO;
        world.negotiate();
        assert!(world.run_until(Duration::from_millis(1), World::both_connected), "{dtls:?} {part:?}");
    }
}

/// On a local network the answer takes longer than the callee's checks: those that came before it are answered the moment it is there,
/// and the caller's own do not wait for the next turn.
#[test]
fn no_timer_holds_up_who_learns_the_answer_late() {
    for (late, sockets) in [(0, 1), (1, 1), (3, 1), (10, 1), (30, 1), (3, 3), (10, 3), (30, 3)] {
        let mut world = World::plain(10);
        world.delay = Duration::from_micros(200);
        for (side, host) in [(ALICE, 1), (BOB, 2)] {
            for port in 1..sockets {
                let socket = address(&format!("10.9.0.{host}:{}", 7000 + port));
                world.peers[side].session.add_local_candidate(world.now, socket).unwrap();
                world.peers[side].sockets.push(socket);
            }
        }
        let offer = world.peers[ALICE].session.create_offer().unwrap();
        let answer = world.peers[BOB].session.handle_offer(world.now, &offer).unwrap();
        world.run(Duration::from_millis(late));
        world.peers[ALICE].session.handle_answer(world.now, &answer).unwrap();
        let begin = world.now;
        assert!(world.run_until(LIMIT, World::both_connected));
        let took = world.now - begin;
        assert!(
            took < Duration::from_millis(4),
            "{took:?} after an answer {late} ms late, {sockets} sockets"
        );
    }
}

#[test]
fn through_a_tenth_lost() {
    for seed in 0..10 {
        connect(DtlsVersions::Only12, DtlsPart::Active, 0.10, seed);
        connect(DtlsVersions::Auto, DtlsPart::Active, 0.10, seed);
    }
}

#[test]
fn through_a_quarter_lost() {
    for seed in 0..10 {
        connect(DtlsVersions::Only12, DtlsPart::Passive, 0.25, seed);
        connect(DtlsVersions::Auto, DtlsPart::Active, 0.25, seed);
    }
}

/// The wait for an answer does not grow without end: after a long outage the handshake goes on within a second or two.
#[test]
fn a_handshake_goes_on_soon_after_an_outage() {
    for dtls in [DtlsVersions::Only12, DtlsVersions::Auto] {
        let mut configs = [config(ALICE), config(BOB)];
        configs[ALICE].dtls = dtls;
        let mut world = World::new(configs, 8);
        world.swallows = |datagram| (20..=63).contains(&datagram[0]);
        world.negotiate();
        world.run(Duration::from_secs(15));
        assert!(!world.both_connected());
        world.swallows = |_| false;
        assert!(world.run_until(Duration::from_secs(2), World::both_connected), "{dtls:?}");
    }
}

#[test]
fn versions_meet_at_the_lower() {
    let mut configs = [config(ALICE), config(BOB)];
    configs[BOB].dtls = DtlsVersions::Only12;
    let mut world = World::new(configs, 3);
    world.negotiate();
    assert!(world.run_until(LIMIT, World::both_connected));
    assert_eq!(world.peers[ALICE].session.stats().dtls, Some(DtlsVersion::V12));
}

#[test]
fn a_certificate_that_was_not_signaled_is_refused() {
    let mut world = World::plain(4);
    let offer = world.peers[ALICE].session.create_offer().unwrap();
    let answer = world.peers[BOB].session.handle_offer(world.now, &offer).unwrap();
    let honest = common::certificate(BOB).fingerprint().to_string();
    let other = common::certificate(ALICE).fingerprint().to_string();
    assert!(answer.contains(&honest));
    world.peers[ALICE].session.handle_answer(world.now, &answer.replace(&honest, &other)).unwrap();
    world.run(Duration::from_secs(5));
    assert_eq!(world.failure(ALICE), Some(&TransportError::FingerprintMismatch));
    assert!(world.peers[ALICE].session.is_ended());
    world.talk(Duration::from_secs(1));
    assert!(world.peers[ALICE].heard.is_empty() && world.peers[BOB].heard.is_empty());
}

#[test]
fn an_unreachable_peer_is_told_in_time() {
    let mut world = World::plain(5);
    world.loss = 1.0;
    world.negotiate();
    world.run(Duration::from_secs(31));
    for side in [ALICE, BOB] {
        assert_eq!(world.failure(side), Some(&TransportError::IceTimeout));
    }
}

#[test]
fn candidates_may_come_before_the_description() {
    let mut world = World::plain(6);
    for side in [ALICE, BOB] {
        let ours = world.peers[side].session.create_offer().map(|_| ()).is_ok();
        assert!(ours);
        world.peers[side].session.rollback();
    }
    world.run(Duration::from_millis(50));
    let offer = world.peers[ALICE].session.create_offer().unwrap();
    let without: String =
        offer.lines().filter(|line| !line.contains("candidate")).map(|line| format!("{line}\r\n")).collect();
    assert_ne!(offer, without);
    let answer = world.peers[BOB].session.handle_offer(world.now, &without).unwrap();
    let without: String =
        answer.lines().filter(|line| !line.contains("candidate")).map(|line| format!("{line}\r\n")).collect();
    world.peers[ALICE].session.handle_answer(world.now, &without).unwrap();
    assert!(world.run_until(LIMIT, World::both_connected));
}

#[test]
fn an_ice_lite_side_connects() {
    let mut configs = [config(ALICE), config(BOB)];
    configs[BOB].ice_lite = true;
    let mut world = World::new(configs, 7);
    world.negotiate();
    assert!(world.run_until(LIMIT, World::both_connected));
    world.run(Duration::from_secs(60));
    assert!(world.both_connected(), "consent of the lite side is renewed by the peer's checks");
}
