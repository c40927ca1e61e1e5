//! TLS from a certificate chain and a key in PEM files.

mod tickets;

use std::path::PathBuf;
use std::sync::Arc;

use self::tickets::SharedTickets;
use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor;
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

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

/// Speaks TLS 1.3 with whoever can, and 1.2 with others.
#[derive(Debug, Clone)]
pub(crate) struct TlsDoor {
    newest: Arc<ServerConfig>,
    older: Arc<ServerConfig>,
}

impl TlsDoor {
    /// The handshake. It has no time limit.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let is_newest = hello.client_hello().cipher_suites().iter().any(|suite| {
            matches!(
                suite,
                CipherSuite::TLS13_AES_128_GCM_SHA256
                    | CipherSuite::TLS13_AES_256_GCM_SHA384
                    | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            )
        });
        let config = if is_newest { &self.newest } else { &self.older };
        hello.into_stream(config.clone()).await
    }
}

/// Reads the files. With session tickets: those of TLS 1.3 are good at every server that has the same key. `protocols` are those of
/// ALPN, none for whatever the client says.
pub(crate) fn door(files: &TlsFiles, protocols: &[&str]) -> Result<TlsDoor, TlsError> {
    let (chain, key) = read(files)?;
    let mut newest = config(&chain, &key, protocols, &[&rustls::version::TLS13])?;
    newest.ticketer = Arc::new(SharedTickets::new(key.secret_der()));
    let older = config(&chain, &key, protocols, &[&rustls::version::TLS12])?;
    Ok(TlsDoor { newest: Arc::new(newest), older: Arc::new(older) })
}

/// How the door speaks to most.
#[cfg(test)]
pub(crate) fn newest(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    door(files, &[]).map(|door| door.newest)
}

/// Reads the files, for those who need no more than usual: TLS 1.2 and 1.3, session tickets.
pub(crate) fn acceptor(files: &TlsFiles, protocols: &[&str]) -> Result<TlsAcceptor, TlsError> {
    let (chain, key) = read(files)?;
    Ok(TlsAcceptor::from(Arc::new(config(&chain, &key, protocols, rustls::ALL_VERSIONS)?)))
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
        let reason = acceptor(&files, &[]).err().unwrap().to_string();
        assert!(reason.contains("none.pem"), "{reason}");
        std::fs::write(&files.certificate, "no certificate").unwrap();
        let reason = acceptor(&files, &[]).err().unwrap().to_string();
        assert!(reason.contains("holds no certificate"), "{reason}");
    }
}
