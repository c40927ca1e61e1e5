//! STUN and TURN servers of a call: asked as they become known, connections to them opened, heard, opened again on a new network.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_transport::{Carrier, RelayProtocol};

use super::{MediaDriver, MediaNews};
use crate::driver::IceServers;
use crate::event::CallDirection;
use crate::turn_stream::StreamNews;

/// Credentials last longer than this: they are asked for again no sooner.
const FRESH: Duration = Duration::from_secs(60);

/// Servers of a call, and whether more may come.
#[derive(Debug)]
pub(super) struct Gathering {
    servers: IceServers,
    expects: Expects,
    ended: bool,
    renewed: Option<Instant>,
}

/// Whether more servers may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// Perhaps: a caller is told them when the far end is being reached, or not at all.
    Perhaps,
    /// They were told, and are being looked up.
    Surely,
    /// No more.
    Nothing,
}

impl Gathering {
    pub(super) fn new(servers: IceServers, direction: CallDirection) -> Self {
        let expects = if direction == CallDirection::Inbound { Expects::Nothing } else { Expects::Perhaps };
        Self { servers, expects, ended: false, renewed: None }
    }

    /// Servers were told; they come when they are looked up.
    pub(super) fn expect_servers(&mut self) {
        if self.expects == Expects::Perhaps {
            self.expects = Expects::Surely;
        }
    }

    /// Whether all servers are known. An answer that comes before any was told tells that none will be.
    const fn is_complete(&self, is_negotiated: bool) -> bool {
        match self.expects {
            Expects::Perhaps => is_negotiated,
            Expects::Surely => false,
            Expects::Nothing => true,
        }
    }
}

impl MediaDriver {
    pub(super) fn take_ice_servers(&mut self, now: Instant, servers: IceServers) {
        for server in &servers.stun {
            self.session.add_stun_server(now, *server);
        }
        for target in &servers.turn {
            self.session.add_turn_server(now, target.server.clone());
        }
        servers.connections().for_each(|target| self.turn_streams.open(target));
        self.gathering.servers = servers;
        self.gathering.expects = Expects::Nothing;
    }

    /// Says that no more candidates come, as soon as that is sure.
    pub(super) fn end_gathering(&mut self, now: Instant) {
        let complete = self.gathering.is_complete(self.is_negotiated());
        if complete && !self.gathering.ended && !self.turn_streams.is_opening() {
            self.gathering.ended = true;
            self.session.end_of_local_candidates(now);
        }
    }

    pub(super) fn take_stream_news(&mut self) {
        let now = Instant::now();
        let Self { turn_streams, session, core, .. } = self;
        turn_streams.take(|news| match news {
            StreamNews::Open(local, target) => session.add_turn_connection(now, local, &target.server),
            StreamNews::Unreachable(target, why) => {
                let protocol = target.server.protocol;
                tracing::info!(call = %core.id, server = %target.server.address, %protocol, why, "no relayed address");
            }
            StreamNews::Bytes(local, server, bytes) => session.handle_stream(now, local, server, bytes),
            StreamNews::Closed(local, server) => session.handle_stream_closed(now, local, server),
        });
        self.hear();
    }

    /// Before new paths are looked for: connects to the TURN servers that want a connection and have none, and asks for credentials that
    /// have not ended.
    pub(super) fn refresh_ice_servers(&mut self, now: Instant) {
        self.gathering.servers.connections().for_each(|target| self.turn_streams.open(target));
        let is_fresh = self.gathering.renewed.is_some_and(|renewed| now < renewed + FRESH);
        if !is_fresh && !self.gathering.servers.turn.is_empty() {
            self.gathering.renewed = Some(now);
            self.push_news(MediaNews::RenewIceServers);
        }
    }

    /// What was sent through it needs another path at once; silence would tell it late.
    pub(super) fn relay_failed(
        &mut self,
        now: Instant,
        local: SocketAddr,
        protocol: RelayProtocol,
        relayed: Option<SocketAddr>,
    ) {
        if protocol.carrier() == Carrier::Tcp {
            self.turn_streams.remove(local);
        }
        let used = self.session.stats().path.map(|(ours, _)| ours.address);
        if relayed.is_some() && relayed == used {
            self.restart_ice(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_were_told_are_waited_for_also_when_the_answer_is_faster() {
        let mut gathering = Gathering::new(IceServers::default(), CallDirection::Outbound);
        assert!(!gathering.is_complete(false) && gathering.is_complete(true), "none were told");
        gathering.expect_servers();
        assert!(!gathering.is_complete(true));
        gathering.expects = Expects::Nothing;
        gathering.expect_servers();
        assert!(gathering.is_complete(false), "fresh credentials for the same servers change nothing");
        assert!(Gathering::new(IceServers::default(), CallDirection::Inbound).is_complete(false));
    }
}
