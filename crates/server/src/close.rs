//! Why a connection is closed, and the code the client sees (RFC 6455 section 7.4).

use offhook_signaling::message::{Bye, ByeAction, WireError};

/// Why the server closes a connection.
///
/// | code | reason | what a client does |
/// |---|---|---|
/// | 1003 | [`Binary`](Self::Binary) | repair itself |
/// | 1009 | [`TooLarge`](Self::TooLarge) | send less |
/// | 4000 | [`Shutdown`](Self::Shutdown) | resume after the time in `bye` |
/// | 4001 | [`HelloTimeout`](Self::HelloTimeout) | send `hello` first |
/// | 4002 | [`Protocol`](Self::Protocol) | repair itself; the `bye` before says what was wrong |
/// | 4003 | [`Refused`](Self::Refused) | get a new token |
/// | 4004 | [`Replaced`](Self::Replaced) | nothing: the device is connected elsewhere |
/// | 4005 | [`Silent`](Self::Silent) | resume |
/// | 4006 | [`SlowConsumer`](Self::SlowConsumer) | resume, read faster |
/// | 4007 | [`Limited`](Self::Limited) | come back later |
/// | 4008 | [`Revoked`](Self::Revoked) | get a new token |
/// | 4009 | [`Internal`](Self::Internal) | resume later |
/// | 4010 | [`Blocked`](Self::Blocked) | nothing: only the application's back end changes that |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// A binary message; the protocol is text.
    Binary,
    /// A message above the size limit.
    TooLarge,
    /// The server is going away.
    Shutdown,
    /// No `hello` in time.
    HelloTimeout,
    /// The first frame is not a `hello`, or too many frames could not be read; the `bye` before says which.
    Protocol(WireError),
    /// The token or credential is refused; the `bye` before says why.
    Refused(WireError),
    /// The same device opened another connection.
    Replaced,
    /// Nothing came from the client for two and a half heartbeats.
    Silent,
    /// The client does not read what it is sent.
    SlowConsumer,
    /// A limit on connections or devices is reached.
    Limited,
    /// The device's credential was revoked.
    Revoked,
    /// The server failed, for instance its storage.
    Internal,
    /// The user was blocked.
    Blocked,
    /// The client closed or lost the connection.
    Gone,
}

impl CloseReason {
    /// The WebSocket close code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Gone => 1000,
            Self::Binary => 1003,
            Self::TooLarge => 1009,
            Self::Shutdown => 4000,
            Self::HelloTimeout => 4001,
            Self::Protocol(_) => 4002,
            Self::Refused(_) => 4003,
            Self::Replaced => 4004,
            Self::Silent => 4005,
            Self::SlowConsumer => 4006,
            Self::Limited => 4007,
            Self::Revoked => 4008,
            Self::Internal => 4009,
            Self::Blocked => 4010,
        }
    }

    /// A short text for logs and for the close frame.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Binary => "binary messages are not understood",
            Self::TooLarge => "message too large",
            Self::Shutdown => "server is shutting down",
            Self::HelloTimeout => "no hello in time",
            Self::Protocol(_) => "protocol error",
            Self::Refused(_) => "credentials refused",
            Self::Replaced => "replaced by another connection of this device",
            Self::Silent => "heartbeat missed",
            Self::SlowConsumer => "slow consumer",
            Self::Limited => "limit reached",
            Self::Revoked => "credential revoked",
            Self::Internal => "internal error",
            Self::Blocked => "user blocked",
        }
    }

    /// The `bye` that goes before the close frame, where the client should know what to do next.
    pub(crate) const fn bye(self) -> Option<Bye> {
        let (action, retry_after_ms, error) = match self {
            Self::Refused(error) | Self::Protocol(error) => (ByeAction::Stop, 0, Some(error)),
            Self::Blocked => (ByeAction::Stop, 0, Some(WireError::UserBlocked)),
            Self::Revoked => (ByeAction::Stop, 0, Some(WireError::CredentialRefused)),
            Self::Limited => (ByeAction::Reconnect, 10_000, Some(WireError::RateLimited)),
            Self::Internal => (ByeAction::Resume, 2_000, Some(WireError::Internal)),
            Self::Shutdown => (ByeAction::Resume, 500, None),
            Self::Replaced => (ByeAction::Stop, 0, None),
            Self::Gone
            | Self::Binary
            | Self::TooLarge
            | Self::HelloTimeout
            | Self::Silent
            | Self::SlowConsumer => {
                return None;
            }
        };
        Some(Bye { action, retry_after_ms, error })
    }
}
