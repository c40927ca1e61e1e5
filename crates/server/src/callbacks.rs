//! Where an application's back end is told of its calls.

use std::time::Duration;

use offhook_signaling::call::Unanswered;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;

const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
const MOST_TIMEOUT: Duration = Duration::from_secs(30);
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How the body of a callback is digested for its signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallbackDigest {
    /// SHA-256, in `x-content-sha256`.
    #[default]
    Sha256,
    /// MD5, in `content-md5`, for back ends written for the published API.
    Md5,
}

/// Where an application's back end is told of its calls, and how long it may take. Whoever sets it makes the server send requests to
/// these addresses, also within its own network: leave it to who runs the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callbacks {
    /// The address, http or https.
    pub url: String,
    /// Asked when the first does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_url: Option<String>,
    /// How long a call waits before it rings, for both addresses together: 100 to 30 000 ms.
    pub timeout_ms: u64,
    /// What happens to a call about which nothing is said in time.
    #[serde(default)]
    pub on_failure: Unanswered,
    /// How the body is digested.
    #[serde(default)]
    pub digest: CallbackDigest,
}

/// Why callbacks cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// An address is not an http or https URL with a host: write it whole.
    #[error("a callback URL must be an http or https URL with a host")]
    Url,
    /// The time is too short or too long.
    #[error("a callback's timeout must be between 0.1 and 30 seconds")]
    Timeout,
}

impl Callbacks {
    /// One address, five seconds; a call about which nothing is said goes on.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            fallback_url: None,
            timeout_ms: crate::store::millis(USUAL_TIMEOUT),
            on_failure: Unanswered::Continue,
            digest: CallbackDigest::Sha256,
        }
    }

    /// How long a call waits before it rings.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Checks addresses and time.
    ///
    /// # Errors
    /// [`CallbackError`] for the first that cannot be used.
    pub fn validate(&self) -> Result<(), CallbackError> {
        for url in [Some(&self.url), self.fallback_url.as_ref()].into_iter().flatten() {
            Endpoint::parse(url, true).map_err(|_| CallbackError::Url)?;
        }
        if (LEAST_TIMEOUT..=MOST_TIMEOUT).contains(&self.timeout()) {
            Ok(())
        } else {
            Err(CallbackError::Timeout)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused() {
        let callbacks = Callbacks::new("http://127.0.0.1:8080/hook?a=b");
        assert_eq!(callbacks.validate(), Ok(()));
        for url in ["", "ftp://example.org/", "example.org/hook", "https://user@example.org/", "http:///x"] {
            assert_eq!(Callbacks::new(url).validate(), Err(CallbackError::Url), "{url}");
            let fallback = Callbacks { fallback_url: Some(url.to_owned()), ..callbacks.clone() };
            assert_eq!(fallback.validate(), Err(CallbackError::Url), "{url}");
        }
        for timeout_ms in [0, 99, 30_001] {
            assert_eq!(Callbacks { timeout_ms, ..callbacks.clone() }.validate(), Err(CallbackError::Timeout));
        }
    }
}
