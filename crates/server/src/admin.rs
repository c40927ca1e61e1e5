//! Who operates the server, and may see what no application may.

mod now;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Extension, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

pub(crate) use self::now::{Glance, now};
use crate::accept::Guest;
use crate::config::Rate;
use crate::limit::{Pacer, network_of};
use crate::server::Shared;
use crate::{development, environment};

/// Wrong passwords of one address.
const GUESSES: Rate = Rate { interval: Duration::from_secs(6), burst: 10 };
/// In bytes. A password that is shorter can be guessed even at the pace above.
const SHORTEST_PASSWORD: usize = 12;

/// Name and password of the operator. Only a hash of them is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminCredentials {
    name: String,
    hash: [u8; 32],
}

/// Credentials of the operator are not usable. Correct them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminCredentialsError {
    /// There is no name, or a colon or control character in it.
    #[error("the admin's name must be 1 to 64 characters without a colon")]
    Name,
    /// The password is too short to be safe, or longer than 256 bytes.
    #[error("the admin's password must be 12 to 256 bytes long")]
    Password,
}

impl AdminCredentials {
    /// Name and password.
    ///
    /// # Errors
    /// [`AdminCredentialsError`]; the password is not repeated in it.
    pub fn new(name: impl Into<String>, password: &str) -> Result<Self, AdminCredentialsError> {
        let name = name.into();
        let is_good = |letter: char| letter != ':' && !letter.is_control();
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_good) {
            return Err(AdminCredentialsError::Name);
        }
        if !(SHORTEST_PASSWORD..=256).contains(&password.len()) {
            return Err(AdminCredentialsError::Password);
        }
        let hash = hash(&format!("{name}:{password}"));
        Ok(Self { name, hash })
    }

    fn are(&self, given: &str) -> bool {
        verify_slices_are_equal(&self.hash, &hash(given)).is_ok()
    }
}

impl std::str::FromStr for AdminCredentials {
    type Err = AdminCredentialsError;

    /// Reads `NAME:PASSWORD`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, password) = text.split_once(':').ok_or(AdminCredentialsError::Name)?;
        Self::new(name, password)
    }
}

impl fmt::Debug for AdminCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AdminCredentials").field("name", &self.name).finish_non_exhaustive()
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Addresses that guess.
#[derive(Debug)]
pub(crate) struct Guesses(Mutex<Pacer<IpAddr>>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Mutex::new(Pacer::new(GUESSES)))
    }
}

impl Guesses {
    fn may(&self, address: IpAddr) -> bool {
        let guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.has_room(&address, environment::now())
    }

    fn note_wrong(&self, address: IpAddr) {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = guesses.allow(address, environment::now());
    }
}

/// The proof that a request comes from the operator: HTTP basic authentication, or nothing at all on a development server, which nobody
/// but this machine reaches.
#[derive(Debug)]
pub(crate) struct Admin;

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmin {
    /// There is no operator: what only operators see does not exist.
    Nobody,
    /// The credentials are missing or wrong.
    Unproven,
    /// Too many wrong ones came from this address.
    TooMany,
}

impl IntoResponse for NotAdmin {
    fn into_response(self) -> Response {
        match self {
            Self::Nobody => StatusCode::NOT_FOUND.into_response(),
            Self::Unproven => {
                let challenge =
                    HeaderValue::from_static("Basic realm=\"offhook operator\", charset=\"UTF-8\"");
                let headers = [(header::WWW_AUTHENTICATE, challenge)];
                (StatusCode::UNAUTHORIZED, headers, "the operator's name and password are required\n")
                    .into_response()
            }
            Self::TooMany => {
                let headers = [(header::RETRY_AFTER, HeaderValue::from_static("60"))];
                (StatusCode::TOO_MANY_REQUESTS, headers, "too many wrong passwords: wait a minute\n")
                    .into_response()
            }
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Admin {
    type Rejection = NotAdmin;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, NotAdmin> {
        let Some(admin) = &shared.config.admin else {
            let is_own = shared.page_application.is_some() && development::is_of_this_machine(&parts.headers);
            return if is_own { Ok(Self) } else { Err(NotAdmin::Nobody) };
        };
        let guest = Extension::<Arc<Guest>>::from_request_parts(parts, shared).await;
        let Ok(Extension(guest)) = guest else { return Err(NotAdmin::Unproven) };
        let address = network_of(guest.address());
        if !shared.guesses.may(address) {
            return Err(NotAdmin::TooMany);
        }
        let Some(given) = basic(parts) else { return Err(NotAdmin::Unproven) };
        if admin.are(&given) {
            return Ok(Self);
        }
        shared.guesses.note_wrong(address);
        tracing::warn!("a wrong operator's password was given");
        Err(NotAdmin::Unproven)
    }
}

fn basic(parts: &Parts) -> Option<String> {
    let given = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, proof) = given.split_once(' ')?;
    let decoded = STANDARD.decode(proof.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then(|| String::from_utf8(decoded).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_long_enough_and_never_shown() {
        let admin: AdminCredentials = "ada:correct horse: battery".parse().unwrap();
        assert!(admin.are("ada:correct horse: battery"));
        assert!(!admin.are("ada:correct horse") && !admin.are("bob:correct horse: battery"));
        assert!(!format!("{admin:?}").contains("horse"));
        for (text, error) in [
            ("ada", AdminCredentialsError::Name),
            (":correct horse battery", AdminCredentialsError::Name),
            ("ada:short", AdminCredentialsError::Password),
        ] {
            assert_eq!(text.parse::<AdminCredentials>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_that_guesses_too_often_has_to_wait() {
        let guesses = Guesses::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..GUESSES.burst {
            assert!(guesses.may(one));
            guesses.note_wrong(one);
        }
        assert!(!guesses.may(one) && guesses.may(other));
    }
}
