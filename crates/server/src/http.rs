//! The HTTP side: the WebSocket upgrade, pages for those who watch the server, the softphone and the scripts for browsers.

use std::pin::pin;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{Router, get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use offhook_signaling::message::Limits;
use offhook_signaling::{PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::accept::Guest;
use crate::admin;
use crate::connection::{self, TOGETHER};
use crate::metrics;
use crate::pages;
use crate::rest;
use crate::server::Shared;

/// Every idle connection pays for it: the default is 128 KiB. Most messages are shorter; longer ones are read in pieces.
const READ_BUFFER: usize = 2048;
const MOST_WRITE_BUFFER: usize = 256 * 1024;
/// How long plain HTTP may go on on one connection, in times of the hello: a minute by default. Whoever does not read what they asked for is
/// not waited for; WebSockets have left by then.
const CONNECTION_LASTS: u32 = 12;
/// Enough for the headers of an upgrade and of a probe.
const MOST_HEADER: usize = 16 * 1024;

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(PATH, get(signal))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/version", get(rest::version))
        .route("/metrics", get(metrics::metrics))
        .route("/admin", get(|| async { Redirect::permanent("/admin/") }))
        .route("/admin/now", get(admin::now))
        .route("/admin/{*file}", get(pages::operator))
        .route("/admin/", get(pages::operator))
        .merge(rest::router())
        .fallback(get(pages::serve))
        .with_state(shared)
}

/// Serves the one connection of `guest`: a request or two, or an upgrade.
pub(crate) async fn serve<S>(stream: S, router: Router, guest: Guest, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(Arc::new(guest))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.sessions.hello)
        .max_buf_size(MOST_HEADER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stop = shared.stop();
    let hello = shared.config.sessions.hello;
    for (limit, is_last) in [(hello * CONNECTION_LASTS, false), (hello, true)] {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::trace!(%error, "request failed");
                }
                return;
            }
            () = stop.draining() => return,
            () = sleep(limit) => {}
        }
        if !is_last {
            connection.as_mut().graceful_shutdown();
        }
    }
    tracing::debug!("a connection whose client does not read was dropped");
}

/// Upgrades to the signaling protocol.
async fn signal(
    State(shared): State<Arc<Shared>>,
    Extension(guest): Extension<Arc<Guest>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let limit = Limits::default().frame_bytes as usize;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(TOGETHER)
        .max_write_buffer_size(MOST_WRITE_BUFFER)
        .max_message_size(limit)
        .max_frame_size(limit);
    if upgrade.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, format!("the subprotocol {SUBPROTOCOL} is required\n"))
            .into_response();
    }
    upgrade.on_upgrade(async move |socket| {
        connection::run(socket, shared, &guest).await;
        drop(guest);
    })
}

/// The process lives. Depends on nothing else, so that a failing disk does not make an orchestrator kill calls.
async fn health() -> &'static str {
    "ok\n"
}

/// New clients are welcome: the store works and no shutdown has begun.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.stop().is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    match shared.readiness.check(&*shared.store).await {
        // Calls between users of this node still work: an orchestrator that took it away would end them.
        Ok(()) if shared.cluster.as_ref().is_some_and(|cluster| !cluster.is_up()) => {
            "ready, but other nodes cannot be reached\n".into_response()
        }
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not work\n").into_response()
        }
    }
}
