//! One HTTP request to somebody else, on a connection of its own. Redirections are not followed: whoever is sent elsewhere could be
//! sent inside.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::endpoint::{Endpoint, EndpointError};

/// More than the head of any answer.
const MOST_HEAD: usize = 16 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address may not be used or is not known.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Nobody answers there.
    #[error("{0}")]
    Network(String),
    /// The answer is longer than anything sensible.
    #[error("the answer is too long")]
    TooLong,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Empty when nobody asked for it.
    pub(crate) body: Vec<u8>,
}

/// What requests need: the certificates that are trusted.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    tls: Arc<ClientConfig>,
}

impl Fetcher {
    pub(crate) fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls) })
    }

    /// What the system trusts. Certificates that cannot be read are some fewer; without any, https addresses are refused one by one.
    /// Blocks while it reads.
    pub(crate) fn system() -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::new(roots)
    }

    /// Sends `request`; reads at most `most_body` bytes of the answer's body, none for 0. `any` allows addresses that are not public.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        any: bool,
        request: Request<Body>,
        most_body: usize,
    ) -> Result<Answer, FetchError> {
        let addresses = endpoint.resolve(any).await?;
        let stream = TcpStream::connect(&*addresses).await.map_err(network)?;
        if !endpoint.is_tls() {
            return talk(stream, request, most_body).await;
        }
        let name = ServerName::try_from(endpoint.host().to_owned()).map_err(network)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await.map_err(network)?;
        talk(stream, request, most_body).await
    }
}

async fn talk<S>(stream: S, request: Request<Body>, most_body: usize) -> Result<Answer, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut requests, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(network)?;
    let _driver = AbortOnDrop(tokio::spawn(connection).abort_handle());
    let answer = requests.send_request(request).await.map_err(network)?;
    let status = answer.status();
    let body = match most_body {
        0 => Vec::new(),
        most => to_bytes(Body::new(answer.into_body()), most).await.map_err(|_| FetchError::TooLong)?.into(),
    };
    Ok(Answer { status, body })
}

/// Ends the connection with whoever waited for it.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn network(error: impl std::fmt::Display) -> FetchError {
    FetchError::Network(error.to_string())
}
