//! Reads everything, for a copy.

use rusqlite::Connection;
use rusqlite::types::{Type, Value};
use tokio::sync::mpsc;

use crate::store::StoreError;
use crate::store::copy::{Batch, Cell, Kind, Table, tables};

/// Sends all rows of all tables as they are in one instant; ends early when nobody takes them any more. Blocks.
pub(in crate::store) fn read_all(
    connection: &Connection,
    batch: usize,
    to: &mpsc::Sender<Batch>,
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Failed(error.to_string());
    // What is read is of the instant of the first statement.
    let reading = connection.unchecked_transaction().map_err(failed)?;
    for table in tables() {
        if !read(&reading, table, batch, to).map_err(failed)? {
            break;
        }
    }
    Ok(())
}

/// False when nobody takes the rows.
fn read(
    connection: &Connection,
    table: &'static Table,
    batch: usize,
    to: &mpsc::Sender<Batch>,
) -> rusqlite::Result<bool> {
    let (columns, first) = (table.listed(), table.columns[0].0);
    let sql = format!("SELECT {columns} FROM {} ORDER BY \"{first}\"", table.name);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = table.columns.iter().enumerate();
        let cells = cells.map(|(index, (_, kind))| cell(index, *kind, row.get(index)?));
        waiting.push(cells.collect::<rusqlite::Result<Vec<_>>>()?);
        if waiting.len() == batch
            && to.blocking_send(Batch { table, rows: std::mem::take(&mut waiting) }).is_err()
        {
            return Ok(false);
        }
    }
    Ok(waiting.is_empty() || to.blocking_send(Batch { table, rows: waiting }).is_ok())
}

fn cell(index: usize, kind: Kind, value: Value) -> rusqlite::Result<Cell> {
    Ok(match (kind, value) {
        (Kind::Text, Value::Null) => Cell::Text(None),
        (Kind::Text, Value::Text(text)) => Cell::Text(Some(text)),
        (Kind::Number, Value::Null) => Cell::Number(None),
        (Kind::Number, Value::Integer(number)) => Cell::Number(Some(number)),
        (Kind::Bytes, Value::Null) => Cell::Bytes(None),
        (Kind::Bytes, Value::Blob(bytes)) => Cell::Bytes(Some(bytes)),
        (Kind::Flag, Value::Integer(number)) => Cell::Flag(number != 0),
        // Tables are STRICT: no other release writes such a thing.
        (_, other) => {
            let error = format!("unexpected {:?}", other.data_type());
            return Err(rusqlite::Error::FromSqlConversionFailure(index, Type::Null, error.into()));
        }
    })
}
