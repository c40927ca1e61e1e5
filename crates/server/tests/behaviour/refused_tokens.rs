//! Every token that is not good has its own refusal.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use offhook_signaling::UnixSeconds;
use offhook_signaling::message::{Credential, WireError};
use offhook_signaling::token::TokenPolicy;

use crate::support::{Phone, SECRET, config, hello, now, serve, signed, token};

const OTHER_SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

async fn refused(token: String) -> Option<WireError> {
    let server = serve(config()).await;
    let (error, code) = Phone::refusal(&server, hello("alice", "a1", Credential::Token(token))).await;
    assert_eq!(code, Some(4003));
    // The server goes on serving.
    Phone::register(&server, "alice", "a1").await;
    error
}

#[tokio::test]
async fn a_wrong_secret() {
    let token = signed(OTHER_SECRET, "alice", now(), 600, "n");
    assert_eq!(refused(token).await, Some(WireError::TokenSignature));
}

#[tokio::test]
async fn an_expired_token() {
    let token = signed(SECRET, "alice", UnixSeconds(now().0 - 7200), 600, "n");
    assert_eq!(refused(token).await, Some(WireError::TokenExpired));
}

#[tokio::test]
async fn a_token_from_the_future() {
    let token = signed(SECRET, "alice", UnixSeconds(now().0 + 7200), 600, "n");
    assert_eq!(refused(token).await, Some(WireError::TokenNotYetValid));
}

#[tokio::test]
async fn a_token_for_another_user() {
    assert_eq!(refused(token("bob", "n")).await, Some(WireError::TokenSubject));
}

#[tokio::test]
async fn a_token_that_names_no_algorithm() {
    let good = token("alice", "n");
    let (header, rest) = good.split_once('.').unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap().replace("HS256", "none");
    let payload = rest.split_once('.').unwrap().0;
    let unsigned = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header));
    assert_eq!(refused(unsigned).await, Some(WireError::TokenAlgorithm));
}

#[tokio::test]
async fn something_that_is_no_token() {
    for text in [String::new(), "x".repeat(10_000), "a.b.c".to_owned()] {
        assert_eq!(refused(text).await, Some(WireError::TokenMalformed));
    }
}

#[tokio::test]
async fn a_token_that_lives_too_long() {
    let eleven_days = signed(SECRET, "alice", now(), 11 * 86_400, "n");
    assert_eq!(refused(eleven_days).await, Some(WireError::TokenLifetime));
    let policy = TokenPolicy { max_lifetime: Duration::from_secs(600), ..TokenPolicy::default() };
    let server = serve(config().token_policy(policy)).await;
    let long = hello("alice", "a1", Credential::Token(signed(SECRET, "alice", now(), 601, "n")));
    assert_eq!(Phone::refusal(&server, long).await.0, Some(WireError::TokenLifetime));
}

#[tokio::test]
async fn the_lifetimes_of_published_samples_are_accepted() {
    let server = serve(config()).await;
    let token = signed(SECRET, "alice", now(), 600_000, "n");
    Phone::log_in(&server, hello("alice", "a1", Credential::Token(token))).await;
}

#[tokio::test]
async fn a_token_that_another_device_has_used() {
    let server = serve(config()).await;
    let token = || Credential::Token(token("alice", "one"));
    Phone::log_in(&server, hello("alice", "a1", token())).await;
    Phone::log_in(&server, hello("alice", "a1", token())).await;
    let replayed = Phone::refusal(&server, hello("alice", "a2", token())).await;
    assert_eq!(replayed, (Some(WireError::TokenReplayed), Some(4003)));
}
