//! Device credentials, used nonces, blocked users.

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, DeviceId, UnixSeconds, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{column, pushes, seconds, unix_seconds};
use crate::store::{CREDENTIALS_PER_DEVICE, CredentialHash, DeviceRecord};

pub(super) fn bind_nonce(
    connection: &Connection,
    scope: &str,
    nonce: &str,
    device: &str,
    expires: UnixSeconds,
    now: UnixSeconds,
) -> rusqlite::Result<NonceUse> {
    let owner: Option<(String, i64)> = connection
        .prepare_cached("SELECT device, expires FROM nonces WHERE scope = ?1 AND nonce = ?2")?
        .query_row([scope, nonce], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match owner {
        Some((owner, until)) if until >= seconds(now) => {
            return Ok(if owner == device { NonceUse::Repeated } else { NonceUse::OtherDevice });
        }
        _ => {}
    }
    connection
        .prepare_cached(
            "INSERT INTO nonces (scope, nonce, device, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (scope, nonce) DO UPDATE SET device = ?3, expires = ?4",
        )?
        .execute(params![scope, nonce, device, seconds(expires)])?;
    Ok(NonceUse::First)
}

pub(super) fn put(connection: &Connection, record: &DeviceRecord) -> rusqlite::Result<()> {
    let DeviceAddress { application, user, device } = &record.address;
    connection
        .prepare_cached(
            "INSERT INTO device_credentials (hash, application, user, device, issued, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            record.hash.0,
            application.as_str(),
            user.as_str(),
            device.as_str(),
            seconds(record.issued),
            seconds(record.expires)
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM device_credentials WHERE id IN (
                 SELECT id FROM device_credentials WHERE application = ?1 AND user = ?2 AND device = ?3
                 ORDER BY id DESC LIMIT -1 OFFSET ?4)",
        )?
        .execute(params![application.as_str(), user.as_str(), device.as_str(), CREDENTIALS_PER_DEVICE as i64])
        .map(drop)
}

fn device_record(row: &Row<'_>) -> rusqlite::Result<DeviceRecord> {
    Ok(DeviceRecord {
        address: DeviceAddress {
            application: column(row, 0, ApplicationKey::new)?,
            user: column(row, 1, UserId::new)?,
            device: column(row, 2, DeviceId::new)?,
        },
        hash: CredentialHash(row.get(3)?),
        issued: unix_seconds(row.get(4)?),
        expires: unix_seconds(row.get(5)?),
    })
}

pub(super) fn by_hash(
    connection: &Connection,
    hash: CredentialHash,
) -> rusqlite::Result<Option<DeviceRecord>> {
    connection
        .prepare_cached(
            "SELECT application, user, device, hash, issued, expires FROM device_credentials
             WHERE hash = ?1 AND revoked = 0",
        )?
        .query_row([hash.0], device_record)
        .optional()
}

pub(super) fn all(
    connection: &Connection,
    application: &ApplicationKey,
    user: Option<&UserId>,
    now: UnixSeconds,
    (after, limit): (Option<&(UserId, DeviceId)>, usize),
) -> rusqlite::Result<Vec<DeviceRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT application, user, device, hash, issued, expires, max(id) FROM device_credentials
         WHERE application = ?1 AND (?2 IS NULL OR user = ?2) AND revoked = 0 AND expires > ?3
         AND (user, device) > (?4, ?5)
         GROUP BY user, device ORDER BY user, device LIMIT ?6",
    )?;
    // No identifier is smaller than the empty text.
    let (after_user, after_device) =
        after.map_or(("", ""), |(user, device)| (user.as_str(), device.as_str()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let wanted = params![
        application.as_str(),
        user.map(UserId::as_str),
        seconds(now),
        after_user,
        after_device,
        limit
    ];
    statement.query_map(wanted, device_record)?.collect()
}

pub(super) fn revoke(connection: &Connection, address: &DeviceAddress) -> rusqlite::Result<bool> {
    let DeviceAddress { application, user, device } = address;
    connection
        .prepare_cached(
            "UPDATE device_credentials SET revoked = 1
             WHERE application = ?1 AND user = ?2 AND device = ?3 AND revoked = 0",
        )?
        .execute([application.as_str(), user.as_str(), device.as_str()])
        .map(|changed| changed > 0)
        .and_then(|revoked| pushes::delete(connection, address, None).map(|_| revoked))
}

pub(super) fn block(
    connection: &Connection,
    application: &ApplicationKey,
    user: &UserId,
    since: Option<UnixSeconds>,
) -> rusqlite::Result<()> {
    let (application, user) = (application.as_str(), user.as_str());
    match since {
        Some(since) => connection.execute(
            "INSERT INTO blocked_users (application, user, since) VALUES (?1, ?2, ?3)
             ON CONFLICT (application, user) DO NOTHING",
            params![application, user, seconds(since)],
        ),
        None => connection
            .execute("DELETE FROM blocked_users WHERE application = ?1 AND user = ?2", [application, user]),
    }
    .map(drop)
}

pub(super) fn blocked_since(
    connection: &Connection,
    application: &ApplicationKey,
    user: &UserId,
) -> rusqlite::Result<Option<UnixSeconds>> {
    connection
        .prepare_cached("SELECT since FROM blocked_users WHERE application = ?1 AND user = ?2")?
        .query_row([application.as_str(), user.as_str()], |row| row.get(0).map(unix_seconds))
        .optional()
}

pub(super) fn blocked(
    connection: &Connection,
    application: &ApplicationKey,
    after: Option<&UserId>,
    limit: usize,
) -> rusqlite::Result<Vec<(UserId, UnixSeconds)>> {
    let mut statement = connection.prepare_cached(
        "SELECT user, since FROM blocked_users
         WHERE application = ?1 AND (?2 IS NULL OR user > ?2) ORDER BY user LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let wanted = params![application.as_str(), after.map(UserId::as_str), limit];
    let rows =
        statement.query_map(wanted, |row| Ok((column(row, 0, UserId::new)?, unix_seconds(row.get(1)?))))?;
    rows.collect()
}
