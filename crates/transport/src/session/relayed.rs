//! TURN servers of a session: what comes from them, and what becomes of relayed addresses.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Session, Stage};
use crate::demux::{Protocol, classify};
use crate::event::{Carrier, Event, PathEnd};
use crate::relay::{FromServer, RelayError, RelayNews, RelayProtocol, TurnServer};
use crate::stats::RejectReason;

impl Session {
    /// Asks a TURN server for a relayed address through every socket that can reach it; those become candidates. Of a server over TCP
    /// or TLS nothing is asked before [`add_turn_connection`](Self::add_turn_connection). One that is known takes the new credentials, for
    /// every socket that has no address there. At most 8 servers.
    pub fn add_turn_server(&mut self, now: Instant, server: TurnServer) {
        let is_udp = server.protocol == RelayProtocol::Udp;
        if self.relays.add_server(server.clone()) && is_udp {
            for local in &self.gathering.sockets {
                self.relays.allocate(now, *local, &server);
            }
        }
        self.drive(now);
    }

    /// Asks a TURN server for a relayed address over a connection that is open: `local` is its own end. What the session wants written
    /// to it are transmits of [`Carrier::Tcp`]; what it brings goes to [`handle_stream`](Self::handle_stream).
    pub fn add_turn_connection(&mut self, now: Instant, local: SocketAddr, server: &TurnServer) {
        if server.protocol.carrier() == Carrier::Tcp {
            self.relays.allocate(now, local, server);
        }
        self.drive(now);
    }

    /// Takes bytes of a connection to a TURN server, in order and cut anyhow.
    pub fn handle_stream(&mut self, now: Instant, local: SocketAddr, server: SocketAddr, bytes: &[u8]) {
        if self.stage == Stage::Ended {
            return;
        }
        if let Some(index) = self.relays.find(local, server, Carrier::Tcp) {
            let mut frames = self.relays.take_frames(index);
            frames.push(bytes);
            loop {
                match frames.next_frame() {
                    Ok(Some(place)) => {
                        if let Err(reason) = self.take_frame(now, index, frames.frame(place)) {
                            self.rejected.count(reason);
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        self.relays.fail(index, RelayError::NotTurn);
                        break;
                    }
                }
            }
            self.relays.set_frames(index, frames);
        }
        self.drive(now);
    }

    /// Says that a connection to a TURN server is gone, and the relayed address with it.
    pub fn handle_stream_closed(&mut self, now: Instant, local: SocketAddr, server: SocketAddr) {
        if let Some(index) = self.relays.find(local, server, Carrier::Tcp) {
            self.relays.fail(index, RelayError::ConnectionClosed);
        }
        self.drive(now);
    }

    fn take_frame(&mut self, now: Instant, index: usize, frame: &[u8]) -> Result<(), RejectReason> {
        let taken = match classify(frame).ok_or(RejectReason::Unknown)? {
            Protocol::Stun | Protocol::TurnChannel => self.take_from_server(now, index, frame)?,
            Protocol::Dtls | Protocol::Rtp | Protocol::Rtcp => false,
        };
        if taken { Ok(()) } else { Err(RejectReason::Relay) }
    }

    /// Whether a datagram was a TURN server's, and is done with. In a session of relayed addresses alone everything else is a stranger's.
    pub(super) fn is_from_server(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        protocol: Protocol,
        datagram: &[u8],
    ) -> Result<bool, RejectReason> {
        if matches!(protocol, Protocol::Stun | Protocol::TurnChannel)
            && let Some(index) = self.relays.find(local, remote, Carrier::Udp)
            && self.take_from_server(now, index, datagram)?
        {
            return Ok(true);
        }
        if self.config.relay_only && !self.relays.is_relayed(local) {
            return Err(RejectReason::UnvalidatedSource);
        }
        Ok(false)
    }

    fn take_from_server(
        &mut self,
        now: Instant,
        index: usize,
        datagram: &[u8],
    ) -> Result<bool, RejectReason> {
        match self.relays.handle(now, index, datagram) {
            FromServer::Taken => Ok(true),
            FromServer::Unknown => Ok(false),
            FromServer::Data { relayed, data } => {
                self.take(now, relayed, data.peer, data.data()).map(|()| true)
            }
        }
    }

    pub(super) fn drive_relays(&mut self, now: Instant) {
        if self.relays.timeout().is_none_or(|due| now < due) && !self.relays.has_failed() {
            return;
        }
        let out = self.relays.poll(now);
        out.transmits.into_iter().for_each(|transmit| self.put_out(transmit));
        for news in out.news {
            match news {
                RelayNews::Allocated { relayed, protocol } => {
                    let candidate = self.ice.add_relayed(relayed, protocol.carrier());
                    // A server that gives an address nobody can use is as good as none.
                    self.announce(candidate.ok().flatten());
                }
                RelayNews::Failed { relayed, local, server, protocol, error } => {
                    if let Some(relayed) = relayed {
                        self.ice.remove_local(relayed);
                    }
                    self.gathering.relay_error = Some(error);
                    self.emit(Event::RelayFailed { local, server, protocol, relayed, error });
                }
            }
        }
    }

    /// Through every socket that has no address there.
    pub(super) fn ask_relays_again(&mut self, now: Instant) {
        for local in &self.gathering.sockets {
            self.relays.add_socket(now, *local);
        }
    }

    pub(super) fn close_relays(&mut self, now: Instant) {
        for transmit in self.relays.close(now) {
            self.put_out(transmit);
        }
    }

    /// Both ends of the path in use.
    pub(super) fn path_ends(&self) -> Option<(PathEnd, PathEnd)> {
        let (mut local, remote) = self.ice.path_ends()?;
        local.relay = self.relays.protocol_of(local.address);
        Some((local, remote))
    }
}
