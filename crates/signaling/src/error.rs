//! Errors an application sees, with the published numbers.

use std::time::Duration;

use crate::message::WireError;

/// Which part failed. The discriminants are the published numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ErrorDomain {
    /// Anything without a better home.
    Generic = 0,
    /// The network or the server could not be reached.
    Network = 1,
    /// The session or its credentials.
    Session = 2,
    /// A request the server refused.
    Api = 3,
    /// Storing or loading local state.
    Persistence = 4,
}

/// What failed. The discriminants are the published numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ClientErrorCode {
    /// Anything without a better number.
    Generic = 1,
    /// The server refused the connection.
    NetworkConnectionRefused = 1000,
    /// The server did not answer in time.
    NetworkTimedOut = 1001,
    /// The server failed.
    ServerError = 1002,
    /// The credentials were refused, or the application had none.
    AuthenticationFailed = 2002,
    /// The media of a call could not connect.
    CallFailedToConnectIce = 3002,
    /// The server refused a request.
    ApiCallFailed = 4000,
}

/// An error as the published API shapes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {}, domain {})", *code as u32, *domain as u32)]
pub struct ClientError {
    /// A sentence for a person.
    pub message: String,
    /// What failed.
    pub code: ClientErrorCode,
    /// Which part failed.
    pub domain: ErrorDomain,
    /// Whether the client has stopped; a fresh start is then needed.
    pub is_fatal: bool,
    /// What the server said, when it refused; its own words are in `message`.
    pub refusal: Option<WireError>,
}

impl ClientError {
    /// A refused or missing credential; the client has stopped.
    #[must_use]
    pub fn authentication(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: ClientErrorCode::AuthenticationFailed,
            domain: ErrorDomain::Session,
            is_fatal: true,
            refusal: None,
        }
    }

    /// A request the server refused; the client keeps running.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: ClientErrorCode::ApiCallFailed,
            domain: ErrorDomain::Api,
            is_fatal: false,
            refusal: None,
        }
    }

    /// The server could not be reached in time; the client has stopped.
    #[must_use]
    pub fn unreachable() -> Self {
        Self {
            message: "the server could not be reached: check its address and that it runs".to_owned(),
            code: ClientErrorCode::NetworkTimedOut,
            domain: ErrorDomain::Network,
            is_fatal: true,
            refusal: None,
        }
    }

    /// The server told the client not to come back.
    #[must_use]
    pub fn stopped_by_server(error: Option<WireError>) -> Self {
        let message = match error {
            Some(WireError::TokenSignature) => {
                "the token's signature is wrong: check the application secret it is signed with"
            }
            Some(WireError::TokenExpired) => "the token has expired: get a new token",
            Some(WireError::TokenReplayed) => {
                "another device has used this token: get a new token for this one"
            }
            Some(WireError::TokenNotYetValid) => "the token is issued in the future: compare the clocks",
            Some(WireError::TokenSubject) => {
                "the token is for another user or application: get one for this user and application key"
            }
            Some(WireError::TokenAlgorithm) => "the token is not signed with HS256: sign it so",
            Some(WireError::TokenLifetime) => {
                "the token lives longer than the server allows: sign a shorter one"
            }
            Some(WireError::TokenMalformed) => {
                "the token has the wrong form: pass it on whole, as it was signed"
            }
            Some(WireError::CredentialRefused) => {
                "the device credential is unknown, ended or revoked: register with a new token"
            }
            Some(WireError::UserBlocked) => {
                "this user is blocked: only who runs the application can unblock them"
            }
            Some(WireError::UserReserved) => {
                "this user id belongs to the server itself, as the echo user's does: take another one"
            }
            Some(_) => "the server refused the connection",
            None => {
                "another connection of this device took over: give each installation a device id of its own"
            }
        };
        let told = match error {
            Some(WireError::RateLimited | WireError::Internal) => Self::refused(message),
            _ => Self::authentication(message),
        };
        Self { is_fatal: true, refusal: error, ..told }
    }

    /// The server lets nobody in for now and says when to come back; the client has stopped.
    #[must_use]
    pub fn turned_away(error: WireError, retry_after: Duration) -> Self {
        let why = match error {
            WireError::RateLimited => {
                "the server refuses this client for now: too many registrations, or devices of this user"
            }
            _ => "the server cannot register anybody now",
        };
        // In whole seconds, and never too early.
        let seconds = retry_after.as_millis().div_ceil(1000).max(1);
        Self {
            code: if error == WireError::RateLimited {
                ClientErrorCode::ApiCallFailed
            } else {
                ClientErrorCode::ServerError
            },
            is_fatal: true,
            refusal: Some(error),
            ..Self::refused(format!("{why}; try again in {seconds} s"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_says_what_to_do_about_this_cause() {
        for (error, advice) in [
            (WireError::TokenSignature, "check the application secret"),
            (WireError::TokenExpired, "get a new token"),
            (WireError::TokenReplayed, "get a new token"),
            (WireError::TokenNotYetValid, "compare the clocks"),
            (WireError::CredentialRefused, "register with a new token"),
        ] {
            let told = ClientError::stopped_by_server(Some(error));
            assert!(told.message.contains(advice), "{error:?}: {told}");
            assert_eq!((told.refusal, told.code), (Some(error), ClientErrorCode::AuthenticationFailed));
        }
    }

    #[test]
    fn who_is_turned_away_learns_why_and_when_to_come_back() {
        let told = ClientError::turned_away(WireError::RateLimited, Duration::from_millis(9001));
        assert!(told.message.contains("too many") && told.message.contains("in 10 s"), "{told}");
        assert!(told.is_fatal && told.code == ClientErrorCode::ApiCallFailed);
        let told = ClientError::turned_away(WireError::Internal, Duration::ZERO);
        assert!(told.message.contains("in 1 s") && told.code == ClientErrorCode::ServerError, "{told}");
    }
}
