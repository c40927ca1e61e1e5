//! `offhook call` and `offhook answer` as two processes: they find each other, talk, and end as they say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook_sim::measure::{DelaySearch, correlation, delay_track};
use offhook_sim::sound::{load_wav, save_wav, synthetic_speech};
use serde_json::Value;

use crate::support::{Finished, Running, TestServer, run};

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
        arguments.extend(["--server", &self.server.url, "--user", self.name]);
        arguments.extend([
            "--application-key",
            &self.server.key,
            "--application-secret",
            &self.server.secret,
        ]);
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
    let answering = bob.start(&["answer", "--auto"], &["--json"]);
    answering.wait_for("bob waits");
    let calling = alice.start(&["call", "bob"], &["--duration", "3", "--json"]);
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

#[test]
fn a_wrong_secret_is_refused_with_its_status() {
    let server = TestServer::start();
    let refused = run(&[
        "call",
        "bob",
        "--server",
        &server.url,
        "--user",
        "alice",
        "--application-key",
        &server.key,
        "--application-secret",
        crate::support::SECRET,
        "--microphone",
        "null",
        "--speaker",
        "null",
    ]);
    assert_eq!(refused.code(), 4, "{refused:?}");
    assert!(
        refused.stderr.contains("signature") && refused.stderr.contains("--application-secret"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_status() {
    // A port that was free a moment ago.
    let gone = TestServer::start();
    gone.process.signal("-TERM");
    assert_eq!(gone.process.finish().code(), 0);
    let refused = run(&[
        "call",
        "bob",
        "--server",
        &gone.url,
        "--user",
        "alice",
        "--application-key",
        &gone.key,
        "--application-secret",
        &gone.secret,
        "--microphone",
        "null",
        "--speaker",
        "null",
    ]);
    assert_eq!(refused.code(), 3, "{refused:?}");
    assert!(refused.stderr.contains("offhook serve"), "{}", refused.stderr);
}

#[test]
fn without_a_terminal_answering_needs_auto() {
    let server = TestServer::start();
    let refused =
        run(&["answer", "--server", &server.url, "--user", "bob", "--application-key", &server.key]);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("--auto"), "{}", refused.stderr);
}

#[test]
fn without_a_token_it_says_how_to_get_one() {
    let server = TestServer::start();
    let refused = run(&[
        "call",
        "bob",
        "--server",
        &server.url,
        "--user",
        "alice",
        "--application-key",
        &server.key,
        "--microphone",
        "null",
        "--speaker",
        "null",
    ]);
    assert_eq!(refused.code(), 4, "{refused:?}");
    assert!(refused.stderr.contains("offhook token"), "{}", refused.stderr);
}

#[test]
fn a_kept_credential_needs_no_token_the_next_time() {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("credentials.json");
    let wait = |options: &[&str]| {
        let mut arguments = vec!["answer", "--auto", "--server", &server.url, "--user", "bob"];
        arguments.extend(["--application-key", &server.key, "--microphone", "null", "--speaker", "null"]);
        arguments.extend(["--credentials", kept.to_str().unwrap()]);
        arguments.extend(options);
        let waiting = Running::start(&arguments);
        waiting.wait_for("bob waits");
        waiting.signal("-INT");
        let left = waiting.finish();
        assert_eq!(left.code(), 5, "{left:?}");
    };
    wait(&["--application-secret", &server.secret]);
    assert!(kept.is_file());
    wait(&[]);
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let server = TestServer::start();
    let (key, secret) = (&server.key, &server.secret);
    let token =
        run(&["token", "--application-key", key, "--application-secret", secret, "--user", "carol"]).stdout;
    let mut arguments =
        vec!["answer", "--auto", "--server", &server.url, "--user", "bob", "--application-key", key];
    arguments.extend(["--token", token.trim(), "--microphone", "null", "--speaker", "null"]);
    let refused = run(&arguments);
    assert_eq!(refused.code(), 4, "{refused:?}");
    assert!(refused.stderr.contains("another user"), "{}", refused.stderr);
}
