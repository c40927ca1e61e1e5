//! How devices are woken.

use std::sync::Arc;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::PushSubscription;
use offhook_signaling::{ApplicationKey, DeviceId, UnixSeconds, UserId};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::values::{column, seconds, unreadable};
use super::writer::failed;
use crate::store::{PUSHES_PER_USER, PushKey, PushRecord, StoreError};

type Answer<T> = Result<T, tokio_postgres::Error>;
type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// A browser that another user signed in on: nobody is told of calls to the one before.
const PUT: &str = "
    WITH others AS (
        DELETE FROM push_subscriptions
        WHERE application = $1 AND endpoint = $4 AND NOT (\"user\" = $2 AND device = $3)
    )
    INSERT INTO push_subscriptions (application, \"user\", device, endpoint, p256dh, auth)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (application, \"user\", device)
        DO UPDATE SET id = DEFAULT, endpoint = $4, p256dh = $5, auth = $6";

const DELETE: &str = "
    DELETE FROM push_subscriptions
    WHERE application = $1 AND \"user\" = $2 AND device = $3 AND ($4::text IS NULL OR endpoint = $4)";

const OF_USER: &str = "
    SELECT device, endpoint, p256dh, auth FROM push_subscriptions AS push
    WHERE application = $1 AND \"user\" = $2 AND EXISTS (
        SELECT FROM device_credentials AS known WHERE known.application = push.application
        AND known.\"user\" = push.\"user\" AND known.device = push.device AND NOT revoked AND expires > $3)
    ORDER BY id DESC LIMIT $4";

/// Those of devices that have no credential any more.
const PRUNE: &str = "
    DELETE FROM push_subscriptions AS push WHERE NOT EXISTS (
        SELECT FROM device_credentials AS known WHERE known.application = push.application
        AND known.\"user\" = push.\"user\" AND known.device = push.device AND NOT revoked)";

pub(super) async fn key(client: Arc<Client>, fresh: PushKey) -> Answer<Vec<u8>> {
    let sql = "INSERT INTO push_key (id, key) VALUES (1, $1) ON CONFLICT DO NOTHING";
    client.execute_typed(sql, &[(&&fresh.0[..], Type::BYTEA)]).await?;
    client.query_typed_one("SELECT key FROM push_key WHERE id = 1", &[]).await.map(|row| row.get(0))
}

pub(super) fn push_key(bytes: &[u8]) -> Result<PushKey, StoreError> {
    bytes.try_into().map(PushKey).map_err(unreadable)
}

pub(super) async fn put(client: Arc<Client>, record: PushRecord) -> Answer<()> {
    let DeviceAddress { application, user, device } = &record.address;
    let PushSubscription { endpoint, p256dh, auth } = &record.subscription;
    let values: [Value<'_>; 6] = [
        (&application.as_str(), Type::TEXT),
        (&user.as_str(), Type::TEXT),
        (&device.as_str(), Type::TEXT),
        (endpoint, Type::TEXT),
        (p256dh, Type::TEXT),
        (auth, Type::TEXT),
    ];
    client.execute_typed(PUT, &values).await.map(drop)
}

pub(super) async fn delete(
    client: Arc<Client>,
    address: DeviceAddress,
    endpoint: Option<String>,
) -> Answer<bool> {
    let DeviceAddress { application, user, device } = &address;
    let values: [Value<'_>; 4] = [
        (&application.as_str(), Type::TEXT),
        (&user.as_str(), Type::TEXT),
        (&device.as_str(), Type::TEXT),
        (&endpoint, Type::TEXT),
    ];
    client.execute_typed(DELETE, &values).await.map(|changed| changed > 0)
}

pub(super) async fn of_user(
    client: &Client,
    application: &ApplicationKey,
    user: &UserId,
    now: UnixSeconds,
) -> Result<Vec<PushRecord>, StoreError> {
    let most = PUSHES_PER_USER as i64;
    let values: [Value<'_>; 4] = [
        (&application.as_str(), Type::TEXT),
        (&user.as_str(), Type::TEXT),
        (&seconds(now), Type::INT8),
        (&most, Type::INT8),
    ];
    let rows = client.query_typed(OF_USER, &values).await.map_err(|error| failed(&error))?;
    rows.iter()
        .map(|row| {
            let device = column(row, 0, DeviceId::new)?;
            let address = DeviceAddress { application: application.clone(), user: user.clone(), device };
            let subscription =
                PushSubscription { endpoint: row.get(1), p256dh: row.get(2), auth: row.get(3) };
            Ok(PushRecord { address, subscription })
        })
        .collect()
}

pub(super) async fn prune(client: Arc<Client>) -> Answer<()> {
    client.execute_typed(PRUNE, &[]).await.map(drop)
}
