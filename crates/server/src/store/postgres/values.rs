//! Values of the domain as columns, and back.

use offhook_signaling::UnixSeconds;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use crate::store::{StoreError, UnixMillis};

/// A value that this release did not write.
pub(super) fn unreadable(error: impl std::error::Error) -> StoreError {
    StoreError::Failed(format!("unreadable: {error}"))
}

/// A text column as the type it came from.
pub(super) fn column<T, E: std::error::Error>(
    row: &Row,
    index: usize,
    read: impl Fn(String) -> Result<T, E>,
) -> Result<T, StoreError> {
    read(row.get(index)).map_err(unreadable)
}

/// The numbers are signed; a time beyond them means "never".
pub(super) fn seconds(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn optional_seconds(time: Option<UnixSeconds>) -> Option<i64> {
    time.map(seconds)
}

pub(super) fn unix_seconds(time: i64) -> UnixSeconds {
    UnixSeconds(u64::try_from(time).unwrap_or(0))
}

pub(super) fn millis(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn unix_millis(time: i64) -> UnixMillis {
    UnixMillis(u64::try_from(time).unwrap_or(0))
}

/// The word of the wire protocol for a value.
pub(super) fn words(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) => Err(StoreError::Failed("a value is no single word".to_owned())),
        Err(error) => Err(StoreError::Failed(error.to_string())),
    }
}

/// The value of a word of the wire protocol.
pub(super) fn word<T: DeserializeOwned>(word: &str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(unreadable)
}
