//! Scenarios of the client machine.

use std::time::Instant;

use offhook_signaling::call::CallEndCause;
use offhook_signaling::client::{ClientConfig, ClientMachine, CommandError, Output, StoredCredential};
use offhook_signaling::verification::Verification;
use offhook_signaling::{
    ApplicationKey, CallEvent, CallId, ClientEvent, DeviceCredential, DeviceId, EntropySource, UnixSeconds,
    UserId,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Clock, error, frame};

const WALL: UnixSeconds = UnixSeconds(1_000_000);

/// 0, 1, 2, ...
struct Counting(u8);

impl EntropySource for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}

pub(super) fn run(scenario: &Value, clock: Clock) -> Vec<Value> {
    let key = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
    let config = ClientConfig::new(key, UserId::new("alice").unwrap(), DeviceId::new("a1").unwrap());
    let mut machine = ClientMachine::new(config, Counting(0));
    let mut outputs = Vec::new();
    for step in scenario["steps"].as_array().unwrap() {
        let mut output = act(&mut machine, clock.at(step), &step["do"]);
        while let Some(next) = machine.poll_output() {
            let last = matches!(next, Output::Timeout(..));
            output.push(shown(next, clock));
            if last {
                break;
            }
        }
        outputs.push(output.into());
    }
    outputs
}

fn act(machine: &mut ClientMachine<Counting>, now: Instant, todo: &Value) -> Vec<Value> {
    let arg = |i: usize| &todo[i];
    let text = |i: usize| todo[i].as_str().unwrap().to_owned();
    let call = || CallId::new(text(1)).unwrap();
    machine.handle_timeout(now);
    let result: Result<(), CommandError> = match todo[0].as_str().unwrap() {
        "start" => machine.start(now, WALL, stored(arg(1))),
        "register" => machine.register(now, text(1)),
        "register_failed" => {
            machine.register_failed();
            Ok(())
        }
        "terminate" => {
            machine.terminate(now);
            Ok(())
        }
        "connected" => {
            machine.handle_connected(now);
            Ok(())
        }
        "disconnected" => {
            machine.handle_disconnected(now);
            Ok(())
        }
        "network_changed" => {
            machine.network_changed(now);
            Ok(())
        }
        "receive" => {
            let mut frame = arg(1).clone();
            frame["v"] = 1.into();
            frame["id"] = "s".into();
            machine.handle_frame(now, &frame.to_string());
            Ok(())
        }
        "wait" => Ok(()),
        "call" => machine.call_user(now, UserId::new(text(1)).unwrap(), read(arg(2)), text(3)).map(drop),
        "answer" => machine.answer(now, &call(), text(2)),
        "hang_up" => machine.hang_up(now, &call()),
        "refuse_busy" => machine.refuse_busy(now, &call()),
        "candidate" => machine.local_candidate(&call(), read(arg(2))),
        "update" => machine.update(&call(), read(arg(2))),
        "renew_ice_servers" => machine.renew_ice_servers(&call()),
        "report" => machine.report(&call(), read(arg(2))),
        "media_connected" => {
            machine.media_connected(now, &call());
            Ok(())
        }
        "media_failed" => {
            machine.media_failed(now, &call(), read::<CallEndCause>(arg(2)));
            Ok(())
        }
        other => panic!("unknown input {other}"),
    };
    result.err().map(error).into_iter().collect()
}

fn stored(value: &Value) -> Option<StoredCredential> {
    Some(StoredCredential {
        secret: DeviceCredential::new(value["secret"].as_str()?),
        expires: UnixSeconds(value["expires"].as_u64()?),
    })
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn shown(output: Output, clock: Clock) -> Value {
    match output {
        Output::Connect => json!("connect"),
        Output::Disconnect => json!("disconnect"),
        Output::Send(text) => json!({ "send": frame(&text) }),
        Output::Event(event) => json!({ "event": shown_event(event) }),
        Output::StoreCredential(stored) => {
            json!({ "store": { "secret": stored.secret.expose(), "expires": stored.expires } })
        }
        Output::ForgetCredential => json!("forget"),
        Output::Timeout(at, reason) => json!({ "wake": clock.millis(at), "for": reason }),
    }
}

fn shown_event(event: ClientEvent) -> Value {
    match event {
        ClientEvent::CredentialsRequired => json!("credentials_required"),
        ClientEvent::Started => json!("started"),
        ClientEvent::Reconnecting => json!("reconnecting"),
        ClientEvent::Failed(error) => {
            let mut failed =
                json!({ "code": error.code as u32, "domain": error.domain as u32, "fatal": error.is_fatal });
            if let Some(refusal) = error.refusal {
                failed["refusal"] = json!(refusal);
            }
            json!({ "failed": failed })
        }
        ClientEvent::IncomingCall { call, from, headers } => {
            json!({ "incoming": { "call": call, "from": from, "headers": headers } })
        }
        ClientEvent::Call(call, event) => json!({ "call": call, "is": shown_call_event(event) }),
    }
}

fn shown_call_event(event: CallEvent) -> Value {
    match event {
        CallEvent::Progressing => json!("progressing"),
        CallEvent::IceServers(servers) => json!({ "ice_servers": servers }),
        CallEvent::Ringing => json!("ringing"),
        CallEvent::Answered => json!("answered"),
        CallEvent::Established => json!("established"),
        CallEvent::RemoteDescription(sdp) => json!({ "remote_description": sdp }),
        CallEvent::RemoteCandidate(candidate) => json!({ "remote_candidate": candidate }),
        CallEvent::RemoteUpdate(update) => json!({ "remote_update": update }),
        CallEvent::Verification(Verification::Ready(string)) => {
            json!({ "verification": { "ready": string.to_string() } })
        }
        CallEvent::Verification(Verification::Failed(error)) => {
            json!({ "verification": { "failed": error } })
        }
        CallEvent::Verification(other) => panic!("{other:?} is not told"),
        CallEvent::Ended { cause, error } => json!({ "ended": cause, "error": error }),
    }
}
