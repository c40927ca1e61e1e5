//! Every committed fuzz seed and finding runs again.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        body(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn wire_seeds() {
    replay("signaling_wire", offhook_signaling::fuzzing::signaling_wire);
}

#[test]
fn call_machine_seeds() {
    replay("call_machines", offhook_signaling::fuzzing::call_machines);
}

#[test]
fn token_seeds() {
    replay("signaling_token", offhook_signaling::fuzzing::signaling_token);
}
