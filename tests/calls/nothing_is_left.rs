//! Calls and clients that are over leave nothing behind: no socket, no task that keeps one.

use offhook::CallEndCause;

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, becomes, server, talk};

/// Open files of this process: sockets above all. Other tests of the same process come and go: the least of a while counts.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn talk_and_end(alice: &Person, bob: &mut Person) {
    let (outgoing, incoming) = talk(alice, bob).await;
    outgoing.hang_up();
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    assert_ended(&incoming, CallEndCause::HungUp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_closed() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    talk_and_end(&alice, &mut bob).await;
    let before = open_files();
    for _ in 0..20 {
        talk_and_end(&alice, &mut bob).await;
    }
    // Each of these calls had two sockets per address of the machine, so that one leak in two calls would show.
    becomes("closed sockets of calls", open_files, |now| *now < before + 10).await;
    assert!(alice.client.microphone().is_none() && alice.client.call_client().calls().is_empty());

    let clients = server.connection_count();
    alice.client.terminate().await;
    drop((alice, bob));
    becomes("closed connections", || server.connection_count(), |now| *now == clients - 2).await;
}
