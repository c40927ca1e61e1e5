//! Taking sockets: limits first, then TLS, then HTTP.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::environment;
use crate::http;
use crate::limit::Permit;
use crate::server::Shared;

/// After a failed accept, mostly because no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(50);

/// Held by everything that serves one connection: its place in the limits, and the sign that it still runs.
#[derive(Debug)]
pub(crate) struct Guest {
    permit: Permit,
    _alive: mpsc::Sender<Infallible>,
}

impl Guest {
    /// The address it comes from, or the network of an IPv6 address.
    pub(crate) const fn address(&self) -> IpAddr {
        self.permit.address()
    }
}

/// Accepts until the server stops.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    shared: Arc<Shared>,
    alive: mpsc::Sender<Infallible>,
) {
    let mut stop = shared.stop();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.draining() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let permit = shared.connections.admit(peer.ip(), environment::now());
                shared.metrics.note_connection(permit.is_some());
                let Some(permit) = permit else {
                    tracing::debug!(address = %peer.ip(), "connection refused by a limit");
                    continue;
                };
                let guest = Guest { permit, _alive: alive.clone() };
                tokio::spawn(serve(stream, tls.clone(), router.clone(), guest, shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for now");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    guest: Guest,
    shared: Arc<Shared>,
) {
    // Without it a small frame may wait for the acknowledgement of the one before; losing it costs only time.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return http::serve(stream, router, guest, shared).await };
    match timeout(shared.config.sessions.hello, tls.accept(stream)).await {
        Ok(Ok(stream)) => http::serve(stream, router, guest, shared).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake timed out"),
    }
}
