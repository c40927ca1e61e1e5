//! Who says that it takes short reports (RTCP APP `OFHK`), and what follows from it.

mod common;

use common::{ALICE, BOB, World, config};

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
