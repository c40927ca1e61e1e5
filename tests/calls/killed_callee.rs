//! A callee that dies without a word: the caller looks for it, then ends `Inactive`, and can call somebody else.

use std::sync::mpsc;

use crate::support::{
    ALICE_HUMS, BOB_HUMS, Person, assert_ended, builder, established, impatient, server, within,
};
use offhook::CallEndCause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_is_told_in_bounded_time() {
    let server = server().await;
    let mut alice =
        Person::start_with(builder(&server, "alice").timeouts(impatient()), "alice", ALICE_HUMS).await;
    let (answered, bob_answered) = mpsc::channel();
    let (kill, killed) = mpsc::channel::<()>();
    let bob_builder = builder(&server, "bob").timeouts(impatient());
    // Bob lives in a runtime of his own, which ends without letting any task end: sockets close, nothing is said.
    let bob = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bob = runtime.block_on(async {
            let mut bob = Person::start_with(bob_builder, "bob", BOB_HUMS).await;
            answered.send(()).unwrap();
            bob.incoming().await.answer().await.unwrap();
            bob
        });
        killed.recv().unwrap();
        runtime.shutdown_background();
        drop(bob);
    });
    tokio::task::spawn_blocking(move || bob_answered.recv().unwrap()).await.unwrap();
    let call = within("calling", alice.client.call_client().call_user("bob")).await.unwrap();
    alice.ear.listen(&call);
    established(&mut call.events()).await;
    alice.ear.hears(BOB_HUMS).await;
    kill.send(()).unwrap();
    let details = assert_ended(&call, CallEndCause::Inactive).await;
    assert!(details.established.is_some());
    bob.join().unwrap();

    let mut carol = Person::start(&server, "carol", BOB_HUMS).await;
    crate::support::talk(&alice, &mut carol).await;
    alice.ear.hears(BOB_HUMS).await;
}
