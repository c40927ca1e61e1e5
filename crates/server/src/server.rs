//! Starting, and what all parts share.

mod running;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use offhook_echo::CertificateError;
use offhook_signaling::ApplicationKey;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::interval;

pub use self::running::RunningServer;
use crate::accept;
use crate::admin::Guesses;
use crate::application::DevelopmentApplication;
use crate::applications::Applications;
use crate::auth::Auth;
use crate::cluster::{self, Cluster, ClusterError};
use crate::config::{ConfigError, ServerConfig, TurnChoice};
use crate::echo::Echo;
use crate::environment::{self, OsEntropy};
use crate::http;
use crate::hub::{self, Command, Surroundings};
use crate::limit::Connections;
use crate::metrics::{self, Metrics};
use crate::push::Push;
use crate::readiness::Readiness;
use crate::store::{
    MemoryStore, PostgresOptions, PostgresStore, SqliteStore, Store, StoreError, StoreKeySource, Tenancy,
};
use crate::tls::{self, TlsDoor, TlsError};
use crate::toll::Tolls;
use crate::traces::{Traces, TracesError};
use crate::turn::{IceIssuer, TurnError, TurnService};
use crate::webhook::Webhooks;

const PRUNING: Duration = Duration::from_secs(3600);
/// Connections that the kernel keeps until they are accepted, as far as `net.core.somaxconn` allows: one that it has no place for tries
/// again after a second, then after two more.
const BACKLOG: u32 = 16_384;
/// How soon a change that the operator made in the store is noticed.
const REFRESHING: Duration = Duration::from_secs(1);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not usable: correct it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on, mostly because another process does: take another or stop that one.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address for metrics cannot be listened on: take another.
    #[error("cannot listen on {address} for metrics: {source}")]
    ListenForMetrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS files are not usable: correct them.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The relay cannot be started as configured.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The data folder or the database is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate of the echo user's calls cannot be made: switch the echo user off.
    #[error("the echo user: {0}")]
    Echo(#[from] CertificateError),
    /// TLS to push services cannot be set up.
    #[error("pushes: {0}")]
    Push(rustls::Error),
    /// Traces cannot be exported as configured.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The cluster cannot be joined.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The operating system gives no random bytes: no secret can be made.
    #[error("the operating system gives no random bytes")]
    Entropy,
}

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Not yet.
    Running,
    /// Take nobody new; those who are here are being told.
    Draining,
    /// Drop everything.
    Now,
}

/// Tells a task when to end; a server that was dropped counts as [`Stop::Now`].
#[derive(Debug, Clone)]
pub(crate) struct StopSign(watch::Receiver<Stop>);

impl StopSign {
    #[cfg(test)]
    pub(crate) const fn new(stop: watch::Receiver<Stop>) -> Self {
        Self(stop)
    }

    /// Until nobody new is taken. Cancel safe.
    pub(crate) async fn draining(&mut self) {
        let _ = self.0.wait_for(|stop| *stop != Stop::Running).await;
    }

    /// Until everything is dropped. Cancel safe.
    pub(crate) async fn now(&mut self) {
        let _ = self.0.wait_for(|stop| *stop == Stop::Now).await;
    }

    /// Whether nobody new is taken.
    pub(crate) fn is_draining(&self) -> bool {
        *self.0.borrow() != Stop::Running
    }
}

/// What all parts of one server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) auth: Auth,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) applications: Arc<Applications>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) tolls: Arc<Tolls>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    /// Wrong passwords of the operator.
    pub(crate) guesses: Guesses,
    /// For whose users the softphone page may have tokens: only on loopback, and never a configured application.
    pub(crate) page_application: Option<DevelopmentApplication>,
    echo: Option<Echo>,
    pub(crate) push: Option<Push>,
    traces: Traces,
    pub(crate) webhooks: Option<Webhooks>,
    /// The certificate, where this server speaks TLS itself.
    pub(crate) tls: Option<Arc<TlsDoor>>,
    hubs: Mutex<HashMap<ApplicationKey, mpsc::Sender<Command>>>,
    issuer: Arc<IceIssuer>,
    pub(crate) turn: Option<TurnService>,
    /// Other nodes; none where this server is alone.
    pub(crate) cluster: Option<Arc<Cluster>>,
    stop: StopSign,
}

impl Shared {
    pub(crate) fn stop(&self) -> StopSign {
        self.stop.clone()
    }

    /// The hub of an application; ask only for applications that exist.
    pub(crate) fn hub(&self, application: &ApplicationKey) -> mpsc::Sender<Command> {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        match hubs.get(application).filter(|hub| !hub.is_closed()) {
            Some(hub) => hub.clone(),
            None => {
                let hub = hub::spawn(Surroundings {
                    application: application.clone(),
                    applications: self.applications.clone(),
                    config: self.config.clone(),
                    pushes: self.push.as_ref().map(Push::news),
                    notices: self.webhooks.as_ref().map(Webhooks::notices),
                    issuer: self.issuer.clone(),
                    store: self.store.clone(),
                    tolls: self.tolls.clone(),
                    metrics: self.metrics.clone(),
                    traces: self.traces.clone(),
                    cluster: self.cluster.clone(),
                });
                if let Some(echo) = &self.echo {
                    echo.attach(application.clone(), hub.clone(), self.stop());
                }
                hubs.insert(application.clone(), hub.clone());
                hub
            }
        }
    }

    /// The hub of an application, if it has one that has not ended.
    pub(crate) fn running_hub(&self, application: &ApplicationKey) -> Option<mpsc::Sender<Command>> {
        let hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.get(application).filter(|hub| !hub.is_closed()).cloned()
    }

    pub(crate) fn all_hubs(&self) -> Vec<mpsc::Sender<Command>> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Starts servers.
#[derive(Debug, Clone, Copy)]
pub struct Server;

impl Server {
    /// Opens the store, listens and serves in the background. Call it within a tokio runtime.
    ///
    /// Without an application in the configuration, the one kept in the data folder is used, and when there is none a
    /// development application is made and kept; see [`RunningServer::development_application`].
    ///
    /// The data folder is this server's as long as it runs; only nodes of one cluster share one. A server that is just ending is waited
    /// for, three seconds at most.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn bind(config: ServerConfig) -> Result<RunningServer, StartError> {
        config.validate()?;
        let (key, folder) = (config.store_key.clone(), config.data.clone());
        if config.cluster.is_some() && config.store.is_none() {
            tracing::warn!(
                "a cluster without a database: on other machines tokens can be used again, devices are unknown, and calls may get \
                 two records; give all nodes one with --store"
            );
        }
        let store: Arc<dyn Store> = match (config.store.clone(), folder) {
            (Some(url), folder) => {
                let options = PostgresOptions { url, key, folder, outbox: true };
                Arc::new(PostgresStore::connect(options).await?)
            }
            (None, Some(folder)) => {
                let tenancy = if config.cluster.is_some() { Tenancy::Shared } else { Tenancy::Alone };
                Arc::new(open_sqlite(folder, key, tenancy).await?)
            }
            (None, None) => Arc::new(MemoryStore::default()),
        };
        Self::bind_with_store(config, store).await
    }

    /// As [`Self::bind`], with a store of the caller's own.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn bind_with_store(
        mut config: ServerConfig,
        store: Arc<dyn Store>,
    ) -> Result<RunningServer, StartError> {
        config.validate()?;
        if !OsEntropy::is_available() {
            return Err(StartError::Entropy);
        }
        let tls = config.tls.as_ref().map(TlsDoor::open).transpose()?.map(Arc::new);
        let configured = std::mem::take(&mut config.applications);
        let (applications, development) = Applications::load(configured, &*store).await?;
        let address = config.listen;
        let (listener, address) = listen(address).map_err(|source| StartError::Listen { address, source })?;
        let for_metrics = config.metrics_listen.map(|address| {
            listen(address).map_err(|source| StartError::ListenForMetrics { address, source })
        });
        let for_metrics = for_metrics.transpose()?;
        let (stop, stopped) = watch::channel(Stop::Running);
        let for_page = development.clone().filter(|_| address.ip().is_loopback());
        let echo = Echo::new(&config)?;
        let stopped = StopSign(stopped);
        let metrics = Arc::new(Metrics::new());
        let push = match config.push.clone() {
            Some(push) => {
                // The same for every callee: no caller learns who can be woken.
                config.calls.progress = config.calls.progress.max(push.wait);
                Some(Push::start(&push, store.clone(), metrics.clone(), stopped.clone()).await?)
            }
            None => None,
        };
        let turn = start_turn(&config, tls.clone(), &stopped).await?;
        let (cluster, intake) = match &config.cluster {
            Some(config) => Some(Cluster::join(config).await?).unzip(),
            None => (None, None),
        };
        let applications = Arc::new(applications);
        let (alive, all_gone) = mpsc::channel(1);
        let traces = Traces::start(config.otlp_endpoint.as_deref(), stopped.clone(), alive.clone())?;
        let webhooks = Some(Webhooks::start(metrics.clone(), stopped.clone(), alive.clone()));
        let shared = shared(config, applications, store, for_page, echo, turn, stopped);
        let shared =
            Arc::new(Shared { push, traces, webhooks, metrics, tls, cluster: cluster.clone(), ..shared });
        tokio::spawn(prune(shared.clone(), alive.clone()));
        tokio::spawn(refresh(shared.clone(), alive.clone()));
        if let Some((cluster, intake)) = cluster.zip(intake) {
            tokio::spawn(cluster::run(shared.clone(), cluster, intake));
        }
        let server = RunningServer {
            address,
            metrics_address: for_metrics.as_ref().map(|(_, address)| *address),
            development,
            shared: shared.clone(),
            stop,
            all_gone,
        };
        if let Some((listener, _)) = for_metrics {
            let router = metrics::listener_routes().with_state(shared.clone());
            tokio::spawn(accept::run(listener, None, router, shared.clone(), alive.clone()));
        }
        serve(listener, shared, alive);
        server.log_start();
        Ok(server)
    }
}

/// Takes clients.
fn serve(listener: TcpListener, shared: Arc<Shared>, alive: mpsc::Sender<Infallible>) {
    let tls = shared.tls.clone();
    if let Some(door) = &tls {
        tokio::spawn(tls::watch(door.clone(), shared.metrics.clone(), shared.stop()));
    }
    tokio::spawn(accept::run(listener, tls, http::router(shared.clone()), shared, alive));
}

fn shared(
    config: ServerConfig,
    applications: Arc<Applications>,
    store: Arc<dyn Store>,
    page_application: Option<DevelopmentApplication>,
    echo: Option<Echo>,
    turn: Option<TurnService>,
    stop: StopSign,
) -> Shared {
    let mut issuer = IceIssuer::new(config.ice_servers.clone());
    if let Some(turn) = &turn {
        turn.announce(&mut issuer);
    }
    for relay in &config.shared_relays {
        issuer.add_relay(relay.urls.clone(), relay.secret.clone(), config.turn_config().credential_lifetime);
    }
    let limits = config.limits;
    let connections =
        Connections::new(limits.connections, limits.connections_per_address, limits.attempts_per_address);
    let tolls = Arc::new(Tolls::new(&limits));
    let auth = Auth::new(
        applications.clone(),
        config.tokens,
        config.credential_lifetime,
        config.echo.as_ref().map(|echo| echo.user.clone()),
        store.clone(),
        tolls.clone(),
    );
    Shared {
        config: Arc::new(config),
        auth,
        store,
        applications,
        connections: Arc::new(connections),
        tolls,
        metrics: Arc::new(Metrics::new()),
        readiness: Readiness::default(),
        guesses: Guesses::default(),
        page_application,
        echo,
        push: None,
        traces: Traces::default(),
        webhooks: None,
        tls: None,
        hubs: Mutex::default(),
        issuer: Arc::new(issuer),
        turn,
        cluster: None,
        stop,
    }
}

/// The relay, when there is to be one.
async fn start_turn(
    config: &ServerConfig,
    tls: Option<Arc<TlsDoor>>,
    stop: &StopSign,
) -> Result<Option<TurnService>, StartError> {
    match &config.turn {
        TurnChoice::Off => Ok(None),
        TurnChoice::On(turn) => Ok(Some(TurnService::start(turn, tls, stop).await?)),
        TurnChoice::Usual if config.listen.ip().is_loopback() => Ok(None),
        TurnChoice::Usual => match TurnService::start(&config.turn_config(), tls, stop).await {
            Ok(service) => Ok(Some(service)),
            Err(error) => {
                // Nobody asked for it: calls whose two sides reach each other do without.
                tracing::warn!(%error, "no relay: people behind strict NATs and firewalls will not connect");
                Ok(None)
            }
        },
    }
}

fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: a server that restarts has its port at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn open_sqlite(
    folder: std::path::PathBuf,
    key: StoreKeySource,
    tenancy: Tenancy,
) -> Result<SqliteStore, StoreError> {
    tokio::task::spawn_blocking(move || SqliteStore::open_for_server(&folder, &key, tenancy))
        .await
        .map_err(|_| StoreError::Closed)?
}

async fn prune(shared: Arc<Shared>, _alive: mpsc::Sender<Infallible>) {
    let mut stop = shared.stop();
    let mut ticks = interval(PRUNING);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = shared.store.prune(environment::wall()).await {
                    tracing::warn!(%error, "cannot prune the store");
                }
            }
            () = stop.draining() => return,
        }
    }
}

/// Notices what the operator changed: a new application, a rotated secret, a block.
async fn refresh(shared: Arc<Shared>, _alive: mpsc::Sender<Infallible>) {
    let mut stop = shared.stop();
    let mut ticks = interval(REFRESHING);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => match shared.applications.refresh(&*shared.store).await {
                Ok(gone) => {
                    is_failing = false;
                    for application in gone {
                        tracing::info!(%application, "application no longer served");
                        // A hub that is gone has no sessions to end.
                        let _ = shared.hub(&application).send(Command::Blocked).await;
                    }
                }
                // Once is enough to know that a database is away.
                Err(error) if !std::mem::replace(&mut is_failing, true) => {
                    tracing::warn!(%error, "cannot read the applications again");
                }
                Err(_) => {}
            },
            () = stop.draining() => return,
        }
    }
}
