//! A device that is not connected is woken by Web Push when its user is called.

use std::time::Duration;

use offhook_server::{PushConfig, RunningServer, ServerConfig};
use offhook_signaling::call::{CallEndCause, CallTimers};
use offhook_signaling::message::{Credential, Empty, PushSubscription, WireError};
use offhook_signaling::{ClientMessage, DeviceCredential};
use tokio_tungstenite::tungstenite::Message;

use crate::pages::get;
use crate::push_service::{PushService, Receiver, Request, claims};
use crate::rest;
use crate::support::{Phone, address, config, hello, now, serve};

fn pushing() -> ServerConfig {
    let push = PushConfig { allow_private_endpoints: true, ..PushConfig::new("mailto:admin@example.com") };
    config().push(Some(push))
}

async fn public_key(server: &RunningServer) -> String {
    let page = get(server, "/v1/push").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("access-control-allow-origin: *"), "{page}");
    let body: serde_json::Value = serde_json::from_str(page.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    body["public_key"].as_str().unwrap().to_owned()
}

/// Bob's device registers, subscribes and goes; returns how it comes back.
async fn subscribe(server: &RunningServer, device: &str, to: PushSubscription) -> DeviceCredential {
    let mut bob = Phone::register(server, "bob", device).await;
    assert_eq!(bob.ask_of(ClientMessage::PushSubscribe(to)).await, None);
    let credential = bob.credential();
    leave(bob).await;
    credential
}

async fn leave(mut phone: Phone) {
    phone.message(Message::Close(None)).await;
    phone.end().await;
}

fn back(credential: DeviceCredential, device: &str) -> offhook_signaling::message::Hello {
    hello("bob", device, Credential::Device(credential))
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    &request.headers[name]
}

#[test]
fn the_test_reads_the_example_of_rfc_8291() {
    let receiver = Receiver::of("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94", "BTBZMqHH6r4Tts7J_aSIgg");
    let body = crate::push_service::decode(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
    );
    assert_eq!(receiver.decrypt(&body), b"When I grow up, I want to be a watermelon");
}

#[tokio::test]
async fn a_device_that_is_gone_is_woken_comes_and_answers() {
    let server = serve(pushing()).await;
    let mut service = PushService::start(&["201 Created"]).await;
    let receiver = Receiver::new();
    let to = receiver.subscription(format!("{}/bobs?device=1", service.origin));
    let credential = subscribe(&server, "b1", to).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call("c1", "bob").await;
    alice.expect("progressing").await;
    let push = service.next().await;
    assert_eq!(push.path, "/bobs?device=1");
    assert_eq!((header(&push, "urgency"), header(&push, "ttl")), ("high", "30"));
    assert!(header(&push, "topic").len() <= 32);
    let claims = claims(header(&push, "authorization"), &public_key(&server).await);
    assert_eq!(
        (&claims["aud"], &claims["sub"]),
        (&service.origin.as_str().into(), &"mailto:admin@example.com".into())
    );
    let ends = claims["exp"].as_u64().unwrap();
    assert!(ends > now().0 && ends <= now().0 + 86_400);
    let told = receiver.read(&push);
    let created = told["created"].as_u64().unwrap();
    assert!(created.abs_diff(now().0) < 20);
    let expected = serde_json::json!({
        "v": 1, "type": "incoming_call", "application_key": crate::support::KEY, "user_id": "bob",
        "call_id": "c1", "from": "alice", "created": created,
    });
    assert_eq!(told, expected);
    alice.expect_silence().await;
    let mut bob = Phone::log_in(&server, back(credential, "b1")).await;
    bob.expect("incoming from alice").await;
    bob.ring("c1").await;
    alice.expect("ringing").await;
    bob.answer("c1").await;
    alice.expect("answered").await;
    bob.expect("answered").await;
    bob.hang_up("c1", CallEndCause::HungUp, None).await;
    alice.expect("ended HungUp").await;
    assert!(!service.has_more(), "who came knows by itself");
}

#[tokio::test]
async fn who_was_woken_learns_that_the_call_is_over() {
    let server = serve(pushing()).await;
    let mut service = PushService::start(&["201 Created"]).await;
    let receiver = Receiver::new();
    subscribe(&server, "b1", receiver.subscription(format!("{}/b1", service.origin))).await;
    let mut desk = Phone::register(&server, "bob", "b2").await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call("c1", "bob").await;
    desk.expect("incoming from alice").await;
    let first = service.next().await;
    alice.hang_up("c1", CallEndCause::Canceled, None).await;
    desk.expect("ended Canceled").await;
    let second = service.next().await;
    let told = receiver.read(&second);
    assert_eq!(
        told,
        serde_json::json!({"v": 1, "type": "call_ended", "call_id": "c1", "end_cause": "canceled"})
    );
    assert_eq!(header(&first, "topic"), header(&second, "topic"));

    alice.call("c2", "bob").await;
    desk.expect("incoming from alice").await;
    service.next().await;
    desk.answer("c2").await;
    let told = receiver.read(&service.next().await);
    assert_eq!((&told["call_id"], &told["end_cause"]), (&"c2".into(), &"other_device_answered".into()));
    assert!(!service.has_more(), "the desk was connected: it is not pushed");
}

#[tokio::test]
async fn a_subscription_ends_when_the_push_service_or_the_device_says_so() {
    let server = serve(pushing()).await;
    let mut gone = PushService::start(&["410 Gone"]).await;
    let mut busy = PushService::start(&["503 Service Unavailable", "201 Created"]).await;
    let receiver = Receiver::new();
    subscribe(&server, "b1", receiver.subscription(format!("{}/b1", gone.origin))).await;
    subscribe(&server, "b2", receiver.subscription(format!("{}/b2", busy.origin))).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call("c1", "bob").await;
    gone.next().await;
    busy.next().await;
    assert_eq!(receiver.read(&busy.next().await)["call_id"], "c1", "what was busy is asked again");
    alice.hang_up("c1", CallEndCause::Canceled, None).await;
    assert_eq!(receiver.read(&busy.next().await)["type"], "call_ended");

    alice.call("c2", "bob").await;
    busy.next().await;
    alice.hang_up("c2", CallEndCause::Canceled, None).await;
    busy.next().await;
    assert!(!gone.has_more(), "a subscription that is gone is not used again");
    let mut bob = Phone::register(&server, "bob", "b2x").await;
    assert_eq!(bob.ask_of(ClientMessage::PushUnsubscribe(Empty {})).await, None);
    server.revoke_device(&address("bob", "b2")).await.unwrap();
    alice.call("c3", "bob").await;
    bob.expect("incoming from alice").await;
    alice.hang_up("c3", CallEndCause::Canceled, None).await;
    bob.expect("ended Canceled").await;
    assert!(!busy.has_more(), "a subscription goes with the registration");
}

#[tokio::test]
async fn the_key_and_the_subscriptions_outlive_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(pushing().data(folder.path())).await;
    let key = public_key(&server).await;
    let mut service = PushService::start(&["201 Created"]).await;
    let receiver = Receiver::new();
    subscribe(&server, "b1", receiver.subscription(format!("{}/b1", service.origin))).await;
    server.shutdown().await;
    let server = serve(pushing().data(folder.path())).await;
    assert_eq!(public_key(&server).await, key);
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call_as("Alice A.", "c1", "bob").await;
    let push = service.next().await;
    let told = receiver.read(&push);
    assert_eq!((&told["from"], &told["display_name"]), (&"alice".into(), &"Alice A.".into()));
    claims(header(&push, "authorization"), &key);
    for (path, revoked) in [("b1", true), ("b1", false)] {
        assert_eq!(server.revoke_device(&address("bob", path)).await.unwrap(), revoked);
    }
    alice.call("c2", "bob").await;
    alice.expect("progressing").await;
    alice.expect("progressing").await;
    assert!(!service.has_more());
}

#[tokio::test]
async fn subscriptions_that_cannot_be_used_are_refused() {
    let receiver = Receiver::new();
    let good = receiver.subscription("https://push.example.com/x".to_owned());
    let off = serve(config()).await;
    let mut bob = Phone::register(&off, "bob", "b1").await;
    assert_eq!(bob.ask_of(ClientMessage::PushSubscribe(good.clone())).await, Some(WireError::PushOff));
    assert_eq!(bob.ask_of(ClientMessage::PushUnsubscribe(Empty {})).await, Some(WireError::PushOff));
    let server = serve(config().push(Some(PushConfig::new("mailto:admin@example.com")))).await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    for endpoint in ["http://push.example.com/x", "https://127.0.0.1/x", "https://localhost/x", "x"] {
        let bad = PushSubscription { endpoint: endpoint.to_owned(), ..good.clone() };
        assert_eq!(bob.ask_of(ClientMessage::PushSubscribe(bad)).await, Some(WireError::BadEndpoint));
    }
    for bad in [
        PushSubscription { p256dh: "AAAA".to_owned(), ..good.clone() },
        PushSubscription { p256dh: format!("BA{}", "A".repeat(85)), ..good.clone() },
        PushSubscription { auth: "!".to_owned(), ..good.clone() },
    ] {
        assert_eq!(bob.ask_of(ClientMessage::PushSubscribe(bad)).await, Some(WireError::BadEndpoint));
    }
    assert_eq!(bob.ask_of(ClientMessage::PushSubscribe(good)).await, None);
}

#[tokio::test]
async fn a_callee_that_can_be_woken_and_does_not_come_looks_like_an_unknown_one() {
    let calls = CallTimers { progress: Duration::from_millis(100), ..CallTimers::default() };
    let mut push = PushConfig { allow_private_endpoints: true, ..PushConfig::new("https://example.com/") };
    push.wait = Duration::from_secs(1);
    let server = serve(config().push(Some(push)).call_timers(calls)).await;
    let mut service = PushService::start(&["201 Created"]).await;
    let receiver = Receiver::new();
    subscribe(&server, "b1", receiver.subscription(format!("{}/b1", service.origin))).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut took = Vec::new();
    for callee in ["bob", "nobody"] {
        let begun = std::time::Instant::now();
        alice.call(&format!("to-{callee}"), callee).await;
        assert_eq!(alice.until_end().await, ["progressing", "ended Timeout"]);
        took.push(begun.elapsed());
    }
    assert!(took.iter().all(|took| *took >= Duration::from_secs(1)), "both wait as long: {took:?}");
    assert_eq!(receiver.read(&service.next().await)["call_id"], "to-bob");
}

#[tokio::test]
async fn who_a_call_is_led_to_is_woken_and_who_is_blocked_is_not() {
    let server = serve(pushing()).await;
    let mut service = PushService::start(&["201 Created"]).await;
    let receiver = Receiver::new();
    subscribe(&server, "b1", receiver.subscription(format!("{}/b1", service.origin))).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    alice.call("c1", "carol").await;
    alice.expect("progressing").await;
    let to_bob = r#"{"action":{"name":"connectMxp","destination":{"endpoint":"bob"}}}"#;
    assert_eq!(rest::send(&server, "PATCH /v1/calls/c1", &rest::own(), to_bob).await.0, 204);
    let told = receiver.read(&service.next().await);
    assert_eq!((&told["type"], &told["user_id"]), (&"incoming_call".into(), &"bob".into()));
    assert_eq!(rest::ask(&server, "DELETE /v1/calls/c1", &rest::own()).await.0, 204);
    assert_eq!(receiver.read(&service.next().await)["type"], "call_ended");
    alice.expect("ended Denied").await;
    assert_eq!(rest::ask(&server, "PUT /v1/users/bob/block", &rest::own()).await.0, 204);
    alice.call("c2", "bob").await;
    alice.expect("progressing").await;
    let mut dave = Phone::register(&server, "dave", "d1").await;
    let to = receiver.subscription(format!("{}/d1", service.origin));
    assert_eq!(dave.ask_of(ClientMessage::PushSubscribe(to)).await, None);
    leave(dave).await;
    alice.call("c3", "dave").await;
    alice.expect("progressing").await;
    assert_eq!(receiver.read(&service.next().await)["call_id"], "c3", "not the call to a blocked user");
    assert!(!service.has_more());
}
