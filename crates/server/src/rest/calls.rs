//! Calls: those that live and those that are over.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use offhook_signaling::call::{CallEndCause, CallState, ControlError, EndedBy, LegState, LegView};
use offhook_signaling::message::{Headers, WireError};
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::access::Access;
use super::everywhere::Everywhere;
use super::parameters::{Parameters, Segments, WRONG_AFTER, limit};
use crate::cluster::listing::{Entry as _, List, Listed};
use crate::cluster::message::{Controlled, SeenCall, Wish};
use crate::environment;
use crate::hub::Question;
use crate::server::Shared;
use crate::store::{CallDetailRecord, RecordQuery, UnixMillis};
use crate::svaml::{self, Action};

/// Whether a call lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum CallStatus {
    /// It lives.
    #[default]
    #[serde(alias = "ongoing")]
    Ongoing,
    /// It is over.
    #[serde(alias = "final")]
    Final,
}

/// A device of the callee that has heard of a call which nobody answered yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CallDevice {
    /// The device.
    device: DeviceId,
    /// How far it is.
    state: LegState,
}

/// A call. Times are milliseconds since 1970; what did not happen is null.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Call {
    /// The call.
    call_id: CallId,
    /// The application.
    application: ApplicationKey,
    /// Whether it lives.
    status: CallStatus,
    /// How far it is: `init` while the application's callback is asked.
    state: CallState,
    /// Who called.
    caller: UserId,
    /// Who was called, after a redirection the last one.
    callee: UserId,
    /// The caller's device.
    caller_device: Option<DeviceId>,
    /// The device that answered.
    callee_device: Option<DeviceId>,
    /// The callee's devices that have heard of it, until one answers.
    devices: Vec<CallDevice>,
    /// When it was started, or taken over from an earlier run of the server.
    started: UnixMillis,
    /// When the first device rang.
    rang: Option<UnixMillis>,
    /// When it was answered.
    answered: Option<UnixMillis>,
    /// When the media of one side was connected.
    established: Option<UnixMillis>,
    /// When it ended.
    ended: Option<UnixMillis>,
    /// From answer (or take-over) to end, or to now, in milliseconds.
    talked_ms: Option<u64>,
    /// Why it ended, as the caller was told.
    cause: CallEndCause,
    /// The error the caller was told with it.
    error: Option<WireError>,
    /// Who ended it.
    ended_by: Option<EndedBy>,
    /// Whether it began at an earlier run of the server.
    taken_over: bool,
    /// The application's headers, as the callee got them.
    headers: Headers,
    /// The published word for how it went: N/A, ANSWERED, BUSY, NOANSWER, FAILED.
    result: &'static str,
    /// The published word for why it ended, e.g. CALLERHANGUP.
    reason: &'static str,
}

impl From<CallDetailRecord> for Call {
    fn from(record: CallDetailRecord) -> Self {
        Self {
            status: CallStatus::Final,
            state: CallState::Ended,
            devices: Vec::new(),
            result: record.result(),
            reason: record.reason(),
            call_id: record.call_id,
            application: record.application,
            caller: record.caller,
            callee: record.callee,
            caller_device: record.caller_device,
            callee_device: record.callee_device,
            started: record.started,
            rang: record.rang,
            answered: record.answered,
            established: record.established,
            ended: Some(record.ended),
            talked_ms: record.talked_ms,
            cause: record.cause,
            error: record.error,
            ended_by: Some(record.ended_by),
            taken_over: record.taken_over,
            headers: record.headers,
        }
    }
}

impl Call {
    fn live(SeenCall { state, legs, so_far }: SeenCall) -> Self {
        let device = |leg: LegView| CallDevice { device: leg.device, state: leg.state };
        Self {
            status: CallStatus::Ongoing,
            state,
            devices: legs.into_iter().map(device).collect(),
            ended: None,
            ended_by: None,
            result: "N/A",
            reason: "N/A",
            ..so_far.into()
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// Which calls; those that live without it.
    #[serde(default)]
    status: CallStatus,
    /// Only calls in which this user called or is called.
    user: Option<UserId>,
    /// What the page before gave as `next`.
    after: Option<String>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

/// A page of calls.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CallsAnswer {
    /// The calls: live ones in the order of their ids, others in the order in which they ended.
    calls: Vec<Call>,
    /// The `after` of the next page; null on the last one.
    next: Option<String>,
    /// Nodes of the cluster that did not answer within a second: their live calls are missing. Absent when all did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable_nodes: Vec<String>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Parameters<ListParameters>, Refusal>,
    access: Access,
) -> Result<Json<CallsAnswer>, Refusal> {
    let Parameters(parameters) = parameters?;
    let limit = limit(parameters.limit)?;
    if parameters.status == CallStatus::Final {
        return ended(&shared, parameters, access, limit).await;
    }
    let after = parameters.after.map(CallId::new).transpose();
    let after = after.map_err(|_| Refusal::parameter(WRONG_AFTER))?;
    let list = List::Calls { user: parameters.user, after };
    let Everywhere { page, unreachable_nodes } =
        shared.list(&access.application, list, limit, Listed::into_calls).await?;
    let next = page.entries.last().filter(|_| page.more).map(|last| last.key().to_string());
    let calls = page.entries.into_iter().map(|listed| Call::live(listed.call)).collect();
    Ok(Json(CallsAnswer { calls, next, unreachable_nodes }))
}

async fn ended(
    shared: &Shared,
    parameters: ListParameters,
    access: Access,
    limit: usize,
) -> Result<Json<CallsAnswer>, Refusal> {
    let after = parameters.after.map(|after| after.parse()).transpose();
    let after = after.map_err(|_| Refusal::parameter(WRONG_AFTER))?;
    let (application, user) = (access.application, parameters.user);
    let query = RecordQuery { application, from: None, to: None, user, after, limit };
    let page = shared.store.records(&query).await?;
    let next = page.next.map(|next| next.to_string());
    let calls = page.records.into_iter().map(Call::from).collect();
    Ok(Json(CallsAnswer { calls, next, unreachable_nodes: Vec::new() }))
}

pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Segments(call_id): Segments<String>,
    access: Access,
) -> Result<Json<Call>, Refusal> {
    let call_id = CallId::new(call_id).map_err(|_| Refusal::NotFound)?;
    let wanted = call_id.clone();
    let live = shared.ask(&access.application, |answer| Question::Call { call_id: wanted, answer }).await?;
    if let Some(view) = live {
        return Ok(Json(Call::live(SeenCall::new(view, environment::wall_millis()))));
    }
    let record = || shared.store.record(&access.application, &call_id);
    let mut found = record().await?;
    if found.is_none() && shared.cluster.is_some() {
        let seen = shared.control_elsewhere(&access.application, &call_id, Wish::Look).await?;
        if let Some(Controlled::Seen(call)) = seen {
            return Ok(Json(Call::live(*call)));
        }
        // It may have ended meanwhile.
        found = record().await?;
    }
    found.map(|record| Json(record.into())).ok_or(Refusal::NotFound)
}

/// Ends a live call. Answers when its record is on disk.
pub(super) async fn hang_up(
    State(shared): State<Arc<Shared>>,
    Segments(call_id): Segments<String>,
    access: Access,
) -> Result<StatusCode, Refusal> {
    let call_id = CallId::new(call_id).map_err(|_| Refusal::NotFound)?;
    carry_out(&shared, access, call_id, Wish::HangUp).await
}

/// Carries out what is wanted of a live call, here or at the node that owns it.
async fn carry_out(
    shared: &Shared,
    access: Access,
    call_id: CallId,
    wish: Wish,
) -> Result<StatusCode, Refusal> {
    let application = &access.application;
    let wanted = call_id.clone();
    let done = match wish.clone() {
        Wish::HangUp => {
            shared.ask(application, |answer| Question::HangUp { call_id: wanted, answer }).await?
        }
        Wish::Redirect { to, headers } => {
            let question = |answer| Question::Redirect { call_id: wanted, to, headers, answer };
            shared.ask(application, question).await?
        }
        Wish::Look => Ok(()),
    };
    let done = match done {
        Err(ControlError::UnknownCall) => {
            match shared.control_elsewhere(application, &call_id, wish).await? {
                None => Err(ControlError::UnknownCall),
                Some(Controlled::Answered) => Err(ControlError::Answered),
                Some(_) => Ok(()),
            }
        }
        here => here,
    };
    done?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does what the SVAML in the body says: `hangup`, or `connectMxp` to another user while nobody has answered.
pub(super) async fn change(
    State(shared): State<Arc<Shared>>,
    Segments(call_id): Segments<String>,
    access: Access,
) -> Result<StatusCode, Refusal> {
    let call_id = CallId::new(call_id).map_err(|_| Refusal::NotFound)?;
    let action = svaml::parse(&access.body).map_err(|error| Refusal::parameter(error.to_string()))?;
    let wish = match action {
        Some(Action::HangUp) => Wish::HangUp,
        Some(Action::Connect { to: Some(to), headers }) => Wish::Redirect { to, headers },
        Some(Action::Continue { .. } | Action::Connect { to: None, .. }) | None => {
            return Err(Refusal::parameter(
                "the action must be hangup, or connectMxp with a destination like {\"endpoint\": \"alice\"}",
            ));
        }
    };
    carry_out(&shared, access, call_id, wish).await
}
