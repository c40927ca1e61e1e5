//! The registration token: a JWT (RFC 7519) signed HS256 by a key of the day.

mod date;
mod mint;
mod nonce;
mod verify;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

pub use mint::{MintRequest, mint};
pub use nonce::{NonceCache, NonceUse};
pub use verify::{Claims, TokenError, TokenPolicy, Verifier};

pub(crate) use date::{day_of, parse_day};

/// An application secret, decoded. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApplicationSecret(Vec<u8>);

/// The secret is not standard base64 of at least 16 bytes; copy it again from where it was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an application secret is the base64 of at least 16 bytes")]
pub struct SecretError;

impl ApplicationSecret {
    /// Decodes the form in which secrets are issued.
    ///
    /// # Errors
    /// [`SecretError`] when the text is not standard base64 of 16 to 64 bytes.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SecretError)?;
        if (16..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError) }
    }

    /// The form in which secrets are issued.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// HMAC-SHA256(HMAC-SHA256(secret, day), input): `day` is `YYYYMMDD`.
    pub(crate) fn sign(&self, day: &str, input: &[u8]) -> [u8; 32] {
        hmac(&hmac(&self.0, day.as_bytes()), input)
    }
}

impl std::fmt::Debug for ApplicationSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApplicationSecret(redacted)")
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    #[expect(clippy::unwrap_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}
