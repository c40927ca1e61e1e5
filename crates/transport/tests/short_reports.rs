//! Who says that it takes short reports (RTCP APP `OFHK`), and what follows from it.

mod common;

use std::time::Duration;

use common::{ALICE, BOB, World, address, config};
use offhook_transport::{Event, RejectReason, SendReportError, fuzzing};

const LIMIT: Duration = Duration::from_secs(5);

/// Connected, each side as told whether it takes short reports.
fn connected(takes: [bool; 2]) -> World {
    let configs = [ALICE, BOB].map(|side| {
        let mut config = config(side);
        config.short_reports = takes[side];
        config
    });
    let mut world = World::new(configs, 1);
    world.negotiate();
    world
}

#[test]
fn they_are_agreed_on_where_both_sides_take_them() {
    for takes in [[true, true], [true, false], [false, true], [false, false]] {
        let world = connected(takes);
        for peer in &world.peers {
            let media = peer.session.media().expect("negotiated");
            assert_eq!(media.short_reports, takes == [true, true], "{takes:?}");
            assert_eq!(media.transport_sequence_id.is_none(), media.short_reports, "one feedback is enough");
            assert_eq!(media.red, Some(63));
        }
    }
}

#[test]
fn a_version_that_is_none_is_no_announcement() {
    for (version, taken) in
        [("1", true), ("2", true), ("255", true), ("0", false), ("", false), ("one", false)]
    {
        let mut world = World::plain(2);
        let offer = world.peers[ALICE].session.create_offer().expect("an offer");
        let line = "a=x-offhook-report:1\r\n";
        assert!(offer.contains(line), "{offer}");
        let offer = offer.replace(line, &format!("a=x-offhook-report:{version}\r\n"));
        world.exchange(ALICE, &offer);
        assert_eq!(world.peers[BOB].session.media().expect("negotiated").short_reports, taken, "{version:?}");
    }
}

#[test]
fn a_report_reaches_the_other_side_as_it_was() {
    for reduced in [true, false] {
        let mut world = World::plain(3);
        let offer = world.peers[ALICE].session.create_offer().expect("an offer");
        let offer = if reduced { offer } else { offer.replace("a=rtcp-rsize\r\n", "") };
        world.exchange(ALICE, &offer);
        assert!(world.run_until(LIMIT, World::both_connected));
        world.talk(Duration::from_millis(500));
        let now = world.now;
        for bytes in [&[1][..], &[2; 7], &[3; 40]] {
            assert_eq!(world.peers[BOB].session.send_short_report(now, bytes), Ok(()));
        }
        world.run(Duration::from_millis(100));
        assert_eq!(reports(&world, ALICE), [vec![1], vec![2; 7], vec![3; 40]], "reduced size: {reduced}");
        assert_eq!(reports(&world, BOB), Vec::<Vec<u8>>::new());
        assert_eq!(world.peers[ALICE].session.stats().rejected.total(), 0);
    }
}

#[test]
fn a_report_costs_a_hundred_bytes() {
    let mut world = World::connected(4);
    world.talk(Duration::from_millis(100));
    world.tapped.clear();
    let now = world.now;
    assert_eq!(world.peers[ALICE].session.send_short_report(now, &[7; 40]), Ok(()));
    world.run(Duration::ZERO);
    let sizes: Vec<usize> = world.tapped.iter().map(|datagram| datagram.contents.len()).collect();
    assert!(matches!(sizes[..], [size] if size <= 56 + 20), "{sizes:?}");
}

#[test]
fn what_cannot_be_sent_is_refused_and_what_was_not_agreed_is_not_heard() {
    let mut world = connected([true, false]);
    let now = world.now;
    let send = |world: &mut World, bytes: &[u8]| world.peers[ALICE].session.send_short_report(now, bytes);
    assert_eq!(send(&mut world, &[1]), Err(SendReportError::NotConnected));
    assert!(world.run_until(LIMIT, World::both_connected));
    assert_eq!(send(&mut world, &[]), Err(SendReportError::Length(0)));
    assert_eq!(send(&mut world, &[0; 41]), Err(SendReportError::Length(41)));
    assert_eq!(send(&mut world, &[1]), Err(SendReportError::NotAgreed));
    let plain = [0x81, 204, 0, 3, 0, 0, 0, 7, b'O', b'F', b'H', b'K', 1, 9, 0, 0];
    let hostile = fuzzing::authentic(&mut world.peers[ALICE].session, &plain).expect("protected");
    world.inject(address("127.0.0.1:4000"), address("127.0.0.1:5000"), hostile.to_vec());
    world.run(Duration::from_millis(1));
    assert_eq!(reports(&world, BOB), Vec::<Vec<u8>>::new());
    assert_eq!(
        world.peers[BOB].session.stats().rejected.total(),
        0,
        "an application we do not know is no error"
    );
}

#[test]
fn a_length_that_lies_is_counted() {
    let mut world = World::connected(5);
    world.talk(Duration::from_millis(100));
    let plain = [0x81, 204, 0, 3, 0, 0, 0, 7, b'O', b'F', b'H', b'K', 4, 9, 0, 0];
    let hostile = fuzzing::authentic(&mut world.peers[ALICE].session, &plain).expect("protected");
    world.inject(address("127.0.0.1:4000"), address("127.0.0.1:5000"), hostile.to_vec());
    world.run(Duration::from_millis(1));
    assert_eq!(world.peers[BOB].session.stats().rejected.get(RejectReason::MalformedRtcp), 1);
    assert_eq!(reports(&world, BOB), Vec::<Vec<u8>>::new());
}

fn reports(world: &World, side: usize) -> Vec<Vec<u8>> {
    let reports = world.peers[side].events.iter().filter_map(|event| match event {
        Event::ShortReport(report) => Some(report.as_bytes().to_vec()),
        _ => None,
    });
    reports.collect()
}
