//! `offhook token` prints a token that the server's verifier takes, and nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{KEY, SECRET, run};
use offhook_signaling::token::{ApplicationSecret, Verifier};
use offhook_signaling::{ApplicationKey, UnixSeconds, UserId};

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

#[test]
fn the_token_verifies_and_stands_alone() {
    let printed = run(&[
        "token",
        "--application-key",
        KEY,
        "--application-secret",
        SECRET,
        "--user",
        "alice",
        "--ttl",
        "3600",
    ]);
    assert_eq!((printed.code(), printed.stderr.as_str()), (0, ""));
    let token = printed.stdout.strip_suffix('\n').expect("a line");
    assert!(!token.contains(char::is_whitespace));
    let key = ApplicationKey::new(KEY).unwrap();
    let secrets = [ApplicationSecret::from_base64(SECRET).unwrap()];
    let verify =
        |user: &str| Verifier::default().verify(token, &key, &UserId::new(user).unwrap(), now(), &secrets);
    let claims = verify("alice").unwrap();
    assert_eq!(claims.expires.0 - claims.issued_at.0, 3600);
    assert!(verify("bob").is_err());
}

#[test]
fn a_secret_that_is_none_is_refused_without_repeating_it() {
    let refused =
        run(&["token", "--application-key", KEY, "--application-secret", "hush", "--user", "alice"]);
    assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("--application-secret") && !refused.stderr.contains("hush"),
        "{}",
        refused.stderr
    );
}
