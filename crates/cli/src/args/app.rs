//! What `app` can be asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::store::{DatabaseArguments, StoreKeyArguments};

#[derive(Debug, Args)]
pub(crate) struct AppArguments {
    #[command(subcommand)]
    pub(crate) action: AppAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppAction {
    /// Make an application and print its key and secret. The secret is not shown again.
    Create {
        /// What you call it.
        #[arg(long, default_value = "", value_name = "NAME")]
        name: String,
        #[command(flatten)]
        callbacks: CallbackArguments,
        #[command(flatten)]
        store: AppStore,
    },
    /// Change an application: what you call it, where its back end is asked about calls.
    Set {
        /// The application.
        #[arg(value_name = "KEY")]
        key: String,
        /// What you call it.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        callbacks: CallbackArguments,
        /// Ask its back end no more.
        #[arg(long)]
        no_callbacks: bool,
        #[command(flatten)]
        store: AppStore,
    },
    /// Print all applications, without their secrets.
    List {
        #[command(flatten)]
        store: AppStore,
    },
    /// Give an application a new secret and print it.
    Rotate {
        /// The application.
        #[arg(value_name = "KEY")]
        key: String,
        /// How long the secret before is still accepted: 90s, 30m, 24h, 7d.
        #[arg(long, default_value = "24h", value_parser = crate::app::duration, value_name = "TIME")]
        accept_old: std::time::Duration,
        #[command(flatten)]
        store: AppStore,
    },
    /// Let nobody of an application in, and end its sessions.
    Block {
        /// The application.
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        store: AppStore,
    },
    /// Let an application's users in again.
    Unblock {
        /// The application.
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        store: AppStore,
    },
}

/// Where the back end of an application is asked about its calls.
#[derive(Debug, Args)]
pub(crate) struct CallbackArguments {
    /// Ask here about each call before it rings, and tell here when it is answered and over; http or https.
    #[arg(long, value_name = "URL")]
    pub(crate) callback_url: Option<String>,
    /// Ask here when the other does not answer.
    #[arg(long, value_name = "URL")]
    pub(crate) callback_fallback_url: Option<String>,
    /// How long a call waits for what is said, 0.1 to 30; 5 without it.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) callback_timeout: Option<f64>,
    /// What happens to a call about which nothing is said in time; continue without it.
    #[arg(long, value_name = "WHAT", value_parser = ["continue", "hangup"])]
    pub(crate) callback_failure: Option<String>,
    /// How the body is digested for its signature; sha256 without it, md5 is that of the published API.
    #[arg(long, value_name = "DIGEST", value_parser = ["sha256", "md5"])]
    pub(crate) callback_digest: Option<String>,
}

/// The store of a server.
#[derive(Debug, Args)]
pub(crate) struct AppStore {
    /// The server's data folder.
    #[arg(long, env = "OFFHOOK_DATA", value_name = "DIR", required_unless_present = "store")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    #[command(flatten)]
    pub(crate) key: StoreKeyArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
