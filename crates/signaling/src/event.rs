//! What a client tells its application about the client and about a call.

use crate::call::CallEndCause;
use crate::error::ClientError;
use crate::id::{CallId, UserId};
use crate::message::{Candidate, Headers, IceServer, Update, WireError};
use crate::verification::Verification;

/// News of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The application must bring a token, or say that it has none.
    CredentialsRequired,
    /// The client is registered.
    Started,
    /// The client could not start or has stopped.
    Failed(ClientError),
    /// Somebody calls; exactly once per call.
    IncomingCall {
        /// The call.
        call: CallId,
        /// Who calls.
        from: UserId,
        /// Application headers.
        headers: Headers,
    },
    /// The connection is lost and is being made again; calls go on.
    Reconnecting,
    /// News of one call.
    Call(CallId, CallEvent),
}

/// News of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    /// The callee is being reached (outgoing only).
    Progressing,
    /// A device of the callee rings (outgoing only).
    Ringing,
    /// The callee accepted.
    Answered,
    /// Answered, and media is connected.
    Established,
    /// The other side's first session description.
    RemoteDescription(String),
    /// A candidate of the other side.
    RemoteCandidate(Candidate),
    /// A renegotiation by the other side.
    RemoteUpdate(Update),
    /// STUN and TURN servers for this call, instead of those known so far. An incoming call brings its first by itself.
    IceServers(Vec<IceServer>),
    /// There is an authentication string, or there will be none because the verification failed.
    Verification(Verification),
    /// The call is over.
    Ended {
        /// Why.
        cause: CallEndCause,
        /// The error, when there was one.
        error: Option<WireError>,
    },
}
