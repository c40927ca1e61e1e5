//! Errors an application sees, with the published numbers.

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
        }
    }

    /// The server told the client not to come back.
    #[must_use]
    pub fn stopped_by_server(error: Option<WireError>) -> Self {
        let message = match error {
            Some(WireError::TokenSignature) => "the token's signature is wrong: check the application secret",
            Some(WireError::TokenExpired) => "the token has expired",
            Some(WireError::TokenNotYetValid) => "the token is issued in the future: compare the clocks",
            Some(WireError::TokenSubject) => "the token is for another user or application",
            Some(WireError::TokenReplayed) => "another device has used this token",
            Some(WireError::TokenAlgorithm) => "the token is not signed with HS256",
            Some(WireError::TokenLifetime) => "the token lives longer than the server allows",
            Some(WireError::TokenMalformed) => "the token has the wrong form",
            Some(WireError::CredentialRefused) => "the device credential is unknown, ended or revoked",
            Some(WireError::RateLimited) => "the server allows no more connections now",
            Some(_) => "the server refused the connection",
            None => "another connection of this device took over",
        };
        match error {
            Some(WireError::RateLimited | WireError::Internal) => {
                Self { is_fatal: true, ..Self::refused(message) }
            }
            _ => Self::authentication(message),
        }
    }
}
