//! The messages: one versioned enum each way, in a nested envelope.

mod client;
mod common;
mod server;

pub use client::{
    Answer, CallReport, CallStart, ClientMessage, Credential, Hangup, Hello, LiveCall, PushSubscription,
    Register, Resume,
};
pub use common::{Candidate, Empty, Headers, IceServer, Limits, Reveal, SdpKind, Update, WireError};
pub use server::{
    Answered, Bye, ByeAction, CallSnapshot, Ended, IceServers, Incoming, IssuedCredential, Outcome,
    Progressing, Registered, ServerMessage, Snapshot, Welcome,
};
