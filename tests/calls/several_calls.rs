//! One person in two calls at once: hears both, holds one, swaps, turns one down.

use crate::support::{ALICE_HUMS, BOB_HUMS, CAROL_HUMS, Person, assert_ended, server, talk};
use offhook::CallEndCause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_sound_together_one_is_held_and_they_swap() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let mut carol = Person::start(&server, "carol", CAROL_HUMS).await;
    let (with_bob, _) = talk(&alice, &mut bob).await;
    let (with_carol, _) = talk(&alice, &mut carol).await;
    // The second call took the speaker; both can have it.
    alice.ear.element.add_source(&with_bob.incoming_stream());
    alice.ear.hears_all(&[BOB_HUMS, CAROL_HUMS]).await;
    bob.ear.hears(ALICE_HUMS).await;
    carol.ear.hears(ALICE_HUMS).await;

    with_bob.hold().unwrap();
    alice.ear.hears(CAROL_HUMS).await;
    bob.ear.hears_silence().await;
    carol.ear.hears(ALICE_HUMS).await;

    with_carol.hold().unwrap();
    with_bob.resume().unwrap();
    alice.ear.hears(BOB_HUMS).await;
    bob.ear.hears(ALICE_HUMS).await;
    carol.ear.hears_silence().await;

    with_carol.resume().unwrap();
    alice.ear.hears_all(&[BOB_HUMS, CAROL_HUMS]).await;
    with_bob.set_volume(0.0);
    assert_eq!((with_bob.volume(), with_carol.volume()), (0.0, 1.0));
    alice.ear.hears(CAROL_HUMS).await;
    with_bob.set_volume(1.0);
    alice.ear.hears_all(&[BOB_HUMS, CAROL_HUMS]).await;

    with_carol.hang_up();
    assert_ended(&with_carol, CallEndCause::HungUp).await;
    alice.ear.hears(BOB_HUMS).await;
    bob.ear.hears(ALICE_HUMS).await;
}
