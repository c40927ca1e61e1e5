//! Which device used a nonce first.

use std::collections::{BTreeSet, HashMap};

use crate::UnixSeconds;
use crate::id::DeviceId;

/// What the cache says of one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceUse {
    /// Nobody used it before; it now belongs to this device.
    First,
    /// The same device used it before.
    Repeated,
    /// Another device used it: refuse.
    OtherDevice,
    /// No room for another nonce that is still alive: refuse and say "later".
    Full,
}

/// Nonces until they expire, at most `capacity` of them. Scope the text by application and user
/// when one cache serves several.
#[derive(Debug)]
pub struct NonceCache {
    capacity: usize,
    owners: HashMap<String, (DeviceId, UnixSeconds)>,
    expiries: BTreeSet<(UnixSeconds, String)>,
}

impl NonceCache {
    /// An empty cache for `capacity` nonces.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, owners: HashMap::new(), expiries: BTreeSet::new() }
    }

    /// Binds `nonce` to `device` until `expires`, or says who has it.
    pub fn bind(
        &mut self,
        nonce: &str,
        device: &DeviceId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> NonceUse {
        self.forget_expired(now);
        match self.owners.get(nonce) {
            Some((owner, _)) if owner == device => return NonceUse::Repeated,
            Some(_) => return NonceUse::OtherDevice,
            None => {}
        }
        if self.owners.len() >= self.capacity {
            return NonceUse::Full;
        }
        self.owners.insert(nonce.to_owned(), (device.clone(), expires));
        self.expiries.insert((expires, nonce.to_owned()));
        NonceUse::First
    }

    fn forget_expired(&mut self, now: UnixSeconds) {
        while self.expiries.first().is_some_and(|(expires, _)| *expires < now) {
            if let Some((_, nonce)) = self.expiries.pop_first() {
                self.owners.remove(&nonce);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_belongs_to_its_first_device_until_it_expires() {
        let (a, b) = (DeviceId::new("a").unwrap(), DeviceId::new("b").unwrap());
        let mut cache = NonceCache::new(1);
        let (exp, now) = (UnixSeconds(10), UnixSeconds(5));
        assert_eq!(cache.bind("n", &a, exp, now), NonceUse::First);
        assert_eq!(cache.bind("n", &a, exp, now), NonceUse::Repeated);
        assert_eq!(cache.bind("n", &b, exp, now), NonceUse::OtherDevice);
        assert_eq!(cache.bind("m", &b, exp, now), NonceUse::Full);
        assert_eq!(cache.bind("m", &b, exp, UnixSeconds(11)), NonceUse::First);
    }
}
