//! TLS by certificate and key files.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::message::Credential;
use tokio_tungstenite::Connector;

use crate::support::{Phone, config, hello, serve, token};

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", made.signing_key.serialized_der())).unwrap();
    let server = serve(config().tls(&certificate, &key)).await;
    assert!(server.signal_url().starts_with("wss://127.0.0.1:"));

    let mut roots = rustls::RootCertStore::empty();
    assert!(Phone::try_connect(&server.signal_url(), Some(connector(roots.clone()))).await.is_err());
    roots.add(made.cert.der().clone()).unwrap();
    let mut phone = Phone::try_connect(&server.signal_url(), Some(connector(roots))).await.unwrap();
    phone.greet(hello("alice", "a1", Credential::Token(token("alice", "tls")))).await;
    assert!(Phone::try_connect(&server.signal_url().replace("wss", "ws"), None).await.is_err());
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

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
