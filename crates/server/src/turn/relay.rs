//! The sockets that face the peers: each belongs to a lease, sends only where the filter lets it, and no faster than a call needs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use turn::Error;
use turn::relay::RelayAddressGenerator;
use webrtc_util::Conn;

use super::conn::{Datagrams, Socket};
use super::ledger::{Lease, count};
use super::peer::PeerFilter;
use crate::environment;

/// Seconds at the full rate that may come at once.
const BURST_SECONDS: u64 = 2;
/// Until an even port comes up.
const PORT_TRIES: usize = 64;

/// Where relay sockets are opened, and what clients are told about them.
#[derive(Debug, Clone)]
pub(super) struct RelayAddress {
    /// The address sockets are bound to.
    pub(super) local: IpAddr,
    /// The address peers reach them under.
    pub(super) external: IpAddr,
    pub(super) filter: Arc<PeerFilter>,
}

/// Opens the socket for the lease that waits in the slot.
#[derive(Debug)]
pub(super) struct RelaySockets {
    pub(super) address: RelayAddress,
    pub(super) next: Arc<Mutex<Option<Arc<Lease>>>>,
}

#[async_trait]
impl RelayAddressGenerator for RelaySockets {
    fn validate(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        _requested_port: u16,
    ) -> Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), Error> {
        let lease = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lease = lease.ok_or(Error::ErrNilConn)?;
        if use_ipv4 != self.address.local.is_ipv4() {
            return Err(Error::ErrPeerAddressFamilyMismatch);
        }
        let (socket, port) = open(self.address.local, lease.wants_even_port)
            .await
            .map_err(|error| Error::Other(error.to_string()))?;
        lease.opened(port);
        let rate = lease.ledger().limits().bytes_per_second;
        let conn = RelayConn {
            socket,
            address: self.address.clone(),
            lease,
            sending: Meter::new(rate),
            receiving: Meter::new(rate),
        };
        Ok((Arc::new(Socket(conn)), SocketAddr::new(self.address.external, port)))
    }
}

/// A socket on a free port.
async fn open(local: IpAddr, even: bool) -> io::Result<(UdpSocket, u16)> {
    for _ in 0..PORT_TRIES {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
        let port = socket.local_addr()?.port();
        if !even || port % 2 == 0 {
            return Ok((socket, port));
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// The socket of one allocation.
#[derive(Debug)]
struct RelayConn {
    socket: UdpSocket,
    address: RelayAddress,
    lease: Arc<Lease>,
    sending: Meter,
    receiving: Meter,
}

impl RelayConn {
    /// Where a datagram for `peer` really goes; `None` for where it may not.
    fn route(&self, peer: SocketAddr) -> Option<SocketAddr> {
        if peer.ip() == self.address.external && self.lease.ledger().is_relayed_port(peer.port()) {
            // Two clients of the same relay: a router may not pass the outer address back in.
            return Some(SocketAddr::new(self.address.local, peer.port()));
        }
        (peer.port() != 0 && self.address.filter.allows(peer.ip())).then_some(peer)
    }

    /// Who sent a datagram, as the client knows the sender.
    fn name(&self, source: SocketAddr) -> SocketAddr {
        let is_other_client =
            source.ip() == self.address.local && self.lease.ledger().is_relayed_port(source.port());
        if is_other_client { SocketAddr::new(self.address.external, source.port()) } else { source }
    }

    fn passes(&self, meter: &Meter, bytes: usize) -> bool {
        let counters = &self.lease.ledger().counters;
        if meter.passes(bytes, environment::now()) {
            counters.relayed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            true
        } else {
            count(&counters.dropped_datagrams);
            false
        }
    }
}

impl Datagrams for RelayConn {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    async fn send_to(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<()> {
        match self.route(peer) {
            None => count(&self.lease.ledger().counters.refused_peers),
            Some(peer) if self.passes(&self.sending, bytes.len()) => {
                // A peer that cannot be reached now is as good as a lost datagram.
                if let Err(error) = self.socket.try_send_to(bytes, peer) {
                    tracing::trace!(%error, "a relayed datagram was not sent");
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let (length, source) = tokio::select! {
                received = self.socket.recv_from(buffer) => received?,
                // The library ends an allocation whose socket fails.
                () = self.lease.over() => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            if self.passes(&self.receiving, length) {
                return Ok((length, self.name(source)));
            }
        }
    }
}

/// A token bucket over bytes.
#[derive(Debug)]
struct Meter {
    bytes_per_second: u64,
    left: Mutex<(u64, Option<Instant>)>,
}

impl Meter {
    const fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, left: Mutex::new((bytes_per_second.saturating_mul(BURST_SECONDS), None)) }
    }

    fn passes(&self, bytes: usize, now: Instant) -> bool {
        let mut guard = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = &mut *guard;
        let most = self.bytes_per_second.saturating_mul(BURST_SECONDS);
        let passed = now.saturating_duration_since(*since.get_or_insert(now));
        let gained =
            u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.bytes_per_second)
                / 1_000_000;
        if gained > 0 {
            *left = left.saturating_add(gained).min(most);
            *since = Some(now);
        }
        let fits = *left >= bytes as u64;
        if fits {
            *left -= bytes as u64;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_meter_lets_a_burst_pass_and_then_its_rate() {
        let (meter, now) = (Meter::new(1000), environment::now());
        let passed = (0..100).filter(|_| meter.passes(100, now)).count();
        assert_eq!(passed, 20, "two seconds' worth");
        let steady =
            (1..=100).filter(|tick| meter.passes(100, now + Duration::from_millis(50 * tick))).count();
        assert_eq!(steady, 50, "five seconds' worth");
    }
}
