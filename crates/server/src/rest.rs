//! The REST interface of an application's back end: calls that are over, devices.
//!
//! Every request proves its application, by basic authentication (`KEY:SECRET`) or by the published signature, and sees nothing of
//! another application. Errors carry the published codes.

mod access;
mod csv;
mod signature;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, delete, get};
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{CallId, DeviceId, UserId};
use serde::{Deserialize, Serialize};

use self::access::Access;
use crate::environment;
use crate::hub::Command;
use crate::server::Shared;
use crate::store::{CallDetailRecord, MOST_RECORDS, RecordQuery, StoreError, UnixMillis};

/// Records of one page, when the request does not say.
const USUAL_RECORDS: usize = 100;

/// The routes under `/v1`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/calls/{call_id}", get(call))
        .route("/v1/records", get(records))
        .route("/v1/devices", get(devices))
        .route("/v1/devices/{user}/{device}", delete(end_device))
}

/// Why a request is refused, with the published code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A parameter is not of the documented form.
    Parameter(&'static str),
    /// No `Authorization`, or of a form that is not known.
    Authorization,
    /// `x-timestamp` is missing, malformed or too far from this server's clock.
    Timestamp,
    /// The signature is wrong.
    Signature,
    /// The application or its secret is wrong.
    Credentials,
    /// It does not exist, or is not this application's.
    NotFound,
    /// The store failed: try again later.
    Unavailable,
}

impl Refusal {
    const fn parts(self) -> (StatusCode, u32, &'static str) {
        match self {
            Self::Parameter(what) => (StatusCode::BAD_REQUEST, 40001, what),
            Self::Authorization => (
                StatusCode::UNAUTHORIZED,
                40100,
                "Authorization must be `Basic` with KEY:SECRET or `Application KEY:SIGNATURE`",
            ),
            Self::Timestamp => {
                (StatusCode::UNAUTHORIZED, 40101, "x-timestamp must be ISO 8601 in UTC, within five minutes")
            }
            Self::Signature => (StatusCode::UNAUTHORIZED, 40102, "the signature does not match"),
            Self::Credentials => {
                (StatusCode::UNAUTHORIZED, 40108, "the application is unknown or the secret is wrong")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, 40400, "not found"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 50300, "the store does not work now"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let body = Json(serde_json::json!({ "errorCode": code, "message": message }));
        let mut response = (status, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Basic realm=\"offhook\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "store failed");
        Self::Unavailable
    }
}

/// A record as the interface shows it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    record: CallDetailRecord,
    status: &'static str,
    result: &'static str,
    reason: &'static str,
}

impl From<CallDetailRecord> for Shown {
    fn from(record: CallDetailRecord) -> Self {
        Self { status: "FINAL", result: record.result(), reason: record.reason(), record }
    }
}

async fn call(
    State(shared): State<Arc<Shared>>,
    Path(call_id): Path<String>,
    access: Access,
) -> Result<Json<Shown>, Refusal> {
    let call_id = CallId::new(call_id).map_err(|_| Refusal::NotFound)?;
    let record = shared.store.record(&access.application, &call_id).await?;
    record.map(|record| Json(record.into())).ok_or(Refusal::NotFound)
}

/// How records are sent.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordParameters {
    from: Option<u64>,
    to: Option<u64>,
    user: Option<UserId>,
    after: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct RecordsAnswer {
    records: Vec<Shown>,
    next: Option<u64>,
}

async fn records(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<RecordParameters>, axum::extract::rejection::QueryRejection>,
    access: Access,
) -> Result<Response, Refusal> {
    let Query(parameters) = parameters.map_err(|_| {
        Refusal::Parameter("from and to are milliseconds since 1970, format is json or csv, limit a number")
    })?;
    let limit = parameters.limit.unwrap_or(USUAL_RECORDS);
    if !(1..=MOST_RECORDS).contains(&limit) {
        return Err(Refusal::Parameter("limit must be between 1 and 1000"));
    }
    let query = RecordQuery {
        application: access.application,
        from: parameters.from.map(UnixMillis),
        to: parameters.to.map(UnixMillis),
        user: parameters.user,
        after: parameters.after,
        limit,
    };
    let page = shared.store.records(&query).await?;
    Ok(match parameters.format {
        Format::Json => {
            let records = page.records.into_iter().map(Shown::from).collect();
            Json(RecordsAnswer { records, next: page.next }).into_response()
        }
        Format::Csv => {
            let next = page.next.map(|next| next.to_string()).unwrap_or_default();
            let headers = [(header::CONTENT_TYPE.as_str(), "text/csv; charset=utf-8"), ("x-next", &next)];
            (headers, csv::write(&page.records)).into_response()
        }
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceParameters {
    user: Option<UserId>,
}

#[derive(Debug, Serialize)]
struct DeviceAnswer {
    user: UserId,
    device: DeviceId,
    issued: u64,
    expires: u64,
}

async fn devices(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<DeviceParameters>, axum::extract::rejection::QueryRejection>,
    access: Access,
) -> Result<Json<serde_json::Value>, Refusal> {
    let Query(DeviceParameters { user }) =
        parameters.map_err(|_| Refusal::Parameter("user has 1 to 255 bytes of A-Z a-z 0-9 - _ ="))?;
    let found = shared.store.devices(&access.application, user.as_ref(), environment::wall()).await?;
    let devices: Vec<DeviceAnswer> = found
        .into_iter()
        .map(|record| DeviceAnswer {
            user: record.address.user,
            device: record.address.device,
            issued: record.issued.0,
            expires: record.expires.0,
        })
        .collect();
    Ok(Json(serde_json::json!({ "devices": devices })))
}

/// Revokes a device's credentials and ends its session. A token that has not ended registers it again.
async fn end_device(
    State(shared): State<Arc<Shared>>,
    Path((user, device)): Path<(String, String)>,
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
