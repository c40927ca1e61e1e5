//! Scenarios of the switchboard.

use std::time::{Duration, Instant};

use offhook_signaling::call::{
    CallTimers, CallView, DeviceAddress, EndedBy, Screening, Switchboard, SwitchboardOutput, Unanswered,
    Verdict,
};
use offhook_signaling::message::{Headers, LiveCall};
use offhook_signaling::{ApplicationKey, CallId, ClientMessage, DeviceId, UserId};
use serde_json::{Value, json};

use super::{Clock, error};

pub(super) fn run(scenario: &Value, clock: Clock) -> Vec<Value> {
    let mut board = Switchboard::new(CallTimers::default());
    let mut outputs = Vec::new();
    for step in scenario["steps"].as_array().unwrap() {
        let now = clock.at(step);
        let todo = &step["do"];
        let mut output = Vec::new();
        board.handle_timeout(now);
        let device = || address(todo[1].as_str().unwrap());
        match todo[0].as_str().unwrap() {
            "attach" => {
                let live: Vec<LiveCall> = serde_json::from_value(todo[2].clone()).unwrap_or_default();
                board.handle_attached(now, &device(), &live);
            }
            "connect" => board.handle_connected(&device()),
            "disconnect" => board.handle_disconnected(now, &device()),
            "detach" => board.handle_detached(now, &device()),
            "snapshot" => {
                output.push(json!({ "snapshot": board.snapshot_for(&device()) }));
                board.handle_snapshot_sent(&device());
            }
            "say" => {
                let call = CallId::new(todo[2].as_str().unwrap()).unwrap();
                let message: ClientMessage =
                    serde_json::from_value(json!({ "type": todo[3], "body": todo[4] })).unwrap();
                output.extend(
                    board
                        .handle_message(now, &device(), &call, message)
                        .err()
                        .map(|refused| error(serde_json::to_value(refused).unwrap().as_str().unwrap())),
                );
            }
            "wait" => {}
            _ => control(&mut board, now, todo, &mut output),
        }
        while let Some(next) = board.poll_output() {
            output.push(shown(next));
        }
        if let Some(at) = board.poll_timeout() {
            output.push(json!({ "wake": clock.millis(at) }));
        }
        outputs.push(output.into());
    }
    outputs
}

/// What a back end does.
fn control(board: &mut Switchboard, now: Instant, todo: &Value, output: &mut Vec<Value>) {
    match todo[0].as_str().unwrap() {
        "screen" => board.set_screening(
            serde_json::from_value::<Option<Unanswered>>(todo[1].clone())
                .unwrap()
                .map(|otherwise| Screening { patience: Duration::from_secs(5), otherwise }),
        ),
        "hang up" => {
            let done = board.handle_hang_up(now, &key(), &call(todo), EndedBy::Control);
            output.extend(done.err().map(error));
        }
        "block" => {
            board.handle_hang_up_user(now, &key(), &user(todo[1].as_str().unwrap()), EndedBy::Blocked);
        }
        "redirect" => {
            let (to, headers) = (user(todo[2].as_str().unwrap()), headers(&todo[3]));
            let done = board.handle_redirect(now, &key(), &call(todo), to, headers);
            output.extend(done.err().map(error));
        }
        "verdict" => {
            let headers = headers(&todo[3]);
            let verdict = match todo[2].as_str().unwrap() {
                "continue" => Verdict::Continue { headers },
                "hang up" => Verdict::HangUp,
                to => Verdict::Connect { to: user(to), headers },
            };
            let done = board.handle_verdict(now, &key(), &call(todo), verdict);
            output.extend(done.err().map(error));
        }
        "no verdict" => {
            let done = board.handle_no_verdict(now, &key(), &call(todo));
            output.extend(done.err().map(error));
        }
        "calls" => {
            let (of, after) =
                (todo[1].as_str().map(user), todo[2].as_str().map(|id| CallId::new(id).unwrap()));
            let calls = board.calls(now, &key(), of.as_ref(), after.as_ref(), 2);
            output.push(calls.iter().map(view).collect());
        }
        other => panic!("unknown input {other}"),
    }
}

fn key() -> ApplicationKey {
    ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap()
}

fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

fn call(todo: &Value) -> CallId {
    CallId::new(todo[1].as_str().unwrap()).unwrap()
}

fn headers(value: &Value) -> Option<Headers> {
    serde_json::from_value(value.clone()).unwrap()
}

fn view(call: &CallView) -> Value {
    let legs: Vec<String> = call.legs.iter().map(|leg| format!("{} {:?}", leg.device, leg.state)).collect();
    json!({
        "call": call.so_far.call_id,
        "to": call.so_far.callee,
        "state": call.state,
        "legs": legs,
        "lasted": call.so_far.lasted.as_millis() as u64,
    })
}

/// `user/device`
fn address(text: &str) -> DeviceAddress {
    let (user, device) = text.split_once('/').unwrap();
    DeviceAddress {
        application: key(),
        user: UserId::new(user).unwrap(),
        device: DeviceId::new(device).unwrap(),
    }
}

fn shown(output: SwitchboardOutput) -> Value {
    match output {
        SwitchboardOutput::Send { to, call_id, message } => {
            let mut value = serde_json::to_value(message).unwrap();
            value["to"] = format!("{}/{}", to.user, to.device).into();
            value["call"] = call_id.as_str().into();
            value
        }
        SwitchboardOutput::Released(call) => json!({ "released": view(&call) }),
        SwitchboardOutput::Screen(call) => json!({ "screen": view(&call) }),
        SwitchboardOutput::Ended(record) => json!({
            "record": {
                "by": record.ended_by,
                "call": record.call_id,
                "caller": record.caller,
                "callee": record.callee,
                "cause": record.cause,
                "lasted": record.lasted.as_millis() as u64,
                "talked": record.talked.map(|talked| talked.as_millis() as u64),
            }
        }),
    }
}
