//! A back end sees who is online, throws users out and blocks them.

use offhook_signaling::message::{ByeAction, Credential, WireError};
use serde_json::{Value, json};

use crate::rest::{ask, json, own};
use crate::support::{Phone, config, hello, serve, talking, token};

async fn get(server: &offhook_server::RunningServer, path: &str) -> Value {
    let (status, body) = ask(server, &format!("GET {path}"), &own()).await;
    assert_eq!(status, 200, "{path}: {body}");
    json(&body)
}

#[tokio::test]
async fn who_is_connected_is_listed_by_name_and_nobody_else() {
    let server = serve(config()).await;
    let _bob = Phone::register(&server, "bob", "b1").await;
    let _alice = Phone::register(&server, "alice", "a1").await;
    let _second = Phone::register(&server, "alice", "a2").await;
    drop(Phone::register(&server, "carol", "c1").await);
    let listed = loop {
        let listed = get(&server, "/v1/users").await;
        if listed["users"].as_array().unwrap().len() < 3 {
            break listed;
        }
    };
    let users = listed["users"].as_array().unwrap();
    assert_eq!(
        (&users[0]["user"], &users[1]["user"]),
        (&"alice".into(), &"bob".into()),
        "not the echo user: {listed}"
    );
    assert_eq!(users[0]["devices"].as_array().unwrap().len(), 2);
    assert!(users[1]["devices"][0]["online_since"].as_u64() > Some(1_700_000_000_000), "{listed}");
    let first = get(&server, "/v1/users?limit=1").await;
    assert_eq!((&first["users"][0]["user"], &first["next"]), (&"alice".into(), &"alice".into()));
    let second = get(&server, "/v1/users?limit=1&after=alice").await;
    assert_eq!((&second["users"][0]["user"], &second["next"]), (&"bob".into(), &Value::Null));
    let carol = get(&server, "/v1/users/carol").await;
    assert_eq!((&carol["online"], &carol["devices"][0]["online"]), (&false.into(), &false.into()));
    assert!(carol["devices"][0]["expires"].is_u64(), "{carol}");
    assert_eq!(ask(&server, "GET /v1/users/nobody", &own()).await.0, 404);
    assert_eq!(ask(&server, "GET /v1/users/a%20b", &own()).await.0, 404);
}

#[tokio::test]
async fn a_user_is_thrown_out_on_all_devices_and_comes_back_with_a_new_token() {
    let server = serve(config()).await;
    let mut first = Phone::register(&server, "alice", "a1").await;
    let mut second = Phone::register(&server, "alice", "a2").await;
    assert_eq!(ask(&server, "DELETE /v1/users/alice", &own()).await.0, 204);
    assert_eq!((first.end().await.1, second.end().await.1), (Some(4008), Some(4008)));
    let again = hello("alice", "a1", Credential::Device(first.credential()));
    assert_eq!(Phone::refusal(&server, again).await.0, Some(WireError::CredentialRefused));
    assert_eq!(ask(&server, "DELETE /v1/users/alice", &own()).await.0, 404);
    let again = hello("alice", "a1", Credential::Token(token("alice", "again")));
    Phone::log_in(&server, again).await;
}

#[tokio::test]
async fn a_blocked_user_is_put_out_of_calls_let_in_no_more_and_reached_by_nobody() {
    let server = serve(config()).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    assert_eq!(ask(&server, "PUT /v1/users/bob/block", &own()).await.0, 204);
    let (bye, code) = bob.end().await;
    let bye = bye.unwrap();
    assert_eq!((bye.action, bye.error, code), (ByeAction::Stop, Some(WireError::UserBlocked), Some(4010)));
    alice.expect("ended HungUp").await;
    let over = get(&server, "/v1/calls/c").await;
    assert_eq!((&over["reason"], &over["ended_by"]), (&"BLOCKED".into(), &"blocked".into()));
    for credential in [Credential::Device(bob.credential()), Credential::Token(token("bob", "again"))] {
        let refused = Phone::refusal(&server, hello("bob", "b1", credential)).await;
        assert_eq!(refused, (Some(WireError::UserBlocked), Some(4003)));
    }
    alice.call("d", "bob").await;
    alice.expect("progressing").await;
    assert_eq!(get(&server, "/v1/calls/d").await["devices"], json!([]), "nobody rings");
    let blocked = get(&server, "/v1/users?status=blocked").await;
    assert_eq!(blocked["users"][0]["user"], "bob");
    assert!(
        blocked["users"][0]["blocked"].is_u64() && get(&server, "/v1/users/bob").await["blocked"].is_u64()
    );
    assert_eq!(ask(&server, "DELETE /v1/users/bob/block", &own()).await.0, 204);
    Phone::log_in(&server, hello("bob", "b1", Credential::Device(bob.credential()))).await;
    assert!(get(&server, "/v1/users/bob").await["blocked"].is_null());
}

#[tokio::test]
async fn a_block_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let bob = Phone::register(&server, "bob", "b1").await;
    assert_eq!(ask(&server, "PUT /v1/users/bob/block", &own()).await.0, 204);
    server.shutdown().await;
    let server = serve(config().data(folder.path())).await;
    let refused = Phone::refusal(&server, hello("bob", "b1", Credential::Device(bob.credential()))).await;
    assert_eq!(refused.0, Some(WireError::UserBlocked));
    let blocked = get(&server, "/v1/users?status=blocked&limit=1").await;
    assert_eq!((&blocked["users"][0]["user"], &blocked["next"]), (&"bob".into(), &Value::Null));
}

#[tokio::test]
async fn the_echo_user_and_what_is_no_user_are_not_blocked() {
    let server = serve(config()).await;
    for (request, code) in [
        ("PUT /v1/users/echo/block", 40003),
        ("PUT /v1/users/a%20b/block", 40001),
        ("DELETE /v1/users/a%20b/block", 40001),
    ] {
        let (_, body) = ask(&server, request, &own()).await;
        assert_eq!(json(&body)["errorCode"].as_u64(), Some(code), "{request}: {body}");
    }
    assert_eq!(ask(&server, "GET /v1/users", "").await.0, 401);
    assert_eq!(ask(&server, "GET /v1/health", "").await, (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(json(&ask(&server, "GET /v1/version", "").await.1)["name"], "offhook");
}
