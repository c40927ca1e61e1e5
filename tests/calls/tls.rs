//! A server with a certificate of one's own authority: trusted when the client is told so, and only then.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook::{Client, ClientErrorCode, ClientEvent, Device, Timeouts};
use offhook_server::{RunningServer, Server};

use crate::support::{KEY, client_event, register, server_config, token};

async fn tls_server(folder: &tempfile::TempDir) -> (RunningServer, Vec<u8>) {
    let (chain, key, root) = certificate(folder.path());
    (Server::bind(server_config().tls(chain, key)).await.unwrap(), root)
}

/// Makes a certificate for loopback: the files of chain and key, and what trusts it.
pub(crate) fn certificate(folder: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&chain, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", made.signing_key.serialized_der())).unwrap();
    (chain, key, made.cert.der().to_vec())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn client(server: &RunningServer, roots: Vec<Vec<u8>>, timeouts: Timeouts) -> Client {
    Client::builder()
        .application_key(KEY)
        .user_id("alice")
        .environment_host(server.url())
        .microphone(Device::null())
        .timeouts(timeouts)
        .root_certificates(roots)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_trusted_server_gets_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (server, root) = tls_server(&folder).await;
    let trusting = client(&server, vec![root], Timeouts::default());
    register(&mut trusting.start().await.unwrap(), &token("alice")).await;

    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let impatient = Timeouts { start: std::time::Duration::from_millis(700), ..Timeouts::default() };
    let wary = client(&server, vec![stranger.cert.der().to_vec()], impatient);
    let mut events = wary.start().await.unwrap();
    let registration = client_event(&mut events, "CredentialsRequired", |event| match event {
        ClientEvent::CredentialsRequired(registration) => Some(registration),
        _ => None,
    })
    .await;
    registration.register(token("alice")).await.unwrap();
    let error = client_event(&mut events, "Failed", |event| match event {
        ClientEvent::Failed(error) => Some(error),
        _ => None,
    })
    .await;
    assert_eq!(error.code, ClientErrorCode::NetworkTimedOut);
}
