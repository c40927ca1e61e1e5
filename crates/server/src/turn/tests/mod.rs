//! The relay over real loopback sockets, seen by clients that may be honest or not.

mod abuse;
mod coturn;
mod relaying;
mod streams;

use std::net::SocketAddr;
use std::time::Duration;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UnixSeconds, UserId};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::credential::{self, Minted, TurnSecret};
use super::stun::{Reply, Stun, code};
use super::{REALM, TurnCounters};
use crate::config::{ServerConfig, TurnConfig};
use crate::environment;
use crate::server::{RunningServer, Server};

const SECRET: &str = "sixteen letters!";
const UDP: [u8; 4] = [17, 0, 0, 0];
const REQUESTED_TRANSPORT: u16 = 0x0019;
const CHANNEL_NUMBER: u16 = 0x000c;
const DATA: u16 = 0x0013;
const LIFETIME: u16 = 0x000d;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;
/// A test that waits this long for one answer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// A wait that is meant to pass.
const SOON: Duration = Duration::from_millis(150);

fn turn_config() -> TurnConfig {
    let mut config = TurnConfig::new("127.0.0.1:0".parse().unwrap());
    config.secret = Some(TurnSecret::new(SECRET));
    config
}

/// With peers on loopback, where tests live.
fn open_config() -> TurnConfig {
    let mut config = turn_config();
    config.allow_peers = vec!["127.0.0.0/8".parse().unwrap()];
    config
}

async fn serve(turn: TurnConfig) -> RunningServer {
    Server::bind(ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).turn(turn)).await.unwrap()
}

fn counters(server: &RunningServer) -> TurnCounters {
    server.turn_counters().unwrap()
}

fn minted(secret: &str, user: &str, seconds: i64) -> Minted {
    let device = DeviceAddress {
        application: ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap(),
        user: UserId::new(user).unwrap(),
        device: DeviceId::new("d").unwrap(),
    };
    let until = UnixSeconds(environment::wall().0.saturating_add_signed(seconds));
    credential::mint(&TurnSecret::new(secret), until, &device, &CallId::new("c").unwrap())
}

/// An answer, taken apart.
#[derive(Debug)]
struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    fn message(&self) -> Stun<'_> {
        Stun::parse(&self.bytes).unwrap()
    }

    fn is_success(&self) -> bool {
        self.message().kind() & code::ERROR == code::SUCCESS
    }

    fn error(&self) -> Option<u16> {
        let value = self.message().first(code::ERROR_CODE)?;
        Some(u16::from(value[2]) * 100 + u16::from(value[3]))
    }

    /// The value of an address attribute.
    fn address(&self, kind: u16) -> SocketAddr {
        let message = self.message();
        let value = message.first(kind).unwrap_or_else(|| panic!("no address, error {:?}", self.error()));
        let copy = Reply::new(1, message.transaction()).with(code::XOR_PEER_ADDRESS, value).finish();
        Stun::parse(&copy).unwrap().peers().unwrap()[0]
    }
}

/// Requests of a client, whatever carries them.
struct Requests {
    minted: Minted,
    nonce: String,
    count: u8,
}

impl Requests {
    fn new(minted: Minted) -> Self {
        Self { minted, nonce: String::new(), count: 0 }
    }

    fn begin(&mut self, kind: u16) -> Reply {
        self.count = self.count.wrapping_add(1);
        Reply::new(kind, [self.count; 12])
    }

    fn sign(&self, request: Reply) -> Vec<u8> {
        let Minted { username, password } = &self.minted;
        let signed = request
            .with(code::USERNAME, username.as_bytes())
            .with(code::REALM, REALM.as_bytes())
            .with(code::NONCE, self.nonce.as_bytes());
        signed.signed(&credential::key(username, REALM, password)).finish()
    }

    fn challenge(&mut self) -> Vec<u8> {
        self.begin(code::ALLOCATE).with(REQUESTED_TRANSPORT, &UDP).finish()
    }

    fn learn(&mut self, challenge: &Answer) {
        assert_eq!(challenge.error(), Some(401));
        challenge.message().text(code::NONCE).unwrap().clone_into(&mut self.nonce);
    }

    fn allocate(&mut self) -> Vec<u8> {
        let request = self.begin(code::ALLOCATE).with(REQUESTED_TRANSPORT, &UDP);
        self.sign(request)
    }

    fn refresh(&mut self, seconds: u32) -> Vec<u8> {
        let request = self.begin(code::REFRESH).with(LIFETIME, &seconds.to_be_bytes());
        self.sign(request)
    }

    fn permission(&mut self, peers: &[&str]) -> Vec<u8> {
        let mut request = self.begin(code::CREATE_PERMISSION);
        for peer in peers {
            request = request.peer(peer.parse().unwrap());
        }
        self.sign(request)
    }

    fn channel(&mut self, number: u16, peer: SocketAddr) -> Vec<u8> {
        let number = [number.to_be_bytes(), [0, 0]].concat();
        let request = self.begin(code::CHANNEL_BIND).with(CHANNEL_NUMBER, &number).peer(peer);
        self.sign(request)
    }

    fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Vec<u8> {
        self.begin(code::SEND_INDICATION).peer(peer).with(DATA, data).finish()
    }
}

fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&number.to_be_bytes()[..], &length, data].concat()
}

/// A client over UDP.
struct Client {
    socket: UdpSocket,
    requests: Requests,
}

impl Client {
    async fn connect(server: &RunningServer, minted: Minted) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.turn_addr().unwrap()).await.unwrap();
        Self { socket, requests: Requests::new(minted) }
    }

    /// A client that knows a nonce.
    async fn greet(server: &RunningServer, minted: Minted) -> Self {
        let mut client = Self::connect(server, minted).await;
        let challenge = client.requests.challenge();
        let answer = client.ask(&challenge).await;
        client.requests.learn(&answer);
        client
    }

    /// A client with an allocation, and its relayed address.
    async fn allocate(server: &RunningServer, minted: Minted) -> (Self, SocketAddr) {
        let mut client = Self::greet(server, minted).await;
        let request = client.requests.allocate();
        let answer = client.ask(&request).await;
        assert_eq!(answer.error(), None);
        let relayed = answer.address(XOR_RELAYED_ADDRESS);
        (client, relayed)
    }

    /// Sends until there is an answer to this request, as a client on a network that loses does.
    async fn ask(&self, request: &[u8]) -> Answer {
        let asking = async {
            loop {
                self.socket.send(request).await.unwrap();
                if let Ok(bytes) = timeout(Duration::from_millis(500), self.receive()).await
                    && bytes.get(8..20) == Some(&request[8..20])
                {
                    return Answer { bytes };
                }
            }
        };
        timeout(PATIENCE, asking).await.unwrap()
    }

    async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 2048];
        let length = self.socket.recv(&mut buffer).await.unwrap();
        buffer.truncate(length);
        buffer
    }
}

async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 2048];
    let (length, source) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    (buffer, source)
}
