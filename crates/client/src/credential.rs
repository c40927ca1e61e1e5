//! What a device keeps between starts: its name and the credential the server gave it.

mod file;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use offhook_signaling::client::StoredCredential;
use offhook_signaling::{ApplicationKey, DeviceId, UserId};
use thiserror::Error;

pub use file::FileStore;

/// Whose registration it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// The application.
    pub application_key: ApplicationKey,
    /// The user.
    pub user_id: UserId,
}

/// What is kept for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name of this installation.
    pub device_id: DeviceId,
    /// The credential the server gave it, until it ends or is refused.
    pub credential: Option<StoredCredential>,
}

/// Keeps registrations, so that the next start needs no token. The credential is a secret: keep it where only the user can read it.
pub trait CredentialStore: Debug + Send + Sync {
    /// What is kept for `account`. May block; called on a thread that may.
    ///
    /// # Errors
    /// [`CredentialError`]: the client does not start.
    fn load(&self, account: &Account) -> Result<Option<Registration>, CredentialError>;

    /// Keeps `registration` for `account`, in place of what was kept. May block; called on a thread that may.
    ///
    /// # Errors
    /// [`CredentialError`]: the client goes on, and the next start needs a token.
    fn save(&self, account: &Account, registration: &Registration) -> Result<(), CredentialError>;
}

/// Registrations could not be read or kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file cannot be read: check its permissions.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written: check permissions and space.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not one of ours, or damaged: remove it, and the next start asks for a token.
    #[error("{path} does not hold registrations: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A store of the application's own failed.
    #[error("{0}")]
    Other(String),
}

/// Keeps registrations as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<HashMap<Account, Registration>>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl CredentialStore for MemoryStore {
    fn load(&self, account: &Account) -> Result<Option<Registration>, CredentialError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned())
    }

    fn save(&self, account: &Account, registration: &Registration) -> Result<(), CredentialError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(account.clone(), registration.clone());
        Ok(())
    }
}
