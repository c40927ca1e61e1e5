//! The short authentication string of a call: what two people read to each other to know that nobody sits between them, not even the
//! server. After ZRTP's (RFC 6189 sections 4.4.1.1 and 7), carried by signaling and computed from both DTLS fingerprints.
//!
//! ```text
//! caller                                        callee
//!   | -- call.start: commitment, offer ----------> |   commitment = H(call id, caller's nonce, caller's fingerprint)
//!   | <- call.answer: nonce, answer -------------- |   fixed before the caller's nonce is known
//!   | -- call.reveal: nonce ---------------------> |   checked against the commitment
//!   string = H(call id, both nonces, both fingerprints), 8 digits
//! ```
//!
//! Whoever sits in the middle has to choose each of its nonces before it knows the one that decides the string on that side, so that it
//! has one try in 10^8 per answered call and cannot search. Roles are types: a caller cannot be shown a commitment, and what follows an
//! error is nothing.

mod callee;
mod caller;
mod fingerprint;
mod stage;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::entropy::EntropySource;
use crate::id::CallId;

pub use callee::{Callee, Committed};
pub use caller::Caller;
pub use fingerprint::{CertificateFingerprint, FingerprintError};
pub(crate) use stage::Stage;

/// How many strings there are: 26.6 bits. ZRTP's shortest has 16.
const STRINGS: u64 = 100_000_000;

/// Whether a call has an authentication string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Not yet: the call is not answered, or the caller's nonce has not come.
    Pending,
    /// There will be none: the other side, or a server between, does not know of it. Nothing is known of who listens.
    Unavailable,
    /// Compare it by voice: the same on both sides means that nobody sits between.
    Ready(AuthenticationString),
    /// There will be none: somebody changed what was exchanged. Take the call for overheard.
    Failed(VerificationError),
}

/// What ended a verification. None of these happens between two clients and a server that work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum VerificationError {
    /// The other side's commitment or nonce is not 64 hexadecimal digits.
    #[error("the other side's commitment or nonce is malformed")]
    Malformed,
    /// The other side's description names no certificate, or several.
    #[error("the other side's description does not name one certificate")]
    Fingerprint,
    /// What the caller revealed is not what it had committed to.
    #[error("the caller revealed another nonce than it had committed to")]
    CommitmentBroken,
    /// A nonce that may not come now: to the caller, or before the answer.
    #[error("a nonce came when none may come")]
    OutOfOrder,
    /// The caller's nonce came twice, and not the same.
    #[error("the caller revealed two nonces")]
    RevealChanged,
    /// The caller's nonce did not come in time.
    #[error("the caller did not reveal its nonce")]
    RevealMissing,
    /// A later description names another certificate; it was not followed.
    #[error("the other side's certificate changed during the call")]
    FingerprintChanged,
}

/// Eight digits that are the same on both sides. `Display` groups them: `0472 9913`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthenticationString(u32);

impl AuthenticationString {
    /// The string of a call: the first 48 bits of a hash over the call, both nonces and both fingerprints, modulo 10^8.
    fn of(call: &CallId, caller: &Part, callee: &Part) -> Self {
        let digest =
            digest(format_args!("offhook authentication string 1\n{call}\ncaller {caller}\ncallee {callee}"));
        let number = digest[..6].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Self(u32::try_from(number % STRINGS).unwrap_or_default())
    }
}

impl fmt::Display for AuthenticationString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04} {:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl fmt::Debug for AuthenticationString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthenticationString({self})")
    }
}

/// 256 random bits of one side for one call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// A fresh one; never use one twice.
    pub fn random(source: &mut dyn EntropySource) -> Self {
        let mut bytes = [0; 32];
        source.fill(&mut bytes);
        Self(bytes)
    }

    fn parse(text: &str) -> Result<Self, VerificationError> {
        hex(text).map(Self)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(redacted)")
    }
}

/// A hash that binds the caller to a nonce and a certificate without showing the nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment([u8; 32]);

impl Commitment {
    fn to(call: &CallId, caller: &Part) -> Self {
        Self(digest(format_args!("offhook commitment 1\n{call}\ncaller {caller}")))
    }

    fn parse(text: &str) -> Result<Self, VerificationError> {
        hex(text).map(Self)
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What one side brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    nonce: Nonce,
    fingerprint: CertificateFingerprint,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.nonce, self.fingerprint)
    }
}

fn digest(text: fmt::Arguments<'_>) -> [u8; 32] {
    Sha256::digest(text.to_string()).into()
}

/// 64 lower-case hexadecimal digits.
fn hex(text: &str) -> Result<[u8; 32], VerificationError> {
    let digit = |at: usize| {
        let byte = text.as_bytes()[at];
        let value = (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        value.and_then(|value| u8::try_from(value).ok()).ok_or(VerificationError::Malformed)
    };
    if text.len() != 64 {
        return Err(VerificationError::Malformed);
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = digit(2 * place)? << 4 | digit(2 * place + 1)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_in_two_groups() {
        assert_eq!(AuthenticationString(4_729_913).to_string(), "0472 9913");
        assert_eq!(AuthenticationString(7).to_string(), "0000 0007");
    }

    #[test]
    fn only_64_lower_case_digits_are_read() {
        let good = "0123456789abcdef".repeat(4);
        assert_eq!(Nonce::parse(&good).unwrap().to_string(), good);
        for bad in [
            good[1..].to_owned(),
            format!("{good}0"),
            good.to_uppercase(),
            good.replace('a', "é"),
            good.replace("ab", "é"),
        ] {
            assert_eq!(Nonce::parse(&bad), Err(VerificationError::Malformed), "{bad}");
        }
    }
}
