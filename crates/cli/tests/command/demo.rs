//! `offhook demo` makes a call in which both hear each other, and prints what its contract says.

use std::path::Path;
use std::time::Duration;

use offhook_sim::sound::{save_wav, synthetic_speech};
use serde_json::Value;

use crate::support::{Finished, run};

/// A demo with synthetic voices, so that nothing has to be installed.
fn demo(folder: &Path, options: &[&str]) -> Finished {
    demo_in_which_bob_says(&synthetic_speech(Duration::from_secs(8), 2), folder, options)
}

fn demo_in_which_bob_says(words: &[f32], folder: &Path, options: &[&str]) -> Finished {
    let (alice, bob) = (folder.join("a.wav"), folder.join("b.wav"));
    save_wav(&alice, &synthetic_speech(Duration::from_secs(8), 1)).unwrap();
    save_wav(&bob, words).unwrap();
    let out = folder.join("out");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (alice, bob, out) = (text(&alice), text(&bob), text(&out));
    let mut arguments = vec!["demo", "--out", &out, "--input-a", &alice, "--input-b", &bob];
    arguments.extend(options);
    run(&arguments)
}

/// Looks at a member by its path; null counts as missing.
fn number(outcome: &Value, pointer: &str) -> f64 {
    let value = outcome.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing in {outcome}"));
    value.as_f64().unwrap_or_else(|| panic!("{pointer} is {value}, not a number"))
}

fn names(outcome: &Value, pointer: &str) -> Vec<String> {
    serde_json::from_value(outcome.pointer(pointer).cloned().unwrap()).unwrap()
}

#[test]
fn it_prints_its_contract_and_both_heard_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let finished = demo(folder.path(), &["--duration", "3", "--json"]);
    assert_eq!(finished.code(), 0, "{finished:?}");
    let outcome = finished.json();
    for pointer in [
        "/setup_ms",
        "/established_ms",
        "/answer_to_first_sound_ms",
        "/media_thread/ticks",
        "/media_thread/deadline_misses",
    ] {
        number(&outcome, pointer);
    }
    for percentile in ["p50", "p99", "max"] {
        number(&outcome, &format!("/media_thread/tick_us/{percentile}"));
    }
    for text in
        ["/end_cause", "/codec", "/dtls", "/srtp", "/ice/local", "/ice/remote", "/media_thread/priority"]
    {
        assert!(outcome.pointer(text).is_some_and(Value::is_string), "{text} in {outcome}");
    }
    for direction in ["a_to_b", "b_to_a"] {
        let measured = |name: &str| number(&outcome, &format!("/{direction}/{name}"));
        assert!(measured("packets_sent") > 100.0 && measured("packets_received") > 100.0);
        for name in
            ["packets_lost", "mouth_to_ear_ms/p50", "mouth_to_ear_ms/p95", "playout_delay_ms", "r_factor"]
        {
            measured(name);
        }
        assert!(outcome[direction].as_object().unwrap().contains_key("clock_drift_ppm"), "null, but there");
        assert!(measured("correlation") > 0.7, "{outcome}");
        assert!(
            (0.0..=100.0).contains(&measured("concealed_percent")) && (1.0..=4.5).contains(&measured("mos"))
        );
    }
    assert_eq!(
        names(&outcome, "/events/caller"),
        ["Progressing", "Ringing", "Answered", "Established", "Ended"]
    );
    assert_eq!(names(&outcome, "/events/callee"), ["Answered", "Established", "Ended"]);
    assert_eq!(outcome["end_cause"], "HungUp");
    assert_eq!(number(&outcome, "/media_thread/allocations"), 0.0);
    assert!(finished.stderr.contains("rings") && finished.stderr.contains("hung up"), "{}", finished.stderr);
}

#[test]
fn it_leaves_recordings_and_a_page_behind() {
    let folder = tempfile::tempdir().unwrap();
    let finished = demo(folder.path(), &["--duration", "2"]);
    assert_eq!(finished.code(), 0, "{finished:?}");
    assert!(finished.stdout.contains("Alice and Bob heard each other."), "{}", finished.stdout);
    let out = folder.path().join("out");
    for name in ["alice-heard.wav", "bob-heard.wav", "alice-spoken.wav", "bob-spoken.wav"] {
        let sound = offhook_sim::sound::load_wav(&out.join(name)).unwrap();
        assert!(sound.len() > 48_000, "{name}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Mouth to ear") && page.contains("Established"));
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    let files: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
    assert_eq!(files.len(), 6);
    assert!(files.iter().all(|file| Path::new(file).is_file()), "{files:?}");
}

#[test]
fn with_loss_and_jitter_speech_still_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let finished =
        demo(folder.path(), &["--duration", "4", "--loss", "10", "--jitter", "20", "--seed", "3", "--json"]);
    let outcome = finished.json();
    assert_eq!(finished.code(), 0, "{outcome}");
    for direction in ["a_to_b", "b_to_a"] {
        assert!(number(&outcome, &format!("/{direction}/packets_lost")) > 5.0, "{outcome}");
        assert!(number(&outcome, &format!("/{direction}/correlation")) > 0.5, "{outcome}");
        assert!(number(&outcome, &format!("/{direction}/concealed_percent")) < 30.0, "{outcome}");
    }
}

#[test]
fn silence_is_not_passed_off_as_a_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let finished = demo_in_which_bob_says(&[0.0; 96_000], folder.path(), &["--duration", "2", "--json"]);
    assert_eq!(finished.code(), 1, "{finished:?}");
    let outcome = finished.json();
    let failure = outcome["failure"].as_str().unwrap();
    assert!(failure.contains("alice heard") && !failure.contains("bob heard"), "{failure}");
    assert!(outcome["b_to_a"]["correlation"].is_null(), "{outcome}");
    assert!(number(&outcome, "/a_to_b/correlation") > 0.7, "{outcome}");
}

#[test]
fn a_wrong_input_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let refused = run(&["demo", "--input-a", "no-such.wav", "--out", out.to_str().unwrap()]);
    assert_eq!(refused.code(), 6);
    assert!(refused.stderr.contains("no-such.wav"), "{}", refused.stderr);
}
