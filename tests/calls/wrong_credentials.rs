//! Each way in which credentials can be wrong has its own words, in bounded time, and the client can be started again.

use crate::support::{
    OTHER_SECRET, SECRET, builder, client_event, now, register, server, server_config, token, token_with,
    within,
};
use offhook::{
    Client, ClientError, ClientErrorCode, ClientEvent, ClientEvents, Device, RegisterError, Timeouts,
    WireError,
};
use offhook_server::{Limits, RunningServer, Server};
use offhook_signaling::UnixSeconds;
use std::time::Duration;

/// Gives `token` when asked, and expects to fail for it.
async fn refused(events: &mut ClientEvents, token: Option<&str>) -> ClientError {
    let registration = client_event(events, "CredentialsRequired", |event| match event {
        ClientEvent::CredentialsRequired(registration) => Some(registration),
        _ => None,
    })
    .await;
    match token {
        Some(token) => registration.register(token).await.unwrap(),
        None => registration.register_failed(),
    }
    let error = client_event(events, "Failed", |event| match event {
        ClientEvent::Failed(error) => Some(error),
        _ => None,
    })
    .await;
    assert!(within("the end", events.next()).await.is_none(), "a failed client has no more events");
    assert_eq!(registration.register("late").await, Err(RegisterError::Stopped));
    error
}

fn client(server: &RunningServer, device: &str) -> Client {
    builder(server, "alice").device_id(device).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_its_words_and_the_next_start_may_work() {
    let server = server().await;
    let alice = client(&server, "one");
    let issued = now();
    let hours = |hours: i64| UnixSeconds(issued.0.saturating_add_signed(hours * 3600));
    let faults = [
        (Some(token_with("alice", OTHER_SECRET, issued, 600)), "signature"),
        (Some(token_with("alice", SECRET, hours(-2), 600)), "expired"),
        (Some(token_with("alice", SECRET, hours(2), 600)), "future"),
        (Some(token("mallory")), "another user"),
        (Some("not.a.token".to_owned()), "wrong form"),
        (None, "could not get a registration token"),
    ];
    for (token, words) in faults {
        let mut events = alice.start().await.unwrap();
        let error = refused(&mut events, token.as_deref()).await;
        assert_eq!(error.code, ClientErrorCode::AuthenticationFailed, "{words}");
        assert!(error.is_fatal && error.message.contains(words), "{error} should say {words:?}");
        assert!(!alice.is_started());
    }
    let mut events = alice.start().await.unwrap();
    register(&mut events, &token("alice")).await;
    assert!(alice.is_started());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_works_for_the_first_device_only() {
    let server = server().await;
    let token = token("alice");
    let (one, other) = (client(&server, "one"), client(&server, "other"));
    register(&mut one.start().await.unwrap(), &token).await;
    let error = refused(&mut other.start().await.unwrap(), Some(&token)).await;
    assert!(error.message.contains("another device"), "{error}");
    assert!(one.is_started());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_told_in_time() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let timeouts = Timeouts { start: Duration::from_millis(500), ..Default::default() };
    let client = Client::builder()
        .application_key(crate::support::KEY)
        .user_id("alice")
        .environment_host(free.to_string())
        .microphone(Device::null())
        .timeouts(timeouts)
        .build()
        .unwrap();
    let error = refused(&mut client.start().await.unwrap(), Some(&token("alice"))).await;
    assert_eq!(error.code, ClientErrorCode::NetworkTimedOut);
    assert!(error.message.contains("refused"), "{error} should say what the system says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_too_many_is_told_so_at_once_and_when_to_come_back() {
    let limits = Limits { devices_per_user: 1, ..Limits::default() };
    let server = Server::bind(server_config().limits(limits)).await.unwrap();
    let one = client(&server, "one");
    register(&mut one.start().await.unwrap(), &token("alice")).await;
    let two = client(&server, "two");
    let error = refused(&mut two.start().await.unwrap(), Some(&token("alice"))).await;
    assert_eq!(error.refusal, Some(WireError::RateLimited));
    // All of the wait is still to come: it did not sit it out.
    assert!(error.message.contains("too many") && error.message.contains("try again in 10 s"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_up_on_too_many_connections_is_told_as_such() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let server = Server::bind(server_config().limits(limits)).await.unwrap();
    let one = client(&server, "one");
    register(&mut one.start().await.unwrap(), &token("alice")).await;
    let timeouts = Timeouts { start: Duration::from_millis(500), ..Timeouts::default() };
    let two = builder(&server, "alice").device_id("two").timeouts(timeouts).build().unwrap();
    let error = refused(&mut two.start().await.unwrap(), Some(&token("alice"))).await;
    assert!(error.message.contains("too many connections or attempts"), "{error}");
    assert!(one.is_started());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_twice_is_refused() {
    let server = server().await;
    let alice = client(&server, "one");
    let _events = alice.start().await.unwrap();
    assert!(matches!(alice.start().await, Err(offhook::StartError::AlreadyStarted)));
    alice.terminate().await;
    register(&mut alice.start().await.unwrap(), &token("alice")).await;
}
