//! Taking sockets: limits first, then their turn, then TLS, then HTTP.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::routing::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use crate::environment;
use crate::http;
use crate::limit::Permit;
use crate::lobby::{Lobby, LobbyOutput};
use crate::paced::Paced;
use crate::server::Shared;
use crate::tls::TlsDoor;

/// After a failed accept, mostly because no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(50);

/// Held by everything that serves one connection: its place in the limits, and the sign that it still runs.
#[derive(Debug)]
pub(crate) struct Guest {
    permit: Permit,
    turn: Turn,
    _alive: mpsc::Sender<Infallible>,
}

impl Guest {
    /// The address it comes from, or the network of an IPv6 address.
    pub(crate) const fn address(&self) -> IpAddr {
        self.permit.address()
    }

    /// The work that a newcomer costs is done: it is somebody else's turn.
    pub(crate) fn greeted(&self) {
        self.turn.end();
    }
}

/// A place among those who are greeted now.
#[derive(Debug)]
struct Turn {
    number: u64,
    done: mpsc::UnboundedSender<u64>,
    is_over: AtomicBool,
}

impl Turn {
    fn end(&self) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            // A server that takes nobody any more needs not know.
            let _ = self.done.send(self.number);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

/// Somebody at the door.
struct Arrival {
    stream: TcpStream,
    permit: Permit,
}

/// Accepts until the server stops.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Option<Arc<TlsDoor>>,
    router: Router,
    shared: Arc<Shared>,
    alive: mpsc::Sender<Infallible>,
) {
    let mut stop = shared.stop();
    let limits = shared.config.limits;
    let mut lobby = Lobby::new(limits.greetings, limits.waiting);
    // Never more than there are turns.
    let (done, mut turns_done) = mpsc::unbounded_channel();
    let mut waiting = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match shared.connections.admit(peer.ip(), environment::now()) {
                    Some(permit) => lobby.handle_arrival(environment::now(), Arrival { stream, permit }),
                    None => {
                        shared.metrics.note_connection(false);
                        tracing::debug!(address = %peer.ip(), "connection refused by a limit");
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for now");
                    sleep(PAUSE).await;
                }
            },
            Some(turn) = turns_done.recv() => lobby.handle_done(environment::now(), turn),
            () = until(lobby.poll_timeout()) => lobby.handle_timeout(environment::now()),
            () = stop.draining() => return,
        }
        while let Some(output) = lobby.poll_output() {
            match output {
                LobbyOutput::Greet(number, Arrival { stream, permit }) => {
                    shared.metrics.note_connection(true);
                    let turn = Turn { number, done: done.clone(), is_over: AtomicBool::new(false) };
                    let guest = Guest { permit, turn, _alive: alive.clone() };
                    tokio::spawn(serve(stream, tls.clone(), router.clone(), guest, shared.clone()));
                }
                LobbyOutput::Refuse(arrival) => {
                    shared.metrics.note_connection(false);
                    let address = arrival.permit.address();
                    tracing::debug!(%address, "too many connections at once");
                }
            }
        }
        if lobby.waiting() != waiting {
            shared.metrics.note_waiting(waiting, lobby.waiting());
            waiting = lobby.waiting();
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<Arc<TlsDoor>>,
    router: Router,
    guest: Guest,
    shared: Arc<Shared>,
) {
    // Without it a small frame may wait for the acknowledgement of the one before; losing it costs only time.
    let _ = stream.set_nodelay(true);
    let stream = Paced::new(stream, shared.config.limits.messages_per_connection);
    let Some(tls) = tls else { return http::serve(stream, router, guest, shared).await };
    match timeout(shared.config.sessions.hello, tls.accept(stream)).await {
        Ok(Ok(stream)) => http::serve(stream, router, guest, shared).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake timed out"),
    }
}
