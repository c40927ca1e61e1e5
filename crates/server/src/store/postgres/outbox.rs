//! Call records that wait on this machine's disk while the database is away: one SQLite file, written as carefully as the store itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use offhook_signaling::{ApplicationKey, CallId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::Notify;

use crate::store::folder::{FolderLock, Tenancy};
use crate::store::sqlite::{Writer, configure, create_private};
use crate::store::{CallDetailRecord, StoreError};

const FILE: &str = "offhook-outbox.sqlite3";
const LOCK: &str = "offhook-outbox.lock";
/// About a gigabyte of disk.
const MOST_RECORDS: usize = 1_000_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        application TEXT NOT NULL,
        call_id TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS outbox_calls ON outbox (application, call_id);
";

/// The file and how much is in it.
#[derive(Debug)]
pub(super) struct Outbox {
    writer: Writer,
    waiting: AtomicUsize,
    most: usize,
    /// Held for as long as this lives: two servers would each count and send what both wrote.
    _lock: FolderLock,
    /// There is something to send.
    pub(super) filled: Notify,
}

impl Outbox {
    /// Opens or creates the file of a folder. Blocks while doing so.
    pub(super) fn open(folder: &Path) -> Result<Arc<Self>, StoreError> {
        let path = folder.join(FILE);
        let fail = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
        create_private(folder, &path).map_err(|error| fail(error.to_string()))?;
        let lock = FolderLock::take(folder, LOCK, Tenancy::Alone)?;
        let open = || -> rusqlite::Result<(Connection, usize)> {
            let connection = Connection::open(&path)?;
            configure(&connection)?;
            connection.execute_batch(SCHEMA)?;
            let waiting: i64 = connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
            Ok((connection, usize::try_from(waiting).unwrap_or(0)))
        };
        let (connection, waiting) = open().map_err(|error| fail(error.to_string()))?;
        let writer = Writer::start(connection).map_err(|error| fail(error.to_string()))?;
        let outbox = Self {
            writer,
            waiting: AtomicUsize::new(waiting),
            most: MOST_RECORDS,
            _lock: lock,
            filled: Notify::new(),
        };
        if waiting > 0 {
            outbox.filled.notify_one();
        }
        Ok(Arc::new(outbox))
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Keeps a record until the database has it. It is on disk when this answers.
    pub(super) async fn put(&self, record: CallDetailRecord) -> Result<(), StoreError> {
        if self.waiting() >= self.most {
            return Err(StoreError::OutboxFull(self.most));
        }
        self.writer
            .run(move |connection| {
                let text = serde_json::to_string(&record)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                connection
                    .prepare_cached("INSERT INTO outbox (application, call_id, record) VALUES (?1, ?2, ?3)")?
                    .execute(params![record.application.as_str(), record.call_id.as_str(), text])
            })
            .await?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.filled.notify_one();
        Ok(())
    }

    /// The newest record of a call that waits.
    pub(super) async fn of_call(
        &self,
        application: &ApplicationKey,
        call_id: &CallId,
    ) -> Result<Option<CallDetailRecord>, StoreError> {
        if self.waiting() == 0 {
            return Ok(None);
        }
        let (application, call_id) = (application.clone(), call_id.clone());
        self.writer
            .run(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT record FROM outbox WHERE application = ?1 AND call_id = ?2 ORDER BY id DESC LIMIT 1",
                    )?
                    .query_row([application.as_str(), call_id.as_str()], |row| read(&row.get::<_, String>(0)?))
                    .optional()
            })
            .await
    }

    /// The oldest records behind number `after`.
    pub(super) async fn oldest(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, CallDetailRecord)>, StoreError> {
        self.writer
            .run(move |connection| {
                let mut statement = connection
                    .prepare_cached("SELECT id, record FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2")?;
                let rows = statement.query_map(params![after, limit as i64], |row| {
                    Ok((row.get(0)?, read(&row.get::<_, String>(1)?)?))
                })?;
                rows.collect()
            })
            .await
    }

    /// Forgets records that the database has.
    pub(super) async fn forget(&self, numbers: Vec<i64>) -> Result<(), StoreError> {
        let gone = self
            .writer
            .run(move |connection| {
                let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
                numbers.iter().map(|number| statement.execute([number])).sum::<rusqlite::Result<usize>>()
            })
            .await?;
        self.waiting.fetch_sub(gone.min(self.waiting()), Ordering::Relaxed);
        Ok(())
    }
}

fn read(text: &str) -> rusqlite::Result<CallDetailRecord> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error)))
}
