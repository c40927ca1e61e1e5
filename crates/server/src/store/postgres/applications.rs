//! Applications and their sealed secrets.

use std::sync::Arc;

use offhook_signaling::ApplicationKey;
use offhook_signaling::token::ApplicationSecret;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::values::{column, optional_seconds, seconds, unix_seconds, unreadable, word, words};
use super::writer::failed;
use crate::store::{StoreError, StoreKey, StoredApplication, StoredSecret};

/// Each secret with its application, the newest first; one that has no secret has one row without.
const ALL: &str = "
    SELECT key, name, origin, created, blocked, callbacks, sealed, accepted_until
    FROM applications LEFT JOIN application_secrets ON application = key
    ORDER BY created, key, position";

const PUT: &str = "
    WITH put AS (
        INSERT INTO applications (key, name, origin, created, blocked, callbacks)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (key) DO UPDATE SET name = $2, origin = $3, blocked = $5, callbacks = $6
    ), gone AS (
        DELETE FROM application_secrets WHERE application = $1 AND position >= cardinality($7)
    )
    INSERT INTO application_secrets (application, position, sealed, accepted_until)
    SELECT $1, place - 1, secret, until
    FROM unnest($7, $8) WITH ORDINALITY AS secrets (secret, until, place)
    ON CONFLICT (application, position)
        DO UPDATE SET sealed = excluded.sealed, accepted_until = excluded.accepted_until";

/// An application as it is written.
#[derive(Debug)]
pub(super) struct Sealed {
    key: String,
    name: String,
    origin: String,
    created: i64,
    blocked: Option<i64>,
    callbacks: Option<String>,
    secrets: Vec<Vec<u8>>,
    until: Vec<Option<i64>>,
}

impl Sealed {
    pub(super) fn of(application: &StoredApplication, key: &StoreKey) -> Result<Self, StoreError> {
        let name = application.key.as_str();
        let seal = |secret: &StoredSecret| {
            key.seal(name, secret.secret.to_base64().as_bytes())
                .map_err(|error| StoreError::Failed(error.to_string()))
        };
        let callbacks = application.callbacks.as_ref().map(serde_json::to_string).transpose();
        Ok(Self {
            key: name.to_owned(),
            name: application.name.clone(),
            origin: words(&application.origin)?,
            created: seconds(application.created),
            blocked: optional_seconds(application.blocked),
            callbacks: callbacks.map_err(|error| StoreError::Failed(error.to_string()))?,
            secrets: application.secrets.iter().map(seal).collect::<Result<_, _>>()?,
            until: application.secrets.iter().map(|secret| optional_seconds(secret.accepted_until)).collect(),
        })
    }
}

pub(super) async fn put(client: Arc<Client>, sealed: Arc<Sealed>) -> Result<(), tokio_postgres::Error> {
    let Sealed { key, name, origin, created, blocked, callbacks, secrets, until } = &*sealed;
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 8] = [
        (key, Type::TEXT),
        (name, Type::TEXT),
        (origin, Type::TEXT),
        (created, Type::INT8),
        (blocked, Type::INT8),
        (callbacks, Type::TEXT),
        (secrets, Type::BYTEA_ARRAY),
        (until, Type::INT8_ARRAY),
    ];
    client.execute_typed(PUT, &values).await.map(drop)
}

pub(super) async fn all(client: &Client, key: &StoreKey) -> Result<Vec<StoredApplication>, StoreError> {
    let rows = client.query_typed(ALL, &[]).await.map_err(|error| failed(&error))?;
    let mut applications: Vec<StoredApplication> = Vec::new();
    for row in rows {
        let application = application(&row)?;
        let secret = secret(&row, &application.key, key)?;
        match applications.last_mut() {
            Some(last) if last.key == application.key => last.secrets.extend(secret),
            _ => {
                applications.push(StoredApplication { secrets: secret.into_iter().collect(), ..application });
            }
        }
    }
    Ok(applications)
}

fn application(row: &Row) -> Result<StoredApplication, StoreError> {
    let callbacks: Option<&str> = row.get(5);
    Ok(StoredApplication {
        key: column(row, 0, ApplicationKey::new)?,
        name: row.get(1),
        origin: word(row.get(2))?,
        created: unix_seconds(row.get(3)),
        blocked: row.get::<_, Option<i64>>(4).map(unix_seconds),
        secrets: Vec::new(),
        callbacks: callbacks.map(serde_json::from_str).transpose().map_err(unreadable)?,
    })
}

fn secret(row: &Row, of: &ApplicationKey, key: &StoreKey) -> Result<Option<StoredSecret>, StoreError> {
    let Some(sealed) = row.get::<_, Option<&[u8]>>(6) else { return Ok(None) };
    let plain = key.open(of.as_str(), sealed).map_err(unreadable)?;
    let text = String::from_utf8(plain).map_err(unreadable)?;
    let secret = ApplicationSecret::from_base64(&text).map_err(unreadable)?;
    Ok(Some(StoredSecret { secret, accepted_until: row.get::<_, Option<i64>>(7).map(unix_seconds) }))
}
