//! Session tickets (RFC 8446 section 4.6.1) that every node of a cluster can read, and each node after a restart: a client that comes
//! to another node resumes its TLS session there, for a fraction of the cost of a handshake.
//!
//! Keys are derived from the private key of the certificate, which all of them have, and change every six hours. Who steals that key
//! can be the server; so that they cannot also read what was recorded before, these tickets are for TLS 1.3 alone, where a resumed
//! session has a key exchange of its own (`psk_dhe_ke`).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;

use crate::environment;

/// Seconds for which a key makes tickets; it opens them for as long again.
const KEY_LIVES: u64 = 6 * 3600;
const EPOCH: usize = 8;
/// Larger than any ticket of ours.
const MOST_TICKET: usize = 16 * 1024;

pub(super) struct SharedTickets {
    root: hmac::Key,
    /// The keys of late, by their epochs.
    keys: Mutex<Vec<(u64, RandomizedNonceKey)>>,
}

impl SharedTickets {
    /// `secret` is the private key of the certificate.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self { root: hmac::Key::new(hmac::HMAC_SHA256, secret), keys: Mutex::default() }
    }

    fn with_key<T>(&self, epoch: u64, use_it: impl FnOnce(&RandomizedNonceKey) -> T) -> Option<T> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = keys.iter().find(|(of, _)| *of == epoch) {
            return Some(use_it(key));
        }
        let mut info = b"offhook tls 1.3 tickets ".to_vec();
        info.extend(epoch.to_be_bytes());
        let bytes = hmac::sign(&self.root, &info);
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_ref()).ok()?;
        let used = use_it(&key);
        keys.retain(|(of, _)| of.abs_diff(epoch) <= 2);
        keys.push((epoch, key));
        Some(used)
    }

    fn seal(&self, epoch: u64, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let aad = Aad::from(epoch.to_be_bytes());
        let nonce = self.with_key(epoch, |key| key.seal_in_place_append_tag(aad, &mut sealed))?.ok()?;
        Some([&epoch.to_be_bytes()[..], &nonce.as_ref()[..], &sealed].concat())
    }

    fn open(&self, epoch: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MOST_TICKET {
            return None;
        }
        let (of, rest) = ticket.split_first_chunk::<EPOCH>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let of = u64::from_be_bytes(*of);
        // Another node's clock may be a little ahead.
        if of.saturating_add(1) < epoch || of > epoch.saturating_add(1) {
            return None;
        }
        let mut plain = sealed.to_vec();
        let nonce = Nonce::from(nonce);
        let aad = Aad::from(of.to_be_bytes());
        let length =
            self.with_key(of, |key| key.open_in_place(nonce, aad, &mut plain).map(|text| text.len()))?;
        plain.truncate(length.ok()?);
        Some(plain)
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // Both of its epochs.
        (KEY_LIVES * 2) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(environment::wall().0 / KEY_LIVES, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(environment::wall().0 / KEY_LIVES, ticket)
    }
}

impl fmt::Debug for SharedTickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedTickets")
    }
}

/// Bytes that a client shows as a ticket, after eight that say which epoch it is. Only what these keys sealed is opened, and what they
/// seal is opened as it was, but not with one bit changed.
///
/// # Panics
/// When an invariant does not hold.
pub fn fuzz(data: &[u8]) {
    let Some((epoch, shown)) = data.split_first_chunk::<EPOCH>() else { return };
    let epoch = u64::from_be_bytes(*epoch);
    let tickets = SharedTickets::new(b"private");
    if let Some(plain) = tickets.open(epoch, shown) {
        assert_eq!(plain.len() + EPOCH + NONCE_LEN + AES_256_GCM.tag_len(), shown.len());
        let other = SharedTickets::new(b"another");
        assert_eq!(other.open(epoch, shown), None, "nobody else's key opens it");
    }
    let mut own = tickets.seal(epoch, shown).expect("any plain text can be sealed");
    assert!(own.len() > MOST_TICKET || tickets.open(epoch, &own).as_deref() == Some(shown));
    let at = shown.first().map_or(0, |byte| usize::from(*byte) % own.len());
    own[at] ^= 1 << (epoch % 8);
    assert_eq!(tickets.open(epoch, &own), None, "byte {at} was changed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_node_opens_a_ticket_until_its_key_is_old() {
        let (here, there) = (SharedTickets::new(b"private"), SharedTickets::new(b"private"));
        let ticket = here.seal(100, b"session").unwrap();
        for epoch in [99, 100, 101] {
            assert_eq!(there.open(epoch, &ticket).unwrap(), b"session");
        }
        assert_eq!((there.open(98, &ticket), there.open(102, &ticket)), (None, None));
        assert_ne!(here.seal(100, b"session").unwrap(), ticket, "nonces differ");
    }

    #[test]
    fn what_is_not_its_own_is_no_ticket() {
        let (own, other) = (SharedTickets::new(b"private"), SharedTickets::new(b"another"));
        let ticket = own.seal(100, b"session").unwrap();
        assert_eq!(other.open(100, &ticket), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(own.open(100, &changed), None, "byte {at}");
            assert_eq!(own.open(100, &ticket[..at]), None, "cut at {at}");
        }
        assert_eq!(own.open(100, &vec![0; MOST_TICKET + 1]), None);
    }
}
