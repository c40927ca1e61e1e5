//! One socket that clients reach the relay through: the gate first, then the protocol library.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use turn::allocation::allocation_manager::{Manager, ManagerConfig};
use turn::allocation::five_tuple::FiveTuple;
use turn::allocation::permission::Permission;
use turn::auth::AuthHandler;
use turn::proto::PROTO_UDP;
use turn::server::request::Request;
use webrtc_util::Conn;

use super::gate::{Gate, Granted, Verdict};
use super::ledger::{Clients, Lease};
use super::relay::{RelayAddress, RelaySockets};
use crate::config::Rate;
use crate::environment;
use crate::limit::{Pacer, network_of};

/// RFC 8656 section 3.5.
const CHANNEL: Duration = Duration::from_secs(600);
/// Answers to one network by the gate itself, over UDP.
const ANSWERS: Rate = Rate { interval: Duration::from_millis(1), burst: 1000 };

/// What all sockets of one relay share.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) gate: Gate,
    pub(super) address: RelayAddress,
    /// Answers over UDP: whoever forges a source must not make the relay loud.
    answers: Mutex<Pacer<IpAddr>>,
}

impl Relay {
    pub(super) fn new(gate: Gate, address: RelayAddress) -> Self {
        Self { gate, address, answers: Mutex::new(Pacer::new(ANSWERS)) }
    }

    fn may_answer(&self, source: IpAddr) -> bool {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.allow(network_of(source), environment::now())
    }
}

/// A UDP socket, or one TCP or TLS connection. Its datagrams are handled one after the other.
pub(super) struct Port {
    relay: Arc<Relay>,
    conn: Arc<dyn Conn + Send + Sync>,
    local: SocketAddr,
    clients: Arc<Clients>,
    manager: Arc<Manager>,
    next: Arc<Mutex<Option<Arc<Lease>>>>,
    is_udp: bool,
}

impl Port {
    pub(super) fn new(
        relay: Arc<Relay>,
        conn: Arc<dyn Conn + Send + Sync>,
        local: SocketAddr,
        clients: Arc<Clients>,
        is_udp: bool,
    ) -> Self {
        let next = Arc::new(Mutex::new(None));
        let sockets = RelaySockets { address: relay.address.clone(), next: Arc::clone(&next) };
        let config = ManagerConfig { relay_addr_generator: Box::new(sockets), alloc_close_notify: None };
        Self { relay, conn, local, clients, manager: Arc::new(Manager::new(config)), next, is_udp }
    }

    /// Handles one datagram from `source`.
    pub(super) async fn handle(&self, bytes: &[u8], source: SocketAddr) {
        let lease = self.clients.get(source);
        match self.relay.gate.judge(bytes, source, lease.as_deref(), environment::wall()) {
            Verdict::Drop => {}
            Verdict::Reply(_) if self.is_udp && !self.relay.may_answer(source.ip()) => {}
            Verdict::Reply(reply) => {
                // Who does not get it asks again.
                let _ = self.conn.send_to(&reply, source).await;
            }
            Verdict::Data => {
                self.pass_on(bytes, source, lease.as_ref().map_or(&[], |lease| &lease.key), None).await
            }
            Verdict::Request(granted) => self.carry_out(bytes, source, *granted).await,
        }
    }

    /// Whether a client has an allocation here.
    pub(super) fn serves(&self, client: SocketAddr) -> bool {
        self.clients.get(client).is_some()
    }

    /// Ends every allocation.
    pub(super) async fn close(&self) {
        // The library stops at the first that is closed already; all of them end with it.
        let _ = self.manager.close().await;
    }

    async fn carry_out(&self, bytes: &[u8], source: SocketAddr, granted: Granted) {
        let allocates = granted.lease.map(Arc::new);
        if let Some(lease) = &allocates {
            self.clients.insert(source, lease);
            self.wait_in_slot(Some(Arc::clone(lease)));
        }
        let bytes = granted.instead.as_deref().unwrap_or(bytes);
        self.pass_on(bytes, source, &granted.key, Some(granted.nonce)).await;
        self.wait_in_slot(None);
        if !granted.more_peers.is_empty()
            && let Some(allocation) = self.manager.get_allocation(&self.five_tuple(source)).await
        {
            for peer in granted.more_peers {
                allocation.add_permission(Permission::new(peer)).await;
            }
        }
        let may_be_gone = granted.refreshes || allocates.is_some();
        if may_be_gone && self.manager.get_allocation(&self.five_tuple(source)).await.is_none() {
            self.clients.remove(source);
        }
    }

    fn wait_in_slot(&self, lease: Option<Arc<Lease>>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    async fn pass_on(&self, bytes: &[u8], source: SocketAddr, key: &[u8], nonce: Option<String>) {
        // The library keeps every nonce it made for ever; it is given the one that the gate has checked.
        let nonces: HashMap<_, _> = nonce.into_iter().map(|nonce| (nonce, Instant::now())).collect();
        let mut request = Request {
            conn: Arc::clone(&self.conn),
            src_addr: source,
            buff: bytes.to_vec(),
            allocation_manager: Arc::clone(&self.manager),
            nonces: Arc::new(tokio::sync::Mutex::new(nonces)),
            auth_handler: Arc::new(Checked(key.to_vec())),
            realm: self.relay.gate.realm.clone(),
            channel_bind_timeout: CHANNEL,
        };
        if let Err(error) = request.handle_request().await {
            tracing::debug!(%source, %error, "a request to the relay was not carried out");
        }
    }

    const fn five_tuple(&self, source: SocketAddr) -> FiveTuple {
        FiveTuple { protocol: PROTO_UDP, src_addr: source, dst_addr: self.local }
    }
}

/// The key that the gate has found to be right.
struct Checked(Vec<u8>);

impl AuthHandler for Checked {
    fn auth_handle(
        &self,
        _username: &str,
        _realm: &str,
        _source: SocketAddr,
    ) -> Result<Vec<u8>, turn::Error> {
        Ok(self.0.clone())
    }
}
