//! The identifiers of the protocol; a value of one of these types is always well formed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entropy::{self, EntropySource};

/// Why a text is not an identifier. Correct the text; retrying does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty or longer than allowed.
    #[error("an identifier must have 1 to {max} bytes")]
    Length {
        /// The most bytes this kind may have.
        max: usize,
    },
    /// A character outside of the allowed set.
    #[error("an identifier may hold only A-Z a-z 0-9 - _ =")]
    Character,
    /// An application key that is not a lower-case UUID.
    #[error("an application key is a lower-case UUID")]
    NotUuid,
}

fn check_text(text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length { max });
    }
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)) {
        Ok(())
    } else {
        Err(IdError::Character)
    }
}

fn check_uuid(text: &str, _max: usize) -> Result<(), IdError> {
    let ok = text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        });
    if ok { Ok(()) } else { Err(IdError::NotUuid) }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $max:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it over.
            ///
            /// # Errors
            /// [`IdError`] when the text is not of this form.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text, $max)?;
                Ok(Self(text))
            }

            /// A fresh random identifier (a version 4 UUID).
            pub fn random(source: &mut dyn EntropySource) -> Self {
                Self(entropy::uuid(source))
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(/// An application: a lower-case UUID.
    ApplicationKey, 36, check_uuid);
identifier!(/// A person within an application: 1 to 255 bytes of `A-Za-z0-9-_=`.
    UserId, 255, check_text);
identifier!(/// One installation of one user: 1 to 64 bytes.
    DeviceId, 64, check_text);
identifier!(/// A call, named by the caller's client: 1 to 64 bytes.
    CallId, 64, check_text);
identifier!(/// A session between one device and a server: 1 to 64 bytes.
    SessionId, 64, check_text);
identifier!(/// One client command; repeating it is harmless: 1 to 64 bytes.
    MessageId, 64, check_text);

/// The opaque secret by which a registered device logs in again. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DeviceCredential(String);

impl DeviceCredential {
    /// Takes over a secret, for instance one that was stored.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// A fresh secret of 256 random bits.
    pub fn random(source: &mut dyn EntropySource) -> Self {
        Self(entropy::secret(source))
    }

    /// The secret itself; never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceCredential(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_at_the_border() {
        assert!(UserId::new("a".repeat(255)).is_ok());
        assert_eq!(UserId::new("a".repeat(256)), Err(IdError::Length { max: 255 }));
        assert_eq!(UserId::new("a b"), Err(IdError::Character));
        assert_eq!(ApplicationKey::new("A32E5A8D-F7D8-411C-9645-9038E8DD051D"), Err(IdError::NotUuid));
        assert!(ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").is_ok());
    }

    #[test]
    fn debug_hides_the_credential() {
        assert!(!format!("{:?}", DeviceCredential::new("s3cret")).contains("s3cret"));
    }
}
