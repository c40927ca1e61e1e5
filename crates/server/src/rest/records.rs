//! Call detail records by time range, as JSON and as CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use offhook_signaling::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::calls::Call;
use super::parameters::{Parameters, limit};
use super::{Refusal, csv};
use crate::server::Shared;
use crate::store::{RecordQuery, UnixMillis};

/// How records are sent.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// Calls that ended then or later, in milliseconds since 1970.
    from: Option<u64>,
    /// Calls that ended before, in milliseconds since 1970.
    to: Option<u64>,
    /// Only calls in which this user called or was called.
    user: Option<UserId>,
    /// What the page before gave as `next`.
    after: Option<u64>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// JSON without it.
    #[serde(default)]
    format: Format,
}

/// A page of records.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecordsAnswer {
    /// The records in the order in which they were written.
    records: Vec<Call>,
    /// The `after` of the next page; null on the last one.
    next: Option<u64>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Parameters<ListParameters>, Refusal>,
    access: Access,
) -> Result<Response, Refusal> {
    let Parameters(parameters) = parameters?;
    let query = RecordQuery {
        application: access.application,
        from: parameters.from.map(UnixMillis),
        to: parameters.to.map(UnixMillis),
        user: parameters.user,
        after: parameters.after,
        limit: limit(parameters.limit)?,
    };
    let page = shared.store.records(&query).await?;
    Ok(match parameters.format {
        Format::Json => {
            let records = page.records.into_iter().map(Call::from).collect();
            Json(RecordsAnswer { records, next: page.next }).into_response()
        }
        Format::Csv => {
            let next = page.next.map(|next| next.to_string()).unwrap_or_default();
            let headers = [(header::CONTENT_TYPE.as_str(), "text/csv; charset=utf-8"), ("x-next", &next)];
            (headers, csv::write(&page.records)).into_response()
        }
    })
}
