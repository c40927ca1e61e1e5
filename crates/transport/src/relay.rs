//! Relayed addresses (TURN, RFC 8656): allocations of one session on TURN servers, and what passes through them.

mod allocation;
mod frame;
mod refusal;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use crate::candidate::MAX_CANDIDATES;
use crate::event::{Carrier, Transmit};
use allocation::Allocation;

pub(crate) use allocation::FromServer;
pub(crate) use frame::FrameReader;

/// Allocations one session may have at the same time: sockets times servers.
const MAX_ALLOCATIONS: usize = 8;

/// How a TURN server is spoken to. What it relays is UDP in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RelayProtocol {
    /// Datagrams.
    Udp,
    /// A connection, for networks that let no UDP out.
    Tcp,
    /// A connection inside TLS, for networks that let nothing else out.
    Tls,
}

impl RelayProtocol {
    /// What carries the bytes.
    #[must_use]
    pub fn carrier(self) -> Carrier {
        match self {
            Self::Udp => Carrier::Udp,
            Self::Tcp | Self::Tls => Carrier::Tcp,
        }
    }
}

impl fmt::Display for RelayProtocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

/// A TURN server and what it wants to be told. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// Its address.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub protocol: RelayProtocol,
    /// User name (long-term credential, RFC 8489, section 9.2).
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TurnServer")
            .field("address", &self.address)
            .field("protocol", &self.protocol)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why there is no relayed address of a server, or no longer.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayError {
    /// It does not take user name and password: get new ones, they may have ended.
    #[error("the TURN server does not take the user name and password")]
    Credentials,
    /// It refuses for another reason (an error code of RFC 8656, section 19); 486 and 508 pass, others do not.
    #[error("the TURN server refuses with error {0}")]
    Refused(u16),
    /// It does not answer: it is not there, or the network lets nothing through to it. Over TCP or TLS something may pass.
    #[error("the TURN server does not answer")]
    NoAnswer,
    /// The connection to it has ended: make another.
    #[error("the connection to the TURN server has ended")]
    ConnectionClosed,
    /// What comes over the connection is not TURN: something else listens there.
    #[error("what answers is no TURN server")]
    NotTurn,
    /// It could not be kept: the server no longer answers, or has forgotten it.
    #[error("the relayed address has ended")]
    Ended,
}

/// What the session must do about its allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayNews {
    /// A relayed address is there: a candidate.
    Allocated { relayed: SocketAddr, protocol: RelayProtocol },
    /// It failed, before it was there or after; the candidate is to be forgotten.
    Failed {
        relayed: Option<SocketAddr>,
        local: SocketAddr,
        server: SocketAddr,
        protocol: RelayProtocol,
        error: RelayError,
    },
}

/// What allocations want done, gathered in one go.
#[derive(Debug, Default)]
pub(crate) struct RelayOutput {
    pub(crate) transmits: Vec<Transmit>,
    pub(crate) news: Vec<RelayNews>,
}

/// All allocations of a session.
#[derive(Debug)]
pub(crate) struct Relays {
    /// The instant the library's clock counts from.
    start: Instant,
    servers: Vec<TurnServer>,
    allocations: Vec<Allocation>,
    /// Where the peer may be, as its newest candidates say.
    peers: VecDeque<IpAddr>,
}

impl Relays {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, servers: Vec::new(), allocations: Vec::new(), peers: VecDeque::new() }
    }

    /// The peer may be at this address. Servers are asked to let it through before a check has to pass: of two relays that wait for each
    /// other's first check, both would drop it.
    pub(crate) fn expect(&mut self, now: Instant, peer: IpAddr) {
        if self.peers.contains(&peer) {
            return;
        }
        if self.peers.len() >= MAX_CANDIDATES {
            self.peers.pop_front();
        }
        self.peers.push_back(peer);
        self.allocations.iter_mut().for_each(|allocation| allocation.expect(now, peer));
    }

    /// Makes a server known, or its new credentials. `false`: there are too many.
    pub(crate) fn add_server(&mut self, server: TurnServer) -> bool {
        let known = self
            .servers
            .iter_mut()
            .find(|known| (known.address, known.protocol) == (server.address, server.protocol));
        if let Some(known) = known {
            *known = server;
            return true;
        }
        let room = self.servers.len() < MAX_ALLOCATIONS;
        if room {
            self.servers.push(server);
        }
        room
    }

    /// Asks every server that takes datagrams for an address, through a socket.
    pub(crate) fn add_socket(&mut self, now: Instant, local: SocketAddr) {
        for server in self.servers.clone() {
            if server.protocol == RelayProtocol::Udp {
                self.allocate(now, local, &server);
            }
        }
    }

    /// Asks a server for an address, through a socket or connection that can reach it.
    pub(crate) fn allocate(&mut self, now: Instant, local: SocketAddr, server: &TurnServer) {
        let carrier = server.protocol.carrier();
        let known = self.find(local, server.address, carrier).is_some();
        let reaches = local.is_ipv4() == server.address.is_ipv4()
            && local.ip().is_loopback() == server.address.ip().is_loopback();
        if !known && reaches && self.allocations.len() < MAX_ALLOCATIONS {
            self.allocations.push(Allocation::new(now, self.start, local, server));
        }
    }

    /// Which allocation speaks through this socket or connection with this server.
    pub(crate) fn find(&self, local: SocketAddr, server: SocketAddr, carrier: Carrier) -> Option<usize> {
        self.allocations.iter().position(|allocation| allocation.speaks(local, server, carrier))
    }

    /// Takes a datagram, or a frame of a connection, that the server of an allocation sent.
    pub(crate) fn handle<'a>(&mut self, now: Instant, index: usize, datagram: &'a [u8]) -> FromServer<'a> {
        self.allocations
            .get_mut(index)
            .map_or(FromServer::Unknown, |allocation| allocation.handle(now, datagram))
    }

    /// What is left of a frame that has not come whole; given back with [`set_frames`](Self::set_frames).
    pub(crate) fn take_frames(&mut self, index: usize) -> FrameReader {
        self.allocations
            .get_mut(index)
            .map(|allocation| std::mem::take(&mut allocation.frames))
            .unwrap_or_default()
    }

    pub(crate) fn set_frames(&mut self, index: usize, frames: FrameReader) {
        if let Some(allocation) = self.allocations.get_mut(index) {
            allocation.frames = frames;
        }
    }

    /// Ends an allocation whose connection is of no use any more.
    pub(crate) fn fail(&mut self, index: usize, error: RelayError) {
        if let Some(allocation) = self.allocations.get_mut(index) {
            allocation.fail(error);
        }
    }

    /// Whether this is a relayed address of ours.
    pub(crate) fn is_relayed(&self, address: SocketAddr) -> bool {
        self.protocol_of(address).is_some()
    }

    /// How the server of a relayed address is spoken to.
    pub(crate) fn protocol_of(&self, relayed: SocketAddr) -> Option<RelayProtocol> {
        self.allocations.iter().find(|known| known.relayed() == Some(relayed)).map(Allocation::protocol)
    }

    /// Sends from a relayed address: at once where the server lets it through, else as soon as it does. `None`: not a relayed address.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        relayed: SocketAddr,
        peer: SocketAddr,
        contents: &Bytes,
    ) -> Option<Option<Transmit>> {
        let allocation = self.allocations.iter_mut().find(|known| known.relayed() == Some(relayed))?;
        Some(allocation.send(now, peer, contents))
    }

    /// Media will pass between these two: a channel costs 4 bytes a packet instead of 36.
    pub(crate) fn bind(&mut self, now: Instant, relayed: SocketAddr, peer: SocketAddr) {
        if let Some(allocation) = self.allocations.iter_mut().find(|known| known.relayed() == Some(relayed)) {
            allocation.bind(now, peer);
        }
    }

    /// A socket is gone, and with it what was allocated through it.
    pub(crate) fn remove_socket(&mut self, local: SocketAddr) -> Vec<SocketAddr> {
        let gone = |allocation: &mut Allocation| allocation.speaks_through(local);
        self.allocations.extract_if(.., gone).filter_map(|allocation| allocation.relayed()).collect()
    }

    /// Whether there is any relayed address.
    pub(crate) fn has_address(&self) -> bool {
        self.allocations.iter().any(|allocation| allocation.relayed().is_some())
    }

    /// Whether an address is still awaited.
    pub(crate) fn is_gathering(&self) -> bool {
        self.allocations.iter().any(Allocation::is_pending)
    }

    /// Whether one has failed and that is still to be told.
    pub(crate) fn has_failed(&self) -> bool {
        self.allocations.iter().any(Allocation::has_failed)
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.allocations.iter().map(Allocation::due).min()
    }

    /// Does what is due.
    pub(crate) fn poll(&mut self, now: Instant) -> RelayOutput {
        let mut out = RelayOutput::default();
        for allocation in &mut self.allocations {
            let was_pending = allocation.is_pending();
            allocation.poll(now, &mut out);
            if was_pending && allocation.relayed().is_some() {
                self.peers.iter().for_each(|peer| allocation.expect(now, *peer));
            }
        }
        self.allocations.retain(|allocation| !allocation.is_over());
        out
    }

    /// Gives all addresses back. What it returns is to be sent last; without an answer they end by themselves.
    pub(crate) fn close(&mut self, now: Instant) -> Vec<Transmit> {
        let allocations = std::mem::take(&mut self.allocations);
        allocations.into_iter().filter_map(|mut allocation| allocation.delete(now)).collect()
    }
}

/// Whether a peer there could be reached at all: servers refuse the others, and each refusal costs time.
fn is_permissible(peer: IpAddr) -> bool {
    !(peer.is_unspecified() || peer.is_multicast())
}
