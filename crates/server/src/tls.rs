//! TLS from a certificate chain and a key in PEM files, which are read again when they change.

mod renewal;
mod tickets;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use offhook_signaling::UnixSeconds;
use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor;
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use x509_cert::der::Decode as _;

use self::renewal::{Contents, Renewal};
pub(crate) use self::renewal::{note, watch};
use self::tickets::SharedTickets;
pub use self::tickets::fuzz as ticket_fuzz;
use crate::config::TlsFiles;

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, unreadable or not PEM of the expected kind.
    #[error("cannot use {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate and the key do not fit each other or are of an unsupported kind.
    #[error("certificate and key are not usable together: {0}")]
    Pair(#[from] rustls::Error),
}

/// Speaks TLS with the certificate that was read last.
#[derive(Debug)]
pub(crate) struct TlsDoor {
    files: TlsFiles,
    current: RwLock<Arc<Current>>,
    renewal: Mutex<Renewal>,
}

/// One certificate in use.
pub(crate) struct Current {
    /// For clients that speak TLS 1.3. Tickets are good at every server that has the same key.
    pub(crate) newest: Arc<ServerConfig>,
    /// For the others: TLS 1.2.
    older: Arc<ServerConfig>,
    /// For the relay, which needs no more than usual: TLS 1.2 and 1.3, session tickets.
    relay: Arc<ServerConfig>,
    /// When the certificate ends, where it says so.
    pub(crate) ends: Option<UnixSeconds>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl TlsDoor {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        // What is written from here on is noticed later.
        let renewal = Mutex::new(Renewal::new(Contents::of(files)));
        let current = RwLock::new(Arc::new(Current::read(files)?));
        Ok(Self { files: files.clone(), current, renewal })
    }

    /// The certificate that newcomers are shown.
    pub(crate) fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again. What cannot be used leaves the certificate as it was; connections that are open stay either way.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn reload(&self) -> Result<Arc<Current>, TlsError> {
        self.renewal().note_read(Contents::of(&self.files));
        let read = Arc::new(Current::read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read.clone();
        Ok(read)
    }

    /// As [`Self::reload`], when the files have changed and are not being written any more: call it now and then.
    fn reload_if_renewed(&self) -> Option<Result<Arc<Current>, TlsError>> {
        let is_renewed = self.renewal().handle_look(Contents::of(&self.files));
        is_renewed.then(|| self.reload())
    }

    fn renewal(&self) -> MutexGuard<'_, Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handshake with a client: TLS 1.3 with whoever can, and 1.2 with others. It has no time limit.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let is_newest = hello.client_hello().cipher_suites().iter().any(|suite| {
            matches!(
                suite,
                CipherSuite::TLS13_AES_128_GCM_SHA256
                    | CipherSuite::TLS13_AES_256_GCM_SHA384
                    | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            )
        });
        let current = self.current();
        let config = if is_newest { &current.newest } else { &current.older };
        hello.into_stream(config.clone()).await
    }

    /// The handshake with a client of the relay. It has no time limit.
    pub(crate) async fn accept_relayed(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current().relay.clone()).accept(stream).await
    }
}

impl Current {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let (chain, key) = read(files)?;
        // HTTP/1.1 only (WebSocket, RFC 6455).
        let http: &[&str] = &["http/1.1"];
        let mut newest = config(&chain, &key, http, &[&rustls::version::TLS13])?;
        newest.ticketer = Arc::new(SharedTickets::new(key.secret_der()));
        let older = config(&chain, &key, http, &[&rustls::version::TLS12])?;
        let relay = config(&chain, &key, &[], rustls::ALL_VERSIONS)?;
        let ends = chain.first().and_then(ends);
        Ok(Self { newest: Arc::new(newest), older: Arc::new(older), relay: Arc::new(relay), ends })
    }
}

/// When a certificate ends: `notAfter` (RFC 5280 section 4.1.2.5).
fn ends(certificate: &CertificateDer<'_>) -> Option<UnixSeconds> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Some(UnixSeconds(end.as_secs()))
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(files: &TlsFiles) -> Result<Pair, TlsError> {
    let fail = |path: &PathBuf, reason: String| TlsError::File { path: path.clone(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fail(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(fail(&files.certificate, "it holds no certificate".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fail(&files.key, error.to_string()))?;
    Ok((chain, key))
}

fn config(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    protocols: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain.to_vec(), key.clone_key())?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_wrong_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            TlsFiles { certificate: folder.path().join("none.pem"), key: folder.path().join("key.pem") };
        let reason = TlsDoor::open(&files).err().unwrap().to_string();
        assert!(reason.contains("none.pem"), "{reason}");
        std::fs::write(&files.certificate, "no certificate").unwrap();
        let reason = TlsDoor::open(&files).err().unwrap().to_string();
        assert!(reason.contains("holds no certificate"), "{reason}");
    }
}
