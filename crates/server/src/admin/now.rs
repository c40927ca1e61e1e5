//! What the operator's page shows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Json, Response};
use offhook_signaling::call::{CallEndCause, CallState, CallView};
use offhook_signaling::message::CallReport;
use offhook_signaling::{ApplicationKey, CallId, UserId};
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::cluster::message::Body;
use crate::metrics::{Overview, RecentCall};
use crate::server::Shared;
use crate::store::millis;
use crate::{cluster, environment};

/// Live calls that are shown; the figures count all.
const MOST_LIVE: usize = 200;

/// Calls that ended and are shown.
const MOST_RECENT: usize = 100;

#[derive(Debug, Serialize)]
struct Now {
    version: &'static str,
    time_ms: u64,
    /// Whose figures these are, in a cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<String>,
    /// Whose are missing: they did not answer within a second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable_nodes: Vec<String>,
    #[serde(flatten)]
    glance: Glance,
}

/// What an operator sees of one server, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Glance {
    #[serde(flatten)]
    overview: Overview,
    live: Vec<Live>,
    recent: Vec<Recent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Live {
    application: ApplicationKey,
    call_id: CallId,
    caller: UserId,
    callee: UserId,
    state: CallState,
    age_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller_report: Option<CallReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

impl Glance {
    /// This server, now.
    pub(crate) async fn of(shared: &Shared) -> Self {
        let (overview, calls) = Overview::of(shared, MOST_LIVE).await;
        let live = calls.into_iter().map(|CallView { state, so_far, .. }| Live {
            application: so_far.application,
            call_id: so_far.call_id,
            caller: so_far.caller,
            callee: so_far.callee,
            state,
            age_ms: millis(so_far.lasted),
        });
        let recent = shared.metrics.recent().into_iter().map(Recent::from);
        Self { overview, live: live.collect(), recent: recent.collect() }
    }

    /// Entries of its longest list.
    pub(crate) fn count(&self) -> usize {
        self.live.len().max(self.recent.len())
    }

    fn add(&mut self, other: Self) {
        self.overview.add(other.overview);
        self.live.extend(other.live);
        self.live.truncate(MOST_LIVE);
        self.recent.extend(other.recent);
        self.recent.sort_by_key(|call| std::cmp::Reverse(call.ended_ms));
        self.recent.truncate(MOST_RECENT);
    }
}

/// `GET /admin/now`: in a cluster all nodes together.
pub(crate) async fn now(State(shared): State<Arc<Shared>>, _admin: Admin) -> Response {
    let (mut nodes, mut unreachable_nodes) = (Vec::new(), Vec::new());
    let mut others = Vec::new();
    let own = Glance::of(&shared);
    let mut glance = match &shared.cluster {
        None => own.await,
        Some(cluster) => {
            let body = Body::Glance;
            let (own, gathered) = tokio::join!(own, cluster.gather(cluster::nobody(), &body));
            nodes.push(cluster.node().name().to_owned());
            (others, unreachable_nodes) = (gathered.answers, gathered.unreachable);
            own
        }
    };
    for (node, body) in others {
        if let Body::Seen(seen) = body {
            nodes.push(node.name().to_owned());
            glance.add(*seen);
        }
    }
    nodes.sort();
    let (version, time_ms) = (env!("CARGO_PKG_VERSION"), environment::wall_millis().0);
    let now = Now { version, time_ms, nodes, unreachable_nodes, glance };
    ([(header::CACHE_CONTROL, "no-store")], Json(now)).into_response()
}
