//! The tasks behind the handles. One signaling driver per started client owns the client machine and the connection; one media driver per
//! call owns the transport session, the sockets and the packet port. They talk by bounded queues, and none waits for another.

mod ice_servers;
mod keeper;
mod media;
mod prepare;
mod runtime;
mod signaling;
mod start;

use std::fmt;

use offhook_signaling::call::CallEndCause;
use offhook_signaling::client::CommandError;
use offhook_signaling::message::{Candidate, Headers, Update};
use offhook_signaling::{CallId, UserId};
use tokio::sync::oneshot;

use crate::call::Call;
use crate::error::RegisterError;

pub(crate) use ice_servers::{IceServers, TurnTarget};
pub(crate) use prepare::{PreparedMedia, prepare};
pub(crate) use start::prepare_start;

/// To the signaling driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// The application has a token.
    Register { token: Secret, reply: oneshot::Sender<Result<(), RegisterError>> },
    /// Call somebody; everything is ready.
    CallUser(Box<NewCall>),
    /// The local person accepted; this is the answer.
    Answer { call: CallId, sdp: String, reply: oneshot::Sender<Result<(), CommandError>> },
    /// A media driver has news.
    Media { call: CallId, news: MediaNews },
}

/// A text that `Debug` does not show.
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

/// An outgoing call that is ready to be made.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) to: UserId,
    pub(crate) headers: Headers,
    pub(crate) offer: String,
    pub(crate) media: PreparedMedia,
    pub(crate) reply: oneshot::Sender<Result<Call, CommandError>>,
}

/// From a media driver to the signaling driver.
#[derive(Debug)]
pub(crate) enum MediaNews {
    /// A candidate for the peer.
    Candidate(Candidate),
    /// A description for the peer, after the first exchange.
    Update(Update),
    /// Media is connected.
    Connected,
    /// The machine's addresses are others.
    AddressesChanged,
    /// Servers for candidates are wanted whose credentials have not ended.
    RenewIceServers,
    /// Media could not connect, or the peer went away.
    Failed(CallEndCause),
}

/// To a media driver.
#[derive(Debug)]
pub(crate) enum ToMedia {
    /// The local person accepted: make the answer to the caller's offer.
    Answer { reply: oneshot::Sender<Result<String, String>> },
    /// The caller's offer, before the person accepted: nothing is done with it yet.
    RemoteOffer(String),
    /// The callee's answer.
    RemoteAnswer(String),
    /// Servers for candidates were told, and are being looked up.
    ExpectIceServers,
    /// Servers for candidates of this call.
    IceServers(Box<IceServers>),
    /// A candidate of the peer.
    RemoteCandidate(Candidate),
    /// A later description of the peer.
    RemoteUpdate(Update),
    /// The call is over.
    End,
}
