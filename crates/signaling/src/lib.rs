//! Client start, the token flow and call events of Offhook, without I/O and without a clock.
//!
//! Both ends use this crate: the client drives a [`client::ClientMachine`], the server a [`call::Switchboard`] and one
//! [`session::ServerSession`] per device. Time is an argument
//! (`Instant` for timers, [`UnixSeconds`] for tokens); randomness comes from an [`EntropySource`].

pub mod call;
pub mod client;
pub mod entropy;
pub mod error;
pub mod event;
pub mod fuzzing;
pub mod id;
pub mod message;
pub mod schema;
pub mod session;
pub mod token;
pub mod verification;
pub mod wire;

pub use entropy::EntropySource;
pub use error::ClientError;
pub use event::{CallEvent, ClientEvent};
pub use id::{ApplicationKey, CallId, DeviceCredential, DeviceId, MessageId, SessionId, UserId};
pub use message::{ClientMessage, ServerMessage};

/// The WebSocket subprotocol both ends name (RFC 6455 section 1.9).
pub const SUBPROTOCOL: &str = "offhook.v1.json";
/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1/signal";

/// Wall-clock time in whole seconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// This time moved later by `seconds`, at most the largest representable time.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}
