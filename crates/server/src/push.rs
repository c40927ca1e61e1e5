//! Web Push: wakes registered devices that are not connected when somebody calls them (RFC 8030, RFC 8291, RFC 8292).

use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse as _, Json, Response};

/// `GET /v1/push` tells the key that subscriptions are made with; 404 where no pushes are sent.
pub(crate) async fn key() -> Response {
    let error = serde_json::json!({ "error": "push_off", "message": "this server sends no pushes" });
    let anyone = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::NOT_FOUND, anyone, Json(error)).into_response()
}
