//! A callee that dies without a word: the caller looks for it, then ends `Inactive`, and can call somebody else.

use std::process::Stdio;

use offhook::CallEndCause;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::examples::{example, voice};
use crate::support::{
    ALICE_HUMS, BOB_HUMS, KEY, Person, assert_ended, builder, established, impatient, server, talk, token,
    within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_is_told_in_bounded_time() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let mut bob = Command::new(example("answer"))
        .args([&server.url(), KEY, "bob", &token("bob")])
        .args([&voice(folder.path(), "b.wav", BOB_HUMS), &folder.path().join("heard.wav")])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut bob_says = BufReader::new(bob.stdout.take().unwrap()).lines();
    within("bob's start", bob_says.next_line()).await.unwrap();

    let alice = builder(&server, "alice").timeouts(impatient());
    let mut alice = Person::start_with(alice, "alice", ALICE_HUMS).await;
    let call = within("calling", alice.client.call_client().call_user("bob")).await.unwrap();
    alice.ear.listen(&call);
    established(&mut call.events()).await;
    alice.ear.hears(BOB_HUMS).await;
    bob.kill().await.unwrap();
    let details = assert_ended(&call, CallEndCause::Inactive).await;
    assert!(details.established.is_some());

    let mut carol = Person::start(&server, "carol", BOB_HUMS).await;
    let (call, _) = talk(&alice, &mut carol).await;
    alice.ear.listen(&call);
    alice.ear.hears(BOB_HUMS).await;
}
