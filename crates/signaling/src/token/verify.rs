//! Checking a token, each refusal with its own variant.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::{ApplicationSecret, day_of, parse_day};
use crate::UnixSeconds;
use crate::id::{ApplicationKey, UserId};
use crate::message::WireError;

/// What a server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPolicy {
    /// How far the two clocks may differ.
    pub clock_tolerance: Duration,
    /// The longest `exp - iat`.
    pub max_lifetime: Duration,
    /// The largest token in bytes, checked before anything is parsed.
    pub max_size: usize,
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self {
            clock_tolerance: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(10 * 86_400),
            max_size: 4096,
        }
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// When it was made.
    pub issued_at: UnixSeconds,
    /// When it ends.
    pub expires: UnixSeconds,
    /// Its one-time text; bind it with [`super::NonceCache`].
    pub nonce: String,
    /// When the registration itself ends.
    pub instance_expires: Option<UnixSeconds>,
}

/// Why a token is refused. The application must make another one, except where said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Larger than [`TokenPolicy::max_size`].
    #[error("the token is too large")]
    TooLarge,
    /// Not three base64url parts of JSON with the required members.
    #[error("the token is malformed")]
    Malformed,
    /// `alg` is not HS256.
    #[error("the token is not signed with HS256")]
    Algorithm,
    /// `kid` is not `hkdfv1-` and a real day, or `crit` is present.
    #[error("the token's kid is not hkdfv1-YYYYMMDD")]
    KeyId,
    /// No secret of the application made this signature.
    #[error("the token's signature does not match")]
    Signature,
    /// `iss` is another application.
    #[error("the token is issued by another application")]
    Issuer,
    /// `sub` is another user or application.
    #[error("the token is for another user")]
    Subject,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iat` or `nbf` lies in the future; the clocks may differ.
    #[error("the token is issued in the future")]
    NotYetValid,
    /// `exp - iat` is not positive or longer than [`TokenPolicy::max_lifetime`].
    #[error("the token's lifetime is not accepted")]
    Lifetime,
    /// `kid`'s day is more than one day away from `iat`'s.
    #[error("the token's kid does not fit its issue time")]
    KeyDay,
    /// `nonce` is empty or longer than 256 bytes.
    #[error("the token's nonce is not accepted")]
    Nonce,
}

impl TokenError {
    /// The code that the client is told.
    #[must_use]
    pub const fn wire(self) -> WireError {
        match self {
            Self::TooLarge | Self::Malformed | Self::KeyId | Self::KeyDay | Self::Nonce => {
                WireError::TokenMalformed
            }
            Self::Algorithm => WireError::TokenAlgorithm,
            Self::Signature => WireError::TokenSignature,
            Self::Issuer | Self::Subject => WireError::TokenSubject,
            Self::Expired => WireError::TokenExpired,
            Self::NotYetValid => WireError::TokenNotYetValid,
            Self::Lifetime => WireError::TokenLifetime,
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
    nonce: String,
    nbf: Option<u64>,
    #[serde(rename = "sinch:rtc:instance:exp")]
    instance: Option<u64>,
}

/// Checks tokens under one policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verifier {
    policy: TokenPolicy,
}

impl Verifier {
    /// A verifier of `policy`.
    #[must_use]
    pub const fn new(policy: TokenPolicy) -> Self {
        Self { policy }
    }

    /// Checks `token` for `user` of `application`; `secrets` are its active secrets (two during a rotation).
    ///
    /// # Errors
    /// [`TokenError`]; the signature is checked before any claim is looked at.
    pub fn verify(
        &self,
        token: &str,
        application: &ApplicationKey,
        user: &UserId,
        now: UnixSeconds,
        secrets: &[ApplicationSecret],
    ) -> Result<Claims, TokenError> {
        if token.len() > self.policy.max_size {
            return Err(TokenError::TooLarge);
        }
        let (input, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = input.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = part(header)?;
        let (day, kid_day) = key_day(&header)?;
        let signature = decode(signature)?;
        let signed = secrets.iter().fold(false, |found, secret| {
            found | bool::from(secret.sign(day, input.as_bytes()).ct_eq(&signature))
        });
        if !signed {
            return Err(TokenError::Signature);
        }
        let payload: Payload = part(payload)?;
        let issuer = format!("//rtc.sinch.com/applications/{application}");
        if payload.iss != issuer {
            return Err(TokenError::Issuer);
        }
        if payload.sub != format!("{issuer}/users/{user}") {
            return Err(TokenError::Subject);
        }
        self.check_times(&payload, kid_day, now)?;
        if payload.nonce.is_empty() || payload.nonce.len() > 256 {
            return Err(TokenError::Nonce);
        }
        Ok(Claims {
            issued_at: UnixSeconds(payload.iat),
            expires: UnixSeconds(payload.exp),
            nonce: payload.nonce,
            instance_expires: payload.instance.map(UnixSeconds),
        })
    }

    fn check_times(&self, payload: &Payload, kid_day: u64, now: UnixSeconds) -> Result<(), TokenError> {
        let tolerance = self.policy.clock_tolerance.as_secs();
        let lifetime = payload.exp.checked_sub(payload.iat).ok_or(TokenError::Lifetime)?;
        if lifetime == 0 || lifetime > self.policy.max_lifetime.as_secs() {
            return Err(TokenError::Lifetime);
        }
        let latest = now.plus(tolerance).0;
        if payload.iat > latest || payload.nbf.is_some_and(|nbf| nbf > latest) {
            return Err(TokenError::NotYetValid);
        }
        if payload.exp.saturating_add(tolerance) <= now.0 {
            return Err(TokenError::Expired);
        }
        // Senders round `iat` up or take the local date: one day off is seen in the wild.
        let day =
            day_of(UnixSeconds(payload.iat)).and_then(|text| parse_day(&text)).ok_or(TokenError::KeyDay)?;
        if day.abs_diff(kid_day) > 1 { Err(TokenError::KeyDay) } else { Ok(()) }
    }
}

fn key_day(header: &Header) -> Result<(&str, u64), TokenError> {
    if header.alg != "HS256" {
        return Err(TokenError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(TokenError::KeyId);
    }
    let day = header.kid.strip_prefix("hkdfv1-").ok_or(TokenError::KeyId)?;
    Ok((day, parse_day(day).ok_or(TokenError::KeyId)?))
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(text)?).map_err(|_| TokenError::Malformed)
}
