//! How devices are woken.

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::PushSubscription;
use offhook_signaling::{ApplicationKey, DeviceId, UnixSeconds, UserId};
use rusqlite::{Connection, params};

use super::{column, seconds};
use crate::store::{PUSHES_PER_USER, PushKey, PushRecord};

pub(super) fn key(connection: &Connection, fresh: &PushKey) -> rusqlite::Result<PushKey> {
    connection.execute("INSERT OR IGNORE INTO push_key (id, key) VALUES (1, ?1)", [fresh.0])?;
    connection.query_row("SELECT key FROM push_key WHERE id = 1", [], |row| row.get(0).map(PushKey))
}

pub(super) fn put(connection: &Connection, record: &PushRecord) -> rusqlite::Result<()> {
    let DeviceAddress { application, user, device } = &record.address;
    let PushSubscription { endpoint, p256dh, auth } = &record.subscription;
    // A browser that another user signed in on: nobody is told of calls to the one before.
    connection
        .prepare_cached("DELETE FROM push_subscriptions WHERE application = ?1 AND endpoint = ?2")?
        .execute([application.as_str(), endpoint])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO push_subscriptions (application, user, device, endpoint, p256dh, auth)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![application.as_str(), user.as_str(), device.as_str(), endpoint, p256dh, auth])
        .map(drop)
}

pub(super) fn delete(
    connection: &Connection,
    address: &DeviceAddress,
    endpoint: Option<&str>,
) -> rusqlite::Result<bool> {
    let DeviceAddress { application, user, device } = address;
    connection
        .prepare_cached(
            "DELETE FROM push_subscriptions
             WHERE application = ?1 AND user = ?2 AND device = ?3 AND (?4 IS NULL OR endpoint = ?4)",
        )?
        .execute(params![application.as_str(), user.as_str(), device.as_str(), endpoint])
        .map(|changed| changed > 0)
}

pub(super) fn of_user(
    connection: &Connection,
    application: &ApplicationKey,
    user: &UserId,
    now: UnixSeconds,
) -> rusqlite::Result<Vec<PushRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT device, endpoint, p256dh, auth FROM push_subscriptions AS push
         WHERE application = ?1 AND user = ?2 AND EXISTS (
             SELECT 1 FROM device_credentials AS known WHERE known.application = push.application
             AND known.user = push.user AND known.device = push.device AND revoked = 0 AND expires > ?3)
         ORDER BY rowid DESC LIMIT ?4",
    )?;
    let values = params![application.as_str(), user.as_str(), seconds(now), PUSHES_PER_USER as i64];
    let rows = statement.query_map(values, |row| {
        let device = column(row, 0, DeviceId::new)?;
        let address = DeviceAddress { application: application.clone(), user: user.clone(), device };
        let subscription = PushSubscription { endpoint: row.get(1)?, p256dh: row.get(2)?, auth: row.get(3)? };
        Ok(PushRecord { address, subscription })
    })?;
    rows.collect()
}

/// Those of devices that have no credential any more.
pub(super) fn prune(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute(
            "DELETE FROM push_subscriptions AS push WHERE NOT EXISTS (
                 SELECT 1 FROM device_credentials AS known WHERE known.application = push.application
                 AND known.user = push.user AND known.device = push.device AND revoked = 0)",
            [],
        )
        .map(drop)
}
