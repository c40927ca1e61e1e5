//! Who is let in, and what a welcome brings.

use offhook_server::SessionTimers;
use offhook_signaling::ClientMessage;
use offhook_signaling::message::{Credential, Empty, WireError};

use tokio::time::sleep;

use crate::support::{Phone, SOON, config, hello, path_url, serve, token};

#[tokio::test]
async fn a_token_registers_a_device_and_its_credential_lets_it_in_again() {
    let server = serve(config()).await;
    let first = Phone::register(&server, "alice", "a1").await;
    let welcome = first.welcome.as_ref().unwrap();
    assert!(!welcome.resumed && welcome.heartbeat_ms == 15_000 && welcome.credential.is_some());
    assert!(first.snapshot.as_ref().unwrap().calls.is_empty());
    let again = hello("alice", "a1", Credential::Device(first.credential()));
    let second = Phone::log_in(&server, again).await;
    assert!(second.welcome.unwrap().credential.is_none(), "a good credential brings no new one");
}

#[tokio::test]
async fn a_credential_opens_the_door_only_for_its_own_device_and_user() {
    let server = serve(config()).await;
    let credential = Phone::register(&server, "alice", "a1").await.credential();
    for (user, device) in [("alice", "a2"), ("bob", "a1")] {
        let stolen = hello(user, device, Credential::Device(credential.clone()));
        assert_eq!(Phone::refusal(&server, stolen).await, (Some(WireError::CredentialRefused), Some(4003)));
    }
}

#[tokio::test]
async fn a_second_connection_of_a_device_takes_over() {
    let server = serve(config()).await;
    let mut first = Phone::register(&server, "alice", "a1").await;
    let again = hello("alice", "a1", Credential::Device(first.credential()));
    let _second = Phone::log_in(&server, again).await;
    let (bye, code) = first.end().await;
    assert_eq!((bye.unwrap().error, code), (None, Some(4004)));
}

#[tokio::test]
async fn a_registration_is_renewed_in_band() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    let renewal = offhook_signaling::message::Register { token: token("alice", "renewal") };
    phone.say(ClientMessage::Register(renewal)).await;
    let offhook_signaling::ServerMessage::Registered(registered) = phone.next().await.message else {
        panic!("no new credential")
    };
    let again = hello("alice", "a1", Credential::Device(registered.credential.secret));
    Phone::log_in(&server, again).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let timers = SessionTimers { hello: SOON, ..SessionTimers::default() };
    let server = serve(config().session_timers(timers)).await;
    assert_eq!(Phone::connect(&server).await.end().await, (None, Some(4001)));
}

#[tokio::test]
async fn a_token_in_the_address_is_not_looked_at() {
    let timers = SessionTimers { hello: SOON, ..SessionTimers::default() };
    let server = serve(config().session_timers(timers)).await;
    let url = path_url(&server, &format!("token={}", token("alice", "url")));
    let mut phone = Phone::try_connect(&url, None).await.unwrap();
    assert_eq!(phone.end().await, (None, Some(4001)));
}

#[tokio::test]
async fn anything_but_a_hello_first_ends_the_connection() {
    let server = serve(config()).await;
    let mut phone = Phone::connect(&server).await;
    phone.say(ClientMessage::Ping(Empty {})).await;
    let (bye, code) = phone.end().await;
    assert_eq!((bye.unwrap().error, code), (Some(WireError::OutOfOrder), Some(4002)));
}

#[tokio::test]
async fn a_device_that_falls_silent_is_closed() {
    let timers = SessionTimers { heartbeat: SOON, ..SessionTimers::default() };
    let server = serve(config().session_timers(timers)).await;
    assert_eq!(Phone::register(&server, "alice", "a1").await.end().await, (None, Some(4005)));
}

#[tokio::test]
async fn a_device_that_speaks_now_and_then_stays() {
    let timers = SessionTimers { heartbeat: 4 * SOON, ..SessionTimers::default() };
    let server = serve(config().session_timers(timers)).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    // Past the time, ten moments, after which a device that says nothing is closed.
    for _ in 0..5 {
        sleep(3 * SOON).await;
        phone.expect_silence().await;
    }
    assert_eq!(phone.end().await, (None, Some(4005)));
}
