//! What a server is told: defaults, setters, a TOML file, and the checks before it starts.

mod echo;
mod file;
mod form;
mod ice;
mod limits;
mod sight;
mod turn;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use offhook_signaling::call::CallTimers;
use offhook_signaling::message::IceServer;
use offhook_signaling::token::TokenPolicy;

pub use self::echo::EchoUser;
pub use self::limits::{Limits, Rate};
pub(crate) use self::turn::{SharedRelay, TURN_PORT, TURNS_PORT, TurnChoice};
pub use self::turn::{TurnConfig, TurnLimits};
use crate::admin::{AdminCredentials, AdminCredentialsError};
use crate::application::{Application, ApplicationError};
use crate::callbacks::{CallbackError, Callbacks};
use crate::cluster::{ClusterConfig, NodeNameError};
use crate::store::{PostgresUrl, PostgresUrlError, StoreKeySource};
use crate::turn::TurnSecret;

/// Clients give up an unanswered call five seconds later.
const LONGEST_SETUP: Duration = Duration::from_secs(60);
/// Clients wait so long for what the caller reveals after the answer.
const LONGEST_REVEAL: Duration = Duration::from_secs(240);
/// The port without a configuration.
const PORT: u16 = 7070;

/// Everything a server is told. Start from [`ServerConfig::default`] or [`ServerConfig::load`] and set what differs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) data: Option<PathBuf>,
    pub(crate) store: Option<PostgresUrl>,
    pub(crate) store_key: StoreKeySource,
    pub(crate) applications: Vec<Application>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) shared_relays: Vec<SharedRelay>,
    pub(crate) turn: TurnChoice,
    pub(crate) limits: Limits,
    pub(crate) sessions: SessionTimers,
    pub(crate) calls: CallTimers,
    pub(crate) tokens: TokenPolicy,
    pub(crate) credential_lifetime: Duration,
    pub(crate) echo: Option<EchoUser>,
    pub(crate) push: Option<PushConfig>,
    pub(crate) admin: Option<AdminCredentials>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) allocated: Option<fn() -> Option<u64>>,
    pub(crate) cluster: Option<ClusterConfig>,
    pub(crate) otlp_endpoint: Option<String>,
}

/// How devices that are not connected are woken by Web Push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushConfig {
    /// Whom a push service may ask about this server: a `mailto:` or `https:` URL (RFC 8292, section 2.1).
    pub subject: String,
    /// How long a call waits for its first ringing device, when [`CallTimers::progress`] is shorter. It is the same for all callees, so
    /// that no caller learns who has devices that can be woken.
    pub wait: Duration,
    /// Also pushes to endpoints at private addresses and over http. For tests: whoever may register can make the server speak to
    /// machines of its own network.
    pub allow_private_endpoints: bool,
}

impl PushConfig {
    /// Pushes to public endpoints; calls wait half a minute.
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), wait: Duration::from_secs(30), allow_private_endpoints: false }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let is_url = self.subject.starts_with("mailto:") || self.subject.starts_with("https://");
        if !is_url || self.subject.len() > 255 {
            return Err(ConfigError::Range { name: "push.subject", rule: "a mailto: or https: URL" });
        }
        if self.wait < Duration::from_secs(1) || self.wait > Duration::from_secs(60) {
            return Err(ConfigError::Range { name: "push.wait", rule: "between a second and a minute" });
        }
        Ok(())
    }
}

/// A certificate chain and its private key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The times of a connection and of the session it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// From accepting a socket to its `hello`, for TLS, HTTP and the frame each.
    pub hello: Duration,
    /// How often a client sends `ping`; two and a half of it in silence end the connection.
    pub heartbeat: Duration,
    /// How long one frame may take to be written.
    pub write: Duration,
    /// How long a session without a call waits for its client to come back.
    pub resume: Duration,
    /// How long a shutdown waits for connections to end.
    pub shutdown: Duration,
}

impl Default for SessionTimers {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(5),
            heartbeat: Duration::from_secs(15),
            write: Duration::from_secs(10),
            resume: Duration::from_secs(60),
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Why a configuration cannot be used. Correct it; the message names the place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the documented form. What stands in it is not repeated: it may be a secret.
    #[error("the configuration is not usable: {0}")]
    Form(String),
    /// An application's key or secret is malformed.
    #[error("application {key}: {source}")]
    Application {
        /// The key as written.
        key: String,
        /// Why.
        source: ApplicationError,
    },
    /// The operator's name or password is not usable.
    #[error("[admin]: {0}")]
    Admin(#[from] AdminCredentialsError),
    /// An application's callbacks cannot be used.
    #[error("application {key}: {source}")]
    Callbacks {
        /// The key.
        key: String,
        /// Why.
        source: CallbackError,
    },
    /// The same application key stands twice.
    #[error("application {0} is configured twice")]
    DuplicateApplication(String),
    /// The URL of the database is not usable.
    #[error("store: {0}")]
    Store(#[from] PostgresUrlError),
    /// The node's name in the cluster is malformed.
    #[error("cluster.node: {0}")]
    NodeName(#[from] NodeNameError),
    /// A range of addresses is malformed.
    #[error("turn.allow_peers: {0}")]
    AddressRange(#[from] crate::turn::AddressRangeError),
    /// A number is outside of what makes sense.
    #[error("{name} must be {rule}")]
    Range {
        /// The setting.
        name: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

impl Default for ServerConfig {
    /// Loopback port 7070, storage in memory, no application: a development application is made at start.
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            data: None,
            store: None,
            store_key: StoreKeySource::default(),
            applications: Vec::new(),
            tls: None,
            ice_servers: Vec::new(),
            shared_relays: Vec::new(),
            turn: TurnChoice::Usual,
            limits: Limits::default(),
            sessions: SessionTimers::default(),
            calls: CallTimers::default(),
            tokens: TokenPolicy::default(),
            credential_lifetime: Duration::from_secs(30 * 86_400),
            echo: Some(EchoUser::default()),
            push: None,
            admin: None,
            metrics_listen: None,
            allocated: None,
            otlp_endpoint: None,
            cluster: None,
        }
    }
}

impl ServerConfig {
    /// Reads a TOML file; what it does not name keeps its default. `docs/SERVER.md` lists the settings.
    ///
    /// # Errors
    /// [`ConfigError`] naming what is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text)
    }

    /// Reads TOML text; what it does not name keeps its default.
    ///
    /// # Errors
    /// [`ConfigError`] naming what is wrong.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config = file::read(text)?;
        config.validate()?;
        Ok(config)
    }

    /// Listens on this address. Port 0 takes a free one.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Keeps registrations in this folder, which is made when missing. Without it they are kept in memory.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Keeps everything in this database instead of a file of the data folder, which is still needed: call records wait there while the
    /// database is away.
    #[must_use]
    pub fn store(mut self, url: PostgresUrl) -> Self {
        self.store = Some(url);
        self
    }

    /// The password of the database, in place of one in its URL.
    #[must_use]
    pub fn store_password(mut self, password: &str) -> Self {
        self.store = self.store.map(|url| url.with_password(password));
        self
    }

    /// Where the key is that seals application secrets in the store.
    #[must_use]
    pub fn store_key(mut self, source: StoreKeySource) -> Self {
        self.store_key = source;
        self
    }

    /// Adds an application.
    #[must_use]
    pub fn application(mut self, application: Application) -> Self {
        self.applications.push(application);
        self
    }

    /// Replaces all applications.
    #[must_use]
    pub fn applications(mut self, applications: Vec<Application>) -> Self {
        self.applications = applications;
        self
    }

    /// Speaks TLS with this certificate chain and key (PEM files).
    #[must_use]
    pub fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some(TlsFiles { certificate: certificate.into(), key: key.into() });
        self
    }

    /// STUN and TURN servers that every client is told.
    #[must_use]
    pub fn ice_servers(mut self, servers: Vec<IceServer>) -> Self {
        self.ice_servers = servers;
        self
    }

    /// A relay elsewhere with which `secret` is shared (coturn's `use-auth-secret`): every device of a call gets credentials of
    /// its own for it.
    #[must_use]
    pub fn shared_relay(mut self, urls: Vec<String>, secret: TurnSecret) -> Self {
        self.shared_relays.push(SharedRelay { urls, secret });
        self
    }

    /// Relays calls whose two sides cannot reach each other. Without this, a server that listens beyond loopback does so on
    /// port 3478 when it can.
    #[must_use]
    pub fn turn(mut self, turn: TurnConfig) -> Self {
        self.turn = TurnChoice::On(Box::new(turn));
        self
    }

    /// Relays nothing, whatever it listens on.
    #[must_use]
    pub fn without_turn(mut self) -> Self {
        self.turn = TurnChoice::Off;
        self
    }

    /// What was set with [`Self::turn`], else the default on the usual port: a place to begin changing it.
    #[must_use]
    pub fn turn_config(&self) -> TurnConfig {
        match &self.turn {
            TurnChoice::On(turn) => (**turn).clone(),
            TurnChoice::Usual | TurnChoice::Off => {
                TurnConfig::new(SocketAddr::new(self.listen.ip(), TURN_PORT))
            }
        }
    }

    /// How much the server bears.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The times of connections and sessions.
    #[must_use]
    pub const fn session_timers(mut self, timers: SessionTimers) -> Self {
        self.sessions = timers;
        self
    }

    /// The times of calls.
    #[must_use]
    pub const fn call_timers(mut self, timers: CallTimers) -> Self {
        self.calls = timers;
        self
    }

    /// Which tokens are accepted.
    #[must_use]
    pub const fn token_policy(mut self, policy: TokenPolicy) -> Self {
        self.tokens = policy;
        self
    }

    /// How long a device credential lives when its token does not say.
    #[must_use]
    pub const fn credential_lifetime(mut self, lifetime: Duration) -> Self {
        self.credential_lifetime = lifetime;
        self
    }

    /// Wakes devices by Web Push, or not.
    #[must_use]
    pub fn push(mut self, push: Option<PushConfig>) -> Self {
        self.push = push;
        self
    }

    /// The echo user, or none.
    #[must_use]
    pub fn echo_user(mut self, echo: Option<EchoUser>) -> Self {
        self.echo = echo;
        self
    }

    /// Checks what can be checked without starting.
    ///
    /// # Errors
    /// [`ConfigError::DuplicateApplication`] or [`ConfigError::Range`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut keys: Vec<_> = self.applications.iter().map(Application::key).collect();
        keys.sort();
        if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::DuplicateApplication(twice[0].to_string()));
        }
        for application in &self.applications {
            let valid = application.callbacks().map_or(Ok(()), Callbacks::validate);
            valid.map_err(|source| ConfigError::Callbacks { key: application.key().to_string(), source })?;
        }
        self.limits.validate()?;
        if self.store.is_some() && self.data.is_none() {
            let rule = "given beside a database: call records wait in that folder while the database is away";
            return Err(ConfigError::Range { name: "data", rule });
        }
        let is_kept = self.store.is_some() || self.data.is_some();
        if matches!(self.store_key, StoreKeySource::File(_)) && !is_kept {
            let rule = "given with data or store: without either nothing is kept that a key could seal";
            return Err(ConfigError::Range { name: "store_key_file", rule });
        }
        ice::validate(&self.ice_servers, &self.shared_relays)?;
        if let Some(echo) = &self.echo {
            echo.validate()?;
        }
        if let Some(push) = &self.push {
            push.validate()?;
        }
        if let TurnChoice::On(turn) = &self.turn {
            turn.validate()?;
        }
        self.validate_times()
    }

    fn validate_times(&self) -> Result<(), ConfigError> {
        let SessionTimers { hello, heartbeat, write, resume, shutdown } = self.sessions;
        let CallTimers { setup, progress, acknowledge, caller_gone, resume: call_resume } = self.calls;
        for (name, time) in [
            ("sessions.hello", hello),
            ("sessions.heartbeat", heartbeat),
            ("sessions.write", write),
            ("sessions.resume", resume),
            ("sessions.shutdown", shutdown),
            ("calls.setup", setup),
            ("calls.progress", progress),
            ("calls.acknowledge", acknowledge),
            ("calls.caller_gone", caller_gone),
            ("calls.resume", call_resume),
        ] {
            if time < Duration::from_millis(1) || time > Duration::from_secs(86_400) {
                return Err(ConfigError::Range { name, rule: "between a millisecond and a day" });
            }
        }
        self.validate_beside_clients()?;
        if self.credential_lifetime < Duration::from_secs(1) {
            return Err(ConfigError::Range { name: "credential_lifetime", rule: "at least a second" });
        }
        Ok(())
    }

    /// Clients have times of their own: what a server waits for beyond them does not come.
    fn validate_beside_clients(&self) -> Result<(), ConfigError> {
        if self.calls.setup > LONGEST_SETUP {
            let rule = "at most a minute: clients end a call that nobody has answered five seconds later";
            return Err(ConfigError::Range { name: "calls.setup", rule });
        }
        if self.calls.resume + self.sessions.heartbeat * 5 / 2 > LONGEST_REVEAL {
            let rule = "at most 240 s together with two and a half of sessions.heartbeat: for so long a callee waits for a caller who \
                        vanished at the answer, then its authentication string has failed";
            return Err(ConfigError::Range { name: "calls.resume", rule });
        }
        Ok(())
    }
}
