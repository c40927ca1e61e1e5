//! A back end looks at live calls, ends them and leads them elsewhere.

use offhook_signaling::call::CallEndCause;
use serde_json::{Value, json};

use crate::rest::{ask, json, own, send};
use crate::support::{Phone, config, live, serve, talking};

const TO_CAROL: &str = r#"{"action":{"name":"connectMxp","destination":{"endpoint":"carol"},"callHeaders":[{"key":"b","value":"2"}]}}"#;

async fn get(server: &offhook_server::RunningServer, path: &str) -> Value {
    let (status, body) = ask(server, &format!("GET {path}"), &own()).await;
    assert_eq!(status, 200, "{path}: {body}");
    json(&body)
}

#[tokio::test]
async fn a_live_call_is_shown_while_it_rings_is_answered_and_is_over() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("c", "bob").await;
    bob.expect("incoming from alice").await;
    bob.ring("c").await;
    alice.expect("progressing").await;
    alice.expect("ringing").await;
    let call = get(&server, "/v1/calls/c").await;
    assert_eq!(
        (&call["status"], &call["state"], &call["result"]),
        (&"ONGOING".into(), &"ringing".into(), &"N/A".into())
    );
    assert_eq!(call["devices"], json!([{ "device": "b1", "state": "ringing" }]));
    assert!(call["ended"].is_null() && call["rang"].as_u64() >= call["started"].as_u64(), "{call}");
    bob.answer("c").await;
    alice.expect("answered").await;
    let listed = get(&server, "/v1/calls").await;
    assert_eq!((&listed["calls"][0]["state"], &listed["next"]), (&"answered".into(), &Value::Null));
    assert_eq!(
        (&listed["calls"][0]["caller_device"], &listed["calls"][0]["callee_device"]),
        (&"a1".into(), &"b1".into())
    );
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    alice.until_end().await;
    assert_eq!(get(&server, "/v1/calls/c").await["status"], "FINAL");
    assert_eq!(get(&server, "/v1/calls").await["calls"], json!([]));
    assert_eq!(get(&server, "/v1/calls?status=FINAL&user=bob").await["calls"][0]["call_id"], "c");
}

#[tokio::test]
async fn live_calls_come_in_pages() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    for call in ["c1", "c2", "c3"] {
        alice.call(call, "nobody").await;
        alice.expect("progressing").await;
    }
    let ids = |page: &Value| -> Vec<String> {
        page["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| call["call_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = get(&server, "/v1/calls?limit=2").await;
    assert_eq!((ids(&first), &first["next"]), (vec!["c1".to_owned(), "c2".to_owned()], &"c2".into()));
    let second = get(&server, "/v1/calls?limit=2&after=c2&user=alice").await;
    assert_eq!((ids(&second), &second["next"]), (vec!["c3".to_owned()], &Value::Null));
    assert_eq!(ids(&get(&server, "/v1/calls?user=bob").await), Vec::<String>::new());
}

#[tokio::test]
async fn an_answered_call_is_hung_up_and_its_record_says_by_whom() {
    let server = serve(config()).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    assert_eq!(ask(&server, "DELETE /v1/calls/c", &own()).await.0, 204);
    let over = get(&server, "/v1/calls/c").await;
    assert_eq!(
        (&over["reason"], &over["result"], &over["ended_by"]),
        (&"MANAGERHANGUP".into(), &"ANSWERED".into(), &"control".into())
    );
    alice.expect("ended HungUp").await;
    bob.expect("ended HungUp").await;
    let (status, body) = ask(&server, "DELETE /v1/calls/c", &own()).await;
    assert_eq!((status, json(&body)["errorCode"].as_u64()), (404, Some(40400)));
}

#[tokio::test]
async fn a_ringing_call_is_hung_up_with_svaml() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    let hang_up = r#"{"instructions":[],"action":{"name":"hangup"}}"#;
    assert_eq!(send(&server, "PATCH /v1/calls/c", &own(), hang_up).await.0, 204);
    alice.expect("ended Denied").await;
    bob.expect("ended Canceled").await;
}

#[tokio::test]
async fn an_unanswered_call_is_led_to_another_user_who_talks_to_the_caller() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    let mut carol = Phone::register(&server, "carol", "c1").await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    assert_eq!(send(&server, "PATCH /v1/calls/c", &own(), TO_CAROL).await.0, 204);
    bob.expect("ended Canceled").await;
    carol.expect("incoming from alice").await;
    carol.ring("c").await;
    carol.answer("c").await;
    alice.expect("ringing").await;
    alice.expect("answered").await;
    let call = get(&server, "/v1/calls/c").await;
    assert_eq!((&call["callee"], &call["headers"]), (&"carol".into(), &json!({ "b": "2" })));
    let (status, body) = send(&server, "PATCH /v1/calls/c", &own(), TO_CAROL).await;
    assert_eq!((status, json(&body)["errorCode"].as_u64()), (400, Some(40003)), "answered");
    carol.expect("answered").await;
    carol.hang_up("c", CallEndCause::HungUp, None).await;
    assert_eq!(alice.until_end().await, ["ended HungUp"]);
}

#[tokio::test]
async fn a_call_that_was_led_elsewhere_outlives_the_server_with_the_two_who_talk() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut carol = Phone::register(&server, "carol", "c1").await;
    alice.call("c", "bob").await;
    alice.expect("progressing").await;
    assert_eq!(send(&server, "PATCH /v1/calls/c", &own(), TO_CAROL).await.0, 204);
    carol.expect("incoming from alice").await;
    carol.answer("c").await;
    let (_, answered) = alice.event().await;
    let offhook_signaling::ServerMessage::CallAnswered(answered) = answered else { panic!("{answered:?}") };
    let by = answered.by.unwrap().to_string();
    server.shutdown().await;
    let server = serve(config().data(folder.path())).await;
    for (phone, user, device, outgoing, remote) in
        [(&alice, "alice", "a1", true, by.as_str()), (&carol, "carol", "c1", false, "alice")]
    {
        let credential = offhook_signaling::message::Credential::Device(phone.credential());
        let mut hello = crate::support::hello(user, device, credential);
        hello.resume = Some(phone.resume());
        hello.calls = vec![live("c", outgoing, remote)];
        assert_eq!(Phone::log_in(&server, hello).await.snapshot.unwrap().calls.len(), 1, "{user}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_published_code() {
    let server = serve(config()).await;
    let (_alice, _bob) = talking(&server, "c").await;
    for (request, body, code) in [
        ("PATCH /v1/calls/c", "", 40001),
        ("PATCH /v1/calls/c", "{", 40001),
        ("PATCH /v1/calls/c", r#"{"action":{"name":"park"}}"#, 40001),
        ("PATCH /v1/calls/c", r#"{"action":{"name":"continue"}}"#, 40001),
        ("PATCH /v1/calls/c", r#"{"action":{"name":"connectMxp"}}"#, 40001),
        ("PATCH /v1/calls/d", TO_CAROL, 40400),
        ("DELETE /v1/calls/d", "", 40400),
        ("GET /v1/calls/d", "", 40400),
        ("GET /v1/calls?limit=1001", "", 40001),
        ("GET /v1/calls?limit=x", "", 40001),
        ("GET /v1/calls?unknown=1", "", 40001),
        ("GET /v1/calls?status=FINAL&after=c", "", 40001),
        ("GET /v1/calls?after=", "", 40001),
    ] {
        let (status, answer) = send(&server, request, &own(), body).await;
        let told = json(&answer)["errorCode"].as_u64();
        assert_eq!((u64::from(status), told), (code / 100, Some(code)), "{request} {body}: {answer}");
    }
    for request in [
        "GET /v1/calls",
        "GET /v1/calls/c",
        "DELETE /v1/calls/c",
        "PATCH /v1/calls/c",
        "GET /v1/calls?limit=x",
    ] {
        assert_eq!(send(&server, request, "", TO_CAROL).await.0, 401, "{request}");
    }
}
