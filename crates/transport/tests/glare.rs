//! Both sides offer at once: one gives way, the call goes on.

mod common;

use std::time::Duration;

use common::{ALICE, BOB, World};
use offhook_transport::{Direction, SessionError};

/// Offers cross; alice, who made the call, holds on to hers.
fn cross(world: &mut World, ours: &str, theirs: &str) {
    let now = world.now;
    let refused = world.peers[ALICE].session.handle_offer(now, theirs);
    assert!(matches!(refused, Err(SessionError::Glare)), "{refused:?}");
    let answer = world.peers[BOB].session.handle_offer(now, ours).expect("bob gives way");
    world.peers[ALICE].session.handle_answer(now, &answer).expect("and answers");
}

#[test]
fn in_the_first_exchange() {
    let mut world = World::plain(1);
    let offers = [ALICE, BOB].map(|side| world.peers[side].session.create_offer().unwrap());
    cross(&mut world, &offers[ALICE], &offers[BOB]);
    let now = world.now;
    let late = world.peers[BOB].session.handle_answer(now, &offers[ALICE]);
    assert!(matches!(late, Err(SessionError::WrongState { .. })), "bob's own offer is rolled back: {late:?}");
    assert!(world.run_until(Duration::from_secs(2), World::both_connected));
}

#[test]
fn of_hold_and_restart_in_a_call() {
    let mut world = World::connected(2);
    world.talk(Duration::from_secs(1));
    let now = world.now;
    world.peers[BOB].session.set_direction(Direction::SendOnly);
    let theirs = world.peers[BOB].session.create_offer().unwrap();
    let ours = world.peers[ALICE].session.restart_ice(now).unwrap();
    cross(&mut world, &ours, &theirs);
    assert_eq!(
        world.peers[ALICE].session.media().unwrap().direction,
        Direction::RecvOnly,
        "bob's wish is in his answer"
    );
    world.run(Duration::from_secs(1));
    assert!(world.both_connected());
    let before = world.peers[ALICE].heard.len();
    world.talk(Duration::from_secs(1));
    world.run(Duration::from_millis(100));
    assert_eq!(world.peers[ALICE].heard.len(), before + 50);
}

#[test]
fn of_two_restarts() {
    let mut world = World::connected(3);
    let now = world.now;
    let offers = [ALICE, BOB].map(|side| world.peers[side].session.restart_ice(now).unwrap());
    cross(&mut world, &offers[ALICE], &offers[BOB]);
    let before = [ALICE, BOB].map(|side| world.peers[side].heard.len());
    world.talk(Duration::from_secs(2));
    for side in [ALICE, BOB] {
        assert!(world.peers[side].heard.len() >= before[side] + 98, "the old path carries on");
    }
}

#[test]
fn an_offer_can_be_taken_back_and_made_again() {
    let mut world = World::connected(4);
    let first = world.peers[ALICE].session.create_offer().unwrap();
    let again = world.peers[ALICE].session.create_offer();
    assert!(matches!(again, Err(SessionError::WrongState { .. })), "{again:?}");
    world.peers[ALICE].session.rollback();
    let now = world.now;
    let answer = world.peers[BOB].session.handle_offer(now, &first).unwrap();
    let late = world.peers[ALICE].session.handle_answer(now, &answer);
    assert!(matches!(late, Err(SessionError::WrongState { .. })), "{late:?}");
    world.negotiate();
    world.talk(Duration::from_secs(1));
    assert!(world.peers[BOB].heard.len() >= 49);
}
