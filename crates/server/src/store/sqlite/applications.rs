//! Applications and their sealed secrets.

use offhook_signaling::ApplicationKey;
use offhook_signaling::token::ApplicationSecret;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::{column, seconds, unix_seconds, word, words};
use crate::callbacks::Callbacks;
use crate::store::{StoreKey, StoredApplication, StoredSecret};

/// Seals a secret for its application: a row that is moved to another application does not open.
pub(super) fn seal(key: &StoreKey, application: &str, secret: &str) -> rusqlite::Result<Vec<u8>> {
    key.seal(application, secret.as_bytes())
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn all(connection: &Connection, key: &StoreKey) -> rusqlite::Result<Vec<StoredApplication>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, name, origin, created, blocked, callbacks FROM applications ORDER BY created, key",
    )?;
    let rows = statement.query_map([], application)?;
    rows.map(|row| {
        let mut application = row?;
        application.secrets = secrets(connection, key, &application.key)?;
        Ok(application)
    })
    .collect()
}

pub(super) fn put(
    connection: &Connection,
    key: &StoreKey,
    application: &StoredApplication,
) -> rusqlite::Result<()> {
    let name = application.key.as_str();
    connection
        .prepare_cached(
            "INSERT INTO applications (key, name, origin, created, blocked, callbacks) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (key) DO UPDATE SET name = ?2, origin = ?3, blocked = ?5, callbacks = ?6",
        )?
        .execute(params![
            name,
            application.name,
            words(&application.origin)?,
            seconds(application.created),
            application.blocked.map(seconds),
            application.callbacks.as_ref().map(text).transpose()?
        ])?;
    connection.execute("DELETE FROM application_secrets WHERE application = ?1", [name])?;
    for (position, secret) in application.secrets.iter().enumerate() {
        connection
            .prepare_cached(
                "INSERT INTO application_secrets (application, position, sealed, accepted_until)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                name,
                position as i64,
                seal(key, name, &secret.secret.to_base64())?,
                secret.accepted_until.map(seconds)
            ])?;
    }
    Ok(())
}

fn text(callbacks: &Callbacks) -> rusqlite::Result<String> {
    serde_json::to_string(callbacks).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn callbacks(text: &str) -> rusqlite::Result<Callbacks> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(error)))
}

fn application(row: &Row<'_>) -> rusqlite::Result<StoredApplication> {
    Ok(StoredApplication {
        key: column(row, 0, ApplicationKey::new)?,
        name: row.get(1)?,
        origin: word(row, 2)?,
        created: unix_seconds(row.get(3)?),
        blocked: row.get::<_, Option<i64>>(4)?.map(unix_seconds),
        secrets: Vec::new(),
        callbacks: row.get::<_, Option<String>>(5)?.map(|text| callbacks(&text)).transpose()?,
    })
}

fn secrets(
    connection: &Connection,
    key: &StoreKey,
    application: &ApplicationKey,
) -> rusqlite::Result<Vec<StoredSecret>> {
    let mut statement = connection.prepare_cached(
        "SELECT sealed, accepted_until FROM application_secrets WHERE application = ?1 ORDER BY position",
    )?;
    let rows = statement.query_map([application.as_str()], |row| {
        let sealed: Vec<u8> = row.get(0)?;
        let accepted_until: Option<i64> = row.get(1)?;
        Ok(StoredSecret {
            secret: open(key, application, &sealed)?,
            accepted_until: accepted_until.map(unix_seconds),
        })
    })?;
    rows.collect()
}

fn open(key: &StoreKey, application: &ApplicationKey, sealed: &[u8]) -> rusqlite::Result<ApplicationSecret> {
    let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, error)
    };
    let plain = key.open(application.as_str(), sealed).map_err(|error| unreadable(Box::new(error)))?;
    let text = String::from_utf8(plain).map_err(|error| unreadable(Box::new(error)))?;
    ApplicationSecret::from_base64(&text).map_err(|error| unreadable(Box::new(error)))
}
