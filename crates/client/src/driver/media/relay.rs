//! Connections to TURN servers: opened, heard, opened again on a new network.

use std::net::SocketAddr;
use std::time::Instant;

use offhook_transport::{Carrier, RelayProtocol};

use super::MediaDriver;
use crate::turn_stream::StreamNews;

impl MediaDriver {
    pub(super) fn take_stream_news(&mut self) {
        let now = Instant::now();
        let Self { turn_streams, session, core, .. } = self;
        let refused = session.stats().rejected.total();
        let mut heard = false;
        turn_streams.take(|news| match news {
            StreamNews::Open(local, target) => session.add_turn_connection(now, local, &target.server),
            StreamNews::Unreachable(target, why) => {
                let protocol = target.server.protocol;
                tracing::info!(call = %core.id, server = %target.server.address, %protocol, why, "no relayed address");
            }
            StreamNews::Bytes(local, server, bytes) => {
                session.handle_stream(now, local, server, bytes);
                heard = true;
            }
            StreamNews::Closed(local, server) => session.handle_stream_closed(now, local, server),
        });
        if heard && session.stats().rejected.total() == refused {
            self.recovery.hear(now);
        }
        if !self.turn_streams.is_opening() {
            self.session.end_of_local_candidates(now);
        }
    }

    /// Connects to the TURN servers that want a connection and have none.
    pub(super) fn open_turn_streams(&mut self) {
        for target in self.shared.known_ice_servers().connections() {
            self.turn_streams.open(target);
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
