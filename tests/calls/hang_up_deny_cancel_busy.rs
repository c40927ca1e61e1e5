//! Every way in which one side ends a call before or after the answer, and what the other side is told.

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, assert_ended, becomes, server, talk, within};
use offhook::{AnswerError, Call, CallEndCause, CallError, CallState, Headers, RefuseError, WireError};

async fn ring(alice: &Person, bob: &mut Person) -> (Call, Call) {
    let outgoing = within("calling", alice.client.call_client().call_user("bob")).await.unwrap();
    let incoming = bob.incoming().await;
    (outgoing, incoming)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_has_its_cause() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;

    let (outgoing, incoming) = ring(&alice, &mut bob).await;
    incoming.hang_up();
    let denied = assert_ended(&incoming, CallEndCause::Denied).await;
    assert_eq!(denied.answered, None);
    assert_ended(&outgoing, CallEndCause::Denied).await;

    let (outgoing, incoming) = ring(&alice, &mut bob).await;
    outgoing.hangup();
    assert_ended(&outgoing, CallEndCause::Canceled).await;
    assert_ended(&incoming, CallEndCause::Canceled).await;
    assert!(matches!(incoming.answer().await, Err(AnswerError::Ended)));

    let (outgoing, incoming) = ring(&alice, &mut bob).await;
    incoming.refuse_busy().unwrap();
    let busy = assert_ended(&outgoing, CallEndCause::Denied).await;
    assert_eq!(busy.error, Some(WireError::Busy));
    assert_ended(&incoming, CallEndCause::Denied).await;

    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    assert_eq!(incoming.refuse_busy(), Err(RefuseError::WrongState));
    assert!(matches!(outgoing.answer().await, Err(AnswerError::WrongState)));
    incoming.hang_up();
    assert_ended(&incoming, CallEndCause::HungUp).await;
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    // Over is over.
    outgoing.hang_up();
    assert_eq!(outgoing.details().end_cause, CallEndCause::HungUp);
    let client = alice.client.call_client();
    assert!(client.calls().is_empty() && client.call(outgoing.id()).unwrap().state() == CallState::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminating_hangs_up() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    bob.client.terminate().await;
    assert_eq!(incoming.state(), CallState::Ended);
    assert_ended(&outgoing, CallEndCause::HungUp).await;
    let refused = alice.client.call_client().call_user("not a user id").await;
    assert!(matches!(refused, Err(CallError::UserId(_))));
    let headers = Headers::from([("long".to_owned(), "x".repeat(1021))]);
    let refused = alice.client.call_client().call_user_with_headers("bob", headers).await;
    assert!(matches!(refused, Err(CallError::HeadersTooLarge)));
    let refused = bob.client.call_client().call_user("alice").await;
    assert!(matches!(refused, Err(CallError::NotStarted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_microphone_the_call_rings_on() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    bob.client.set_microphone(offhook::Device::wav("/nowhere/at/all.wav")).await.unwrap();
    let (outgoing, incoming) = ring(&alice, &mut bob).await;
    assert!(matches!(incoming.answer().await, Err(AnswerError::Microphone(_))));
    assert_eq!(incoming.state(), CallState::Init);
    bob.client.set_microphone(offhook::Device::null()).await.unwrap();
    within("answering", incoming.answer()).await.unwrap();
    crate::support::established(&mut outgoing.events()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_given_up_leaves_no_microphone_open() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = ring(&alice, &mut bob).await;
    let opened = async {
        while bob.client.microphone().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        answered = incoming.answer() => answered.unwrap(),
        () = opened => {}
    }
    // It is closed, or the answer was faster and is out.
    let look = || (bob.client.microphone().is_none(), incoming.state());
    let found = becomes("an end of the answer", look, |(closed, state)| {
        *closed || matches!(state, CallState::Answered | CallState::Established)
    })
    .await;
    if found.0 {
        within("answering", incoming.answer()).await.unwrap();
    }
    crate::support::established(&mut outgoing.events()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_and_a_refusal_at_once_end_the_call() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    for turns in 0..8 {
        let (outgoing, incoming) = ring(&alice, &mut bob).await;
        let answering = tokio::spawn({
            let incoming = incoming.clone();
            async move { incoming.answer().await.is_ok() }
        });
        for _ in 0..turns * turns * 20 {
            tokio::task::yield_now().await;
        }
        let refused = incoming.refuse_busy();
        let answered = within("the answer's end", answering).await.unwrap();
        assert!(answered || refused.is_ok());
        if refused.is_err() {
            incoming.hang_up();
        }
        crate::support::ended(&mut outgoing.events()).await;
        crate::support::ended(&mut incoming.events()).await;
    }
}
