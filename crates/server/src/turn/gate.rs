//! What becomes of one datagram of a client, before the protocol library sees it: who is not known, or asks for what is not
//! given, is answered here. Pure: time is an argument, and nothing is kept for whoever has no valid credentials.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use offhook_signaling::UnixSeconds;
use sha2::Sha256;

use super::credential::{self, TurnSecret};
use super::ledger::{Lease, Ledger, NoLease, count};
use super::peer::PeerFilter;
use super::stun::{Reply, Stun, code};

/// RFC 8489 section 9.2: how long a nonce is taken.
const NONCE_SECONDS: u64 = 3600;
/// An allocation may outlive its credentials, but not for ever.
const MOST_ALLOCATION_SECONDS: u64 = 24 * 3600;

/// What to do.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Drop,
    /// Answer this.
    Reply(Vec<u8>),
    /// Hand it to the library as it is: relayed data of a client that has an allocation.
    Data,
    /// Hand it to the library: an authenticated request that may be carried out.
    Request(Box<Granted>),
}

/// What the library has to know about an authenticated request.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) key: Vec<u8>,
    pub(super) nonce: String,
    /// The new allocation's place, for an Allocate.
    pub(super) lease: Option<Lease>,
    /// What the library is to read instead of the datagram.
    pub(super) instead: Option<Vec<u8>>,
    /// Peers beyond the first one, which the library would overlook.
    pub(super) more_peers: Vec<SocketAddr>,
    pub(super) refreshes: bool,
}

/// The rules of one relay.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) realm: String,
    /// The newest first.
    pub(super) secrets: Vec<TurnSecret>,
    pub(super) nonce_key: [u8; 32],
    pub(super) filter: Arc<PeerFilter>,
    pub(super) ledger: Arc<Ledger>,
    /// The address peers know the relay by.
    pub(super) external: IpAddr,
}

impl Gate {
    /// Judges a datagram from `source`, who holds `lease` when there is an allocation.
    pub(super) fn judge(
        &self,
        bytes: &[u8],
        source: SocketAddr,
        lease: Option<&Lease>,
        now: UnixSeconds,
    ) -> Verdict {
        if is_channel_data(bytes) {
            return if lease.is_some() { Verdict::Data } else { Verdict::Drop };
        }
        let Some(message) = Stun::parse(bytes) else { return Verdict::Drop };
        match message.kind() {
            code::BINDING => Verdict::Reply(Reply::binding(&message, source).finish()),
            code::SEND_INDICATION => self.judge_indication(&message, lease),
            code::ALLOCATE | code::REFRESH | code::CREATE_PERMISSION | code::CHANNEL_BIND => {
                match self.judge_request(&message, source, lease, now) {
                    Ok(granted) => Verdict::Request(Box::new(granted)),
                    Err(reply) => Verdict::Reply(reply),
                }
            }
            _ => Verdict::Drop,
        }
    }

    /// An indication has no answer, not even a refusal.
    fn judge_indication(&self, message: &Stun<'_>, lease: Option<&Lease>) -> Verdict {
        let peers = message.peers();
        let (Some(_), Some([peer])) = (lease, peers.as_deref()) else { return Verdict::Drop };
        if self.allows(*peer) {
            return Verdict::Data;
        }
        count(&self.ledger.counters.refused_peers);
        Verdict::Drop
    }

    fn judge_request(
        &self,
        message: &Stun<'_>,
        source: SocketAddr,
        lease: Option<&Lease>,
        now: UnixSeconds,
    ) -> Result<Granted, Vec<u8>> {
        let (key, nonce, username) = self.authenticate(message, source, lease, now)?;
        let refuse = |number: u16, reason: &str| Reply::error(message, number, reason).signed(&key).finish();
        let mut granted = Granted {
            nonce: nonce.to_owned(),
            lease: None,
            instead: None,
            more_peers: Vec::new(),
            refreshes: message.kind() == code::REFRESH,
            key: key.clone(),
        };
        match (message.kind(), lease) {
            (code::ALLOCATE, Some(lease)) if lease.transaction == message.transaction() => {
                return Err(lease.answer().unwrap_or_else(|| refuse(437, "Allocation Mismatch")));
            }
            (code::ALLOCATE, None) => {
                self.check_wishes(message, &key)?;
                let claim = credential::read(username).ok_or_else(|| refuse(400, "Bad Request"))?;
                let lease = self.ledger.lease(&claim, username, key.clone(), message.transaction());
                let mut lease = lease.map_err(|why| match why {
                    NoLease::Over => refuse(403, "Call Over"),
                    NoLease::User => refuse(486, "Allocation Quota Reached"),
                    NoLease::Relay => refuse(508, "Insufficient Capacity"),
                })?;
                // The library's way to an even port opens a second socket.
                lease.wants_even_port = message.first(code::EVEN_PORT).is_some();
                granted.instead = lease.wants_even_port.then(|| message.without(code::EVEN_PORT, &key));
                granted.lease = Some(lease);
            }
            (code::CREATE_PERMISSION | code::CHANNEL_BIND, Some(lease)) => {
                granted.more_peers = self.check_peers(message, lease, &refuse)?;
            }
            (code::REFRESH, Some(_)) => {}
            _ => return Err(refuse(437, "Allocation Mismatch")),
        }
        Ok(granted)
    }

    /// The key, the nonce and the user name of a request with valid credentials (RFC 8489 section 9.2.4).
    fn authenticate<'a>(
        &self,
        message: &Stun<'a>,
        source: SocketAddr,
        lease: Option<&Lease>,
        now: UnixSeconds,
    ) -> Result<(Vec<u8>, &'a str, &'a str), Vec<u8>> {
        let challenge = |number, reason: &str| {
            count(&self.ledger.counters.refused_credentials);
            Reply::error(message, number, reason)
                .with(code::REALM, self.realm.as_bytes())
                .with(code::NONCE, self.nonce(now, source.ip()).as_bytes())
                .finish()
        };
        if message.first(code::MESSAGE_INTEGRITY).is_none() {
            return Err(challenge(401, "Unauthorized"));
        }
        let texts = (message.text(code::USERNAME), message.text(code::REALM), message.text(code::NONCE));
        let (Some(username), Some(realm), Some(nonce)) = texts else {
            return Err(Reply::error(message, 400, "Bad Request").finish());
        };
        let Some(claim) = credential::read(username).filter(|_| realm == self.realm) else {
            return Err(challenge(401, "Unauthorized"));
        };
        // Whoever holds an allocation keeps it through a call that outlasts the credentials.
        let grace = if lease.is_some() { MOST_ALLOCATION_SECONDS } else { 0 };
        if claim.until.0.saturating_add(grace) <= now.0 {
            return Err(challenge(401, "Unauthorized"));
        }
        let keys =
            self.secrets.iter().map(|secret| credential::key(username, realm, &secret.password(username)));
        let Some(key) = keys.into_iter().find(|key| message.is_signed_with(key)) else {
            return Err(challenge(401, "Unauthorized"));
        };
        if !self.is_nonce(nonce, now, source.ip()) {
            return Err(challenge(438, "Stale Nonce"));
        }
        if lease.is_some_and(|lease| lease.username != username) {
            return Err(Reply::error(message, 441, "Wrong Credentials").signed(&key).finish());
        }
        Ok((key, nonce, username))
    }

    /// What an Allocate may ask for.
    fn check_wishes(&self, message: &Stun<'_>, key: &[u8]) -> Result<(), Vec<u8>> {
        // An even port can be had, the next one with it cannot (RFC 8656 section 18.7).
        let reserves = message
            .first(code::EVEN_PORT)
            .is_some_and(|value| value.first().is_none_or(|bits| bits & 0x80 != 0));
        let has = |kind| message.first(kind).is_some();
        let unknown: Vec<u8> = [code::EVEN_PORT, code::RESERVATION_TOKEN, code::DONT_FRAGMENT]
            .into_iter()
            .filter(|kind| if *kind == code::EVEN_PORT { reserves } else { has(*kind) })
            .flat_map(u16::to_be_bytes)
            .collect();
        if !unknown.is_empty() {
            let reply = Reply::error(message, 420, "Unknown Attribute");
            return Err(reply.with(code::UNKNOWN_ATTRIBUTES, &unknown).signed(key).finish());
        }
        let wanted = message.first(code::REQUESTED_ADDRESS_FAMILY).and_then(|value| value.first());
        let given = if self.external.is_ipv4() { 1 } else { 2 };
        if *wanted.unwrap_or(&1) != given {
            return Err(Reply::error(message, 440, "Address Family not Supported").signed(key).finish());
        }
        Ok(())
    }

    /// The peers after the first one, when the relay serves all of them.
    fn check_peers(
        &self,
        message: &Stun<'_>,
        lease: &Lease,
        refuse: &impl Fn(u16, &str) -> Vec<u8>,
    ) -> Result<Vec<SocketAddr>, Vec<u8>> {
        let mut peers =
            message.peers().filter(|peers| !peers.is_empty()).ok_or_else(|| refuse(400, "Bad Request"))?;
        if !peers.iter().all(|peer| self.allows(*peer)) {
            count(&self.ledger.counters.refused_peers);
            return Err(refuse(403, "Forbidden"));
        }
        if peers.iter().any(|peer| peer.is_ipv4() != self.external.is_ipv4()) {
            return Err(refuse(443, "Peer Address Family Mismatch"));
        }
        if !lease.admit_peers(&peers) {
            return Err(refuse(508, "Insufficient Capacity"));
        }
        peers.remove(0);
        Ok(peers)
    }

    /// Own addresses only for ports the relay opened itself: two of its clients talk to each other. A permission may come
    /// without a port (RFC 8656 section 9.1 ignores it); each datagram is checked again.
    fn allows(&self, peer: SocketAddr) -> bool {
        let is_relay =
            peer.ip() == self.external && (peer.port() == 0 || self.ledger.is_relayed_port(peer.port()));
        is_relay || self.filter.allows(peer.ip())
    }

    /// A nonce that needs no memory: its time, and proof that it was made here for this address.
    fn nonce(&self, now: UnixSeconds, source: IpAddr) -> String {
        format!("{:010x}{}", now.0, self.nonce_proof(now.0, source))
    }

    fn is_nonce(&self, nonce: &str, now: UnixSeconds, source: IpAddr) -> bool {
        let Some((time, proof)) = nonce.split_at_checked(10) else { return false };
        let Ok(made) = u64::from_str_radix(time, 16) else { return false };
        let young = made <= now.0 && now.0 - made < NONCE_SECONDS;
        young && proof == self.nonce_proof(made, source)
    }

    fn nonce_proof(&self, made: u64, source: IpAddr) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.nonce_key) else { return String::new() };
        mac.update(&made.to_be_bytes());
        mac.update(source.to_canonical().to_string().as_bytes());
        mac.finalize().into_bytes()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// RFC 8656 section 12.4, with the larger channel numbers of RFC 5766: a channel number, and no more data than there is.
fn is_channel_data(bytes: &[u8]) -> bool {
    match bytes {
        [0x40..=0x7f, _, high, low, data @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) <= data.len()
        }
        _ => false,
    }
}
