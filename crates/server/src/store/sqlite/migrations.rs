//! The schema, as steps that are never changed once released.

use rusqlite::Connection;

use crate::store::StoreError;

const STEPS: [&str; 2] = [
    "
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
",
    "
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
",
];

/// Takes the steps that the file has not seen, each in a transaction with its entry in `migrations`.
pub(super) fn run(connection: &Connection) -> Result<(), StoreError> {
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
        let entry = format!("INSERT INTO migrations (version) VALUES ({version});");
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {step} {entry} COMMIT;")).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_once_and_a_newer_file_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        run(&connection).unwrap();
        run(&connection).unwrap();
        let known = STEPS.len() as u32;
        connection.execute("INSERT INTO migrations (version) VALUES (?1)", [known + 1]).unwrap();
        assert!(matches!(run(&connection), Err(StoreError::TooNew { found, .. }) if found == known + 1));
    }
}
