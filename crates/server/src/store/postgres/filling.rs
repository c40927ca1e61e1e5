//! An empty database that is filled, in one transaction.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::link::Link;
use super::prepared;
use super::url::PostgresUrl;
use super::writer::failed;
use crate::store::copy::{Cell, Kind, Table, tables};
use crate::store::{StoreError, StoreKey, StoreKeySource};

/// A transaction that ends with [`Self::finish`]; dropped before, it leaves nothing.
#[derive(Debug)]
pub(in crate::store) struct Filling {
    client: Arc<Client>,
    /// The connection ends with it.
    _link: Link,
}

impl Filling {
    /// Connects, brings the schema up to date and lets nobody else write.
    pub(in crate::store) async fn begin(
        url: &PostgresUrl,
        key: &StoreKeySource,
    ) -> Result<(Self, StoreKey), StoreError> {
        let link = Link::open(url, "copy").await?;
        let key = prepared(&link, url, key, None).await?;
        let client = link.client().await?;
        let names: Vec<&str> = tables().map(|table| table.name).collect();
        let begin = format!("BEGIN; LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "));
        client.batch_execute(&begin).await.map_err(|error| failed(&error))?;
        Ok((Self { client, _link: link }, key))
    }

    /// A table that has rows.
    pub(in crate::store) async fn occupied(&self) -> Result<Option<&'static str>, StoreError> {
        for table in tables() {
            let any = format!("SELECT EXISTS (SELECT FROM {})", table.name);
            let row = self.client.query_typed_one(&any, &[]).await.map_err(|error| failed(&error))?;
            if row.get(0) {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    /// Adds rows; how many.
    pub(in crate::store) async fn write(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<u64, StoreError> {
        let sql = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.listed());
        let types: Vec<Type> = table.columns.iter().map(|(_, kind)| sql_type(*kind)).collect();
        let copied = async {
            let sink = self.client.copy_in(&sql).await?;
            let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
            for row in rows {
                let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(value).collect();
                writer.as_mut().write(&values).await?;
            }
            writer.finish().await
        };
        copied.await.map_err(|error| failed(&error))
    }

    /// Lets numbers go on behind those that were copied, and commits.
    pub(in crate::store) async fn finish(self) -> Result<(), StoreError> {
        for table in tables().filter(|table| table.is_numbered()) {
            let next = format!(
                "SELECT setval(pg_get_serial_sequence('{0}', 'id'), max(id)) FROM {0} HAVING count(*) > 0",
                table.name
            );
            self.client.query_typed(&next, &[]).await.map_err(|error| failed(&error))?;
        }
        self.client.batch_execute("COMMIT").await.map_err(|error| failed(&error))
    }
}

const fn sql_type(kind: Kind) -> Type {
    match kind {
        Kind::Text => Type::TEXT,
        Kind::Number => Type::INT8,
        Kind::Bytes => Type::BYTEA,
        Kind::Flag => Type::BOOL,
    }
}

fn value(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Text(text) => text,
        Cell::Number(number) => number,
        Cell::Bytes(bytes) => bytes,
        Cell::Flag(flag) => flag,
    }
}
