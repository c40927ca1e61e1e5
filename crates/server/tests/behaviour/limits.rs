//! Whoever is too many is turned away.

use offhook_server::Limits;
use offhook_signaling::message::{ByeAction, CallStart, Credential, Headers, WireError};
use offhook_signaling::{ClientMessage, UserId};

use crate::support::{Phone, config, hello, serve, token};

#[tokio::test]
async fn connections_beyond_the_limit_are_dropped_and_places_become_free() {
    for limits in [
        Limits { connections: 1, ..Limits::default() },
        Limits { connections_per_address: 1, ..Limits::default() },
    ] {
        let server = serve(config().limits(limits)).await;
        let mut first = Phone::register(&server, "alice", "a1").await;
        assert!(Phone::try_connect(&server.signal_url(), None).await.is_err());
        first.message(tokio_tungstenite::tungstenite::Message::Close(None)).await;
        first.end().await;
        while Phone::try_connect(&server.signal_url(), None).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_user_has_a_limited_number_of_devices_and_absent_ones_give_way() {
    let server = serve(config().limits(Limits { devices_per_user: 2, ..Limits::default() })).await;
    let mut first = Phone::register(&server, "alice", "a1").await;
    let _second = Phone::register(&server, "alice", "a2").await;
    let third = || hello("alice", "a3", Credential::Token(token("alice", "third")));
    let mut turned_away = Phone::connect(&server).await;
    turned_away.say(ClientMessage::Hello(third())).await;
    let (bye, code) = turned_away.end().await;
    let bye = bye.unwrap();
    assert_eq!((bye.action, bye.error), (ByeAction::Reconnect, Some(WireError::RateLimited)));
    assert_eq!(code, Some(4007));
    first.message(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    first.end().await;
    // The server notes the lost connection on its own time.
    while Phone::refusal_or_welcome(&server, third()).await.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_user_starts_a_limited_number_of_calls() {
    let rate = offhook_server::Rate { interval: std::time::Duration::from_secs(3600), burst: 1 };
    let server = serve(config().limits(Limits { calls_per_user: rate, ..Limits::default() })).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    let start = || {
        let to = UserId::new("bob").unwrap();
        ClientMessage::CallStart(CallStart {
            to,
            headers: Headers::new(),
            sdp: "s".to_owned(),
            commitment: None,
            display_name: None,
        })
    };
    assert_eq!(phone.ask("c1", start()).await, None);
    assert_eq!(phone.ask("c2", start()).await, Some(WireError::RateLimited));
}
