//! `offhook devices` and `offhook loopback` on any machine, with or without sound.

use crate::support::run;

#[test]
fn the_list_is_an_array_of_devices() {
    let listed = run(&["devices", "--json"]);
    assert_eq!(listed.code(), 0, "{listed:?}");
    for device in listed.json().as_array().expect("an array") {
        assert!(
            device["id"].is_string() && device["name"].is_string() && device["default"].is_boolean(),
            "{device}"
        );
        assert!(["microphone", "speaker"].contains(&device["direction"].as_str().unwrap()));
    }
    assert!(!run(&["devices"]).stdout.trim().is_empty());
}

#[test]
fn a_microphone_that_hears_nothing_is_an_error_that_says_so() {
    let deaf = run(&["loopback", "--microphone", "null", "--speaker", "null", "--chirps", "1", "--json"]);
    assert_eq!((deaf.code(), deaf.stdout.as_str()), (6, ""), "{deaf:?}");
    assert!(deaf.stderr.contains("silence") && deaf.stderr.contains("offhook devices"), "{}", deaf.stderr);
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let missing = run(&["loopback", "--microphone", "null", "--speaker", "nowhere:nothing"]);
    assert_eq!(missing.code(), 6, "{missing:?}");
    assert!(missing.stderr.contains("speaker does not open"), "{}", missing.stderr);
    let wrong = run(&["loopback", "--microphone", "nonsense"]);
    assert_eq!(wrong.code(), 2, "{wrong:?}");
}
