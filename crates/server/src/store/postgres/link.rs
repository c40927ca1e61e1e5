//! One connection that is made again whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{PostgresTls, PostgresUrl};
use crate::store::StoreError;

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a job waits for a connection that was only just lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there is of the connection now.
#[derive(Debug, Clone)]
enum State {
    Up(Arc<Client>),
    /// Only just lost: mostly it is back at once.
    Connecting,
    Away(StoreError),
}

/// The way to the database. The connection ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    /// Somebody waited in vain for an answer: the connection is as good as lost.
    stuck: Arc<Notify>,
}

/// Drives the protocol of one connection until it is over.
type Driver = futures_util::future::BoxFuture<'static, Option<tokio_postgres::Error>>;

impl Link {
    /// Connects, or says why not.
    ///
    /// `purpose` stands in the log.
    pub(super) async fn open(url: &PostgresUrl, purpose: &'static str) -> Result<Self, StoreError> {
        let (client, driver) = connect(url).await?;
        let (sender, state) = watch::channel(State::Up(Arc::new(client)));
        let stuck = Arc::new(Notify::new());
        tokio::spawn(keep(url.clone(), purpose, driver, sender, stuck.clone()));
        Ok(Self { state, stuck })
    }

    /// The connection, if there is one or it comes back within a moment.
    pub(super) async fn client(&self) -> Result<Arc<Client>, StoreError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Connecting));
        match timeout(PATIENCE, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(client) => Ok(client.clone()),
                State::Away(error) => Err(error.clone()),
                State::Connecting => Err(StoreError::Closed),
            },
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Failed("no connection to PostgreSQL".to_owned())),
        }
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// Gives the connection up: no answer came in time.
    pub(super) fn give_up(&self) {
        self.stuck.notify_one();
    }
}

/// Connects again and again, until nobody needs the connection any more.
async fn keep(
    url: PostgresUrl,
    purpose: &'static str,
    mut driver: Driver,
    state: watch::Sender<State>,
    stuck: Arc<Notify>,
) {
    loop {
        let lost = tokio::select! {
            lost = driver => lost.map_or_else(|| "connection closed".to_owned(), |error| told(&error)),
            () = stuck.notified() => "no answer in time".to_owned(),
            () = state.closed() => return,
        };
        tracing::warn!(store = %url, purpose, reason = lost, "PostgreSQL is away");
        state.send_replace(State::Connecting);
        driver = loop {
            match connect(&url).await {
                Ok((client, driver)) => {
                    // Several may have waited in vain for the connection before.
                    let _ = stuck.notified().now_or_never();
                    state.send_replace(State::Up(Arc::new(client)));
                    break driver;
                }
                Err(error) => {
                    tracing::debug!(%error, "PostgreSQL is still away");
                    state.send_replace(State::Away(error));
                }
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = state.closed() => return,
            }
        };
        tracing::info!(store = %url, purpose, "PostgreSQL is back");
    }
}

async fn connect(url: &PostgresUrl) -> Result<(Client, Driver), StoreError> {
    match &url.tls {
        PostgresTls::Off => connect_with(url, NoTls).await,
        PostgresTls::Verified { roots } => {
            let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| StoreError::Failed(error.to_string()))?
                .with_root_certificates(trusted(url, roots.as_deref())?)
                .with_no_client_auth();
            connect_with(url, MakeRustlsConnect::new(tls)).await
        }
    }
}

async fn connect_with<T>(url: &PostgresUrl, tls: T) -> Result<(Client, Driver), StoreError>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
    Connection<Socket, T::Stream>: Future<Output = Result<(), tokio_postgres::Error>>,
{
    let (client, connection) = url.config.connect(tls).await.map_err(|error| refusal(url, &error))?;
    Ok((client, Box::pin(async move { connection.await.err() })))
}

fn trusted(url: &PostgresUrl, file: Option<&std::path::Path>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let fail = |reason: String| StoreError::Refused {
        address: url.to_string(),
        reason: format!("sslrootcert {}: {reason}", file.display()),
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| fail(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
    }
    Ok(roots)
}

/// Why there is no connection, sorted by what can be done about it.
fn refusal(url: &PostgresUrl, error: &tokio_postgres::Error) -> StoreError {
    let (address, reason) = (url.to_string(), told(error));
    // What a server that starts or stops says (57P03, 57P01), or one that is full (53300), passes by itself.
    let passes = [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN, SqlState::TOO_MANY_CONNECTIONS];
    match error.code() {
        Some(code) if !passes.contains(code) => StoreError::Refused { address, reason },
        None if reason.contains("does not support TLS") => StoreError::Refused {
            address,
            reason: format!(
                "{reason}; sslmode=disable in the URL does without, where the network is trusted"
            ),
        },
        None if reason.contains("certificate")
            || reason.contains("authentication")
            || reason.contains("password") =>
        {
            StoreError::Refused { address, reason }
        }
        _ => StoreError::Unreachable { address, reason },
    }
}

/// What a database says, and what lies below it.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let (mut text, mut below) = (error.to_string(), std::error::Error::source(error));
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}
