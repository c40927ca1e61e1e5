//! Every committed fuzz seed and finding runs again.

use offhook_signaling::fuzzing;
use offhook_sim::corpus::replay;

#[test]
fn wire_seeds() {
    replay("signaling_wire", fuzzing::signaling_wire);
}

#[test]
fn call_machine_seeds() {
    replay("call_machines", fuzzing::call_machines);
}

#[test]
fn authentication_string_seeds() {
    replay("authentication_string", fuzzing::authentication_string);
}

#[test]
fn token_seeds() {
    replay("signaling_token", fuzzing::signaling_token);
}
