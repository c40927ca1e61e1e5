//! Users: who is online, who is blocked.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use offhook_signaling::{DeviceId, UnixSeconds, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::access::Access;
use super::elsewhere::AWAY;
use super::everywhere::Everywhere;
use super::parameters::{Parameters, Segments, cut, limit};
use crate::cluster::listing::{List, Listed, SeenDevice, SeenUser};
use crate::environment;
use crate::hub::Question;
use crate::server::Shared;
use crate::store::{DeviceRecord, UnixMillis};

/// Which users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    /// Those with a device that is connected.
    #[default]
    Online,
    /// Those who are blocked.
    Blocked,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// Which users; those who are online without it.
    #[serde(default)]
    status: Wanted,
    /// What the page before gave as `next`.
    after: Option<UserId>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

/// A device of a user.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UserDevice {
    /// The device.
    device: DeviceId,
    /// Whether it is connected.
    online: bool,
    /// Since when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    online_since: Option<UnixMillis>,
    /// When its newest credential was issued, in seconds since 1970; not told in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<UnixSeconds>,
    /// When that one ends; not told in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<UnixSeconds>,
}

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct User {
    /// The user.
    user: UserId,
    /// Whether a device of theirs is connected.
    online: bool,
    /// Since when they are blocked, in seconds since 1970; null when they are not.
    blocked: Option<UnixSeconds>,
    /// Their devices: in lists those that are connected, else also those that are registered.
    devices: Vec<UserDevice>,
    /// Nodes of the cluster that did not answer within a second: whether the user is online there is not known. Absent when all did, and
    /// in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable_nodes: Vec<String>,
}

/// A page of users.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UsersAnswer {
    /// The users by name.
    users: Vec<User>,
    /// The `after` of the next page; null on the last one.
    next: Option<String>,
    /// Nodes of the cluster that did not answer within a second: who is online there is missing. Absent when all did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable_nodes: Vec<String>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Parameters<ListParameters>, Refusal>,
    access: Access,
) -> Result<Json<UsersAnswer>, Refusal> {
    let Parameters(parameters) = parameters?;
    let limit = limit(parameters.limit)?;
    let (application, after) = (&access.application, parameters.after);
    if parameters.status == Wanted::Blocked {
        let found = shared.store.blocked_users(application, after.as_ref(), limit + 1).await?;
        let (found, next) = cut(found, limit, |(user, _)| user.to_string());
        let blocked = |(user, since)| User { blocked: Some(since), ..User::new(user) };
        let users = found.into_iter().map(blocked).collect();
        return Ok(Json(UsersAnswer { users, next, unreachable_nodes: Vec::new() }));
    }
    let list = List::Online { after };
    let Everywhere { page, unreachable_nodes } =
        shared.list(application, list, limit, Listed::into_users).await?;
    let next = page.entries.last().filter(|_| page.more).map(|last| last.user.to_string());
    let users = page.entries.into_iter().map(online).collect();
    Ok(Json(UsersAnswer { users, next, unreachable_nodes }))
}

impl User {
    const fn new(user: UserId) -> Self {
        Self { user, online: false, blocked: None, devices: Vec::new(), unreachable_nodes: Vec::new() }
    }
}

fn online(seen: SeenUser) -> User {
    let now = environment::wall_millis();
    let device = |seen: SeenDevice| UserDevice {
        device: seen.device,
        online: true,
        online_since: Some(now.before(Duration::from_millis(seen.connected_ms))),
        issued: None,
        expires: None,
    };
    User {
        online: !seen.devices.is_empty(),
        devices: seen.devices.into_iter().map(device).collect(),
        ..User::new(seen.user)
    }
}

/// A user with the devices that are registered or connected; 404 for one of whom nothing is known.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Segments(user): Segments<String>,
    access: Access,
) -> Result<Json<User>, Refusal> {
    let user = UserId::new(user).map_err(|_| Refusal::NotFound)?;
    let application = &access.application;
    let blocked = shared.store.blocked_since(application, &user).await?;
    let now = environment::wall();
    let registered = shared.store.devices(application, Some(&user), now, None, usize::MAX).await?;
    let list = List::User { user: user.clone() };
    let Everywhere { mut page, unreachable_nodes } =
        shared.list(application, list, 1, Listed::into_users).await?;
    let seen = page.entries.pop().map_or_else(|| User::new(user), online);
    let mut user = User { blocked, unreachable_nodes, ..seen };
    registered.into_iter().for_each(|record| add(&mut user.devices, record));
    match (user.devices.is_empty() && user.blocked.is_none(), user.unreachable_nodes.is_empty()) {
        (true, true) => Err(Refusal::NotFound),
        (true, false) => Err(AWAY),
        (false, _) => Ok(Json(user)),
    }
}

fn add(devices: &mut Vec<UserDevice>, record: DeviceRecord) {
    let (issued, expires) = (Some(record.issued), Some(record.expires));
    match devices.iter_mut().find(|device| device.device == record.address.device) {
        Some(device) => (device.issued, device.expires) = (issued, expires),
        None => devices.push(UserDevice {
            device: record.address.device,
            online: false,
            online_since: None,
            issued,
            expires,
        }),
    }
}

/// Revokes every credential of a user and ends their sessions. A token that has not ended registers them again.
pub(super) async fn end(
    State(shared): State<Arc<Shared>>,
    Segments(user): Segments<String>,
    access: Access,
) -> Result<StatusCode, Refusal> {
    let user = UserId::new(user).map_err(|_| Refusal::NotFound)?;
    let (application, now) = (&access.application, environment::wall());
    let registered = shared.store.devices(application, Some(&user), now, None, usize::MAX).await?;
    for record in &registered {
        shared.store.revoke_device(&record.address).await?;
    }
    let ended = shared.ask(application, |answer| Question::EndUser { user, answer }).await?;
    if registered.is_empty() && !ended { Err(Refusal::NotFound) } else { Ok(StatusCode::NO_CONTENT) }
}

/// Lets a user in no more, and ends their sessions and calls. Answers when the records of these calls are on disk.
pub(super) async fn block(
    State(shared): State<Arc<Shared>>,
    Segments(user): Segments<String>,
    access: Access,
) -> Result<StatusCode, Refusal> {
    let user = UserId::new(user).map_err(|error| Refusal::parameter(error.to_string()))?;
    if shared.config.echo.as_ref().is_some_and(|echo| echo.user == user) {
        return Err(Refusal::Request("the echo user is switched off in the configuration, not blocked"));
    }
    // Whoever is let in after this is turned away by the store, whoever was before by the hub.
    shared.store.block_user(&access.application, &user, Some(environment::wall())).await?;
    shared.ask(&access.application, |answer| Question::Block { user, answer }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a user in again; one who is not blocked too.
pub(super) async fn unblock(
    State(shared): State<Arc<Shared>>,
    Segments(user): Segments<String>,
    access: Access,
) -> Result<StatusCode, Refusal> {
    let user = UserId::new(user).map_err(|error| Refusal::parameter(error.to_string()))?;
    shared.store.block_user(&access.application, &user, None).await?;
    shared.ask(&access.application, |answer| Question::Unblock { user, answer }).await?;
    Ok(StatusCode::NO_CONTENT)
}
