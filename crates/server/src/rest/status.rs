//! Health and version, for anybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use offhook_signaling::{SUBPROTOCOL, wire};
use schemars::JsonSchema;
use serde::Serialize;

use super::Refusal;
use crate::server::Shared;

/// New clients are welcome.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    /// Always `ok`: what is not well is a refusal.
    status: &'static str,
}

/// What serves here.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Version {
    /// Always `offhook`.
    name: &'static str,
    /// The release.
    version: &'static str,
    /// The WebSocket subprotocol of clients.
    protocol: &'static str,
    /// The version of their frames.
    protocol_version: u32,
}

pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Result<Json<Health>, Refusal> {
    if shared.stop().is_draining() {
        return Err(Refusal::Unavailable("the server is shutting down"));
    }
    shared.readiness.check(&*shared.store).await?;
    Ok(Json(Health { status: "ok" }))
}

pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        name: "offhook",
        version: env!("CARGO_PKG_VERSION"),
        protocol: SUBPROTOCOL,
        protocol_version: wire::VERSION,
    })
}
