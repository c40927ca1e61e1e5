//! What can go wrong, one enum per operation. Each variant says what the caller can do.

use std::time::Duration;

use offhook_media::{OpenDeviceError, StartEngineError};
use offhook_signaling::client::CommandError;
use offhook_transport::IceUrlError;
use thiserror::Error;

pub use crate::credential::CredentialError;
pub use crate::endpoint::EndpointError;
pub use offhook_signaling::id::IdError;
use offhook_signaling::wire::MOST_DISPLAY_NAME;

/// A client could not be built. Correct the builder's values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A required value was not given.
    #[error("{0} is required")]
    Missing(&'static str),
    /// The application key is malformed: copy it again.
    #[error("application key: {0}")]
    ApplicationKey(IdError),
    /// The user id is malformed: 1 to 255 bytes of `A-Za-z0-9-_=`.
    #[error("user id: {0}")]
    UserId(IdError),
    /// The device id is malformed: 1 to 64 bytes of `A-Za-z0-9-_=`.
    #[error("device id: {0}")]
    DeviceId(IdError),
    /// The display name is longer than 255 bytes: shorten it.
    #[error("a display name has at most {MOST_DISPLAY_NAME} bytes")]
    DisplayName,
    /// The environment host does not name a server.
    #[error("environment host: {0}")]
    EnvironmentHost(#[from] EndpointError),
    /// The URL of a STUN or TURN server cannot be used.
    #[error("{url}: {error}")]
    IceServer {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        error: IceUrlError,
    },
    /// A TURN server needs a user name and a password.
    #[error("{0}: a TURN server needs a user name and a password")]
    IceServerCredentials(String),
    /// A root certificate is not DER of an X.509 certificate.
    #[error("root certificate: {0}")]
    RootCertificate(String),
}

/// A client could not be started. It can be started again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is started: wait for its events, or terminate it first.
    #[error("the client is already started")]
    AlreadyStarted,
    /// Called outside of a tokio runtime: call it within one.
    #[error("a client needs a tokio runtime")]
    NoRuntime,
    /// The sound engine could not be started.
    #[error(transparent)]
    Engine(#[from] StartEngineError),
    /// What was kept of the last registration cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// This machine cannot make a certificate: without one nothing can be encrypted.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// The system gives no random numbers: nothing secure can be done on this machine now.
    #[error("the system gives no random numbers")]
    Random,
}

/// A token was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The client has stopped: start it again.
    #[error("the client has stopped")]
    Stopped,
    /// No token is asked for now: wait for the next `CredentialsRequired`.
    #[error("no credentials are required now")]
    NotRequired,
}

/// The microphone did not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MicrophoneError {
    /// The device could not be opened: choose another, [`Device::Null`](offhook_media::Device::Null) to talk without one.
    #[error(transparent)]
    Open(#[from] OpenDeviceError),
    /// The sound system did not answer in time.
    #[error("the microphone did not open within {0:?}")]
    TimedOut(Duration),
    /// The client is not started.
    #[error("the client is not started")]
    NotStarted,
}

/// A user was not called.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The client is not started: wait for `Started`.
    #[error("the client is not started")]
    NotStarted,
    /// The user id is malformed.
    #[error("user id: {0}")]
    UserId(IdError),
    /// Keys and values of the headers are over 1024 bytes: send less.
    #[error("the call's headers are larger than 1024 bytes")]
    HeadersTooLarge,
    /// No sound can be sent: choose another microphone. Nobody was rung, or, where this took time to find out, the call was taken back.
    #[error(transparent)]
    Microphone(#[from] MicrophoneError),
    /// The call's sound or network part could not be made.
    #[error("the call could not be prepared: {0}")]
    Prepare(String),
}

/// A call was not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It is not an incoming call that rings: answered already, or outgoing.
    #[error("only an unanswered incoming call can be answered")]
    WrongState,
    /// It is over: the caller gave up, or another device answered.
    #[error("the call is over")]
    Ended,
    /// No sound can be sent. The call rings on: answer again with another microphone, or hang up.
    #[error(transparent)]
    Microphone(#[from] MicrophoneError),
    /// The caller's description cannot be used; the call is ended.
    #[error("the caller's description cannot be used: {0}")]
    Description(String),
}

/// A call was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RefuseError {
    /// It is not an incoming call that rings.
    #[error("only an unanswered incoming call can be refused")]
    WrongState,
}

/// Hold or resume did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HoldError {
    /// It is not established, or over.
    #[error("only an established call can be held")]
    WrongState,
}

/// Keys were not sent.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DtmfError {
    /// The call is not established, or over.
    #[error("keys can be sent in an established call only")]
    WrongState,
    /// Not all of it is `0` to `9`, `*`, `#`, `A` to `D`, or too many keys wait, or the other side takes no keys.
    #[error("the keys were not sent: {0}")]
    NotSent(String),
}

/// Why a flight recording was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaveRecordingError {
    /// The client was built without: see [`ClientBuilder::flight_recording`](crate::ClientBuilder::flight_recording).
    #[error("flight recording is off for this client")]
    Off,
    /// The file cannot be written: choose another.
    #[error("the flight recording cannot be written: {0}")]
    File(#[source] std::io::Error),
}

/// A command of a call was refused by the client machine.
pub(crate) fn call_error(error: &CommandError) -> CallError {
    match error {
        CommandError::HeadersTooLarge => CallError::HeadersTooLarge,
        CommandError::NotStarted | CommandError::AlreadyStarted => CallError::NotStarted,
        other => CallError::Prepare(other.to_string()),
    }
}

/// An answer was refused by the client machine.
pub(crate) fn answer_error(error: &CommandError) -> AnswerError {
    match error {
        CommandError::WrongState => AnswerError::WrongState,
        CommandError::DescriptionTooLarge => AnswerError::Description(error.to_string()),
        _ => AnswerError::Ended,
    }
}
