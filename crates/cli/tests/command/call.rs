//! `offhook call` and `offhook answer` as two processes: they find each other, talk, and end as they say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook_sim::measure::{DelaySearch, correlation, delay_track};
use offhook_sim::sound::{load_wav, save_wav, synthetic_speech};
use serde_json::Value;

use crate::support::{Finished, Running, SECRET, SILENT, TestServer, run};

/// One person's options, with files of this folder.
struct Person<'a> {
    server: &'a TestServer,
    folder: &'a Path,
    name: &'static str,
}

impl Person<'_> {
    fn spoken(&self) -> PathBuf {
        self.folder.join(format!("{}-spoken.wav", self.name))
    }

    fn heard(&self) -> PathBuf {
        self.folder.join(format!("{}-heard.wav", self.name))
    }

    fn start(&self, command: &[&str], options: &[&str]) -> Running {
        let seed = u64::from(self.name.as_bytes()[0]);
        save_wav(&self.spoken(), &synthetic_speech(Duration::from_secs(6), seed)).unwrap();
        let (spoken, heard) = (self.spoken(), self.heard());
        let mut arguments = command.to_vec();
        arguments.extend(self.server.user(self.name));
        arguments.extend(["--application-secret", &self.server.secret]);
        arguments.extend(["--input", spoken.to_str().unwrap(), "--output", heard.to_str().unwrap()]);
        arguments.extend(options);
        Running::start(&arguments)
    }
}

/// How like what was said is what was heard, wherever in the recording it is.
fn correlation_of(spoken: &Path, heard: &Path) -> f64 {
    let (spoken, heard) = (load_wav(spoken).unwrap(), load_wav(heard).unwrap());
    // Its beginning may lie before the call was connected.
    let said = &spoken[48_000..2 * 48_000];
    let anywhere = DelaySearch { max_delay: Duration::from_secs(30), ..DelaySearch::default() };
    correlation(said, &heard, &delay_track(said, &heard, &anywhere)).unwrap_or_default()
}

fn report(finished: &Finished) -> Value {
    assert_eq!(finished.code(), 0, "{finished:?}");
    finished.json()
}

#[test]
fn two_processes_hear_what_the_other_said() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let person = |name| Person { server: &server, folder: folder.path(), name };
    let (alice, bob) = (person("alice"), person("bob"));
    let (silent, whole) = (folder.path().join("silent.offhook"), folder.path().join("whole.offhook"));
    let record = ["--json", "--record", silent.to_str().unwrap()];
    let answering = bob.start(&["answer", "--auto"], &record);
    answering.wait_for("bob waits");
    let record = ["--duration", "3", "--json", "--record", whole.to_str().unwrap(), "--record-sound"];
    let calling = alice.start(&["call", "bob"], &record);
    let (called, answered) = (report(&calling.finish()), report(&answering.finish()));
    for (report, direction, other) in [(&called, "outbound", "bob"), (&answered, "inbound", "alice")] {
        assert_eq!((&report["direction"], &report["remote_user"]), (&direction.into(), &other.into()));
        assert_eq!(report["end_cause"], "HungUp");
        assert!(report["talk_seconds"].as_f64().unwrap() > 1.0, "{report}");
        assert!(report["packets_received"].as_u64().unwrap() > 100, "{report}");
    }
    assert_eq!(called["call_id"], answered["call_id"]);
    for (speaker, listener) in [(&alice, &bob), (&bob, &alice)] {
        let found = correlation_of(&speaker.spoken(), &listener.heard());
        assert!(found > 0.6, "{} heard {}: {found}", listener.name, speaker.name);
    }
    replay_tells_the_same(&silent, &answered);
    replay_tells_the_same(&whole, &called);
    let again = folder.path().join("again.wav");
    let replayed = run(&["replay", whole.to_str().unwrap(), "--output", again.to_str().unwrap()]);
    assert_eq!(replayed.code(), 0, "{replayed:?}");
    let found = correlation_of(&bob.spoken(), &again);
    assert!(found > 0.6, "the replay sounds like what bob said: {found}");
}

/// What was recorded at an end plays as that end reported it.
fn replay_tells_the_same(recording: &Path, report: &Value) {
    let replayed = run(&["replay", recording.to_str().unwrap(), "--json"]);
    assert_eq!(replayed.code(), 0, "{replayed:?}");
    let replayed = replayed.json();
    let number = |of: &Value, pointer: &str| {
        of.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {of}"))
    };
    let (played, received) = (number(&replayed, "/packets_played"), number(report, "/packets_received"));
    // The end of a call is played to its last packet only in the replay; the device's pulls differ.
    assert!((played - received).abs() <= 0.1 * received, "{replayed} {report}");
    let (again, heard) = (number(&replayed, "/time_ms/decoded"), number(report, "/heard_ms/decoded"));
    assert!((again - heard).abs() <= 0.1 * heard + 200.0, "{replayed} {report}");
    let (again, delay) = (number(&replayed, "/buffer_ms"), number(report, "/playout_delay_ms"));
    assert!((again - delay).abs() <= 30.0, "{replayed} {report}");
}

#[test]
fn sigint_hangs_up_and_both_sides_end_well() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let person = |name| Person { server: &server, folder: folder.path(), name };
    let answering = person("bob").start(&["answer", "--auto"], &[]);
    answering.wait_for("bob waits");
    let calling = person("alice").start(&["call", "bob"], &[]);
    calling.wait_for("talking");
    answering.wait_for("talking");
    calling.signal("-INT");
    let (called, answered) = (calling.finish(), answering.finish());
    assert_eq!((called.code(), answered.code()), (0, 0), "{called:?} {answered:?}");
    assert!(called.stderr.contains("Talked with bob"), "{}", called.stderr);
}

/// Runs `offhook COMMAND` as a user of this server, without sound, with these options more.
fn run_silent(command: &[&str], server: &TestServer, user: &str, options: &[&str]) -> Finished {
    run(&[command, &server.user(user), &SILENT, options].concat())
}

/// It ended with this status and said all of this.
fn assert_failed(failed: &Finished, code: i32, words: &[&str]) {
    assert_eq!(failed.code(), code, "{failed:?}");
    assert!(words.iter().all(|word| failed.stderr.contains(word)), "{words:?} in {}", failed.stderr);
}

#[test]
fn a_wrong_secret_is_refused_with_its_status() {
    let server = TestServer::start();
    let refused = run_silent(&["call", "bob"], &server, "alice", &["--application-secret", SECRET]);
    assert_failed(&refused, 4, &["signature", "--application-secret"]);
}

#[test]
fn a_token_of_another_device_is_refused_and_a_new_one_asked_for() {
    let server = TestServer::start();
    let token = server.token("bob");
    let waiting = Running::start(
        &[&["answer", "--auto", "--token", &token][..], &server.user("bob"), &SILENT].concat(),
    );
    waiting.wait_for("bob waits");
    let refused = run_silent(&["answer", "--auto"], &server, "bob", &["--token", &token]);
    assert_failed(&refused, 4, &["another device", "get a new token"]);
    assert!(!refused.stderr.contains("--application-secret"), "{}", refused.stderr);
}

#[test]
fn nobody_waits_for_a_call_to_their_own_device() {
    let server = TestServer::start();
    let alone = run_silent(&["call", "alice"], &server, "alice", &["--application-secret", &server.secret]);
    assert_failed(&alone, 5, &["no other device", "call another user"]);
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_status() {
    // A port that was free a moment ago.
    let TestServer { process, url, key, secret } = TestServer::start();
    process.signal("-TERM");
    assert_eq!(process.finish().code(), 0);
    let identity =
        ["--server", &url, "--user", "alice", "--application-key", &key, "--application-secret", &secret];
    let refused = run(&[&["call", "bob"][..], &identity, &SILENT].concat());
    assert_failed(&refused, 3, &["offhook serve", "refused"]);
}

#[test]
fn without_a_terminal_answering_needs_auto() {
    let server = TestServer::start();
    assert_failed(&run_silent(&["answer"], &server, "bob", &[]), 2, &["--auto"]);
}

#[test]
fn without_a_token_it_says_how_to_get_one() {
    let server = TestServer::start();
    assert_failed(&run_silent(&["call", "bob"], &server, "alice", &[]), 4, &["offhook token"]);
}

#[test]
fn a_kept_credential_needs_no_token_the_next_time() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("credentials.json");
    let wait = |options: &[&str]| {
        let keep = ["--credentials", kept.to_str().unwrap()];
        let waiting = Running::start(
            &[&["answer", "--auto"][..], &server.user("bob"), &SILENT, &keep, options].concat(),
        );
        waiting.wait_for("bob waits");
        waiting.signal("-INT");
        assert_failed(&waiting.finish(), 5, &[]);
    };
    wait(&["--application-secret", &server.secret]);
    assert!(kept.is_file());
    wait(&[]);
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let server = TestServer::start();
    let refused = run_silent(&["answer", "--auto"], &server, "bob", &["--token", &server.token("carol")]);
    assert_failed(&refused, 4, &["another user", "--user"]);
}
