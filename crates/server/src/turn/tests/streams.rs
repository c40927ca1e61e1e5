//! TCP and TLS.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::turn::frame::Framer;

/// A client over a stream.
struct Stream<S> {
    stream: S,
    framer: Framer,
    requests: Requests,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    fn new(stream: S, minted: Minted) -> Self {
        Self { stream, framer: Framer::default(), requests: Requests::new(minted) }
    }

    async fn frame(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 700];
        loop {
            if let Some(frame) = self.framer.next().unwrap() {
                return Some(frame.to_vec());
            }
            match timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap() {
                Ok(length @ 1..) => self.framer.push(&buffer[..length]),
                _ => return None,
            }
        }
    }

    async fn ask(&mut self, request: Vec<u8>) -> Answer {
        self.stream.write_all(&request).await.unwrap();
        Answer { bytes: self.frame().await.unwrap() }
    }

    /// Allocates, and exchanges a datagram with a peer.
    async fn relay(&mut self) {
        let challenge = self.requests.challenge();
        let answer = self.ask(challenge).await;
        self.requests.learn(&answer);
        let request = self.requests.allocate();
        let answer = self.ask(request).await;
        assert_eq!(answer.error(), None);
        let relayed = answer.address(XOR_RELAYED_ADDRESS);
        let (peer, address) = peer().await;
        let request = self.requests.channel(0x4001, address);
        assert!(self.ask(request).await.is_success());
        let mut data = channel_data(0x4001, b"stone");
        data.extend([0; 3]);
        self.stream.write_all(&data).await.unwrap();
        assert_eq!(receive(&peer).await, (b"stone".to_vec(), relayed));
        peer.send_to(b"paper", relayed).await.unwrap();
        assert_eq!(self.frame().await.unwrap(), channel_data(0x4001, b"paper"));
    }
}

async fn connect(server: &RunningServer) -> TcpStream {
    TcpStream::connect(server.turn_addr().unwrap()).await.unwrap()
}

/// Until the relay has noticed.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn data_passes_over_tcp_and_ends_with_the_connection() {
    let server = serve(open_config()).await;
    let mut client = Stream::new(connect(&server).await, minted(SECRET, "alice", 600));
    client.relay().await;
    let mut second = Stream::new(connect(&server).await, minted(SECRET, "alice", 600));
    second.relay().await;
    assert_eq!((counters(&server).allocations, counters(&server).connections), (2, 2));
    drop((client, second));
    until(|| counters(&server).allocations == 0 && counters(&server).connections == 0).await;
}

#[tokio::test]
async fn a_stream_of_something_else_is_closed() {
    let server = serve(open_config()).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x40, 0, 0xff, 0xff], &[0xff; 32]] {
        let mut client = Stream::new(connect(&server).await, minted(SECRET, "alice", 600));
        client.stream.write_all(garbage).await.unwrap();
        assert_eq!(client.frame().await, None);
    }
    until(|| counters(&server).connections == 0).await;
}

#[tokio::test]
async fn who_drips_without_credentials_is_not_waited_for() {
    let server = serve(open_config()).await;
    let mut drips = connect(&server).await;
    let mut asks = Stream::new(connect(&server).await, minted(SECRET, "alice", 600));
    until(|| counters(&server).connections == 2).await;
    tokio::time::pause();
    for _ in 0..4 {
        // A header that never ends, and questions that anybody may ask. Whether they still arrive is seen below.
        let _ = drips.write_all(&[0]).await;
        let challenge = asks.requests.challenge();
        let _ = asks.stream.write_all(&challenge).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(counters(&server).connections, 0);
}

#[tokio::test]
async fn one_address_holds_only_so_many_connections() {
    let mut config = open_config();
    config.limits.connections_per_address = 2;
    let server = serve(config).await;
    let _held = (connect(&server).await, connect(&server).await);
    until(|| counters(&server).connections == 2).await;
    let mut third = Stream::new(connect(&server).await, minted(SECRET, "alice", 600));
    assert_eq!(third.frame().await, None);
}

#[tokio::test]
async fn data_passes_over_tls_with_the_servers_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", made.signing_key.serialized_der())).unwrap();
    let config =
        ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).tls(chain, key).turn(open_config());
    let server = Server::bind(config).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.turn_tls_addr().unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    Stream::new(stream, minted(SECRET, "alice", 600)).relay().await;
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
