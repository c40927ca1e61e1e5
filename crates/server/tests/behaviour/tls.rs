//! TLS by certificate and key files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::message::Credential;
use rcgen::{CertifiedKey, KeyPair};
use tokio_tungstenite::Connector;

use crate::support::{Phone, config, hello, serve, token};

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let made = made();
    let (certificate, key) = write(folder.path(), &made);
    let server = serve(config().tls(&certificate, &key)).await;
    assert!(server.signal_url().starts_with("wss://127.0.0.1:"));

    let mut roots = rustls::RootCertStore::empty();
    assert!(Phone::try_connect(&server.signal_url(), Some(connector(roots.clone()))).await.is_err());
    roots.add(made.cert.der().clone()).unwrap();
    let mut phone = Phone::try_connect(&server.signal_url(), Some(connector(roots))).await.unwrap();
    phone.greet(hello("alice", "a1", Credential::Token(token("alice", "tls")))).await;
    assert!(Phone::try_connect(&server.signal_url().replace("wss", "ws"), None).await.is_err());
}

/// A certificate for this machine, and its key, as files.
pub(crate) fn files(folder: &Path) -> (PathBuf, PathBuf) {
    write(folder, &made())
}

fn made() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

fn write(folder: &Path, made: &CertifiedKey<KeyPair>) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", made.signing_key.serialized_der())).unwrap();
    (certificate, key)
}

fn connector(roots: rustls::RootCertStore) -> Connector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Connector::Rustls(Arc::new(client))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
