//! One user, several devices: all ring, the first to answer wins, the others are told.

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, builder, established, server, within};
use offhook::CallEndCause;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_ring_and_the_first_answer_wins() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut desk = Person::start_with(builder(&server, "bob").device_id("desk"), "bob", BOB_HUMS).await;
    let mut phone = Person::start_with(builder(&server, "bob").device_id("phone"), "bob", BOB_HUMS).await;
    let call = alice.client.call_client().call_user("bob").await.unwrap();
    alice.ear.listen(&call);
    let (at_desk, at_phone) = (desk.incoming().await, phone.incoming().await);
    within("answering", at_phone.answer()).await.unwrap();
    assert_ended(&at_desk, CallEndCause::OtherDeviceAnswered).await;
    established(&mut call.events()).await;
    established(&mut at_phone.events()).await;
    alice.ear.hears(BOB_HUMS).await;
    assert!(desk.client.microphone().is_none());
    call.hang_up();
    assert_ended(&at_phone, CallEndCause::HungUp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_on_one_device_rings_on_at_the_other() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut desk = Person::start_with(builder(&server, "bob").device_id("desk"), "bob", BOB_HUMS).await;
    let mut phone = Person::start_with(builder(&server, "bob").device_id("phone"), "bob", BOB_HUMS).await;
    let call = alice.client.call_client().call_user("bob").await.unwrap();
    let (at_desk, at_phone) = (desk.incoming().await, phone.incoming().await);
    at_desk.refuse_busy().unwrap();
    assert_ended(&at_desk, CallEndCause::Denied).await;
    within("answering", at_phone.answer()).await.unwrap();
    established(&mut call.events()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_of_one_client_share_the_microphone() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let mut carol = Person::start(&server, "carol", BOB_HUMS).await;
    let (to_bob, _) = crate::support::talk(&alice, &mut bob).await;
    let (to_carol, _) = crate::support::talk(&alice, &mut carol).await;
    bob.ear.hears(ALICE_HUMS).await;
    carol.ear.hears(ALICE_HUMS).await;
    assert_eq!(alice.client.call_client().calls().len(), 2);
    to_bob.hang_up();
    assert_ended(&to_bob, CallEndCause::HungUp).await;
    carol.ear.hears(ALICE_HUMS).await;
    to_carol.hang_up();
    assert_ended(&to_carol, CallEndCause::HungUp).await;
    crate::support::becomes("closed", || alice.client.microphone().is_none(), |closed| *closed).await;
}
