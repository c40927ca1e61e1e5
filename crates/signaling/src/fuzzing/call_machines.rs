//! Random lists of what people, networks and servers do to calls.

use std::time::Duration;

use super::world::World;
use crate::call::CallEndCause;
use crate::message::{SdpKind, Update};

/// More would only make a run longer, not stranger.
const MOST_OPERATIONS: usize = 200;

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A device calls the user of another device.
    Call(u8, u8),
    /// The person accepts one of the calls that ring on a device.
    Answer(u8, u8),
    /// The person ends one of the calls of a device.
    HangUp(u8, u8),
    /// A device refuses one of its calls because it is busy.
    RefuseBusy(u8, u8),
    /// A device has found a candidate for one of its calls.
    Candidate(u8, u8),
    /// Media of one of the calls of a device is connected.
    MediaConnected(u8, u8),
    /// Media of one of the calls of a device has failed.
    MediaFailed(u8, u8),
    /// A device renegotiates one of its calls.
    Update(u8, u8),
    /// Some frames from and to a device arrive.
    Deliver(u8, u8),
    /// The last frame of a device arrives twice.
    Duplicate(u8),
    /// The network of a device goes away; the second number says who notices.
    Cut(u8, u8),
    /// The network of a device is back.
    Restore(u8),
    /// The back end hangs up one of the calls of a device.
    ControlHangUp(u8, u8),
    /// The back end leads one of the calls of a device to another user.
    Redirect(u8, u8),
    /// Time passes.
    Advance(u8),
    /// The server loses the session of a device.
    Forget(u8),
    /// The application of a device is killed and started again.
    Relaunch(u8),
    /// The server is killed and comes back.
    RestartServer,
}

/// Reads three bytes as one operation. Common things are common.
pub fn operations(data: &[u8]) -> Vec<Operation> {
    data.chunks_exact(3).take(MOST_OPERATIONS).map(|bytes| operation(bytes[0], bytes[1], bytes[2])).collect()
}

fn operation(kind: u8, a: u8, b: u8) -> Operation {
    match kind % 42 {
        0..=4 => Operation::Call(a, b),
        5..=8 => Operation::Answer(a, b),
        9 | 10 => Operation::HangUp(a, b),
        11 => Operation::RefuseBusy(a, b),
        12..=14 => Operation::Candidate(a, b),
        15 | 16 => Operation::MediaConnected(a, b),
        17 => Operation::MediaFailed(a, b),
        18 => Operation::Update(a, b),
        19..=27 => Operation::Deliver(a, b),
        28 => Operation::Duplicate(a),
        29 | 30 => Operation::Cut(a, b),
        31..=33 => Operation::Restore(a),
        34..=36 => Operation::Advance(b),
        37 => Operation::Forget(a),
        38 => Operation::Relaunch(a),
        39 => Operation::ControlHangUp(a, b),
        40 => Operation::Redirect(a, b),
        _ => Operation::RestartServer,
    }
}

/// The fuzz body: reads a list and runs it.
pub fn call_machines(data: &[u8]) {
    run(&operations(data));
}

/// Runs a list, then checks that both ends agree and that every call ends in bounded time.
pub fn run(operations: &[Operation]) {
    let mut world = World::new();
    for operation in operations {
        step(&mut world, *operation);
    }
    world.restore_all();
    world.settle();
    world.check_settled();
    world.check_glare();
    match operations.len() % 2 {
        0 => end_by_people(&mut world),
        _ => end_by_silence(&mut world),
    }
    assert_eq!(world.exchange.board.call_count(), 0);
    assert_eq!(world.live_calls(), 0);
    world.check_settled();
}

fn step(world: &mut World, operation: Operation) {
    let devices = world.device_count();
    let device = |a: u8| usize::from(a) % devices;
    match operation {
        Operation::Call(a, b) => world.call(device(a), device(b), b >= 128),
        Operation::Answer(a, b) => world.answer(device(a), usize::from(b)),
        Operation::Deliver(a, b) => world.deliver(device(a), usize::from(b % 8) + 1),
        Operation::Duplicate(a) => world.duplicate(device(a)),
        Operation::Cut(a, b) => world.cut(device(a), b & 1 == 0, b & 2 == 0),
        Operation::Restore(a) => world.restore(device(a)),
        Operation::Advance(b) => world.advance(pause(b)),
        Operation::Forget(a) => world.forget(device(a)),
        Operation::Relaunch(a) => world.relaunch(device(a)),
        Operation::RestartServer => world.restart_server(),
        Operation::ControlHangUp(a, b) => world.control_hang_up(device(a), usize::from(b)),
        Operation::Redirect(a, b) => world.redirect(device(a), usize::from(b / 8), device(b)),
        Operation::HangUp(a, b)
        | Operation::RefuseBusy(a, b)
        | Operation::Candidate(a, b)
        | Operation::MediaConnected(a, b)
        | Operation::MediaFailed(a, b)
        | Operation::Update(a, b) => step_in_call(world, operation, device(a), usize::from(b)),
    }
}

/// What the machine refuses in the call's state changes nothing: that is what is tried here.
fn step_in_call(world: &mut World, operation: Operation, i: usize, nth: usize) {
    let Some(id) = world.pick(i, nth) else { return };
    match operation {
        Operation::HangUp(..) => world.act(i, |machine, now| drop(machine.hang_up(now, &id))),
        Operation::RefuseBusy(..) => world.act(i, |machine, now| drop(machine.refuse_busy(now, &id))),
        Operation::Candidate(..) => world.candidate(i, &id),
        Operation::MediaConnected(..) => world.act(i, |machine, now| machine.media_connected(now, &id)),
        Operation::MediaFailed(..) => {
            world.act(i, |machine, now| machine.media_failed(now, &id, CallEndCause::Failure));
        }
        _ => {
            let update = Update { kind: SdpKind::Offer, sdp: world.description(i) };
            world.act(i, |machine, _| drop(machine.update(&id, update)));
        }
    }
}

/// From a blink to two minutes, beyond every timer of a call.
fn pause(b: u8) -> Duration {
    Duration::from_millis(1 << (b % 18))
}

/// Unanswered calls end by their timers, answered ones when somebody hangs up.
fn end_by_people(world: &mut World) {
    for _ in 0..90 {
        world.advance(Duration::from_secs(1));
        world.settle();
    }
    for i in 0..world.device_count() {
        while let Some(id) = world.pick(i, 0) {
            let call_is_answered = world.act(i, |machine, now| {
                let answered = machine.call(&id).is_some_and(crate::client::ClientCall::is_answered);
                drop(machine.hang_up(now, &id));
                answered
            });
            assert!(call_is_answered, "{id} outlived its set-up time");
        }
    }
    world.settle();
}

/// Nobody can be reached any more: the server ends what nobody comes back to.
fn end_by_silence(world: &mut World) {
    for i in 0..world.device_count() {
        world.cut(i, i % 2 == 0, i % 3 == 0);
    }
    world.advance(Duration::from_secs(300));
    assert_eq!(world.exchange.board.call_count(), 0);
    world.restore_all();
    world.settle();
}
