//! A server that runs: what it tells, and how it ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::PATH;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{ApplicationKey, UserId};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Shared, Stop};
use crate::application::DevelopmentApplication;
use crate::hub::Command;
use crate::store::StoreError;
use crate::tls::{self, TlsError};
use crate::turn::{TurnCounters, TurnService};

/// After the shutdown time: how long tasks that were told to drop everything may take for it.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// A server that serves. Dropping it ends it at once, without a word to the clients: use [`Self::shutdown`].
#[derive(Debug)]
pub struct RunningServer {
    pub(super) address: SocketAddr,
    pub(super) metrics_address: Option<SocketAddr>,
    pub(super) development: Option<DevelopmentApplication>,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: watch::Sender<Stop>,
    pub(super) all_gone: mpsc::Receiver<Infallible>,
}

impl RunningServer {
    /// The address it listens on, with the real port.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where clients connect, without the path: `ws://127.0.0.1:7070`, or `wss://` with TLS. An unspecified address
    /// (`0.0.0.0`) stands as it is; clients need a name or address of this machine instead.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls() { "wss" } else { "ws" };
        format!("{scheme}://{}", self.address)
    }

    /// [`Self::url`] with the path of the WebSocket endpoint.
    #[must_use]
    pub fn signal_url(&self) -> String {
        format!("{}{PATH}", self.url())
    }

    /// The application that was made, or found in the store, because none is configured.
    #[must_use]
    pub const fn development_application(&self) -> Option<&DevelopmentApplication> {
        self.development.as_ref()
    }

    /// The keys of all applications that may register users.
    #[must_use]
    pub fn application_keys(&self) -> Vec<ApplicationKey> {
        self.shared.applications.keys()
    }

    /// Who answers anyone in every application and plays their voice back, if the configuration has it.
    pub fn echo_user(&self) -> Option<&UserId> {
        self.shared.config.echo.as_ref().map(|echo| &echo.user)
    }

    /// Whether tokens and credentials cross a network unencrypted: it listens beyond loopback and has no TLS.
    #[must_use]
    pub fn is_exposed_without_tls(&self) -> bool {
        !self.is_tls() && !self.address.ip().is_loopback()
    }

    fn is_tls(&self) -> bool {
        self.shared.tls.is_some()
    }

    /// Reads certificate and key again, for connections from now on; false where this server has none. It does so by itself some ten
    /// seconds after they changed.
    ///
    /// # Errors
    /// [`TlsError`]: the certificate that was in use stays in use. That is logged and counted, too.
    pub async fn reload_certificate(&self) -> Result<bool, TlsError> {
        let Some(door) = self.shared.tls.clone() else { return Ok(false) };
        let read = tokio::task::spawn_blocking(move || door.reload()).await;
        // Reading files does not panic, and nobody cancels it.
        let Ok(read) = read else { return Ok(false) };
        tls::note(&read, &self.shared.metrics);
        read.map(|_| true)
    }

    /// The task of an application.
    #[cfg(test)]
    pub(crate) fn hub(&self, application: &ApplicationKey) -> mpsc::Sender<Command> {
        self.shared.hub(application)
    }

    /// How many connections are open now.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.connections.count()
    }

    /// The folder in which it keeps what has to outlive it.
    #[must_use]
    pub fn data_folder(&self) -> Option<&Path> {
        self.shared.config.data.as_deref()
    }

    /// Whether a database has what else would be in the folder.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.shared.config.store.is_some()
    }

    /// Where metrics are fetched without credentials, when they have a listener of their own.
    #[must_use]
    pub const fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Where the relay listens for UDP and TCP, when there is one.
    #[must_use]
    pub fn turn_addr(&self) -> Option<SocketAddr> {
        self.shared.turn.as_ref().map(TurnService::local_addr)
    }

    /// Where the relay listens for TLS, when it does.
    #[must_use]
    pub fn turn_tls_addr(&self) -> Option<SocketAddr> {
        self.shared.turn.as_ref().and_then(TurnService::tls_addr)
    }

    /// What the relay did so far, when there is one.
    #[must_use]
    pub fn turn_counters(&self) -> Option<TurnCounters> {
        self.shared.turn.as_ref().map(TurnService::counters)
    }

    /// Revokes every credential of a device and ends its session. Returns whether it had a credential. A token that
    /// has not ended still registers the device again.
    ///
    /// # Errors
    /// [`StoreError`]; the credentials may still work then.
    pub async fn revoke_device(&self, address: &DeviceAddress) -> Result<bool, StoreError> {
        let revoked = self.shared.store.revoke_device(address).await?;
        let command = Command::Revoked(Arc::new(address.clone()));
        // A hub that is gone has no session to end.
        let _ = self.shared.hub(&address.application).send(command).await;
        Ok(revoked)
    }

    /// Tells every client to come back later, waits for their connections to end, at most the configured time, and then
    /// drops what is left.
    pub async fn shutdown(mut self) {
        tracing::info!(connections = self.connection_count(), "shutting down");
        self.stop.send_replace(Stop::Draining);
        let grace = self.shared.config.sessions.shutdown;
        if timeout(grace, self.drain()).await.is_err() {
            tracing::warn!(
                connections = self.connection_count(),
                "connections or callbacks did not end in time"
            );
        }
        self.stop.send_replace(Stop::Now);
        // Whatever still holds on is dropped with the runtime.
        let _ = timeout(LAST_GRACE, self.all_gone.recv()).await;
    }

    async fn drain(&mut self) {
        for hub in self.shared.all_hubs() {
            // A hub that is gone has told its clients or has none.
            let _ = hub.send(Command::Shutdown).await;
        }
        if let Some(cluster) = &self.shared.cluster {
            for hub in self.shared.all_hubs() {
                hub.closed().await;
            }
            cluster.leave().await;
        }
        let _ = self.all_gone.recv().await;
    }

    pub(super) fn log_start(&self) {
        tracing::info!(url = self.url(), "listening");
        if let Some(metrics) = self.metrics_addr() {
            tracing::info!(%metrics, "metrics for whoever reaches this address");
        }
        if let Some(relay) = self.turn_addr() {
            tracing::info!(%relay, "relaying");
        }
        if self.is_exposed_without_tls() {
            tracing::warn!(
                address = %self.address,
                "listening beyond this machine without TLS: tokens and credentials can be read on the way"
            );
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
    }
}
