//! One SQLite file (WAL, synchronous FULL) behind one thread that commits waiting jobs together.

mod migrations;
mod pushes;
mod writer;

use std::path::Path;

use futures_util::FutureExt as _;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::token::{ApplicationSecret, NonceUse};
use offhook_signaling::{ApplicationKey, DeviceId, UnixSeconds, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use self::writer::Writer;
use super::{
    CREDENTIALS_PER_DEVICE, CredentialHash, DeviceRecord, PushKey, PushRecord, Store, StoreError, StoreFuture,
};
use crate::application::Application;

const FILE: &str = "offhook.sqlite3";

/// Keeps everything in `offhook.sqlite3` of a folder. What was answered `Ok` survives `kill -9` and, as far as the disk
/// keeps its word, a power cut.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
}

impl SqliteStore {
    /// Opens or creates the file, brings its schema up to date and starts the writer thread. Blocks while doing so.
    ///
    /// # Errors
    /// [`StoreError::Open`], or [`StoreError::TooNew`] for a file of a newer release.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = folder.as_ref().join(FILE);
        let fail = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
        create_private(folder.as_ref(), &path).map_err(|error| fail(error.to_string()))?;
        let connection = Connection::open(&path).map_err(|error| fail(error.to_string()))?;
        configure(&connection).map_err(|error| fail(error.to_string()))?;
        migrations::run(&connection).map_err(|error| match error {
            StoreError::Failed(reason) => fail(reason),
            other => other,
        })?;
        Ok(Self { writer: Writer::start(connection).map_err(|error| fail(error.to_string()))? })
    }

    fn run<'a, T: Send + 'static>(
        &'a self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        self.writer.run(job).boxed()
    }
}

/// Makes folder and file readable by their owner only: the file holds application secrets.
fn create_private(folder: &Path, file: &Path) -> std::io::Result<()> {
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

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))
}

impl Store for SqliteStore {
    fn applications(&self) -> StoreFuture<'_, Vec<Application>> {
        self.run(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT key, secret, previous_secret FROM applications ORDER BY created")?;
            let rows = statement.query_map([], application)?;
            rows.collect()
        })
    }

    fn put_application(&self, application: &Application) -> StoreFuture<'_, ()> {
        let key = application.key().to_string();
        let secrets: Vec<String> = application.secrets().iter().map(ApplicationSecret::to_base64).collect();
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO applications (key, secret, previous_secret) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET secret = ?2, previous_secret = ?3",
                )?
                .execute(params![key, secrets.first(), secrets.get(1)])
                .map(drop)
        })
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
        self.run(move |connection| bind_nonce(connection, &scope, &nonce, &device, expires, now))
    }

    fn put_device(&self, record: &DeviceRecord) -> StoreFuture<'_, ()> {
        let record = record.clone();
        self.run(move |connection| put_device(connection, &record))
    }

    fn device(&self, hash: CredentialHash) -> StoreFuture<'_, Option<DeviceRecord>> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "SELECT application, user, device, hash, issued, expires FROM device_credentials
                     WHERE hash = ?1 AND revoked = 0",
                )?
                .query_row([hash.0], device_record)
                .optional()
        })
    }

    fn revoke_device(&self, address: &DeviceAddress) -> StoreFuture<'_, bool> {
        let address = address.clone();
        self.run(move |connection| {
            let DeviceAddress { application, user, device } = &address;
            connection
                .prepare_cached(
                    "UPDATE device_credentials SET revoked = 1
                     WHERE application = ?1 AND user = ?2 AND device = ?3 AND revoked = 0",
                )?
                .execute([application.as_str(), user.as_str(), device.as_str()])
                .map(|changed| changed > 0)
                .and_then(|revoked| pushes::delete(connection, &address, None).map(|_| revoked))
        })
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

    fn check(&self) -> StoreFuture<'_, ()> {
        self.run(|connection| connection.query_row("SELECT 1", [], |_| Ok(())))
    }
}

fn bind_nonce(
    connection: &Connection,
    scope: &str,
    nonce: &str,
    device: &str,
    expires: UnixSeconds,
    now: UnixSeconds,
) -> rusqlite::Result<NonceUse> {
    let owner: Option<(String, i64)> = connection
        .prepare_cached("SELECT device, expires FROM nonces WHERE scope = ?1 AND nonce = ?2")?
        .query_row([scope, nonce], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match owner {
        Some((owner, until)) if until >= seconds(now) => {
            return Ok(if owner == device { NonceUse::Repeated } else { NonceUse::OtherDevice });
        }
        _ => {}
    }
    connection
        .prepare_cached(
            "INSERT INTO nonces (scope, nonce, device, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (scope, nonce) DO UPDATE SET device = ?3, expires = ?4",
        )?
        .execute(params![scope, nonce, device, seconds(expires)])?;
    Ok(NonceUse::First)
}

fn put_device(connection: &Connection, record: &DeviceRecord) -> rusqlite::Result<()> {
    let DeviceAddress { application, user, device } = &record.address;
    connection
        .prepare_cached(
            "INSERT INTO device_credentials (hash, application, user, device, issued, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            record.hash.0,
            application.as_str(),
            user.as_str(),
            device.as_str(),
            seconds(record.issued),
            seconds(record.expires)
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM device_credentials WHERE id IN (
                 SELECT id FROM device_credentials WHERE application = ?1 AND user = ?2 AND device = ?3
                 ORDER BY id DESC LIMIT -1 OFFSET ?4)",
        )?
        .execute(params![application.as_str(), user.as_str(), device.as_str(), CREDENTIALS_PER_DEVICE as i64])
        .map(drop)
}

fn application(row: &Row<'_>) -> rusqlite::Result<Application> {
    let key = column(row, 0, ApplicationKey::new)?;
    let secret = column(row, 1, |text| ApplicationSecret::from_base64(&text))?;
    let application = Application::new(key, secret);
    match row.get_ref(2)? {
        rusqlite::types::ValueRef::Null => Ok(application),
        _ => {
            Ok(application
                .with_previous_secret(column(row, 2, |text| ApplicationSecret::from_base64(&text))?))
        }
    }
}

fn device_record(row: &Row<'_>) -> rusqlite::Result<DeviceRecord> {
    Ok(DeviceRecord {
        address: DeviceAddress {
            application: column(row, 0, ApplicationKey::new)?,
            user: column(row, 1, UserId::new)?,
            device: column(row, 2, DeviceId::new)?,
        },
        hash: CredentialHash(row.get(3)?),
        issued: UnixSeconds(u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0)),
        expires: UnixSeconds(u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0)),
    })
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
