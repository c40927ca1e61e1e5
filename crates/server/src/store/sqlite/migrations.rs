//! The schema, as steps that are never changed once released.

use rusqlite::{Connection, params};

use super::applications;
use crate::store::{StoreError, StoreKey};

/// One step: statements, and what statements cannot say.
struct Step {
    sql: &'static str,
    then: Option<fn(&Connection, &StoreKey) -> rusqlite::Result<()>>,
}

const STEPS: [Step; 4] = [
    Step { sql: FIRST, then: None },
    Step { sql: PUSHES, then: None },
    Step { sql: RECORDS, then: Some(seal_secrets) },
    Step { sql: CALLBACKS, then: None },
];

const FIRST: &str = "
    CREATE TABLE applications (
        key TEXT PRIMARY KEY,
        secret TEXT NOT NULL,
        previous_secret TEXT,
        created INTEGER NOT NULL DEFAULT (unixepoch())
    ) STRICT;
    CREATE TABLE device_credentials (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        application TEXT NOT NULL,
        user TEXT NOT NULL,
        device TEXT NOT NULL,
        issued INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX device_credentials_of ON device_credentials (application, user, device, id);
    CREATE INDEX device_credentials_expiry ON device_credentials (expires);
    CREATE TABLE nonces (
        scope TEXT NOT NULL,
        nonce TEXT NOT NULL,
        device TEXT NOT NULL,
        expires INTEGER NOT NULL,
        PRIMARY KEY (scope, nonce)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX nonces_expiry ON nonces (expires);
";

const PUSHES: &str = "
    CREATE TABLE push_key (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        key BLOB NOT NULL
    ) STRICT;
    CREATE TABLE push_subscriptions (
        id INTEGER PRIMARY KEY,
        application TEXT NOT NULL,
        user TEXT NOT NULL,
        device TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        p256dh TEXT NOT NULL,
        auth TEXT NOT NULL,
        UNIQUE (application, user, device)
    ) STRICT;
";

const RECORDS: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    ALTER TABLE applications ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE applications ADD COLUMN origin TEXT NOT NULL DEFAULT 'development';
    ALTER TABLE applications ADD COLUMN blocked INTEGER;
    CREATE TABLE application_secrets (
        application TEXT NOT NULL,
        position INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        accepted_until INTEGER,
        PRIMARY KEY (application, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blocked_users (
        application TEXT NOT NULL,
        user TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (application, user)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE call_records (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        application TEXT NOT NULL,
        call_id TEXT NOT NULL,
        caller TEXT NOT NULL,
        callee TEXT NOT NULL,
        caller_device TEXT,
        callee_device TEXT,
        started_ms INTEGER NOT NULL,
        rang_ms INTEGER,
        answered_ms INTEGER,
        established_ms INTEGER,
        ended_ms INTEGER NOT NULL,
        talked_ms INTEGER,
        cause TEXT NOT NULL,
        error TEXT,
        ended_by TEXT NOT NULL,
        taken_over INTEGER NOT NULL,
        headers TEXT NOT NULL,
        UNIQUE (application, call_id, started_ms)
    ) STRICT;
    CREATE INDEX call_records_by_end ON call_records (application, ended_ms);
";

const CALLBACKS: &str = "ALTER TABLE applications ADD COLUMN callbacks TEXT;";

/// Secrets stood in the clear before.
fn seal_secrets(connection: &Connection, key: &StoreKey) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT key, secret, previous_secret FROM applications")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, [row.get::<_, Option<String>>(1)?, row.get(2)?]))
    })?;
    for row in rows {
        let (application, secrets) = row?;
        for (position, secret) in secrets.iter().flatten().enumerate() {
            let sealed = applications::seal(key, &application, secret)?;
            connection.execute(
                "INSERT INTO application_secrets (application, position, sealed) VALUES (?1, ?2, ?3)",
                params![application, position as i64, sealed],
            )?;
        }
    }
    drop(statement);
    connection.execute_batch(
        "ALTER TABLE applications DROP COLUMN secret; ALTER TABLE applications DROP COLUMN previous_secret;",
    )
}

/// Takes the steps that the file has not seen, each in a transaction with its entry in `migrations`.
pub(super) fn run(connection: &Connection, key: &StoreKey) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Failed(error.to_string());
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migrations (
                 version INTEGER PRIMARY KEY, applied INTEGER NOT NULL DEFAULT (unixepoch())) STRICT;",
        )
        .map_err(failed)?;
    let found: u32 = connection
        .query_row("SELECT coalesce(max(version), 0) FROM migrations", [], |row| row.get(0))
        .map_err(failed)?;
    let known = STEPS.len() as u32;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, step) in (1_u32..).zip(STEPS).skip(found as usize) {
        take(connection, key, version, &step).map_err(failed)?;
    }
    Ok(())
}

fn take(connection: &Connection, key: &StoreKey, version: u32, step: &Step) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let taken = connection
        .execute_batch(step.sql)
        .and_then(|()| step.then.map_or(Ok(()), |then| then(connection, key)))
        .and_then(|()| {
            connection.execute("INSERT INTO migrations (version) VALUES (?1)", [version]).map(drop)
        })
        .and_then(|()| connection.execute_batch("COMMIT"));
    if taken.is_err() {
        // The failed step is what is told.
        let _ = connection.execute_batch("ROLLBACK");
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StoreKey {
        StoreKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
    }

    #[test]
    fn secrets_that_stood_in_the_clear_are_sealed_and_gone() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FIRST).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE migrations (version INTEGER PRIMARY KEY, applied INTEGER NOT NULL DEFAULT 0) STRICT;
                 INSERT INTO migrations (version) VALUES (1);
                 INSERT INTO applications (key, secret, previous_secret) VALUES
                     ('a32e5a8d-f7d8-411c-9645-9038e8dd051d', 'ax8hTTQJF0OPXL32r1LHMA==', 'bx8hTTQJF0OPXL32r1LHMA==')",
            )
            .unwrap();
        run(&connection, &key()).unwrap();
        let kept = applications::all(&connection, &key()).unwrap();
        let secrets: Vec<String> = kept[0].secrets.iter().map(|secret| secret.secret.to_base64()).collect();
        assert_eq!(secrets, ["ax8hTTQJF0OPXL32r1LHMA==", "bx8hTTQJF0OPXL32r1LHMA=="]);
        assert!(connection.prepare("SELECT secret FROM applications").is_err());
    }

    #[test]
    fn steps_are_taken_once_and_a_newer_file_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        run(&connection, &key()).unwrap();
        run(&connection, &key()).unwrap();
        let known = STEPS.len() as u32;
        connection.execute("INSERT INTO migrations (version) VALUES (?1)", [known + 1]).unwrap();
        assert!(
            matches!(run(&connection, &key()), Err(StoreError::TooNew { found, .. }) if found == known + 1)
        );
    }
}
