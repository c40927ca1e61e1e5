//! What the operator's page shows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Json, Response};
use offhook_signaling::call::{CallEndCause, CallState, CallView};
use offhook_signaling::message::CallReport;
use offhook_signaling::{ApplicationKey, CallId, UserId};
use serde::Serialize;

use super::Admin;
use crate::environment;
use crate::metrics::{Overview, RecentCall};
use crate::server::Shared;
use crate::store::millis;

/// Live calls that are shown; the figures count all.
const MOST_LIVE: usize = 200;

#[derive(Debug, Serialize)]
struct Now {
    version: &'static str,
    time_ms: u64,
    #[serde(flatten)]
    overview: Overview,
    live: Vec<Live>,
    recent: Vec<Recent>,
}

#[derive(Debug, Serialize)]
struct Live {
    application: ApplicationKey,
    call_id: CallId,
    caller: UserId,
    callee: UserId,
    state: CallState,
    age_ms: u64,
}

#[derive(Debug, Serialize)]
struct Recent {
    application: ApplicationKey,
    call_id: CallId,
    caller: UserId,
    callee: UserId,
    cause: CallEndCause,
    ended_ms: u64,
    ringing_ms: Option<u64>,
    media_ms: Option<u64>,
    talked_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_report: Option<CallReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_report: Option<CallReport>,
}

impl From<RecentCall> for Recent {
    fn from(call: RecentCall) -> Self {
        let RecentCall { record, ended, caller_report, callee_report } = call;
        let media = record.established_after.zip(record.answered_after);
        Self {
            ended_ms: ended.0,
            ringing_ms: record.rang_after.map(millis),
            media_ms: media.map(|(media, answer)| millis(media.saturating_sub(answer))),
            talked_ms: record.talked.map(millis),
            application: record.application,
            call_id: record.call_id,
            caller: record.caller,
            callee: record.callee,
            cause: record.cause,
            caller_report,
            callee_report,
        }
    }
}

/// `GET /admin/now`.
pub(crate) async fn now(State(shared): State<Arc<Shared>>, _admin: Admin) -> Response {
    let (overview, calls) = Overview::of(&shared, MOST_LIVE).await;
    let live = calls.into_iter().map(|CallView { state, so_far, .. }| Live {
        application: so_far.application,
        call_id: so_far.call_id,
        caller: so_far.caller,
        callee: so_far.callee,
        state,
        age_ms: millis(so_far.lasted),
    });
    let now = Now {
        version: env!("CARGO_PKG_VERSION"),
        time_ms: environment::wall_millis().0,
        overview,
        live: live.collect(),
        recent: shared.metrics.recent().into_iter().map(Recent::from).collect(),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(now)).into_response()
}
