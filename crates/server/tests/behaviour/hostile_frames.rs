//! What is not of the protocol is answered or ends its own connection, and nobody else's.

use offhook_signaling::message::WireError;
use offhook_signaling::{MessageId, ServerMessage};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{Phone, config, serve};

#[tokio::test]
async fn a_frame_of_ten_megabytes_ends_its_connection() {
    let server = serve(config()).await;
    let mut bystander = Phone::register(&server, "bob", "b1").await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    phone.text(&"x".repeat(10_000_000)).await;
    // The server stops reading; whether its close frame outruns the reset is up to the network.
    let (bye, code) = phone.end().await;
    assert!(bye.is_none() && matches!(code, None | Some(1009)), "{code:?}");
    bystander.expect_silence().await;
    Phone::register(&server, "alice", "a2").await;
}

#[tokio::test]
async fn a_frame_just_over_the_limit_is_named() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    phone.text(&"x".repeat(65_537)).await;
    assert_eq!(phone.end().await, (None, Some(1009)));
}

#[tokio::test]
async fn malformed_frames_are_answered_until_there_are_too_many() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    for text in ["", "{", "null", r#"{"v":1,"id":"x"}"#, "[1,2"] {
        phone.text(text).await;
        let ServerMessage::Error(outcome) = phone.next().await.message else { panic!("no error") };
        assert_eq!(outcome.error, Some(WireError::Malformed));
    }
    phone.expect_silence().await;
    for _ in 0..17 {
        phone.text("{").await;
    }
    let (bye, code) = phone.end().await;
    assert_eq!((bye.unwrap().error, code), (Some(WireError::Malformed), Some(4002)));
}

#[tokio::test]
async fn a_hello_that_cannot_be_read_is_told_why() {
    let server = serve(config()).await;
    for (text, error) in
        [("{", WireError::Malformed), (r#"{"v":9,"id":"x","type":"hello"}"#, WireError::Unsupported)]
    {
        let mut phone = Phone::connect(&server).await;
        phone.text(text).await;
        let (bye, code) = phone.end().await;
        assert_eq!((bye.unwrap().error, code), (Some(error), Some(4002)));
    }
}

#[tokio::test]
async fn an_unknown_type_or_version_is_named_and_the_connection_lives() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    for text in
        [r#"{"v":1,"id":"x","type":"call.hologram","call_id":"c"}"#, r#"{"v":9,"id":"x","type":"ping"}"#]
    {
        phone.text(text).await;
        let ServerMessage::Error(outcome) = phone.next().await.message else { panic!("no error") };
        assert_eq!((outcome.of.unwrap().as_str(), outcome.error), ("x", Some(WireError::Unsupported)));
    }
    phone.expect_silence().await;
}

#[tokio::test]
async fn a_binary_frame_ends_the_connection() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    phone.message(Message::Binary(b"{}".as_slice().into())).await;
    assert_eq!(phone.end().await, (None, Some(1003)));
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_name() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    let headers = format!(r#"{{"k":"{}"}}"#, "x".repeat(1024));
    phone
        .text(&format!(
            r#"{{"v":1,"id":"x","type":"call.start","call_id":"c","body":{{"to":"bob","sdp":"s","headers":{headers}}}}}"#
        ))
        .await;
    let long = "x".repeat(32_769);
    phone
        .text(&format!(
            r#"{{"v":1,"id":"y","type":"call.start","call_id":"c","body":{{"to":"bob","sdp":"{long}"}}}}"#
        ))
        .await;
    for id in ["x", "y"] {
        let ServerMessage::Error(outcome) = phone.next().await.message else { panic!("no error") };
        assert_eq!((outcome.error, outcome.of), (Some(WireError::TooLarge), MessageId::new(id).ok()));
    }
}

#[tokio::test]
async fn who_closes_in_order_is_answered() {
    let server = serve(config()).await;
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let mut stranger = Phone::connect(&server).await;
    stranger.message(Message::Close(Some(frame.clone()))).await;
    assert_eq!(stranger.end().await, (None, Some(1000)));
    let mut phone = Phone::register(&server, "alice", "a1").await;
    phone.message(Message::Close(Some(frame))).await;
    assert_eq!(phone.end().await, (None, Some(1000)));
}
