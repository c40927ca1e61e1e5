//! A caller whose microphone takes its time to open: a pipe in place of a WAV file, that nobody writes to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use offhook::{CallEndCause, CallError, Device, Timeouts};

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, builder, server, within};

/// Opens for whoever reads it, and is at its end when this is dropped.
struct Pipe(PathBuf);

impl Pipe {
    fn new(folder: &Path) -> Self {
        let path = folder.join("pipe.wav");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self(path)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Both ends, so that it does not wait for a reader either.
        drop(std::fs::OpenOptions::new().read(true).write(true).open(&self.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_side_rings_meanwhile_and_the_call_is_taken_back_when_it_fails() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(folder.path());
    let timeouts = Timeouts { device: Duration::from_secs(2), ..Timeouts::default() };
    let alice = Person::start_with(builder(&server, "alice").timeouts(timeouts), "alice", ALICE_HUMS).await;
    alice.client.set_microphone(Device::wav(&pipe.0)).await.unwrap();
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let calling = tokio::spawn(alice.client.call_client().call_user("bob"));
    let incoming = bob.incoming().await;
    assert!(!calling.is_finished(), "it waits for the microphone");
    let outcome = within("the call's failure", calling).await.unwrap();
    assert!(matches!(outcome, Err(CallError::Microphone(_))), "{outcome:?}");
    assert_ended(&incoming, CallEndCause::Canceled).await;
    drop(pipe);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_meanwhile_rings_no_more() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(folder.path());
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    alice.client.set_microphone(Device::wav(&pipe.0)).await.unwrap();
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let calling = tokio::spawn(alice.client.call_client().call_user("bob"));
    let incoming = bob.incoming().await;
    calling.abort();
    assert_ended(&incoming, CallEndCause::Canceled).await;
    drop(pipe);
}
