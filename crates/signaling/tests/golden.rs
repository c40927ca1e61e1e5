//! Golden traces: named scenarios of inputs and of everything that comes out, for the client machine and the switchboard.
//!
//! The files are language-neutral, so that another implementation of the client can run the same scenarios. Times are
//! milliseconds from the beginning of a scenario; random bytes are 0, 1, 2, ... `OFFHOOK_WRITE=1 cargo test` writes what the
//! machines do now; look at the difference before committing it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

#[path = "golden/client.rs"]
mod client;
#[path = "golden/switchboard.rs"]
mod switchboard;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Runs one scenario: gives what comes out after each step.
type Run = fn(&Value, Clock) -> Vec<Value>;

/// Virtual time.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn at(self, step: &Value) -> Instant {
        self.0 + Duration::from_millis(step["at"].as_u64().unwrap())
    }

    fn millis(self, at: Instant) -> u64 {
        at.duration_since(self.0).as_millis() as u64
    }
}

fn check(file: &str, run: Run) {
    #[expect(clippy::disallowed_methods, reason = "the zero of virtual time: only differences count")]
    let zero = Clock(Instant::now());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let mut scenarios: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let write = std::env::var_os("OFFHOOK_WRITE").is_some();
    for scenario in &mut scenarios {
        let name = scenario["name"].as_str().unwrap().to_owned();
        let outputs = run(scenario, zero);
        for (index, (step, output)) in
            scenario["steps"].as_array_mut().unwrap().iter_mut().zip(outputs).enumerate()
        {
            if write {
                step["expect"] = output;
            } else {
                assert_eq!(step["expect"], output, "{name}, step {index}: {}", step["do"]);
            }
        }
    }
    if write {
        std::fs::write(path, text(&scenarios)).unwrap();
    }
}

/// One line for each step and each output, so that differences are read with ease.
fn text(scenarios: &[Value]) -> String {
    let mut text = "[".to_owned();
    for (i, scenario) in scenarios.iter().enumerate() {
        let mut head = scenario.clone();
        head.as_object_mut().unwrap().remove("steps");
        let head = head.to_string();
        text += if i == 0 { "\n" } else { ",\n" };
        text += &format!("{}, \"steps\": [", head.trim_end_matches('}'));
        for (j, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            text += if j == 0 { "\n" } else { ",\n" };
            text += &format!("  {{\"at\": {}, \"do\": {}, \"expect\": [", step["at"], step["do"]);
            let outputs: Vec<String> =
                step["expect"].as_array().unwrap().iter().map(|output| format!("\n    {output}")).collect();
            text += &outputs.join(",");
            text += "]}";
        }
        text += "\n]}";
    }
    text + "\n]\n"
}

/// A frame without what every frame has.
fn frame(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    value.as_object_mut().unwrap().remove("v");
    value
}

fn error(text: impl std::fmt::Display) -> Value {
    json!({ "error": text.to_string() })
}

#[test]
fn the_client_does_what_its_traces_say() {
    check("client.json", client::run);
}

#[test]
fn the_switchboard_does_what_its_traces_say() {
    check("switchboard.json", switchboard::run);
}
