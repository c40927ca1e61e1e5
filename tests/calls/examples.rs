//! The two embedding examples, as processes against a server: they call each other and record each other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{ALICE_HUMS, BOB_HUMS, KEY, server, token, within};
use offhook_sim::measure::active_level;
use offhook_sim::sound::{load_wav, save_wav, tone};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command as AsyncCommand;

/// Built beside the tests, unless only this test was asked for.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let path = folder.join(name);
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--offline", "--example", name]).status();
        assert!(built.unwrap().success());
    }
    path
}

pub(crate) fn voice(folder: &Path, name: &str, hertz: f64) -> PathBuf {
    let path = folder.join(name);
    save_wav(&path, &tone(hertz, 0.3, Duration::from_secs(10))).unwrap();
    path
}

/// Whether the recording holds a loud enough sound.
fn was_heard(path: &Path) -> bool {
    active_level(&load_wav(path).unwrap()).is_some_and(|level| level.0 > -30.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_call_each_other() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let (alice_hears, bob_hears) = (folder.path().join("alice.wav"), folder.path().join("bob.wav"));
    let mut answer = AsyncCommand::new(example("answer"))
        .args([&server.url(), KEY, "bob", &token("bob")])
        .args([&voice(folder.path(), "b.wav", BOB_HUMS), &bob_hears])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut bob_says = BufReader::new(answer.stdout.take().unwrap()).lines();
    let ready = within("bob's start", bob_says.next_line()).await.unwrap();
    assert_eq!(ready.as_deref(), Some("waiting for a call"));

    let mut call = AsyncCommand::new(example("call"))
        .args([&server.url(), KEY, "alice", &token("alice"), "bob", "2"])
        .args([&voice(folder.path(), "a.wav", ALICE_HUMS), &alice_hears])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut alice_says = String::new();
    let mut output = call.stdout.take().unwrap();
    within("alice's end", output.read_to_string(&mut alice_says)).await.unwrap();
    assert_eq!(alice_says, "ringing\nestablished\nended: HungUp\n");
    let mut rest = Vec::new();
    while let Some(line) = within("bob's end", bob_says.next_line()).await.unwrap() {
        rest.push(line);
    }
    assert_eq!(rest, ["alice calls", "established", "ended: HungUp"]);
    assert!(within("exit", call.wait()).await.unwrap().success());
    assert!(within("exit", answer.wait()).await.unwrap().success());
    assert!(was_heard(&alice_hears) && was_heard(&bob_hears));
}
