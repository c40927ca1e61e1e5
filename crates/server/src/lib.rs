//! The Offhook signaling server: one process, no external service.
//!
//! ```no_run
//! use offhook_server::{Server, ServerConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind(ServerConfig::default().data("data")).await?;
//! println!("listening on {}", server.url());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A connection's way through the files: `accept` takes the socket (limits, TLS), `http` upgrades it, `connection`
//! reads the hello, `auth` checks it against the `store`, and the application's `hub` owns the session and all calls.
//! What is said on the wire, and who wins a call, is decided in `offhook-signaling`; this crate adds sockets, storage,
//! limits and clocks.

mod accept;
mod admin;
mod application;
mod applications;
mod auth;
mod callbacks;
mod close;
mod cluster;
mod config;
mod connection;
mod development;
mod echo;
mod endpoint;
mod environment;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod hub;
mod limit;
mod lobby;
mod metrics;
mod outbox;
mod paced;
mod pages;
mod push;
mod readiness;
mod rest;
mod server;
mod store;
#[cfg(test)]
mod storm;
mod svaml;
mod time;
mod tls;
mod toll;
mod traces;
mod turn;
mod webhook;

pub use admin::{AdminCredentials, AdminCredentialsError};
pub use application::{Application, ApplicationError, DevelopmentApplication};
pub use callbacks::{CallbackDigest, CallbackError, Callbacks};
pub use close::CloseReason;
pub use cluster::{ClusterConfig, ClusterError, LocalBus, NodeName, NodeNameError};
pub use config::{
    ConfigError, EchoUser, Limits, PushConfig, Rate, ServerConfig, SessionTimers, TlsFiles, TurnConfig,
    TurnLimits,
};
pub use server::{RunningServer, Server, StartError};
pub use store::{
    ApplicationOrigin, CallDetailRecord, CopiedTable, CopyError, CredentialHash, DeviceRecord, MOST_RECORDS,
    MemoryStore, PUSHES_PER_USER, PostgresOptions, PostgresStore, PostgresUrl, PostgresUrlError, PushKey,
    PushRecord, RecordPage, RecordQuery, SqliteStore, Store, StoreError, StoreFuture, StoreKey,
    StoreKeyError, StoreKeySource, StoredApplication, StoredSecret, UnixMillis, copy_store,
};
pub use tls::TlsError;
pub use traces::{TracesError, trace_id};
pub use turn::{AddressRange, AddressRangeError, TurnCounters, TurnError, TurnSecret};
