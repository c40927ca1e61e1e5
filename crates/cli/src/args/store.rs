//! Where the store is and what opens it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use offhook_server::{PostgresUrl, PostgresUrlError, StoreKey, StoreKeySource};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    pub(crate) action: StoreAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreAction {
    /// Copy everything from a data folder into an empty PostgreSQL database: applications, registrations, blocked users, call records.
    ///
    /// All of it is there afterwards, or nothing. Stop the server before: what it writes meanwhile is not copied. Application secrets stay
    /// sealed: with the key of OFFHOOK_STORE_KEY or --store-key-file, else with that of the folder, which servers of the database need then.
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// The data folder of `offhook serve --data`. It is not changed.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// The database: postgres://USER@HOST/DATABASE. Its password belongs into OFFHOOK_STORE_PASSWORD.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) key: StoreKeyArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A database instead of a file.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArguments {
    /// PostgreSQL database that keeps everything, instead of a file in the data folder: postgres://USER@HOST/DATABASE. Its password belongs
    /// into the environment (OFFHOOK_STORE_PASSWORD, or in the URL in OFFHOOK_STORE): everyone on a machine sees its command lines.
    #[arg(long, env = "OFFHOOK_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
}

impl DatabaseArguments {
    /// The database, with the password of the environment when there is one.
    pub(crate) fn url(&self) -> Result<Option<PostgresUrl>, Failure> {
        self.store.as_deref().map(url).transpose()
    }
}

/// Reads the URL of a database, with the password of the environment when there is one. What cannot be read is not repeated: a password may
/// stand in it.
pub(crate) fn url(text: &str) -> Result<PostgresUrl, Failure> {
    let url: PostgresUrl =
        text.parse().map_err(|error: PostgresUrlError| Failure::usage(error.to_string()))?;
    Ok(match password() {
        Some(password) => url.with_password(&password),
        None => url,
    })
}

/// The database's password in the environment, which wins over one in the URL.
pub(crate) fn password() -> Option<String> {
    std::env::var("OFFHOOK_STORE_PASSWORD").ok()
}

/// The key that seals application secrets in the store. OFFHOOK_STORE_KEY, the base64 of 32 bytes, wins over a file.
#[derive(Debug, Args)]
pub(crate) struct StoreKeyArguments {
    /// File with the key of the store; without it, offhook.key in the data folder. OFFHOOK_STORE_KEY wins over it.
    #[arg(long, env = "OFFHOOK_STORE_KEY_FILE", value_name = "FILE")]
    pub(crate) store_key_file: Option<PathBuf>,
}

impl StoreKeyArguments {
    /// Where the key is, when the environment or an option says so; else in the data folder.
    pub(crate) fn source(&self) -> Result<StoreKeySource, Failure> {
        if let Ok(text) = std::env::var("OFFHOOK_STORE_KEY") {
            let key = StoreKey::from_base64(&text)
                .map_err(|error| Failure::usage(format!("OFFHOOK_STORE_KEY: {error}")))?;
            return Ok(StoreKeySource::Given(key));
        }
        Ok(self.store_key_file.clone().map_or(StoreKeySource::DataFolder, StoreKeySource::File))
    }
}
