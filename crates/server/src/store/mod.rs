//! What survives a restart: applications, device credentials, used nonces, blocked users, call detail records.

mod applications;
mod copy;
mod folder;
mod memory;
mod postgres;
mod records;
mod seal;
mod sqlite;

use std::fmt;

use futures_util::future::BoxFuture;
use offhook_signaling::UnixSeconds;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::PushSubscription;
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, CallId, DeviceCredential, DeviceId, UserId};
use sha2::{Digest as _, Sha256};

pub use applications::{ApplicationOrigin, StoredApplication, StoredSecret};
pub use copy::{CopiedTable, CopyError, copy_store};
pub(crate) use folder::Tenancy;
pub use memory::MemoryStore;
pub use postgres::{
    PostgresOptions, PostgresStore, PostgresUrl, PostgresUrlError, url_fuzz as store_url_fuzz,
};
pub(crate) use records::millis;
pub use records::{CallDetailRecord, MOST_RECORDS, RecordPage, RecordQuery, UnixMillis};
pub use seal::{StoreKey, StoreKeyError, StoreKeySource};
pub use sqlite::SqliteStore;

/// The credentials of one device that are kept: the newest, and those whose delivery may have been lost.
const CREDENTIALS_PER_DEVICE: usize = 3;
/// Sealed at the first start: shows whether a key is the right one.
const KEY_CHECK: &str = "key check";
/// The devices of one user that are woken at once: those that registered last.
pub const PUSHES_PER_USER: usize = 32;

/// What a [`Store`] answers.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Where the server keeps what must outlive it. Once an answer is `Ok`, a change is durable as far as the store can.
pub trait Store: fmt::Debug + Send + Sync {
    /// All applications that were put.
    fn applications(&self) -> StoreFuture<'_, Vec<StoredApplication>>;

    /// Adds an application or replaces what is kept of it.
    fn put_application(&self, application: &StoredApplication) -> StoreFuture<'_, ()>;

    /// Binds a token's nonce to the device until `expires`, or says who has it. `scope` is application and user.
    fn bind_nonce(
        &self,
        scope: &str,
        nonce: &str,
        device: &DeviceId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> StoreFuture<'_, NonceUse>;

    /// Keeps a credential. The device's older ones beyond the last few are forgotten.
    fn put_device(&self, record: &DeviceRecord) -> StoreFuture<'_, ()>;

    /// The record of a credential, also when it has expired or its user is blocked; `None` when unknown or revoked.
    fn device(&self, hash: CredentialHash) -> StoreFuture<'_, Option<DeviceRecord>>;

    /// Revokes every credential of a device. Returns whether there was one.
    fn revoke_device(&self, address: &DeviceAddress) -> StoreFuture<'_, bool>;

    /// The private key that signs pushes: the one that is kept, else `fresh`, which is kept from now on.
    fn push_key(&self, fresh: PushKey) -> StoreFuture<'_, PushKey>;

    /// Keeps how a device is woken, in place of what was known. It belongs to the device's registration and goes with it.
    fn put_push(&self, record: &PushRecord) -> StoreFuture<'_, ()>;

    /// Forgets how a device is woken; with an `endpoint` only when that one is known. Returns whether it was known.
    fn delete_push(&self, address: &DeviceAddress, endpoint: Option<&str>) -> StoreFuture<'_, bool>;

    /// How the devices of a user are woken: those with a credential that is good at `now`, at most [`PUSHES_PER_USER`].
    fn pushes_of(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        now: UnixSeconds,
    ) -> StoreFuture<'_, Vec<PushRecord>>;

    /// The newest credential of each device of an application that has one which has not ended, by user and device: at most `limit`,
    /// beginning after `after`.
    fn devices(
        &self,
        application: &ApplicationKey,
        user: Option<&UserId>,
        now: UnixSeconds,
        after: Option<&(UserId, DeviceId)>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<DeviceRecord>>;

    /// Lets a user in no more, or again.
    fn block_user(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        since: Option<UnixSeconds>,
    ) -> StoreFuture<'_, ()>;

    /// Since when a user is blocked.
    fn blocked_since(
        &self,
        application: &ApplicationKey,
        user: &UserId,
    ) -> StoreFuture<'_, Option<UnixSeconds>>;

    /// Blocked users of an application by name, with the time of the block: at most `limit`, beginning after `after`.
    fn blocked_users(
        &self,
        application: &ApplicationKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(UserId, UnixSeconds)>>;

    /// Keeps the record of a call that is over. The same record once more changes nothing.
    fn put_record(&self, record: &CallDetailRecord) -> StoreFuture<'_, ()>;

    /// The newest record of a call.
    fn record(
        &self,
        application: &ApplicationKey,
        call_id: &CallId,
    ) -> StoreFuture<'_, Option<CallDetailRecord>>;

    /// Records in the order in which they were written.
    fn records(&self, query: &RecordQuery) -> StoreFuture<'_, RecordPage>;

    /// Forgets nonces and credentials that ended before `now`, and how devices without a credential are woken.
    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, ()>;

    /// How many jobs wait inside the store, for metrics.
    fn queued(&self) -> usize {
        0
    }

    /// How many call records wait on this machine's disk for a database that is away.
    fn waiting_records(&self) -> usize {
        0
    }

    /// Whether the store works, for the readiness page.
    fn check(&self) -> StoreFuture<'_, ()>;
}

/// The store could not do it. The server tells the client to come back later.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The folder or file cannot be opened: look at its path and permissions.
    #[error("cannot open the store at {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Another server has this data folder: stop that one, or give each a folder of its own. Nodes of a cluster share one, unless a database
    /// has their records.
    #[error("another server that runs has the data folder {path}")]
    InUse {
        /// The folder.
        path: String,
    },
    /// The database does not answer: see that it runs, and that address and firewalls let this machine reach it.
    #[error("cannot reach PostgreSQL at {address}: {reason}")]
    Unreachable {
        /// Host, port and database.
        address: String,
        /// Why.
        reason: String,
    },
    /// The database answers and does not let us in or do what is needed: correct user, password, database, rights or TLS.
    #[error("PostgreSQL at {address} refuses: {reason}")]
    Refused {
        /// Host, port and database.
        address: String,
        /// What it says.
        reason: String,
    },
    /// So many call records wait for a database that is away that no more are taken: bring it back.
    #[error("the outbox holds {0} call records and takes no more")]
    OutboxFull(usize),
    /// The file was written by a newer release: use that one.
    #[error("the store has schema version {found}, this release knows {known}")]
    TooNew {
        /// The version in the file.
        found: u32,
        /// The newest this release knows.
        known: u32,
    },
    /// The key of the store cannot be used.
    #[error(transparent)]
    Key(#[from] StoreKeyError),
    /// The store was made with another key: give that one.
    #[error("the store was sealed with another key: give the key that {path} was made with")]
    WrongKey {
        /// The file or database.
        path: String,
    },
    /// A statement or commit failed, for instance because the disk is full.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The SHA-256 of a device credential: all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialHash(pub [u8; 32]);

impl CredentialHash {
    /// The hash of a credential.
    #[must_use]
    pub fn of(credential: &DeviceCredential) -> Self {
        Self(Sha256::digest(credential.expose()).into())
    }
}

impl fmt::Debug for CredentialHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialHash(redacted)")
    }
}

/// One credential of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Whom it lets in.
    pub address: DeviceAddress,
    /// Its hash.
    pub hash: CredentialHash,
    /// When it was issued.
    pub issued: UnixSeconds,
    /// When it ends.
    pub expires: UnixSeconds,
}

/// The private key that signs pushes (P-256).
#[derive(Clone, PartialEq, Eq)]
pub struct PushKey(pub [u8; 32]);

impl fmt::Debug for PushKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushKey(redacted)")
    }
}

/// How one device is woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRecord {
    /// The device.
    pub address: DeviceAddress,
    /// What it told.
    pub subscription: PushSubscription,
}
