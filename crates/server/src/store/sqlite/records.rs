//! Call detail records.

use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{column, word, words};
use crate::store::{CallDetailRecord, RecordPage, RecordQuery, UnixMillis};

const COLUMNS: &str =
    "application, call_id, caller, callee, caller_device, callee_device, started_ms, rang_ms,
    answered_ms, established_ms, ended_ms, talked_ms, cause, error, ended_by, taken_over, headers, id";

pub(super) fn put(connection: &Connection, record: &CallDetailRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO call_records (application, call_id, caller, callee, caller_device, callee_device,
                 started_ms, rang_ms, answered_ms, established_ms, ended_ms, talked_ms, cause, error, ended_by,
                 taken_over, headers)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT (application, call_id, started_ms) DO NOTHING",
        )?
        .execute(params![
            record.application.as_str(),
            record.call_id.as_str(),
            record.caller.as_str(),
            record.callee.as_str(),
            record.caller_device.as_ref().map(DeviceId::as_str),
            record.callee_device.as_ref().map(DeviceId::as_str),
            millis(record.started),
            record.rang.map(millis),
            record.answered.map(millis),
            record.established.map(millis),
            millis(record.ended),
            record.talked_ms.map(|talked| millis(UnixMillis(talked))),
            words(&record.cause)?,
            record.error.as_ref().map(words).transpose()?,
            words(&record.ended_by)?,
            record.taken_over,
            serde_json::to_string(&record.headers)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?,
        ])
        .map(drop)
}

pub(super) fn of_call(
    connection: &Connection,
    application: &ApplicationKey,
    call_id: &CallId,
) -> rusqlite::Result<Option<CallDetailRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM call_records WHERE application = ?1 AND call_id = ?2 ORDER BY id DESC LIMIT 1"
        ))?
        .query_row([application.as_str(), call_id.as_str()], record)
        .optional()
}

pub(super) fn page(connection: &Connection, query: &RecordQuery) -> rusqlite::Result<RecordPage> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM call_records
         WHERE application = :application AND id > :after AND ended_ms >= :from AND ended_ms < :to
             AND (:user IS NULL OR caller = :user OR callee = :user)
         ORDER BY id LIMIT :limit"
    ))?;
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX - 1);
    let rows = statement.query_map(
        named_params! {
            ":application": query.application.as_str(),
            ":after": millis(UnixMillis(query.after.unwrap_or(0))),
            ":from": millis(query.from.unwrap_or(UnixMillis(0))),
            ":to": millis(query.to.unwrap_or(UnixMillis(u64::MAX))),
            ":user": query.user.as_ref().map(UserId::as_str),
            // One more shows whether there is a next page.
            ":limit": limit + 1,
        },
        |row| Ok((row.get::<_, i64>(17)?, record(row)?)),
    )?;
    let mut records = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = records.len() > query.limit;
    records.truncate(query.limit);
    let next = records.last().filter(|_| more).map(|(id, _)| u64::try_from(*id).unwrap_or(0));
    Ok(RecordPage { records: records.into_iter().map(|(_, record)| record).collect(), next })
}

fn record(row: &Row<'_>) -> rusqlite::Result<CallDetailRecord> {
    let device = |index: usize| -> rusqlite::Result<Option<DeviceId>> {
        let text: Option<String> = row.get(index)?;
        text.map(|_| column(row, index, DeviceId::new)).transpose()
    };
    let time = |index: usize| row.get::<_, Option<i64>>(index).map(|time| time.map(unix_millis));
    let headers: String = row.get(16)?;
    let error: Option<String> = row.get(13)?;
    Ok(CallDetailRecord {
        application: column(row, 0, ApplicationKey::new)?,
        call_id: column(row, 1, CallId::new)?,
        caller: column(row, 2, UserId::new)?,
        callee: column(row, 3, UserId::new)?,
        caller_device: device(4)?,
        callee_device: device(5)?,
        started: unix_millis(row.get(6)?),
        rang: time(7)?,
        answered: time(8)?,
        established: time(9)?,
        ended: unix_millis(row.get(10)?),
        talked_ms: time(11)?.map(|talked| talked.0),
        cause: word(row, 12)?,
        error: error.map(|_| word(row, 13)).transpose()?,
        ended_by: word(row, 14)?,
        taken_over: row.get(15)?,
        headers: serde_json::from_str(&headers)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(16, Type::Text, Box::new(error)))?,
    })
}

/// SQLite has signed numbers only; a time beyond them means "never".
fn millis(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn unix_millis(time: i64) -> UnixMillis {
    UnixMillis(u64::try_from(time).unwrap_or(0))
}
