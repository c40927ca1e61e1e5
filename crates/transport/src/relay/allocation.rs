//! One address on a TURN server, around `turn-client-proto`: asked for, kept, used, given back.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use turn_client_proto::api::{TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::{DelayedTransmitBuild as _, TurnClientApi as _};
use turn_client_proto::stun::Instant as LibraryInstant;
use turn_client_proto::stun::agent::Transmit as LibraryTransmit;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::frame::{FrameReader, padding};
use super::refusal::Refusal;
use super::{RelayError, RelayNews, RelayOutput, RelayProtocol, TurnServer, is_permissible};
use crate::event::{Carrier, Transmit};

/// A server that has given no address after this time is given up: whoever waits for the end of gathering waits no longer.
const PATIENCE: Duration = Duration::from_secs(6);
/// A lost request is repeated after this time, doubled each time up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
const TRIES: u32 = 6;
/// The library asks to be called again at once while nothing changes; so soon is soon enough.
const STANDING: Duration = Duration::from_millis(5);
/// Steps of one look; more would never end.
const MOST_STEPS: usize = 64;
/// Datagrams that wait for the server to let them through.
const MOST_WAITING: usize = 16;
/// Peers the server was asked to let through, and those it refused.
const MOST_PEERS: usize = 64;
/// The library's clock begins here, so that it can count back.
const BEGINNING: Duration = Duration::from_secs(86_400);
/// The library lets so much time pass between two requests, as RFC 8445 paces the checks of many pairs. Once the one before is answered,
/// the next waits no longer than [`LEAST_PACE`]: the network that carried the answer carries it, too.
const PACE: Duration = Duration::from_millis(50);
/// RFC 8445 section 14.2 allows no shorter time.
const LEAST_PACE: Duration = Duration::from_millis(5);
/// Of the buffer datagrams are put together in.
const BUFFER: usize = 4096;

turn_client_proto::impl_client!(pub(super) Client, (Udp, TurnClientUdp), (Tcp, TurnClientTcp));

/// What a peer sent through the relay.
type PeerData<'a> = turn_client_proto::api::TurnPeerData<&'a [u8]>;

/// What a datagram of a server was.
#[derive(Debug)]
pub(crate) enum FromServer<'a> {
    /// It was for the allocation.
    Taken,
    /// Nothing of ours.
    Unknown,
    /// A peer sent this to the relayed address.
    Data { relayed: SocketAddr, data: PeerData<'a> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Asked for; given up at this time.
    Pending(Instant),
    There(SocketAddr),
    /// To be told, then forgotten.
    Failed(RelayError, Option<SocketAddr>),
    Over,
}

pub(super) struct Allocation {
    start: Instant,
    local: SocketAddr,
    server: SocketAddr,
    protocol: RelayProtocol,
    client: Client,
    state: State,
    refusal: Refusal,
    permitted: Vec<IpAddr>,
    refused: Vec<IpAddr>,
    bound: Option<SocketAddr>,
    waiting: VecDeque<(SocketAddr, Bytes)>,
    pub(super) frames: FrameReader,
    buffer: BytesMut,
    due: Instant,
    /// When the newest request went that has no answer.
    asked: Option<Instant>,
    /// So much the library's clock is ahead: the time it did not have to wait between requests.
    ahead: Duration,
}

/// Without the library's client: that would show the password.
impl fmt::Debug for Allocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Allocation")
            .field("local", &self.local)
            .field("server", &self.server)
            .field("protocol", &self.protocol)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Allocation {
    pub(super) fn new(now: Instant, start: Instant, local: SocketAddr, server: &TurnServer) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new(&server.username, &server.password));
        // What is asked for is an address of the family in which the server is reached: it surely has one.
        config.set_address_family(if local.is_ipv4() { AddressFamily::IPV4 } else { AddressFamily::IPV6 });
        config.set_request_retransmits(FIRST_RETRY, LONGEST_RETRY, TRIES, LONGEST_RETRY);
        let client = match server.protocol.carrier() {
            Carrier::Udp => Client::Udp(TurnClientUdp::allocate(local, server.address, config)),
            Carrier::Tcp => Client::Tcp(TurnClientTcp::allocate(local, server.address, config)),
        };
        Self {
            start,
            local,
            server: server.address,
            protocol: server.protocol,
            client,
            state: State::Pending(now + PATIENCE),
            refusal: Refusal::default(),
            permitted: Vec::new(),
            refused: Vec::new(),
            bound: None,
            waiting: VecDeque::new(),
            frames: FrameReader::default(),
            buffer: BytesMut::with_capacity(BUFFER),
            due: now,
            asked: None,
            ahead: Duration::ZERO,
        }
    }

    pub(super) fn protocol(&self) -> RelayProtocol {
        self.protocol
    }

    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        match self.state {
            State::There(relayed) => Some(relayed),
            _ => None,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(_))
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(..))
    }

    pub(super) fn due(&self) -> Instant {
        match self.state {
            State::Pending(until) => self.due.min(until),
            _ => self.due,
        }
    }

    pub(super) fn speaks(&self, local: SocketAddr, server: SocketAddr, carrier: Carrier) -> bool {
        (self.local, self.server, self.protocol.carrier()) == (local, server, carrier)
    }

    pub(super) fn speaks_through(&self, socket: SocketAddr) -> bool {
        self.local == socket && self.protocol.carrier() == Carrier::Udp
    }

    pub(super) fn fail(&mut self, error: RelayError) {
        if !matches!(self.state, State::Failed(..) | State::Over) {
            self.state = State::Failed(error, self.relayed());
        }
    }

    fn clock(&self, now: Instant) -> LibraryInstant {
        LibraryInstant::ZERO + BEGINNING + now.saturating_duration_since(self.start) + self.ahead
    }

    /// An answer came.
    fn hasten(&mut self, now: Instant) {
        if let Some(asked) = self.asked.take() {
            let waited = now.saturating_duration_since(asked).max(LEAST_PACE);
            self.ahead += PACE.saturating_sub(waited);
        }
    }

    /// Takes a datagram or a frame of the server's.
    pub(super) fn handle<'a>(&mut self, now: Instant, datagram: &'a [u8]) -> FromServer<'a> {
        self.refusal.note_answer(datagram);
        let at = self.clock(now);
        let incoming = LibraryTransmit::new(datagram, self.client.transport(), self.server, self.local);
        match self.client.recv(incoming, at) {
            TurnRecvRet::PeerData(data) => match self.relayed() {
                Some(relayed) => FromServer::Data { relayed, data },
                None => FromServer::Unknown,
            },
            TurnRecvRet::Handled => {
                self.hasten(now);
                self.due = now;
                FromServer::Taken
            }
            TurnRecvRet::PeerIcmp { .. } => {
                self.due = now;
                FromServer::Taken
            }
            TurnRecvRet::Ignored(_) if self.refusal.wrong_credentials => {
                self.due = now;
                FromServer::Taken
            }
            TurnRecvRet::Ignored(_) => FromServer::Unknown,
        }
    }

    /// Puts a datagram for a peer into what the server understands; `None` when it has to wait, or cannot be sent.
    pub(super) fn send(&mut self, now: Instant, peer: SocketAddr, contents: &Bytes) -> Option<Transmit> {
        let at = self.clock(now);
        if self.client.have_permission(TransportType::Udp, peer.ip()) {
            return self.wrap(at, peer, contents);
        }
        if self.permit(now, peer.ip()) {
            if self.waiting.len() >= MOST_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((peer, contents.clone()));
        }
        None
    }

    fn wrap(&mut self, at: LibraryInstant, peer: SocketAddr, contents: &[u8]) -> Option<Transmit> {
        let built = self.client.send_to(TransportType::Udp, peer, contents, at).ok()??;
        let carrier = self.protocol.carrier();
        let length = built.data.len();
        let whole = length + if carrier == Carrier::Tcp { padding(length) } else { 0 };
        // The memory of what was sent before and is gone serves again.
        self.buffer.resize(whole, 0);
        built.data.write_into(self.buffer.get_mut(..length)?);
        let contents = self.buffer.split().freeze();
        Some(Transmit { carrier, source: self.local, destination: self.server, contents })
    }

    /// Asks the server to let a peer through. `false`: it will not.
    fn permit(&mut self, now: Instant, peer: IpAddr) -> bool {
        if self.permitted.contains(&peer) {
            return true;
        }
        if self.refused.contains(&peer) || !is_permissible(peer) || self.permitted.len() >= MOST_PEERS {
            return false;
        }
        let at = self.clock(now);
        let asked = self.client.create_permission(TransportType::Udp, peer, at).is_ok();
        if asked {
            self.permitted.push(peer);
            self.due = now;
        }
        asked
    }

    /// Asks in time to let a peer through that may come.
    pub(super) fn expect(&mut self, now: Instant, peer: IpAddr) {
        if self.relayed().is_some_and(|relayed| relayed.is_ipv4() == peer.is_ipv4()) {
            self.permit(now, peer);
        }
    }

    pub(super) fn bind(&mut self, now: Instant, peer: SocketAddr) {
        let at = self.clock(now);
        if self.bound != Some(peer) && self.client.bind_channel(TransportType::Udp, peer, at).is_ok() {
            self.bound = Some(peer);
            self.due = now;
        }
    }

    /// Does what is due.
    pub(super) fn poll(&mut self, now: Instant, out: &mut RelayOutput) {
        if self.refusal.wrong_credentials && self.is_pending() {
            self.fail(RelayError::Credentials);
        }
        if matches!(self.state, State::Pending(until) if now >= until) {
            self.fail(self.refusal.code.map_or(RelayError::NoAnswer, RelayError::Refused));
        }
        if now >= self.due && matches!(self.state, State::Pending(_) | State::There(_)) {
            self.step(now, out);
        }
        if let State::Failed(error, relayed) = self.state {
            self.state = State::Over;
            let Self { local, server, protocol, .. } = *self;
            out.news.push(RelayNews::Failed { relayed, local, server, protocol, error });
        }
    }

    fn step(&mut self, now: Instant, out: &mut RelayOutput) {
        let at = self.clock(now);
        for _ in 0..MOST_STEPS {
            let mut moved = false;
            while let Some(event) = self.client.poll_event() {
                moved = true;
                self.take_event(now, event, out);
            }
            while let Some(transmit) = self.client.poll_transmit(at) {
                moved = true;
                self.asked = Some(now);
                self.refusal.note_request(&transmit.data);
                let contents = Bytes::copy_from_slice(&transmit.data);
                let carrier = self.protocol.carrier();
                out.transmits.push(Transmit {
                    carrier,
                    source: self.local,
                    destination: self.server,
                    contents,
                });
            }
            match self.client.poll(at) {
                TurnPollRet::WaitUntil(until) if until > at || !moved => {
                    let wait = until.saturating_duration_since(at);
                    self.due = now + if wait.is_zero() { STANDING } else { wait };
                    return;
                }
                TurnPollRet::Closed => return self.fail(self.reason()),
                TurnPollRet::WaitUntil(_)
                | TurnPollRet::AllocateTcpSocket { .. }
                | TurnPollRet::TcpClose { .. } => {}
            }
        }
        self.due = now + STANDING;
    }

    fn reason(&self) -> RelayError {
        match (self.state, self.refusal.code) {
            (State::There(_), _) => RelayError::Ended,
            (_, Some(code)) => RelayError::Refused(code),
            (_, None) => RelayError::NoAnswer,
        }
    }

    fn take_event(&mut self, now: Instant, event: TurnEvent, out: &mut RelayOutput) {
        match event {
            TurnEvent::AllocationCreated(_, relayed) if self.is_pending() => {
                self.state = State::There(relayed);
                out.news.push(RelayNews::Allocated { relayed, protocol: self.protocol });
            }
            TurnEvent::AllocationCreateFailed(_) if self.is_pending() => self.fail(self.reason()),
            TurnEvent::PermissionCreated(_, ip) => {
                let at = self.clock(now);
                let (ready, rest): (VecDeque<_>, VecDeque<_>) =
                    std::mem::take(&mut self.waiting).into_iter().partition(|(peer, _)| peer.ip() == ip);
                self.waiting = rest;
                out.transmits
                    .extend(ready.iter().filter_map(|(peer, contents)| self.wrap(at, *peer, contents)));
            }
            TurnEvent::PermissionCreateFailed(_, ip) => {
                self.permitted.retain(|known| *known != ip);
                self.waiting.retain(|(peer, _)| peer.ip() != ip);
                if self.refused.len() < MOST_PEERS {
                    self.refused.push(ip);
                }
            }
            TurnEvent::ChannelCreateFailed(_, peer) => {
                // Without a channel the packets are a little longer.
                self.bound = self.bound.filter(|bound| *bound != peer);
            }
            _ => {}
        }
    }

    /// What tells the server that the address is no longer needed.
    pub(super) fn delete(&mut self, now: Instant) -> Option<Transmit> {
        self.relayed()?;
        let at = self.clock(now);
        self.client.delete(at).ok()?;
        // The last request does not wait.
        let transmit = self.client.poll_transmit(at + PACE)?;
        let contents = Bytes::copy_from_slice(&transmit.data);
        Some(Transmit {
            carrier: self.protocol.carrier(),
            source: self.local,
            destination: self.server,
            contents,
        })
    }
}
