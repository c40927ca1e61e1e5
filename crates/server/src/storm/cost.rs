//! What a TLS handshake costs a server on this machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{ApplicationKey, DeviceId, UserId};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use tokio::sync::oneshot;

use crate::application::Application;
use crate::config::{ServerConfig, TlsFiles};
use crate::hub::{Command, Open};
use crate::outbox;
use crate::server::Server;
use crate::tls::TlsDoor;

const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";

/// Processor time of the server alone.
#[derive(Debug)]
pub(super) struct Costs {
    pub(super) full: Duration,
    pub(super) resumed: Duration,
}

/// Handshakes in memory; the client's tickets are used, or it has none.
pub(super) fn measure(rounds: usize, kind: &'static SignatureAlgorithm) -> Costs {
    let key = KeyPair::generate_for(kind).unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, pem("CERTIFICATE", certificate.der())).unwrap();
    std::fs::write(&files.key, pem("PRIVATE KEY", key.serialized_der())).unwrap();
    // Two servers with the same files: what one gave, the other takes.
    let servers = [(); 2].map(|()| TlsDoor::open(&files).unwrap().current().newest.clone());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = || {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(client.unwrap().with_root_certificates(roots.clone()).with_no_client_auth())
    };
    let full = median((0..rounds).map(|_| handshake(&client(), &servers[0], false)));
    let known = client();
    handshake(&known, &servers[0], false);
    let resumed = median((0..rounds).map(|round| handshake(&known, &servers[(round + 1) % 2], true)));
    Costs { full, resumed }
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// What opening a session costs the one task that has all sessions of an application.
pub(super) fn hub() -> Duration {
    const SESSIONS: u32 = 10_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let application = Application::from_parts(KEY, SECRET).unwrap();
        let config = ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).application(application);
        let server = Server::bind(config).await.unwrap();
        let key = ApplicationKey::new(KEY).unwrap();
        let hub = server.hub(&key);
        let (mut answers, mut inboxes) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        for index in 0..SESSIONS {
            let (user, device) = (UserId::new(format!("u{index}")).unwrap(), DeviceId::new("d1").unwrap());
            let address = Arc::new(DeviceAddress { application: key.clone(), user, device });
            let (outbox, inbox) = outbox::channel();
            let (opened, answer) = oneshot::channel();
            let open = Open {
                address,
                from: IpAddr::from([127, 0, 0, 1]),
                resume: None,
                calls: Vec::new(),
                credential: None,
                outbox,
                opened,
                resolved: None,
            };
            hub.send(Command::Open(Box::new(open))).await.unwrap();
            answers.push(answer);
            inboxes.push(inbox);
        }
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        begun.elapsed() / SESSIONS
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The time the server takes for one.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<rustls::ServerConfig>, resumes: bool) -> Duration {
    let mut client = ClientConnection::new(client.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut spent = Duration::ZERO;
    let begun = Instant::now();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    spent += begun.elapsed();
    // Once more after the handshake, for the tickets.
    for _ in 0..4 {
        let mut text = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut text).unwrap();
        }
        let begun = Instant::now();
        let mut rest = &text[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut answer = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answer).unwrap();
        }
        spent += begun.elapsed();
        let mut rest = &answer[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let kind = server.handshake_kind();
    let wanted = if resumes { rustls::HandshakeKind::Resumed } else { rustls::HandshakeKind::Full };
    let is_wanted =
        kind == Some(wanted) || (!resumes && kind.is_some_and(|kind| kind != rustls::HandshakeKind::Resumed));
    assert!(is_wanted, "a handshake of the kind that is measured, not {kind:?}");
    spent
}

#[test]
fn a_ticket_of_one_server_is_taken_by_another_with_the_same_key() {
    // Asserted with each handshake.
    assert!(measure(3, &PKCS_ECDSA_P256_SHA256).resumed > Duration::ZERO);
}
