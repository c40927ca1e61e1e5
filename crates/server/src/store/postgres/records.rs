//! Call detail records.

use std::sync::Arc;

use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::values::{column, millis, unix_millis, unreadable, word, words};
use super::writer::failed;
use crate::store::{CallDetailRecord, RecordPage, RecordQuery, StoreError, UnixMillis};

type Value<'a> = (&'a (dyn ToSql + Sync), Type);

const COLUMNS: &str =
    "application, call_id, caller, callee, caller_device, callee_device, started_ms, rang_ms, answered_ms,
    established_ms, ended_ms, talked_ms, cause, error, ended_by, taken_over, headers, id";

const PUT: &str = "
    INSERT INTO call_records (application, call_id, caller, callee, caller_device, callee_device, started_ms,
        rang_ms, answered_ms, established_ms, ended_ms, talked_ms, cause, error, ended_by, taken_over, headers)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT (application, call_id, started_ms) DO NOTHING";

/// A record with the words it is written in.
#[derive(Debug)]
pub(super) struct Worded {
    record: CallDetailRecord,
    cause: String,
    error: Option<String>,
    ended_by: String,
    headers: String,
}

impl Worded {
    pub(super) fn of(record: CallDetailRecord) -> Result<Self, StoreError> {
        Ok(Self {
            cause: words(&record.cause)?,
            error: record.error.as_ref().map(words).transpose()?,
            ended_by: words(&record.ended_by)?,
            headers: serde_json::to_string(&record.headers).map_err(unreadable)?,
            record,
        })
    }
}

pub(super) async fn put(client: Arc<Client>, worded: Arc<Worded>) -> Result<(), tokio_postgres::Error> {
    let Worded { record, cause, error, ended_by, headers } = &*worded;
    let values: [Value<'_>; 17] = [
        (&record.application.as_str(), Type::TEXT),
        (&record.call_id.as_str(), Type::TEXT),
        (&record.caller.as_str(), Type::TEXT),
        (&record.callee.as_str(), Type::TEXT),
        (&record.caller_device.as_ref().map(DeviceId::as_str), Type::TEXT),
        (&record.callee_device.as_ref().map(DeviceId::as_str), Type::TEXT),
        (&millis(record.started), Type::INT8),
        (&record.rang.map(millis), Type::INT8),
        (&record.answered.map(millis), Type::INT8),
        (&record.established.map(millis), Type::INT8),
        (&millis(record.ended), Type::INT8),
        (&record.talked_ms.map(|talked| millis(UnixMillis(talked))), Type::INT8),
        (cause, Type::TEXT),
        (error, Type::TEXT),
        (ended_by, Type::TEXT),
        (&record.taken_over, Type::BOOL),
        (headers, Type::TEXT),
    ];
    client.execute_typed(PUT, &values).await.map(drop)
}

pub(super) async fn of_call(
    client: &Client,
    application: &ApplicationKey,
    call_id: &CallId,
) -> Result<Option<CallDetailRecord>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM call_records WHERE application = $1 AND call_id = $2 ORDER BY id DESC LIMIT 1"
    );
    let values: [Value<'_>; 2] = [(&application.as_str(), Type::TEXT), (&call_id.as_str(), Type::TEXT)];
    let row = client.query_typed_opt(&sql, &values).await.map_err(|error| failed(&error))?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn page(client: &Client, query: &RecordQuery) -> Result<RecordPage, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM call_records
         WHERE application = $1 AND id > $2 AND ended_ms >= $3 AND ended_ms < $4
             AND ($5::text IS NULL OR caller = $5 OR callee = $5)
         ORDER BY id LIMIT $6"
    );
    // One more shows whether there is a next page.
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX - 1) + 1;
    let values: [Value<'_>; 6] = [
        (&query.application.as_str(), Type::TEXT),
        (&millis(UnixMillis(query.after.unwrap_or(0))), Type::INT8),
        (&millis(query.from.unwrap_or(UnixMillis(0))), Type::INT8),
        (&millis(query.to.unwrap_or(UnixMillis(u64::MAX))), Type::INT8),
        (&query.user.as_ref().map(UserId::as_str), Type::TEXT),
        (&limit, Type::INT8),
    ];
    let mut rows = client.query_typed(&sql, &values).await.map_err(|error| failed(&error))?;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    let next = rows.last().filter(|_| more).map(|row| u64::try_from(row.get::<_, i64>(17)).unwrap_or(0));
    let records = rows.iter().map(record).collect::<Result<_, _>>()?;
    Ok(RecordPage { records, next })
}

fn record(row: &Row) -> Result<CallDetailRecord, StoreError> {
    let device = |index: usize| -> Result<Option<DeviceId>, StoreError> {
        row.get::<_, Option<String>>(index).map(DeviceId::new).transpose().map_err(unreadable)
    };
    let time = |index: usize| row.get::<_, Option<i64>>(index).map(unix_millis);
    Ok(CallDetailRecord {
        application: column(row, 0, ApplicationKey::new)?,
        call_id: column(row, 1, CallId::new)?,
        caller: column(row, 2, UserId::new)?,
        callee: column(row, 3, UserId::new)?,
        caller_device: device(4)?,
        callee_device: device(5)?,
        started: unix_millis(row.get(6)),
        rang: time(7),
        answered: time(8),
        established: time(9),
        ended: unix_millis(row.get(10)),
        talked_ms: time(11).map(|talked| talked.0),
        cause: word(row.get(12))?,
        error: row.get::<_, Option<&str>>(13).map(word).transpose()?,
        ended_by: word(row.get(14))?,
        taken_over: row.get(15),
        headers: serde_json::from_str(row.get(16)).map_err(unreadable)?,
    })
}
