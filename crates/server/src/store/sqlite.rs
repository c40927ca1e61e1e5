//! One SQLite file (WAL, synchronous FULL) behind one thread that commits waiting jobs together.

mod applications;
mod devices;
mod migrations;
mod pushes;
mod reading;
mod records;
mod writer;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UnixSeconds, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use self::reading::read_all;
pub(super) use self::writer::Writer;
use super::folder::{FolderLock, Tenancy};
use super::{
    CallDetailRecord, CredentialHash, DeviceRecord, KEY_CHECK, PushKey, PushRecord, RecordPage, RecordQuery,
    Store, StoreError, StoreFuture, StoreKey, StoreKeySource, StoredApplication,
};

const FILE: &str = "offhook.sqlite3";
const LOCK: &str = "offhook.lock";

/// Keeps everything in `offhook.sqlite3` of a folder. What was answered `Ok` survives `kill -9` and, as far as the disk
/// keeps its word, a power cut.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    key: Arc<StoreKey>,
    /// Held by servers for as long as this lives.
    _lock: Option<FolderLock>,
}

impl SqliteStore {
    /// Opens or creates the file, brings its schema up to date and starts the writer thread. Blocks while doing so. A server may have the
    /// folder meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::TooNew`] for a file of a newer release, [`StoreError::Key`] or
    /// [`StoreError::WrongKey`].
    pub fn open(folder: impl AsRef<Path>, source: &StoreKeySource) -> Result<Self, StoreError> {
        Self::start(folder.as_ref(), source, None)
    }

    /// As [`Self::open`], for a server, which has the folder for as long as this lives.
    ///
    /// # Errors
    /// As for [`Self::open`], and [`StoreError::InUse`].
    pub(crate) fn open_for_server(
        folder: &Path,
        source: &StoreKeySource,
        tenancy: Tenancy,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::Open {
            path: folder.display().to_string(),
            reason: error.to_string(),
        })?;
        let lock = FolderLock::take(folder, LOCK, tenancy)?;
        Self::start(folder, source, Some(lock))
    }

    fn start(folder: &Path, source: &StoreKeySource, lock: Option<FolderLock>) -> Result<Self, StoreError> {
        let (connection, key) = Self::connect(folder, source)?;
        let fail = |error: std::io::Error| StoreError::Open {
            path: folder.join(FILE).display().to_string(),
            reason: error.to_string(),
        };
        let writer = Writer::start(connection).map_err(fail)?;
        Ok(Self { writer, key: Arc::new(key), _lock: lock })
    }

    /// The file with the newest schema, and the key that fits it.
    pub(super) fn connect(
        folder: &Path,
        source: &StoreKeySource,
    ) -> Result<(Connection, StoreKey), StoreError> {
        let path = folder.join(FILE);
        let fail = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
        create_private(folder, &path).map_err(|error| fail(error.to_string()))?;
        let connection = Connection::open(&path).map_err(|error| fail(error.to_string()))?;
        configure(&connection).map_err(|error| fail(error.to_string()))?;
        let check = key_check(&connection).map_err(|error| fail(error.to_string()))?;
        let key = source.find(Some(folder), check.is_some())?;
        migrations::run(&connection, &key).map_err(|error| match error {
            StoreError::Failed(reason) => fail(reason),
            other => other,
        })?;
        prove_key(&connection, &key, check.as_deref())
            .map_err(|error| fail(error.to_string()))?
            .then_some(())
            .ok_or_else(|| StoreError::WrongKey { path: path.display().to_string() })?;
        Ok((connection, key))
    }

    /// Whether a folder holds a store; also true where that cannot be seen: who opens it is told why.
    #[must_use]
    pub fn exists(folder: &Path) -> bool {
        folder.join(FILE).try_exists().unwrap_or(true)
    }

    fn run<'a, T: Send + 'static>(
        &'a self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        self.writer.run(job).boxed()
    }
}

/// Makes folder and file readable by their owner only: the file holds application secrets.
pub(super) fn create_private(folder: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(file).map(drop)
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // What is deleted, for instance a secret, is overwritten.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))
}

/// What shows the right key; `None` in a file that has none yet.
fn key_check(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    let known: bool = connection.query_row(
        "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = 'meta'",
        [],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(None);
    }
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [KEY_CHECK], |row| row.get(0)).optional()
}

/// Whether the key is the one the store was made with; a new store takes it.
fn prove_key(connection: &Connection, key: &StoreKey, check: Option<&[u8]>) -> rusqlite::Result<bool> {
    if let Some(check) = check {
        return Ok(key.open(KEY_CHECK, check).is_ok());
    }
    let sealed =
        key.seal(KEY_CHECK, b"").map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", (KEY_CHECK, sealed))?;
    // Secrets that an earlier release wrote in the clear leave the log too.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(true)
}

impl Store for SqliteStore {
    fn applications(&self) -> StoreFuture<'_, Vec<StoredApplication>> {
        let key = self.key.clone();
        self.run(move |connection| applications::all(connection, &key))
    }

    fn put_application(&self, application: &StoredApplication) -> StoreFuture<'_, ()> {
        let (key, application) = (self.key.clone(), application.clone());
        self.run(move |connection| applications::put(connection, &key, &application))
    }

    fn bind_nonce(
        &self,
        scope: &str,
        nonce: &str,
        device: &DeviceId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> StoreFuture<'_, NonceUse> {
        let (scope, nonce, device) = (scope.to_owned(), nonce.to_owned(), device.to_string());
        self.run(move |connection| devices::bind_nonce(connection, &scope, &nonce, &device, expires, now))
    }

    fn put_device(&self, record: &DeviceRecord) -> StoreFuture<'_, ()> {
        let record = record.clone();
        self.run(move |connection| devices::put(connection, &record))
    }

    fn device(&self, hash: CredentialHash) -> StoreFuture<'_, Option<DeviceRecord>> {
        self.run(move |connection| devices::by_hash(connection, hash))
    }

    fn revoke_device(&self, address: &DeviceAddress) -> StoreFuture<'_, bool> {
        let address = address.clone();
        self.run(move |connection| devices::revoke(connection, &address))
    }

    fn devices(
        &self,
        application: &ApplicationKey,
        user: Option<&UserId>,
        now: UnixSeconds,
        after: Option<&(UserId, DeviceId)>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<DeviceRecord>> {
        let (application, user, after) = (application.clone(), user.cloned(), after.cloned());
        self.run(move |connection| {
            devices::all(connection, &application, user.as_ref(), now, (after.as_ref(), limit))
        })
    }

    fn block_user(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        since: Option<UnixSeconds>,
    ) -> StoreFuture<'_, ()> {
        let (application, user) = (application.clone(), user.clone());
        self.run(move |connection| devices::block(connection, &application, &user, since))
    }

    fn blocked_since(
        &self,
        application: &ApplicationKey,
        user: &UserId,
    ) -> StoreFuture<'_, Option<UnixSeconds>> {
        let (application, user) = (application.clone(), user.clone());
        self.run(move |connection| devices::blocked_since(connection, &application, &user))
    }

    fn blocked_users(
        &self,
        application: &ApplicationKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(UserId, UnixSeconds)>> {
        let (application, after) = (application.clone(), after.cloned());
        self.run(move |connection| devices::blocked(connection, &application, after.as_ref(), limit))
    }

    fn put_record(&self, record: &CallDetailRecord) -> StoreFuture<'_, ()> {
        let record = record.clone();
        self.run(move |connection| records::put(connection, &record))
    }

    fn record(
        &self,
        application: &ApplicationKey,
        call_id: &CallId,
    ) -> StoreFuture<'_, Option<CallDetailRecord>> {
        let (application, call_id) = (application.clone(), call_id.clone());
        self.run(move |connection| records::of_call(connection, &application, &call_id))
    }

    fn records(&self, query: &RecordQuery) -> StoreFuture<'_, RecordPage> {
        let query = query.clone();
        self.run(move |connection| records::page(connection, &query))
    }

    fn push_key(&self, fresh: PushKey) -> StoreFuture<'_, PushKey> {
        self.run(move |connection| pushes::key(connection, &fresh))
    }

    fn put_push(&self, record: &PushRecord) -> StoreFuture<'_, ()> {
        let record = record.clone();
        self.run(move |connection| pushes::put(connection, &record))
    }

    fn delete_push(&self, address: &DeviceAddress, endpoint: Option<&str>) -> StoreFuture<'_, bool> {
        let (address, endpoint) = (address.clone(), endpoint.map(str::to_owned));
        self.run(move |connection| pushes::delete(connection, &address, endpoint.as_deref()))
    }

    fn pushes_of(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        now: UnixSeconds,
    ) -> StoreFuture<'_, Vec<PushRecord>> {
        let (application, user) = (application.clone(), user.clone());
        self.run(move |connection| pushes::of_user(connection, &application, &user, now))
    }

    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, ()> {
        self.run(move |connection| {
            connection.execute("DELETE FROM nonces WHERE expires < ?1", [seconds(now)])?;
            connection.execute("DELETE FROM device_credentials WHERE expires < ?1", [seconds(now)])?;
            pushes::prune(connection)
        })
    }

    fn queued(&self) -> usize {
        self.writer.queued()
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        // A full disk can still be read.
        self.run(|connection| {
            let sql = "INSERT INTO meta (name, value) VALUES (?1, randomblob(8))
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            connection.prepare_cached(sql)?.execute(["written"]).map(drop)
        })
    }
}

fn column<T, E>(row: &Row<'_>, index: usize, read: impl Fn(String) -> Result<T, E>) -> rusqlite::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    read(row.get(index)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)))
}

/// SQLite has signed numbers only; a time beyond them means "never".
fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn unix_seconds(time: i64) -> UnixSeconds {
    UnixSeconds(u64::try_from(time).unwrap_or(0))
}

/// The word of the wire protocol for a value.
fn words(value: &impl Serialize) -> rusqlite::Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) => Err(rusqlite::Error::InvalidQuery),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
    }
}

/// The value of a word of the wire protocol.
fn word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    column(row, index, |text| serde_json::from_value(serde_json::Value::String(text)))
}
