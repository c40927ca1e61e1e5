//! Scenarios of the switchboard.

use offhook_signaling::call::{CallTimers, DeviceAddress, Switchboard, SwitchboardOutput};
use offhook_signaling::message::LiveCall;
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
            other => panic!("unknown input {other}"),
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

/// `user/device`
fn address(text: &str) -> DeviceAddress {
    let (user, device) = text.split_once('/').unwrap();
    DeviceAddress {
        application: ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap(),
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
        SwitchboardOutput::Ended(record) => json!({
            "record": {
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
