//! Registered devices.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{DeviceId, UnixSeconds, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::access::Access;
use super::parameters::{Parameters, Segments, WRONG_AFTER, cut, limit};
use crate::environment;
use crate::hub::Command;
use crate::server::Shared;
use crate::store::DeviceRecord;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// Only this user's devices.
    user: Option<UserId>,
    /// What the page before gave as `next`.
    after: Option<String>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

/// A registered device.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Device {
    /// Whose it is.
    user: UserId,
    /// The device.
    device: DeviceId,
    /// When its newest credential was issued, in seconds since 1970.
    issued: UnixSeconds,
    /// When that one ends.
    expires: UnixSeconds,
}

/// Registered devices.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DevicesAnswer {
    /// The devices by user and device.
    devices: Vec<Device>,
    /// The `after` of the next page; null on the last one.
    next: Option<String>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Parameters<ListParameters>, Refusal>,
    access: Access,
) -> Result<Json<DevicesAnswer>, Refusal> {
    let Parameters(ListParameters { user, after, limit: most }) = parameters?;
    let most = limit(most)?;
    let after = after.map(|after| device_of(&after).ok_or(WRONG_AFTER)).transpose();
    let after = after.map_err(Refusal::parameter)?;
    let (application, now) = (&access.application, environment::wall());
    let found = shared.store.devices(application, user.as_ref(), now, after.as_ref(), most + 1).await?;
    let (found, next) =
        cut(found, most, |DeviceRecord { address, .. }| format!("{}/{}", address.user, address.device));
    let devices = found.into_iter().map(|record| Device {
        user: record.address.user,
        device: record.address.device,
        issued: record.issued,
        expires: record.expires,
    });
    Ok(Json(DevicesAnswer { devices: devices.collect(), next }))
}

/// `USER/DEVICE`, as a page names its last entry.
fn device_of(after: &str) -> Option<(UserId, DeviceId)> {
    let (user, device) = after.split_once('/')?;
    Some((UserId::new(user).ok()?, DeviceId::new(device).ok()?))
}

/// Revokes a device's credentials and ends its session. A token that has not ended registers it again.
pub(super) async fn end(
    State(shared): State<Arc<Shared>>,
    Segments((user, device)): Segments<(String, String)>,
    access: Access,
) -> Result<StatusCode, Refusal> {
    let user = UserId::new(user).map_err(|_| Refusal::NotFound)?;
    let device = DeviceId::new(device).map_err(|_| Refusal::NotFound)?;
    let address = DeviceAddress { application: access.application, user, device };
    if !shared.store.revoke_device(&address).await? {
        return Err(Refusal::NotFound);
    }
    let hub = shared.hub(&address.application);
    // A hub that is gone has no session to end.
    let _ = hub.send(Command::Revoked(Arc::new(address))).await;
    Ok(StatusCode::NO_CONTENT)
}
