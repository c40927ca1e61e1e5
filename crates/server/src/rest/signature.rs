//! The published signature of REST requests and callbacks: an HMAC-SHA256 over method, body digest, content type, time and path.
//!
//! `Authorization: Application KEY:SIGNATURE`. The body's digest is Base64(SHA-256) as `x-content-sha256`, or Base64(MD5) as
//! `content-md5`, which existing clients of the published API send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use md5::Md5;
use offhook_signaling::token::ApplicationSecret;
use sha2::{Digest as _, Sha256};

/// How the body is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyDigest {
    /// Ours.
    Sha256,
    /// That of existing clients.
    Md5,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    pub(crate) content_type: &'a str,
    /// `x-timestamp` as it stands in the request.
    pub(crate) timestamp: &'a str,
    /// The path, with the query when there is one.
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

impl BodyDigest {
    /// The digest as text; empty for an empty body.
    pub(crate) fn of(self, body: &[u8]) -> String {
        match self {
            _ if body.is_empty() => String::new(),
            Self::Sha256 => STANDARD.encode(Sha256::digest(body)),
            Self::Md5 => STANDARD.encode(Md5::digest(body)),
        }
    }
}

impl Signed<'_> {
    /// Whether `signature` is right under `secret`; in constant time.
    pub(crate) fn verifies(&self, secret: &ApplicationSecret, digest: BodyDigest, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        self.mac(secret, digest).verify_slice(&signature).is_ok()
    }

    /// The signature under `secret`.
    pub(crate) fn sign(&self, secret: &ApplicationSecret, digest: BodyDigest) -> String {
        STANDARD.encode(self.mac(secret, digest).finalize().into_bytes())
    }

    fn mac(&self, secret: &ApplicationSecret, digest: BodyDigest) -> Hmac<Sha256> {
        let Self { method, content_type, timestamp, path, body } = self;
        let digest = digest.of(body);
        let text = format!("{method}\n{digest}\n{content_type}\nx-timestamp:{timestamp}\n{path}");
        let key = STANDARD.decode(secret.to_base64()).unwrap_or_default();
        let mut mac = Hmac::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> ApplicationSecret {
        ApplicationSecret::from_base64(text).unwrap()
    }

    const REQUEST: Signed<'_> = Signed {
        method: "POST",
        content_type: "application/json",
        timestamp: "2014-06-04T13:41:58Z",
        path: "/v1/sms/+46700000000",
        body: br#"{"message":"Hello world"}"#,
    };

    #[test]
    fn the_published_vectors_hold() {
        assert_eq!(BodyDigest::Md5.of(REQUEST.body), "jANzQ+rgAHyf1MWQFSwvYw==");
        let key = secret("JViE5vDor0Sw3WllZka15Q==");
        let signature = "qDXMwzfaxCRS849c/2R0hg0nphgdHciTo7OdM6MsdnM=";
        assert_eq!(REQUEST.sign(&key, BodyDigest::Md5), signature);
        assert!(REQUEST.verifies(&key, BodyDigest::Md5, signature));
        let callback = Signed {
            timestamp: "2014-09-24T10:59:41Z",
            path: "/sinch/callback/ace",
            body: br#"{"event":"ace","callid":"822aa4b7-05b4-4d83-87c7-1f835ee0b6f6_257","timestamp":"2014-09-24T10:59:41Z","version":1}"#,
            ..REQUEST
        };
        assert_eq!(BodyDigest::Md5.of(callback.body), "REWF+X220L4/Gw1spXOU7g==");
        let signature = "Tg6fMyo8mj9pYfWQ9ssbx3Tc1BNC87IEygAfLbJqZb4=";
        assert_eq!(callback.sign(&secret("BeIukql3pTKJ8RGL5zo0DA=="), BodyDigest::Md5), signature);
    }

    #[test]
    fn nothing_that_is_signed_can_be_changed() {
        let key = secret("JViE5vDor0Sw3WllZka15Q==");
        let signature = REQUEST.sign(&key, BodyDigest::Sha256);
        assert!(REQUEST.verifies(&key, BodyDigest::Sha256, &signature));
        for changed in [
            Signed { method: "PUT", ..REQUEST },
            Signed { content_type: "text/plain", ..REQUEST },
            Signed { timestamp: "2014-06-04T13:41:59Z", ..REQUEST },
            Signed { path: "/v1/sms/+46700000001", ..REQUEST },
            Signed { body: b"{}", ..REQUEST },
        ] {
            assert!(!changed.verifies(&key, BodyDigest::Sha256, &signature), "{changed:?}");
        }
        assert!(!REQUEST.verifies(&key, BodyDigest::Md5, &signature));
        assert!(!REQUEST.verifies(&secret("BeIukql3pTKJ8RGL5zo0DA=="), BodyDigest::Sha256, &signature));
        assert!(!REQUEST.verifies(&key, BodyDigest::Sha256, "not base64"));
    }
}
