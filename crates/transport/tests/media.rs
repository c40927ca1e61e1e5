//! Sound both ways, its numbers and its reports.

mod common;

use std::time::Duration;

use common::{ALICE, BOB, World, payload};
use offhook_transport::{Direction, Event, PathReport, RtpToSend, SendRtpError};

#[test]
fn every_packet_arrives_across_the_wrap() {
    let mut world = World::connected(1);
    world.talk(Duration::from_millis(20) * 70_000);
    for side in [ALICE, BOB] {
        let heard = &world.peers[side].heard;
        assert!(heard.len() >= 69_990, "{}", heard.len());
        for (count, packet) in heard.iter().enumerate() {
            assert_eq!(packet.timestamp, 960 * count as u32);
            assert_eq!(packet.payload, payload(packet.timestamp));
            assert_eq!(packet.level, Some(40));
        }
        assert!(heard.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
        assert!(heard.windows(2).any(|pair| pair[1].sequence == 0), "the sequence wrapped");
        let stats = world.peers[side].session.stats();
        assert_eq!(stats.rejected.total(), 0);
        assert_eq!(stats.lost, Some(0));
    }
}

#[test]
fn round_trip_loss_and_jitter_are_measured() {
    let mut world = World::connected(2);
    world.talk(Duration::from_secs(3));
    let rtt = world.peers[ALICE].session.stats().rtt.expect("measured");
    assert!(rtt.abs_diff(Duration::from_millis(50)) < Duration::from_millis(2), "{rtt:?}");
    let stats = world.peers[ALICE].session.stats();
    assert_eq!((stats.remote_loss, stats.remote_lost), (Some(0.0), Some(0)));
    assert!(stats.ice_rtt.is_some() && stats.jitter.is_some() && stats.path.is_some());
    world.loss = 0.2;
    world.talk(Duration::from_secs(20));
    let stats = world.peers[ALICE].session.stats();
    let sent = stats.sent.packets as f64;
    let lost = stats.remote_lost.expect("reported") as f64;
    assert!((0.14..0.22).contains(&(lost / sent)), "{lost} of {sent}");
    let own = world.peers[BOB].session.stats();
    assert!(own.loss.is_some_and(|loss| (0.05..0.4).contains(&loss)), "{:?}", own.loss);
}

#[test]
fn nothing_is_claimed_before_it_is_measured() {
    let world = World::plain(3);
    let stats = world.peers[ALICE].session.stats();
    assert_eq!(
        (stats.rtt, stats.ice_rtt, stats.remote_loss, stats.jitter, stats.loss),
        (None, None, None, None, None)
    );
    assert_eq!((stats.dtls, stats.srtp, stats.path, stats.lost), (None, None, None, None));
}

#[test]
fn the_sender_learns_the_fate_of_its_packets() {
    let mut world = World::connected_with(4, |config| config.short_reports = false);
    world.loss = 0.1;
    world.talk(Duration::from_secs(20));
    let fates: Vec<_> = world.peers[ALICE]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Feedback(report) => Some(&report.packets),
            _ => None,
        })
        .flatten()
        .collect();
    let lost = fates.iter().filter(|fate| fate.arrived.is_none()).count();
    assert!(fates.len() > 700, "a report in ten is lost too: {}", fates.len());
    assert!((0.05..0.16).contains(&(lost as f64 / fates.len() as f64)), "{lost} of {}", fates.len());
    assert!(fates.windows(2).all(|pair| pair[0].sent < pair[1].sent));
}

#[test]
fn while_sound_flows_reports_need_no_wake_of_their_own() {
    let mut world = World::connected_with(4, |config| config.short_reports = false);
    world.talk(Duration::from_secs(1));
    let (begin, own) = (world.now, world.peers[ALICE].sockets[0]);
    world.talk(Duration::from_secs(10));
    let sent = world.tapped.iter().filter(|datagram| datagram.source == own && datagram.due > begin);
    let is_report = |bytes: &[u8]| (128..192).contains(&bytes[0]) && (192..=223).contains(&bytes[1]);
    let (reports, other): (Vec<_>, Vec<_>) = sent
        .map(|datagram| (is_report(&datagram.contents), datagram.due - world.delay))
        .partition(|(is_report, _)| *is_report);
    assert!(reports.len() > 40 && other.len() > 490, "{} {}", reports.len(), other.len());
    // Sound, and checks of the path, whose time is their own.
    let arrivals =
        world.tapped.iter().filter(|datagram| datagram.destination == own).map(|datagram| datagram.due);
    let awake: Vec<_> = arrivals.chain(other.iter().map(|(_, at)| *at)).collect();
    let alone = reports.iter().filter(|(_, at)| !awake.contains(at)).count();
    // This world wakes both sides for a timer of either.
    assert!(alone * 20 < reports.len(), "{alone} of {}", reports.len());
}

fn path_reports(world: &World) -> Vec<PathReport> {
    let reports = world.peers[ALICE].events.iter().filter_map(|event| match event {
        Event::PathReport(report) => Some(*report),
        _ => None,
    });
    reports.collect()
}

#[test]
fn what_feedback_says_is_summed_up_four_times_a_second() {
    let mut world = World::connected_with(9, |config| config.short_reports = false);
    world.loss = 0.1;
    world.talk(Duration::from_secs(20));
    let reports = path_reports(&world);
    assert!((50..=80).contains(&reports.len()), "{}", reports.len());
    let loss = reports.iter().map(|report| report.loss).sum::<f64>() / reports.len() as f64;
    assert!((0.05..0.16).contains(&loss), "{loss}");
    let last = reports.last().expect("there are many");
    assert!(last.queue_delay.is_some_and(|delay| delay < Duration::from_millis(1)), "{last:?}");
    assert!(last.queue_trend.is_some_and(|trend| trend.abs() < 0.01), "{last:?}");
    assert!(last.received.is_some_and(|rate| (2_000.0..8_000.0).contains(&rate)), "{last:?}");
    assert!(last.jitter.is_some_and(|jitter| jitter < Duration::from_millis(1)), "{last:?}");
}

#[test]
fn receiver_reports_are_enough_for_a_peer_that_knows_no_more() {
    let mut world = World::plain(10);
    let offer = world.peers[ALICE].session.create_offer().expect("an offer");
    let known = |line: &&str| !line.contains("transport-wide-cc") && !line.contains("x-offhook");
    let plain: Vec<&str> = offer.split_inclusive("\r\n").filter(known).collect();
    world.exchange(ALICE, &plain.concat());
    assert!(world.run_until(Duration::from_secs(5), World::both_connected));
    world.loss = 0.2;
    world.talk(Duration::from_secs(30));
    let reports = path_reports(&world);
    assert!((15..=40).contains(&reports.len()), "one for each receiver report: {}", reports.len());
    let loss = reports.iter().map(|report| report.loss).sum::<f64>() / reports.len() as f64;
    assert!((0.1..0.3).contains(&loss), "{loss}");
    assert!(reports.iter().all(|report| report.bursts.is_none() && report.queue_delay.is_none()));
}

#[test]
fn peers_with_short_reports_are_believed_and_not_measured() {
    let mut world = World::connected(11);
    world.talk(Duration::from_secs(5));
    assert_eq!(path_reports(&world), []);
}

#[test]
fn hold_and_resume() {
    let mut world = World::connected(5);
    world.talk(Duration::from_secs(1));
    world.peers[ALICE].session.set_direction(Direction::Inactive);
    world.negotiate_from(ALICE);
    assert_eq!(world.peers[BOB].session.media().unwrap().direction, Direction::Inactive);
    // What ends the sound may still go out.
    world.run(Duration::from_millis(200));
    let before = [ALICE, BOB].map(|side| world.peers[side].heard.len());
    world.talk(Duration::from_secs(40));
    assert_eq!(before, [ALICE, BOB].map(|side| world.peers[side].heard.len()), "nothing flows on hold");
    assert!(world.both_connected(), "but the connection stays");
    world.peers[ALICE].session.set_direction(Direction::SendRecv);
    world.negotiate_from(ALICE);
    assert_eq!(world.peers[ALICE].session.media().unwrap().direction, Direction::SendRecv);
    world.talk(Duration::from_secs(1));
    for side in [ALICE, BOB] {
        assert!(world.peers[side].heard.len() >= before[side] + 45);
    }
}

#[test]
fn what_ends_the_sound_still_goes_out_when_a_hold_is_agreed() {
    let mut world = World::connected(12);
    world.talk(Duration::from_secs(1));
    world.peers[ALICE].session.set_direction(Direction::Inactive);
    world.negotiate_from(ALICE);
    let before = world.peers[BOB].heard.len();
    world.talk(Duration::from_secs(2));
    let after = world.peers[BOB].heard.len() - before;
    assert!((2..=8).contains(&after), "{after} packets of 20 ms");
}

#[test]
fn one_way_hold_is_seen_from_both_sides() {
    let mut world = World::connected(6);
    world.peers[BOB].session.set_direction(Direction::SendOnly);
    world.negotiate_from(BOB);
    assert_eq!(world.peers[BOB].session.media().unwrap().direction, Direction::SendOnly);
    assert_eq!(world.peers[ALICE].session.media().unwrap().direction, Direction::RecvOnly);
    let rtp = RtpToSend { payload_type: 111, marker: false, timestamp: 0, audio_level: None, payload: &[1] };
    assert_eq!(world.peers[ALICE].session.send_rtp(world.now, &rtp), Err(SendRtpError::OnHold));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut world = World::plain(7);
    let now = world.now;
    let rtp = RtpToSend { payload_type: 111, marker: false, timestamp: 0, audio_level: None, payload: &[1] };
    assert_eq!(world.peers[ALICE].session.send_rtp(now, &rtp), Err(SendRtpError::NotConnected));
    let mut world = World::connected(7);
    let session = &mut world.peers[ALICE].session;
    let other = RtpToSend { payload_type: 99, ..rtp };
    assert_eq!(session.send_rtp(world.now, &other), Err(SendRtpError::PayloadType(99)));
    let long = RtpToSend { payload: &[0; 1151], ..rtp };
    assert_eq!(session.send_rtp(world.now, &long), Err(SendRtpError::TooLong(1151)));
    let event = session.media().unwrap().telephone_event_48k.unwrap();
    let event = RtpToSend {
        payload_type: event,
        marker: true,
        timestamp: 960,
        audio_level: None,
        payload: &[5, 10, 0, 160],
    };
    assert_eq!(session.send_rtp(world.now, &event), Ok(()));
    world.run(Duration::from_millis(100));
    let heard = world.peers[BOB].heard.last().unwrap();
    assert_eq!((heard.payload.as_slice(), heard.marker, heard.level), (&[5, 10, 0, 160][..], true, None));
}

#[test]
fn good_bye_is_heard() {
    let mut world = World::connected(8);
    world.talk(Duration::from_secs(1));
    let now = world.now;
    world.peers[ALICE].session.close(now);
    world.run(Duration::from_secs(1));
    let byes = world.peers[BOB].events.iter().filter(|event| **event == Event::RemoteBye).count();
    assert_eq!(byes, 1, "BYE and close_notify are one event");
    assert!(world.peers[ALICE].session.create_offer().is_err());
    assert_eq!(world.peers[BOB].session.stats().rejected.total(), 0);
}
