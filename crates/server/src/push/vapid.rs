//! Who sends a push: the server's key, and its signed word to a push service (RFC 8292).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use offhook_signaling::{EntropySource as _, UnixSeconds};
use serde_json::json;
use web_push_native::p256::ecdsa::signature::Signer as _;
use web_push_native::p256::ecdsa::{Signature, SigningKey};

use super::PushKey;
use crate::environment::OsEntropy;

/// RFC 8292, section 2 allows a day; push services' clocks may differ.
const LIFETIME: u64 = 12 * 3600;

/// The key pair.
pub(super) struct Vapid {
    key: SigningKey,
    subject: String,
}

impl std::fmt::Debug for Vapid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vapid").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A fresh private key.
pub(super) fn fresh_key() -> PushKey {
    loop {
        let mut bytes = [0; 32];
        OsEntropy.fill(&mut bytes);
        // All but one in 2^32 are keys.
        if SigningKey::from_slice(&bytes).is_ok() {
            return PushKey(bytes);
        }
    }
}

impl Vapid {
    /// `None`: the bytes are not a private key.
    pub(super) fn new(key: &PushKey, subject: String) -> Option<Self> {
        Some(Self { key: SigningKey::from_slice(&key.0).ok()?, subject })
    }

    /// The public key as browsers take it: base64url of the uncompressed point.
    pub(super) fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.verifying_key().to_encoded_point(false).as_bytes())
    }

    /// The `Authorization` for a push service.
    pub(super) fn authorization(&self, origin: &str, now: UnixSeconds) -> String {
        let header = json!({ "typ": "JWT", "alg": "ES256" });
        let claims = json!({ "aud": origin, "exp": now.plus(LIFETIME).0, "sub": self.subject });
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("vapid t={signed}.{}, k={}", URL_SAFE_NO_PAD.encode(signature.to_bytes()), self.public_key())
    }
}
