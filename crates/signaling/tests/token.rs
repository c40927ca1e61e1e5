//! The published token vector and every refusal.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use offhook_signaling::token::{ApplicationSecret, MintRequest, TokenError, TokenPolicy, Verifier, mint};
use offhook_signaling::{ApplicationKey, UnixSeconds, UserId};
use sha2::Sha256;

const V1: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImhrZGZ2MS0yMDE4MDEwMiJ9.eyJpc3MiOiIvL3J0Yy5zaW5jaC5jb20vYXBwbGljYXRpb25zL2EzMmU1YThkLWY3ZDgtNDExYy05NjQ1LTkwMzhlOGRkMDUxZCIsInN1YiI6Ii8vcnRjLnNpbmNoLmNvbS9hcHBsaWNhdGlvbnMvYTMyZTVhOGQtZjdkOC00MTFjLTk2NDUtOTAzOGU4ZGQwNTFkL3VzZXJzL2ZvbyIsImlhdCI6MTUxNDg2MjI0NSwiZXhwIjoxNTE0ODYyODQ1LCJub25jZSI6IjZiNDM4YmRhLTJkNWMtNGU4Yy05MmIwLTM5ZjIwYTk0YjM0ZSJ9.EUltTTD4fxhkwCgLgj6qSQXKawpwQ952Ywm3OwQSARo";
const IAT: UnixSeconds = UnixSeconds(1_514_862_245);

fn key() -> ApplicationKey {
    ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap()
}
fn secret() -> ApplicationSecret {
    ApplicationSecret::from_base64("ax8hTTQJF0OPXL32r1LHMA==").unwrap()
}
fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}
fn token(ttl_seconds: u64) -> String {
    mint(&MintRequest {
        application_key: &key(),
        secret: &secret(),
        user: &user("foo"),
        issued_at: IAT,
        ttl_seconds,
        nonce: "6b438bda-2d5c-4e8c-92b0-39f20a94b34e",
        instance_expires: None,
    })
}
fn verify(token: &str, who: &str, now: u64) -> Result<(), TokenError> {
    Verifier::new(TokenPolicy::default())
        .verify(token, &key(), &user(who), UnixSeconds(now), &[secret()])
        .map(|_| ())
}

#[test]
fn the_published_vector_is_minted_byte_for_byte_and_accepted() {
    assert_eq!(token(600), V1);
    assert_eq!(verify(V1, "foo", IAT.0), Ok(()));
}

#[test]
fn each_bad_token_has_its_own_refusal() {
    assert_eq!(verify(V1, "bar", IAT.0), Err(TokenError::Subject));
    assert_eq!(verify(V1, "foo", IAT.0 + 659), Ok(()));
    assert_eq!(verify(V1, "foo", IAT.0 + 660), Err(TokenError::Expired));
    assert_eq!(verify(V1, "foo", IAT.0 - 61), Err(TokenError::NotYetValid));
    assert_eq!(verify(&token(600_000), "foo", IAT.0), Ok(()));
    assert_eq!(verify(&token(864_001), "foo", IAT.0), Err(TokenError::Lifetime));
    assert_eq!(verify(&"a".repeat(4097), "foo", IAT.0), Err(TokenError::TooLarge));
    assert_eq!(verify("a.b", "foo", IAT.0), Err(TokenError::Malformed));
    let (input, signature) = V1.rsplit_once('.').unwrap();
    let payload = input.split_once('.').unwrap().1;
    let none = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"hkdfv1-20180102"}"#));
    assert_eq!(verify(&none, "foo", IAT.0), Err(TokenError::Algorithm));
    let day = format!(
        "{}.{payload}.{signature}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"hkdfv1-20180230"}"#)
    );
    assert_eq!(verify(&day, "foo", IAT.0), Err(TokenError::KeyId));
}

#[test]
fn a_wrong_secret_is_refused_and_a_second_secret_is_tried() {
    let other = ApplicationSecret::from_base64("AAAAAAAAAAAAAAAAAAAAAA==").unwrap();
    let check = |secrets: &[ApplicationSecret]| {
        Verifier::default().verify(V1, &key(), &user("foo"), IAT, secrets).map(|_| ())
    };
    assert_eq!(check(std::slice::from_ref(&other)), Err(TokenError::Signature));
    assert_eq!(check(&[other, secret()]), Ok(()));
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A token with any header and payload, signed with the right secret for `day`.
fn made(day: &str, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let secret = base64::engine::general_purpose::STANDARD.decode(secret().to_base64()).unwrap();
    let signature = hmac(&hmac(&secret, day.as_bytes()), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn payload(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let issuer = format!("//rtc.sinch.com/applications/{}", key());
    let mut claims = serde_json::json!({
        "iss": issuer, "sub": format!("{issuer}/users/foo"), "iat": IAT.0, "exp": IAT.0 + 600, "nonce": "n",
    });
    change(&mut claims);
    claims.to_string()
}

#[test]
fn headers_as_they_are_seen_in_the_wild() {
    let check = |day: &str, header: &str| verify(&made(day, header, &payload(|_| ())), "foo", IAT.0);
    let published = r#"{ "type": "JWT", "kid": "hkdfv1-20180102", "alg": "HS256", "x": [1] }"#;
    assert_eq!(check("20180102", published), Ok(()), "unknown members and spaces");
    assert_eq!(check("20180103", r#"{"alg":"HS256","kid":"hkdfv1-20180103"}"#), Ok(()), "another time zone");
    assert_eq!(
        check("20180104", r#"{"alg":"HS256","kid":"hkdfv1-20180104"}"#),
        Err(TokenError::KeyDay),
        "two days off"
    );
    for (header, error) in [
        (r#"{"alg":"HS256","kid":"hkdfv1-20180102","crit":["x"]}"#, TokenError::KeyId),
        (r#"{"alg":"HS256","kid":"20180102"}"#, TokenError::KeyId),
        (r#"{"alg":"HS256"}"#, TokenError::KeyId),
        (r#"{"alg":"HS512","kid":"hkdfv1-20180102"}"#, TokenError::Algorithm),
        (r#"{"alg":"hs256","kid":"hkdfv1-20180102"}"#, TokenError::Algorithm),
        (r#"{"kid":"hkdfv1-20180102"}"#, TokenError::Malformed),
        ("[]", TokenError::Malformed),
    ] {
        assert_eq!(check("20180102", header), Err(error), "{header}");
    }
}

#[test]
fn each_claim_is_checked() {
    let check = |change: fn(&mut serde_json::Value)| {
        let header = r#"{"alg":"HS256","kid":"hkdfv1-20180102"}"#;
        verify(&made("20180102", header, &payload(change)), "foo", IAT.0)
    };
    assert_eq!(check(|_| ()), Ok(()));
    assert_eq!(check(|c| c["iss"] = "//rtc.sinch.com/applications/other".into()), Err(TokenError::Issuer));
    assert_eq!(check(|c| c["sub"] = "foo".into()), Err(TokenError::Subject));
    assert_eq!(check(|c| c["exp"] = c["iat"].clone()), Err(TokenError::Lifetime));
    assert_eq!(check(|c| c["exp"] = 0.into()), Err(TokenError::Lifetime));
    assert_eq!(check(|c| c["nbf"] = (IAT.0 + 61).into()), Err(TokenError::NotYetValid));
    assert_eq!(check(|c| c["nbf"] = (IAT.0 + 60).into()), Ok(()));
    assert_eq!(check(|c| c["nonce"] = "".into()), Err(TokenError::Nonce));
    assert_eq!(check(|c| c["nonce"] = "n".repeat(257).into()), Err(TokenError::Nonce));
    for missing in ["iss", "sub", "iat", "exp", "nonce"] {
        let header = r#"{"alg":"HS256","kid":"hkdfv1-20180102"}"#;
        let without = payload(|claims| drop(claims.as_object_mut().unwrap().remove(missing)));
        let error = verify(&made("20180102", header, &without), "foo", IAT.0);
        assert_eq!(error, Err(TokenError::Malformed), "{missing}");
    }
}

#[test]
fn the_end_of_the_registration_is_read() {
    let header = r#"{"alg":"HS256","kid":"hkdfv1-20180102"}"#;
    let token = made(
        "20180102",
        header,
        &payload(|claims| claims["sinch:rtc:instance:exp"] = (IAT.0 + 172_800).into()),
    );
    let claims = Verifier::default().verify(&token, &key(), &user("foo"), IAT, &[secret()]).unwrap();
    assert_eq!(claims.instance_expires, Some(UnixSeconds(IAT.0 + 172_800)));
}
