//! Copies everything from a SQLite store into an empty PostgreSQL database, in one transaction: all of it is there afterwards, or nothing.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::sync::mpsc;

use super::postgres::Filling;
use super::seal::SealError;
use super::{PostgresUrl, SqliteStore, StoreError, StoreKey, StoreKeySource};

/// Rows that go together.
const BATCH: usize = 1000;
/// Batches that have been read and wait to be written.
const AHEAD: usize = 4;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Bytes,
    /// 0 or 1 in SQLite.
    Flag,
}

/// A table, the same in both; the first column orders it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
}

impl Table {
    /// The columns as SQL names them.
    pub(super) fn listed(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| format!("\"{name}\""));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whether rows have a number that the database gives.
    pub(super) fn is_numbered(&self) -> bool {
        self.columns[0].0 == "id" && self.name != "push_key"
    }
}

use Kind::{Bytes, Flag, Number, Text};

/// All of a store but the proof of its key and the steps of its schema.
pub(super) const TABLES: [Table; 7] = [
    Table {
        name: "applications",
        columns: &[
            ("key", Text),
            ("created", Number),
            ("name", Text),
            ("origin", Text),
            ("blocked", Number),
            ("callbacks", Text),
        ],
    },
    Table {
        name: "application_secrets",
        columns: &[
            ("application", Text),
            ("position", Number),
            ("sealed", Bytes),
            ("accepted_until", Number),
        ],
    },
    Table {
        name: "device_credentials",
        columns: &[
            ("id", Number),
            ("hash", Bytes),
            ("application", Text),
            ("user", Text),
            ("device", Text),
            ("issued", Number),
            ("expires", Number),
            ("revoked", Flag),
        ],
    },
    Table {
        name: "nonces",
        columns: &[("scope", Text), ("nonce", Text), ("device", Text), ("expires", Number)],
    },
    Table { name: "push_key", columns: &[("id", Number), ("key", Bytes)] },
    Table {
        name: "push_subscriptions",
        columns: &[
            ("id", Number),
            ("application", Text),
            ("user", Text),
            ("device", Text),
            ("endpoint", Text),
            ("p256dh", Text),
            ("auth", Text),
        ],
    },
    Table { name: "blocked_users", columns: &[("application", Text), ("user", Text), ("since", Number)] },
];

/// The last and largest.
pub(super) const RECORDS: Table = Table {
    name: "call_records",
    columns: &[
        ("id", Number),
        ("application", Text),
        ("call_id", Text),
        ("caller", Text),
        ("callee", Text),
        ("caller_device", Text),
        ("callee_device", Text),
        ("started_ms", Number),
        ("rang_ms", Number),
        ("answered_ms", Number),
        ("established_ms", Number),
        ("ended_ms", Number),
        ("talked_ms", Number),
        ("cause", Text),
        ("error", Text),
        ("ended_by", Text),
        ("taken_over", Flag),
        ("headers", Text),
    ],
};

/// Every table, in the order in which they are copied.
pub(super) fn tables() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().chain([&RECORDS])
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Text(Option<String>),
    Number(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Flag(bool),
}

/// Rows of one table.
pub(super) struct Batch {
    pub(super) table: &'static Table,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// How many rows of a table there are in the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// Why a store was not copied. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no store in the folder: give the one that `offhook serve --data` used.
    #[error("there is no store in {0}")]
    NoSource(PathBuf),
    /// The store in the folder cannot be read.
    #[error("the store to copy: {0}")]
    Source(StoreError),
    /// The database cannot be used.
    #[error("the database to copy into: {0}")]
    Target(StoreError),
    /// The database holds something already: give an empty one.
    #[error("{address} is not empty: there are {table} in it")]
    NotEmpty {
        /// Host, port and database.
        address: String,
        /// A table that has rows.
        table: &'static str,
    },
    /// A secret of an application does not open: the store is damaged.
    #[error("a secret of application {0} does not open with the store's key")]
    Sealed(String),
}

/// Copies the store of a folder into an empty database and tells how many rows each table has. Secrets are sealed anew where the database
/// has another key; with [`StoreKeySource::DataFolder`] as `key` it gets that of the store. `progress` is told of each batch of rows.
///
/// The server of the store should not run: what it writes meanwhile is not in the copy.
///
/// # Errors
/// [`CopyError`].
pub async fn copy_store(
    folder: &Path,
    source: &StoreKeySource,
    (url, key): (&PostgresUrl, StoreKeySource),
    mut progress: impl FnMut(&CopiedTable),
) -> Result<Vec<CopiedTable>, CopyError> {
    if !SqliteStore::exists(folder) {
        return Err(CopyError::NoSource(folder.to_owned()));
    }
    let (own, source) = (folder.to_owned(), source.clone());
    let opened = tokio::task::spawn_blocking(move || SqliteStore::connect(&own, &source)).await;
    let (connection, old) = opened.map_err(|_| StoreError::Closed).flatten().map_err(CopyError::Source)?;
    let key = if key == StoreKeySource::DataFolder { StoreKeySource::Given(old.clone()) } else { key };
    let (filling, new) = Filling::begin(url, &key).await.map_err(CopyError::Target)?;
    if let Some(table) = filling.occupied().await.map_err(CopyError::Target)? {
        return Err(CopyError::NotEmpty { address: url.to_string(), table });
    }
    let (batches, mut read) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || super::sqlite::read_all(&connection, BATCH, &batches));
    let mut copied: Vec<CopiedTable> =
        tables().map(|table| CopiedTable { table: table.name, rows: 0 }).collect();
    while let Some(Batch { table, mut rows }) = read.recv().await {
        if table.name == "application_secrets" {
            seal_anew(&mut rows, &old, &new)?;
        }
        let written = filling.write(table, &rows).await.map_err(CopyError::Target)?;
        if let Some(entry) = copied.iter_mut().find(|entry| entry.table == table.name) {
            entry.rows += written;
            progress(entry);
        }
    }
    // It has sent all, or says why it has not.
    reading.await.map_err(|_| StoreError::Closed).flatten().map_err(CopyError::Source)?;
    filling.finish().await.map_err(CopyError::Target)?;
    Ok(copied)
}

/// Secrets of applications, for the key of the copy.
fn seal_anew(rows: &mut [Vec<Cell>], old: &StoreKey, new: &StoreKey) -> Result<(), CopyError> {
    for row in rows {
        let [Cell::Text(Some(application)), _, Cell::Bytes(Some(sealed)), _] = &mut row[..] else { continue };
        let anew = |_: SealError| CopyError::Sealed(application.clone());
        let plain = old.open(application, sealed).map_err(anew)?;
        *sealed = new.seal(application, &plain).map_err(anew)?;
    }
    Ok(())
}
