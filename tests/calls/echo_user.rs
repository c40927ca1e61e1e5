//! The echo user answers anyone and plays their voice back.

use std::time::Duration;

use offhook::{Call, CallEndCause, CallEvent, ClientError, ClientEvent};
use offhook_server::{EchoUser, RunningServer, Server};
use offhook_signaling::message::WireError;
use offhook_sim::net::LinkConfig;

use crate::network::{Log, emulated};
use crate::support::{
    ALICE_HUMS, BOB_HUMS, Person, assert_ended, builder, client_event, ended, established, server,
    server_config, token, until, within,
};

async fn server_with(echo: EchoUser) -> RunningServer {
    Server::bind(server_config().echo_user(Some(echo))).await.unwrap()
}

async fn call_echo(person: &Person) -> Call {
    let call = within("calling", person.client.call_client().call_user("echo")).await.unwrap();
    person.ear.listen(&call);
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_hear_themselves_and_nobody_else() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (of_alice, of_bob) = (call_echo(&alice).await, call_echo(&bob).await);
    established(&mut of_alice.events()).await;
    established(&mut of_bob.events()).await;
    alice.ear.hears(ALICE_HUMS).await;
    bob.ear.hears(BOB_HUMS).await;
    of_bob.mute();
    bob.ear.hears_silence().await;
    alice.ear.hears(ALICE_HUMS).await;
    of_bob.unmute();
    bob.ear.hears(BOB_HUMS).await;
    for call in [&of_alice, &of_bob] {
        call.hang_up();
        assert_ended(call, CallEndCause::HungUp).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_back_and_a_hold_is_silent() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let call = call_echo(&alice).await;
    established(&mut call.events()).await;
    alice.ear.hears(ALICE_HUMS).await;
    let mut events = call.events();
    call.send_dtmf("42").unwrap();
    for key in ['4', '2'] {
        let is = |event: &CallEvent| matches!(event, CallEvent::DtmfReceived(pressed) if *pressed == key);
        until(&mut events, "the key", is).await;
    }
    call.hold().unwrap();
    alice.ear.hears_silence().await;
    call.resume().unwrap();
    alice.ear.hears(ALICE_HUMS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_behind_loss_and_jitter_hears_the_echo() {
    let server = server().await;
    let log = Log::default();
    let lossy = LinkConfig::lossy(1, 0.1, Duration::from_millis(20));
    let lossy = builder(&server, "alice").packet_path(emulated(lossy, &log));
    let mut alice = Person::start_with(lossy, "alice", ALICE_HUMS).await;
    let call = call_echo(&alice).await;
    established(&mut call.events()).await;
    for _ in 0..5 {
        alice.ear.hears(ALICE_HUMS).await;
    }
    assert!(log.all().len() > 50, "everything passes the emulated network");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_too_many_is_told_busy_and_a_place_is_free_again() {
    let server = server_with(EchoUser { calls: 1, ..EchoUser::default() }).await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let bob = Person::start(&server, "bob", BOB_HUMS).await;
    let first = call_echo(&alice).await;
    established(&mut first.events()).await;
    let details = ended(&mut call_echo(&bob).await.events()).await;
    assert_eq!((details.end_cause, details.error), (CallEndCause::Denied, Some(WireError::Busy)));
    first.hang_up();
    assert_ended(&first, CallEndCause::HungUp).await;
    within("a free place", async {
        loop {
            let call = call_echo(&alice).await;
            let is = |event: &CallEvent| matches!(event, CallEvent::Answered | CallEvent::Ended(_));
            if matches!(until(&mut call.events(), "an answer", is).await.last(), Some(CallEvent::Answered)) {
                return;
            }
        }
    })
    .await;
    alice.ear.hears(ALICE_HUMS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_when_it_has_lasted_as_long_as_it_may() {
    let longest_call = Duration::from_secs(2);
    let server = server_with(EchoUser { longest_call, ..EchoUser::default() }).await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let call = call_echo(&alice).await;
    assert_ended(&call, CallEndCause::HungUp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_registers_as_the_echo_user_but_where_there_is_none() {
    let server = server().await;
    let refused = refusal(&server).await.unwrap();
    assert_eq!(refused.refusal, Some(WireError::UserReserved));
    assert!(refused.message.contains("take another"), "{refused}");
    let without = Server::bind(server_config().echo_user(None)).await.unwrap();
    assert!(refusal(&without).await.is_none());
}

/// Why the user `echo` is not let in; `None` when it is.
async fn refusal(server: &RunningServer) -> Option<ClientError> {
    let client = builder(server, "echo").build().unwrap();
    let mut events = client.start().await.unwrap();
    let registration = client_event(&mut events, "CredentialsRequired", |event| match event {
        ClientEvent::CredentialsRequired(registration) => Some(registration),
        _ => None,
    })
    .await;
    within("register", registration.register(token("echo"))).await.unwrap();
    client_event(&mut events, "a decision", |event| match event {
        ClientEvent::Started => Some(None),
        ClientEvent::Failed(error) => Some(Some(error)),
        _ => None,
    })
    .await
}
