//! Device credentials, used nonces, blocked users.

use std::sync::Arc;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, DeviceId, UnixSeconds, UserId};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::values::{column, seconds, unix_seconds, unreadable};
use super::writer::failed;
use crate::store::{CREDENTIALS_PER_DEVICE, CredentialHash, DeviceRecord, StoreError};

type Answer<T> = Result<T, tokio_postgres::Error>;

/// Says whether it is taken now, and who had it before. One statement, so that of two servers one is first.
const BIND: &str = "
    WITH known AS (SELECT device FROM nonces WHERE scope = $1 AND nonce = $2 AND expires >= $5),
    bound AS (
        INSERT INTO nonces (scope, nonce, device, expires) VALUES ($1, $2, $3, $4)
        ON CONFLICT (scope, nonce) DO UPDATE SET device = $3, expires = $4 WHERE nonces.expires < $5
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM bound), (SELECT device FROM known)";

const OWNER: &str = "SELECT device FROM nonces WHERE scope = $1 AND nonce = $2";

const PUT: &str = "
    WITH old AS (
        DELETE FROM device_credentials WHERE id IN (
            SELECT id FROM device_credentials WHERE application = $2 AND \"user\" = $3 AND device = $4
            ORDER BY id DESC OFFSET $7)
    )
    INSERT INTO device_credentials (hash, application, \"user\", device, issued, expires)
    VALUES ($1, $2, $3, $4, $5, $6)";

const BY_HASH: &str = "
    SELECT application, \"user\", device, hash, issued, expires FROM device_credentials
    WHERE hash = $1 AND NOT revoked";

const ALL: &str = "
    SELECT DISTINCT ON (\"user\", device) application, \"user\", device, hash, issued, expires FROM device_credentials
    WHERE application = $1 AND ($2::text IS NULL OR \"user\" = $2) AND NOT revoked AND expires > $3
        AND (\"user\", device) > ($4, $5)
    ORDER BY \"user\", device, id DESC LIMIT $6";

const REVOKE: &str = "
    WITH pushes AS (
        DELETE FROM push_subscriptions WHERE application = $1 AND \"user\" = $2 AND device = $3
    )
    UPDATE device_credentials SET revoked = true
    WHERE application = $1 AND \"user\" = $2 AND device = $3 AND NOT revoked";

pub(super) async fn bind_nonce(
    client: Arc<Client>,
    scope: String,
    nonce: String,
    device: String,
    (expires, now): (UnixSeconds, UnixSeconds),
) -> Answer<NonceUse> {
    let (expires, now) = (seconds(expires), seconds(now));
    let values = [
        (&scope as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
        (&nonce, Type::TEXT),
        (&device, Type::TEXT),
        (&expires, Type::INT8),
        (&now, Type::INT8),
    ];
    let row = client.query_typed_one(BIND, &values).await?;
    let mut owner: Option<String> = row.get(1);
    if row.get(0) {
        return Ok(NonceUse::First);
    }
    if owner.is_none() {
        // Another server took it in this very moment: the next statement sees that.
        let row = client.query_typed_opt(OWNER, &[(&scope, Type::TEXT), (&nonce, Type::TEXT)]).await?;
        owner = row.map(|row| row.get(0));
    }
    Ok(if owner == Some(device) { NonceUse::Repeated } else { NonceUse::OtherDevice })
}

pub(super) async fn put(client: Arc<Client>, record: DeviceRecord) -> Answer<()> {
    let DeviceAddress { application, user, device } = &record.address;
    // The statement does not see the row that it adds.
    let kept = CREDENTIALS_PER_DEVICE as i64 - 1;
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 7] = [
        (&&record.hash.0[..], Type::BYTEA),
        (&application.as_str(), Type::TEXT),
        (&user.as_str(), Type::TEXT),
        (&device.as_str(), Type::TEXT),
        (&seconds(record.issued), Type::INT8),
        (&seconds(record.expires), Type::INT8),
        (&kept, Type::INT8),
    ];
    client.execute_typed(PUT, &values).await.map(drop)
}

pub(super) async fn by_hash(
    client: &Client,
    hash: CredentialHash,
) -> Result<Option<DeviceRecord>, StoreError> {
    let row = client.query_typed_opt(BY_HASH, &[(&&hash.0[..], Type::BYTEA)]).await;
    row.map_err(|error| failed(&error))?.as_ref().map(device_record).transpose()
}

pub(super) async fn all(
    client: &Client,
    application: &ApplicationKey,
    user: Option<&UserId>,
    now: UnixSeconds,
    (after, limit): (Option<&(UserId, DeviceId)>, usize),
) -> Result<Vec<DeviceRecord>, StoreError> {
    // No identifier is smaller than the empty text.
    let (after_user, after_device) =
        after.map_or(("", ""), |(user, device)| (user.as_str(), device.as_str()));
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&application.as_str(), Type::TEXT),
        (&user.map(UserId::as_str), Type::TEXT),
        (&seconds(now), Type::INT8),
        (&after_user, Type::TEXT),
        (&after_device, Type::TEXT),
        (&i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8),
    ];
    let rows = client.query_typed(ALL, &values).await.map_err(|error| failed(&error))?;
    rows.iter().map(device_record).collect()
}

fn device_record(row: &Row) -> Result<DeviceRecord, StoreError> {
    Ok(DeviceRecord {
        address: DeviceAddress {
            application: column(row, 0, ApplicationKey::new)?,
            user: column(row, 1, UserId::new)?,
            device: column(row, 2, DeviceId::new)?,
        },
        hash: CredentialHash(row.get::<_, &[u8]>(3).try_into().map_err(unreadable)?),
        issued: unix_seconds(row.get(4)),
        expires: unix_seconds(row.get(5)),
    })
}

pub(super) async fn revoke(client: Arc<Client>, address: DeviceAddress) -> Answer<bool> {
    let DeviceAddress { application, user, device } = &address;
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&application.as_str(), Type::TEXT), (&user.as_str(), Type::TEXT), (&device.as_str(), Type::TEXT)];
    client.execute_typed(REVOKE, &values).await.map(|changed| changed > 0)
}

pub(super) async fn block(
    client: Arc<Client>,
    application: ApplicationKey,
    user: UserId,
    since: Option<UnixSeconds>,
) -> Answer<()> {
    let (application, user) = (application.as_str(), user.as_str());
    let done = match since {
        Some(since) => {
            let sql = "INSERT INTO blocked_users (application, \"user\", since) VALUES ($1, $2, $3)
                       ON CONFLICT (application, \"user\") DO NOTHING";
            let since = seconds(since);
            let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                [(&application, Type::TEXT), (&user, Type::TEXT), (&since, Type::INT8)];
            client.execute_typed(sql, &values).await
        }
        None => {
            let sql = "DELETE FROM blocked_users WHERE application = $1 AND \"user\" = $2";
            client.execute_typed(sql, &[(&application, Type::TEXT), (&user, Type::TEXT)]).await
        }
    };
    done.map(drop)
}

pub(super) async fn blocked_since(
    client: &Client,
    application: &ApplicationKey,
    user: &UserId,
) -> Result<Option<UnixSeconds>, StoreError> {
    let sql = "SELECT since FROM blocked_users WHERE application = $1 AND \"user\" = $2";
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&application.as_str(), Type::TEXT), (&user.as_str(), Type::TEXT)];
    let row = client.query_typed_opt(sql, &values).await.map_err(|error| failed(&error))?;
    Ok(row.map(|row| unix_seconds(row.get(0))))
}

pub(super) async fn blocked(
    client: &Client,
    application: &ApplicationKey,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, UnixSeconds)>, StoreError> {
    let sql = "SELECT \"user\", since FROM blocked_users
               WHERE application = $1 AND ($2::text IS NULL OR \"user\" > $2) ORDER BY \"user\" LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&application.as_str(), Type::TEXT), (&after.map(UserId::as_str), Type::TEXT), (&limit, Type::INT8)];
    let rows = client.query_typed(sql, &values).await.map_err(|error| failed(&error))?;
    rows.iter().map(|row| Ok((column(row, 0, UserId::new)?, unix_seconds(row.get(1))))).collect()
}

/// Forgets what ended before `now`.
pub(super) async fn prune(client: Arc<Client>, now: UnixSeconds) -> Answer<()> {
    let now = seconds(now);
    client.execute_typed("DELETE FROM nonces WHERE expires < $1", &[(&now, Type::INT8)]).await?;
    client
        .execute_typed("DELETE FROM device_credentials WHERE expires < $1", &[(&now, Type::INT8)])
        .await
        .map(drop)
}
