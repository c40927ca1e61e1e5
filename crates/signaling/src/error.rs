//! Errors an application sees, with the published numbers.

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
}
