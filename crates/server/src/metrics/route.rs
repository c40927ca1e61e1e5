//! Where metrics are fetched: on a listener of their own, or with the operator's credentials.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{Router, get};

use super::scrape::scrape;
use crate::admin::Admin;
use crate::server::Shared;

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics` on the listener of the clients.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>, _admin: Admin) -> Response {
    answer(&shared).await
}

/// All routes of the listener for metrics: who reaches it may read them.
pub(crate) fn listener_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/metrics", get(|State(shared): State<Arc<Shared>>| async move { answer(&shared).await }))
}

async fn answer(shared: &Shared) -> Response {
    ([(header::CONTENT_TYPE, KIND), (header::CACHE_CONTROL, "no-store")], scrape(shared).await)
        .into_response()
}
