//! The TURN relay (RFC 8656) for calls whose two sides cannot reach each other.
//!
//! A datagram's way through the files: `udp` or `tcp` (which cuts the stream by `frame`) receives it, `gate` answers whatever
//! comes without valid credentials (`credential`, `stun`) or asks for a peer that is not served (`peer`) or for more than its
//! share (`ledger`), and `port` hands the rest to the `turn` crate, which opens sockets through `relay` and sees all of them as
//! `conn` makes them look. `issue` makes the credentials that go out with a call, and ends what they allocated when it is over.

mod conn;
mod credential;
mod frame;
pub(crate) mod fuzzing;
mod gate;
mod issue;
mod ledger;
mod peer;
mod port;
mod relay;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use offhook_signaling::EntropySource as _;
use offhook_signaling::message::IceServer;
use tokio::net::{TcpListener, UdpSocket};

pub use self::credential::TurnSecret;
use self::gate::Gate;
pub(crate) use self::issue::IceIssuer;
use self::ledger::Ledger;
pub use self::ledger::TurnCounters;
use self::peer::PeerFilter;
pub use self::peer::{AddressRange, AddressRangeError};
use self::port::Relay;
use self::relay::RelayAddress;
use crate::config::{Rate, TURNS_PORT, TurnConfig};
use crate::environment::OsEntropy;
use crate::limit::Connections;
use crate::server::StopSign;
use crate::tls::TlsDoor;

const REALM: &str = "offhook";
/// Tries for a port that is free for UDP and TCP.
const TRIES: usize = 16;

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The address cannot be listened on, mostly because another process does: take another or stop that one.
    #[error("the relay cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It listens on every address and none of them leads anywhere: name the one that clients reach it by.
    #[error(
        "no address of this machine is known under which clients reach the relay: name one with turn.external_ip"
    )]
    NoAddress,
    /// Listening address and outer address are not of one family: name two that are.
    #[error("the relay's address {local} and its outer address {external} are not both IPv4 or both IPv6")]
    Families {
        /// Where it listens.
        local: IpAddr,
        /// The outer address.
        external: IpAddr,
    },
}

/// A relay that serves.
#[derive(Debug)]
pub(crate) struct TurnService {
    local: SocketAddr,
    tls: Option<SocketAddr>,
    host: String,
    secret: TurnSecret,
    lifetime: Duration,
    ledger: Arc<Ledger>,
    connections: Arc<Connections>,
}

impl TurnService {
    /// Listens and serves in the background until the server stops.
    pub(crate) async fn start(
        config: &TurnConfig,
        tls: Option<Arc<TlsDoor>>,
        stop: &StopSign,
    ) -> Result<Self, TurnError> {
        let address = addresses(config).await?;
        let mut listen = config.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        let (udp, tcp, local) = listen_on(listen).await?;
        let tls = match tls {
            Some(door) => Some((door, listen_for_tls(config, listen).await?)),
            None => None,
        };
        let secret = config.secret.clone().unwrap_or_else(random_secret);
        let mut nonce_key = [0; 32];
        OsEntropy.fill(&mut nonce_key);
        let ledger = Arc::new(Ledger::new(config.limits));
        let gate = Gate {
            realm: REALM.to_owned(),
            secrets: std::iter::once(secret.clone()).chain(config.previous_secret.clone()).collect(),
            nonce_key,
            filter: Arc::clone(&address.filter),
            ledger: Arc::clone(&ledger),
            external: address.external,
        };
        let service = Self {
            local,
            tls: tls.as_ref().and_then(|(_, listener)| listener.local_addr().ok()),
            host: host(config, address.external),
            secret,
            lifetime: config.credential_lifetime,
            connections: Arc::new(connections(config)),
            ledger,
        };
        let relay = Arc::new(Relay::new(gate, address));
        tokio::spawn(udp::run(udp, local, Arc::clone(&relay), stop.clone()));
        let connections = &service.connections;
        tokio::spawn(tcp::run(tcp, None, Arc::clone(&relay), Arc::clone(connections), stop.clone()));
        if let Some((door, listener)) = tls {
            tokio::spawn(tcp::run(listener, Some(door), relay, Arc::clone(connections), stop.clone()));
        }
        Ok(service)
    }

    /// Tells clients about it.
    pub(crate) fn announce(&self, issuer: &mut IceIssuer) {
        let (host, port) = (&self.host, self.local.port());
        let stun = vec![format!("stun:{host}:{port}")];
        issuer.add_fixed(IceServer { urls: stun, username: None, credential: None });
        let mut urls =
            vec![format!("turn:{host}:{port}?transport=udp"), format!("turn:{host}:{port}?transport=tcp")];
        if let Some(tls) = self.tls {
            urls.push(format!("turns:{host}:{}?transport=tcp", tls.port()));
        }
        issuer.add_relay(urls, self.secret.clone(), self.lifetime);
        issuer.set_own(Arc::clone(&self.ledger));
    }

    /// Where it listens for UDP and TCP.
    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where it listens for TLS.
    pub(crate) const fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls
    }

    pub(crate) fn counters(&self) -> TurnCounters {
        let counters = &self.ledger.counters;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        TurnCounters {
            allocations: self.ledger.count() as u64,
            allocated: read(&counters.allocated),
            refused_credentials: read(&counters.refused_credentials),
            refused_peers: read(&counters.refused_peers),
            refused_quota: read(&counters.refused_quota),
            relayed_bytes: read(&counters.relayed_bytes),
            dropped_datagrams: read(&counters.dropped_datagrams),
            connections: self.connections.count() as u64,
        }
    }
}

fn connections(config: &TurnConfig) -> Connections {
    let attempts = Rate { interval: Duration::from_millis(20), burst: 500 };
    Connections::new(config.limits.connections, config.limits.connections_per_address, attempts)
}

fn random_secret() -> TurnSecret {
    let mut bytes = [0; 32];
    OsEntropy.fill(&mut bytes);
    TurnSecret::new(bytes)
}

fn host(config: &TurnConfig, external: IpAddr) -> String {
    config.host.clone().unwrap_or_else(|| match external {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    })
}

/// Where relay sockets are opened and known, and who may not be reached through them.
async fn addresses(config: &TurnConfig) -> Result<RelayAddress, TurnError> {
    let local = match config.listen.ip() {
        ip if ip.is_unspecified() => outward_address().await.ok_or(TurnError::NoAddress)?,
        ip => ip,
    };
    let external = config.external_ip.unwrap_or(local).to_canonical();
    if local.is_ipv4() != external.is_ipv4() {
        return Err(TurnError::Families { local, external });
    }
    let own = webrtc_util::ifaces::ifaces().unwrap_or_default();
    let own = own.into_iter().filter_map(|interface| interface.addr).map(|address| address.ip());
    let own = own.chain([local, external]).collect();
    let filter = Arc::new(PeerFilter { allowed: config.allow_peers.clone(), own });
    Ok(RelayAddress { local, external, filter })
}

/// The address of this machine that the Internet would see without NAT. Nothing is sent.
async fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).await.ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

/// UDP and TCP on the same port.
async fn listen_on(address: SocketAddr) -> Result<(UdpSocket, TcpListener, SocketAddr), TurnError> {
    let fail = |source| TurnError::Listen { address, source };
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await.map_err(fail)?;
        let local = udp.local_addr().map_err(fail)?;
        tries -= 1;
        match TcpListener::bind(local).await {
            Ok(tcp) => return Ok((udp, tcp, local)),
            Err(_) if tries > 0 => {}
            Err(source) => return Err(fail(source)),
        }
    }
}

async fn listen_for_tls(config: &TurnConfig, listen: SocketAddr) -> Result<TcpListener, TurnError> {
    let usual = if listen.port() == 0 { 0 } else { TURNS_PORT };
    let address = config.tls_listen.unwrap_or_else(|| SocketAddr::new(listen.ip(), usual));
    TcpListener::bind(address).await.map_err(|source| TurnError::Listen { address, source })
}
