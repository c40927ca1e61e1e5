//! The REST interface of an application's back end: calls, users, devices, records.
//!
//! Every request proves its application, by basic authentication (`KEY:SECRET`) or by the published signature, and sees nothing of
//! another application. Errors carry the published codes.

mod access;
mod calls;
mod csv;
mod devices;
mod elsewhere;
mod everywhere;
mod openapi;
mod parameters;
mod records;
mod signature;
mod status;
mod users;

use std::sync::Arc;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, Router, any, delete, get, put};
use offhook_signaling::call::ControlError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::hub::Gone;
use crate::server::Shared;
use crate::store::StoreError;
use crate::{development, push};

pub(crate) use self::signature::{BodyDigest, Signed};
pub(crate) use self::status::version;

type Route = (&'static str, &'static [&'static str], MethodRouter<Arc<Shared>>);

/// All that is under `/v1` but the clients' WebSocket: paths, their methods, and who answers.
fn routes() -> Vec<Route> {
    vec![
        ("/v1/calls", &["get"], get(calls::list)),
        (
            "/v1/calls/{call_id}",
            &["get", "patch", "delete"],
            get(calls::one).patch(calls::change).delete(calls::hang_up),
        ),
        ("/v1/users", &["get"], get(users::list)),
        ("/v1/users/{user}", &["get", "delete"], get(users::one).delete(users::end)),
        ("/v1/users/{user}/block", &["put", "delete"], put(users::block).delete(users::unblock)),
        ("/v1/records", &["get"], get(records::list)),
        ("/v1/devices", &["get"], get(devices::list)),
        ("/v1/devices/{user}/{device}", &["delete"], delete(devices::end)),
        ("/v1/health", &["get"], get(status::health)),
        ("/v1/version", &["get"], get(version)),
        ("/v1/openapi.json", &["get"], get(openapi::serve)),
        ("/v1/push", &["get"], get(push::key)),
        ("/v1/development", &["get", "post"], development::routes()),
    ]
}

/// The routes under `/v1`.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let add = |router: Router<Arc<Shared>>, (path, _, route): Route| router.route(path, route);
    let router = routes().into_iter().fold(Router::new(), add);
    let nothing = ["/v1", "/v1/", "/v1/{*rest}"];
    let router = nothing.into_iter().fold(router, |router, path| router.route(path, any(nothing_here)));
    router.method_not_allowed_fallback(async || Refusal::Method)
}

async fn nothing_here() -> Refusal {
    Refusal::NotFound
}

/// Why a request is refused, with the published code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A parameter is not of the documented form.
    Parameter(String),
    /// It makes no sense now.
    Request(&'static str),
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
    /// The path has no such method: `Allow` names those it has.
    Method,
    /// The address showed wrong credentials too often, or the application asks too much.
    Limited,
    /// The store failed, or the server stops: try again later.
    Unavailable(&'static str),
}

/// The body of a refusal.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorAnswer {
    /// The published code; its first three digits are the status.
    error_code: u32,
    /// What to do about it.
    message: String,
}

impl Refusal {
    pub(crate) fn parameter(what: impl Into<String>) -> Self {
        Self::Parameter(what.into())
    }

    fn parts(self) -> (StatusCode, u32, String) {
        let (status, code, message) = match self {
            Self::Parameter(what) => return (StatusCode::BAD_REQUEST, 40001, what),
            Self::Request(what) => (StatusCode::BAD_REQUEST, 40003, what),
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
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, 40500, "there is no such method here: see Allow")
            }
            Self::Limited => (
                StatusCode::TOO_MANY_REQUESTS,
                42900,
                "too many requests, or too many with wrong credentials",
            ),
            Self::Unavailable(what) => (StatusCode::SERVICE_UNAVAILABLE, 50300, what),
        };
        (status, code, message.to_owned())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error_code, message) = self.parts();
        let mut response = (status, Json(ErrorAnswer { error_code, message })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Basic realm=\"offhook\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "store failed");
        Self::Unavailable("the store does not work now")
    }
}

impl From<Gone> for Refusal {
    fn from(Gone: Gone) -> Self {
        Self::Unavailable("the server is shutting down")
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownCall => Self::NotFound,
            ControlError::Answered => {
                Self::Request("the call is answered: it can be hung up, not led to somebody else")
            }
            ControlError::NotAsked => Self::Request("nobody is asked about this call"),
        }
    }
}
