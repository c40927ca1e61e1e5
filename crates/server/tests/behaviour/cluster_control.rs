//! An application's back end asks any node: calls are seen, ended and led elsewhere wherever they are.

use offhook_server::RunningServer;
use offhook_signaling::call::CallEndCause;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::nodes::{across, over_both, ringing};
use crate::rest::{ask, json, own, send};
use crate::support::{Phone, SOON};

const TO_CAROL: &str = r#"{"action":{"name":"connectMxp","destination":{"endpoint":"carol"},"callHeaders":[{"key":"b","value":"2"}]}}"#;

async fn get(server: &RunningServer, path: &str) -> Value {
    let (status, body) = ask(server, &format!("GET {path}"), &own()).await;
    assert_eq!(status, 200, "{path}: {body}");
    json(&body)
}

over_both! {
    async fn a_call_is_seen_and_hung_up_at_any_node(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (mut alice, mut bob) = ringing(&a, &b, "c").await;
        for node in [&a, &b, &c] {
            let call = get(node, "/v1/calls/c").await;
            assert_eq!((&call["status"], &call["state"]), (&"ONGOING".into(), &"ringing".into()));
            assert_eq!(call["devices"], json!([{ "device": "b1", "state": "ringing" }]));
        }
        bob.answer("c").await;
        bob.expect("answered").await;
        alice.expect("answered").await;
        let (status, body) = send(&c, "PATCH /v1/calls/c", &own(), TO_CAROL).await;
        assert_eq!((status, json(&body)["errorCode"].as_u64()), (400, Some(40003)), "{body}");
        assert_eq!(ask(&c, "DELETE /v1/calls/c", &own()).await.0, 204);
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
        let over = get(&b, "/v1/calls/c").await;
        assert_eq!((&over["status"], &over["ended_by"]), (&"FINAL".into(), &"control".into()));
        for request in ["DELETE /v1/calls/c", "DELETE /v1/calls/other"] {
            assert_eq!(ask(&c, request, &own()).await.0, 404, "{request}");
        }
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }

    async fn an_unanswered_call_is_led_to_another_user_by_a_node_that_has_nobody_of_it(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let mut carol = Phone::register(&b, "carol", "c1").await;
        let (mut alice, mut bob) = ringing(&a, &b, "c").await;
        assert_eq!(send(&c, "PATCH /v1/calls/c", &own(), TO_CAROL).await.0, 204);
        bob.expect("ended Canceled").await;
        carol.expect("incoming from alice").await;
        carol.answer("c").await;
        carol.expect("answered").await;
        alice.expect("answered").await;
        alice.hang_up("c", CallEndCause::HungUp, None).await;
        carol.expect("ended HungUp").await;
    }
}

/// JetStream needs seconds for a new leader; the nodes hear each other meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_could_write_down_is_found_by_asking_all() {
    let nodes = crate::nodes::Nodes::local();
    let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
    nodes.local_bus().part(1);
    nodes.local_bus().rejoin(1, false);
    let (mut alice, mut bob) = across(&a, &b, "c").await;
    sleep(SOON).await;
    assert_eq!(get(&c, "/v1/calls/c").await["state"], "answered");
    assert_eq!(ask(&c, "GET /v1/calls/other", &own()).await.0, 404);
    assert_eq!(ask(&c, "DELETE /v1/calls/c", &own()).await.0, 204);
    alice.expect("ended HungUp").await;
    bob.expect("ended HungUp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_owner_cannot_be_reached_the_answer_is_to_try_again() {
    let nodes = crate::nodes::Nodes::local();
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let (_alice, mut bob) = across(&a, &b, "c").await;
    sleep(SOON).await;
    assert_eq!(get(&b, "/v1/calls/c").await["state"], "answered");
    nodes.local_bus().part(1);
    for request in ["GET /v1/calls/c", "DELETE /v1/calls/c"] {
        let (status, body) = ask(&b, request, &own()).await;
        assert_eq!((status, json(&body)["errorCode"].as_u64()), (503, Some(50300)), "{request}: {body}");
    }
    nodes.local_bus().rejoin(1, true);
    assert_eq!(ask(&b, "DELETE /v1/calls/c", &own()).await.0, 204);
    bob.expect("ended HungUp").await;
}
