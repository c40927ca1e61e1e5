//! Who holds which allocation, and for which call: quotas, the ports in use, and the counters.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::credential::{CallMark, Claim};
use crate::config::TurnLimits;

/// The most addresses one allocation may ever be allowed to talk to: a call has a few.
const MOST_PEERS: usize = 256;
/// Calls that are over and get no allocation any more. Whoever ends more calls than these within the life of a credential forgets the
/// oldest: they get allocations like any other, within their user's share.
const MOST_OVER: usize = 65_536;

/// What a relay did since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnCounters {
    /// Allocations that live now.
    pub allocations: u64,
    /// Allocations that were ever made.
    pub allocated: u64,
    /// Requests refused for their credentials: none, unknown, wrong or ended.
    pub refused_credentials: u64,
    /// Requests and datagrams refused for the address they were meant for.
    pub refused_peers: u64,
    /// Allocations refused by a quota.
    pub refused_quota: u64,
    /// Bytes passed on to peers and back.
    pub relayed_bytes: u64,
    /// Datagrams dropped because an allocation sent or received faster than it may.
    pub dropped_datagrams: u64,
    /// Open TCP and TLS connections.
    pub connections: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) allocated: AtomicU64,
    pub(super) refused_credentials: AtomicU64,
    pub(super) refused_peers: AtomicU64,
    pub(super) refused_quota: AtomicU64,
    pub(super) relayed_bytes: AtomicU64,
    pub(super) dropped_datagrams: AtomicU64,
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Every allocation of one relay.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: TurnLimits,
    pub(super) counters: Counters,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_user: HashMap<String, usize>,
    by_call: HashMap<CallMark, Vec<Arc<Notify>>>,
    over: Over,
    ports: HashSet<u16>,
}

/// The newest calls that are over.
#[derive(Debug, Default)]
struct Over {
    known: HashSet<CallMark>,
    order: VecDeque<CallMark>,
}

impl Over {
    fn add(&mut self, call: CallMark) {
        if !self.known.insert(call) {
            return;
        }
        self.order.push_back(call);
        if self.order.len() > MOST_OVER
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// One allocation, from before it is made until its socket is closed; dropping it counts down.
#[derive(Debug)]
pub(super) struct Lease {
    ledger: Arc<Ledger>,
    user: String,
    call: Option<CallMark>,
    over: Arc<Notify>,
    /// The only user name that may speak for it.
    pub(super) username: String,
    pub(super) key: Vec<u8>,
    /// The request that made it: the same one again gets the same answer.
    pub(super) transaction: [u8; 12],
    pub(super) wants_even_port: bool,
    state: Mutex<LeaseState>,
}

#[derive(Debug, Default)]
struct LeaseState {
    port: Option<u16>,
    answer: Option<Vec<u8>>,
    peers: HashSet<IpAddr>,
}

/// Why there is no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLease {
    /// The call is over.
    Over,
    /// This user has as many as one may have.
    User,
    /// The relay has.
    Relay,
}

impl Ledger {
    pub(super) fn new(limits: TurnLimits) -> Self {
        Self { limits, counters: Counters::default(), open: Mutex::default() }
    }

    pub(super) const fn limits(&self) -> &TurnLimits {
        &self.limits
    }

    /// Takes a place for one allocation.
    pub(super) fn lease(
        self: &Arc<Self>,
        claim: &Claim<'_>,
        username: &str,
        key: Vec<u8>,
        transaction: [u8; 12],
    ) -> Result<Lease, NoLease> {
        let mut open = self.lock();
        let own = open.by_user.get(claim.user).copied().unwrap_or(0);
        let refused = if claim.call.is_some_and(|call| open.over.known.contains(&call)) {
            return Err(NoLease::Over);
        } else if own >= self.limits.allocations_per_user {
            Some(NoLease::User)
        } else {
            (open.total >= self.limits.allocations).then_some(NoLease::Relay)
        };
        if let Some(why) = refused {
            count(&self.counters.refused_quota);
            return Err(why);
        }
        open.total += 1;
        open.by_user.insert(claim.user.to_owned(), own + 1);
        let over = Arc::new(Notify::new());
        if let Some(call) = claim.call {
            open.by_call.entry(call).or_default().push(Arc::clone(&over));
        }
        drop(open);
        Ok(Lease {
            ledger: Arc::clone(self),
            user: claim.user.to_owned(),
            call: claim.call,
            over,
            username: username.to_owned(),
            key,
            transaction,
            wants_even_port: false,
            state: Mutex::default(),
        })
    }

    /// No allocation is made for this call any more.
    pub(super) fn refuse_call(&self, call: CallMark) {
        self.lock().over.add(call);
    }

    /// Whether a call has allocations.
    pub(super) fn has_call(&self, call: CallMark) -> bool {
        self.lock().by_call.contains_key(&call)
    }

    /// Ends the allocations of a call.
    pub(super) fn end_call(&self, call: CallMark) {
        // One that nobody waits on yet ends as soon as somebody does.
        self.lock().by_call.get(&call).into_iter().flatten().for_each(|over| over.notify_one());
    }

    /// Whether this relay has opened that port for somebody.
    pub(super) fn is_relayed_port(&self, port: u16) -> bool {
        self.lock().ports.contains(&port)
    }

    /// How many allocations there are.
    pub(super) fn count(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Its socket is open.
    pub(super) fn opened(&self, port: u16) {
        self.state().port = Some(port);
        self.ledger.lock().ports.insert(port);
        count(&self.ledger.counters.allocated);
    }

    /// Waits until its call is over. One waits at a time.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// Keeps the answer to the request that made it.
    pub(super) fn remember_answer(&self, answer: &[u8]) {
        self.state().answer = Some(answer.to_vec());
    }

    pub(super) fn answer(&self) -> Option<Vec<u8>> {
        self.state().answer.clone()
    }

    /// Notes that it wants to talk to these addresses; false when that are too many.
    pub(super) fn admit_peers(&self, peers: &[SocketAddr]) -> bool {
        let mut state = self.state();
        let new = peers.iter().filter(|peer| !state.peers.contains(&peer.ip())).count();
        if state.peers.len() + new > MOST_PEERS {
            return false;
        }
        state.peers.extend(peers.iter().map(SocketAddr::ip));
        true
    }

    fn state(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let port = self.state().port;
        let mut open = self.ledger.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(own) = open.by_user.get_mut(&self.user) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.by_user.remove(&self.user);
            }
        }
        if let Some(port) = port {
            open.ports.remove(&port);
        }
        if let Some(call) = self.call
            && let Some(all) = open.by_call.get_mut(&call)
        {
            all.retain(|over| !Arc::ptr_eq(over, &self.over));
            if all.is_empty() {
                open.by_call.remove(&call);
            }
        }
    }
}

/// The allocations of one listening socket, by the client's address.
#[derive(Debug, Default)]
pub(super) struct Clients {
    leases: Mutex<HashMap<SocketAddr, Weak<Lease>>>,
}

impl Clients {
    pub(super) fn get(&self, client: SocketAddr) -> Option<Arc<Lease>> {
        self.lock().get(&client)?.upgrade()
    }

    pub(super) fn insert(&self, client: SocketAddr, lease: &Arc<Lease>) {
        let mut leases = self.lock();
        // What has ended is forgotten here: there are never many more entries than allocations.
        if leases.len() > 64 && leases.len() == leases.capacity() {
            leases.retain(|_, lease| lease.strong_count() > 0);
        }
        leases.insert(client, Arc::downgrade(lease));
    }

    pub(super) fn remove(&self, client: SocketAddr) {
        self.lock().remove(&client);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Weak<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
