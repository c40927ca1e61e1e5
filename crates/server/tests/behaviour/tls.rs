//! TLS by certificate and key files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::message::Credential;
use rcgen::{CertifiedKey, KeyPair};
use tokio::time::sleep;
use tokio_tungstenite::Connector;

use crate::metrics::{counting, scrape, value};
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

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (made(), made());
    let (certificate, key) = write(folder.path(), &old);
    let server = counting(config().tls(&certificate, &key)).await;
    let url = server.signal_url();
    let trusts = async |made: &CertifiedKey<KeyPair>| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        Phone::try_connect(&url, Some(connector(roots))).await.ok()
    };
    let reads = async |outcome: &str| {
        value(&scrape(&server).await, &format!("offhook_certificate_reads_total{{outcome=\"{outcome}\"}}"))
    };
    let mut phone = trusts(&old).await.expect("the first certificate");
    phone.greet(hello("alice", "a1", Credential::Token(token("alice", "tls")))).await;

    // Half of a renewal: the chain of the new one, the key of the old.
    std::fs::write(&certificate, pem("CERTIFICATE", new.cert.der())).unwrap();
    let error = server.reload_certificate().await.unwrap_err();
    assert!(error.to_string().contains("not usable together"), "{error}");
    std::fs::write(&certificate, "").unwrap();
    let error = server.reload_certificate().await.unwrap_err();
    assert!(error.to_string().contains("cert.pem"), "{error}");
    assert_eq!((reads("used").await, reads("refused").await), (0.0, 2.0));
    assert!(trusts(&old).await.is_some() && trusts(&new).await.is_none(), "the old one stays in use");

    write(folder.path(), &new);
    assert!(server.reload_certificate().await.unwrap());
    assert!(trusts(&new).await.is_some() && trusts(&old).await.is_none());
    assert_eq!(reads("used").await, 1.0);
    phone.expect_silence().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = write(folder.path(), &made());
    let server = serve(config().tls(&certificate, &key)).await;
    let new = made();
    write(folder.path(), &new);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(new.cert.der().clone()).unwrap();
    let since = Instant::now();
    while Phone::try_connect(&server.signal_url(), Some(connector(roots.clone()))).await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(30), "nobody looks at the files");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_server_without_tls_has_nothing_to_read_again() {
    assert!(!serve(config()).await.reload_certificate().await.unwrap());
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
