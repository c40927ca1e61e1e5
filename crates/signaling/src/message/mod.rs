//! The messages: one versioned enum each way, in a nested envelope.

mod client;
mod common;
mod server;

pub use client::{
    CallReport, CallStart, ClientMessage, Credential, Hangup, Hello, LiveCall, PushSubscription, Register,
    Resume,
};
pub use common::{Candidate, Description, Empty, Headers, IceServer, Limits, SdpKind, Update, WireError};
pub use server::{
    Answered, Bye, ByeAction, CallSnapshot, Ended, IceServers, Incoming, IssuedCredential, Outcome,
    Progressing, Registered, ServerMessage, Snapshot, Welcome,
};
