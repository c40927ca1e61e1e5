//! Counting and pacing: how many connections an address may hold, how often something may happen.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Rate;

/// The most keys a [`Pacer`] remembers; beyond it the newcomers share one fate: they wait.
const MOST_KEYS: usize = 65_536;
/// Tables below this size are not worth a sweep.
const LEAST_SWEPT: usize = 1024;
/// Turns are given away for at most this long ahead.
const MOST_RESERVED: Duration = Duration::from_secs(1);

/// The generic cell rate algorithm (ITU-T I.371) for many keys, in one `Instant` each.
#[derive(Debug)]
pub(crate) struct Pacer<K> {
    rate: Rate,
    // The time at which the key's bucket is empty again; absent when it is empty.
    empty_at: HashMap<K, Instant>,
    /// The last of these times; `None` when nothing was counted since everything was forgotten.
    all_empty_at: Option<Instant>,
    asked_since_swept: usize,
}

impl<K: Hash + Eq> Pacer<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, empty_at: HashMap::new(), all_empty_at: None, asked_since_swept: 0 }
    }

    /// Counts it for `key`, and says how long it has to wait for its turn. What has waited for a second is not made to wait longer by those
    /// behind it.
    pub(crate) fn reserve(&mut self, key: K, now: Instant) -> Duration {
        let Rate { interval, burst } = self.rate;
        let Some(at) = self.bucket(key, now) else { return interval };
        let next = (*at).max(now) + interval;
        let wait = next.duration_since(now).saturating_sub(interval * burst);
        if wait <= MOST_RESERVED {
            *at = next;
            self.all_empty_at = self.all_empty_at.max(Some(next));
        }
        wait
    }

    /// Whether it may happen for `key` now; if so it is counted.
    pub(crate) fn allow(&mut self, key: K, now: Instant) -> bool {
        let rate = self.rate;
        let Some(at) = self.bucket(key, now) else { return false };
        let is_allowed = pace(rate, at, now);
        let at = *at;
        self.all_empty_at = self.all_empty_at.max(Some(at));
        is_allowed
    }

    /// Forgets all keys if none of them matters any more, and does nothing else: for a time at which a crowd may have gone.
    pub(crate) fn rest(&mut self, now: Instant) {
        if self.all_empty_at.is_some_and(|at| at <= now) {
            self.empty_at = HashMap::new();
            self.all_empty_at = None;
            self.asked_since_swept = 0;
        }
    }

    /// The bucket of `key`; `None` when there are too many.
    fn bucket(&mut self, key: K, now: Instant) -> Option<&mut Instant> {
        self.asked_since_swept += 1;
        // A sweep costs as much as the table is long: so it is made once in as many questions, more often when newcomers wait for it.
        let is_full = self.empty_at.len() >= MOST_KEYS;
        let patience = if is_full { LEAST_SWEPT } else { self.empty_at.len().max(LEAST_SWEPT) };
        if self.asked_since_swept > patience {
            self.asked_since_swept = 0;
            self.empty_at.retain(|_, at| *at > now);
            self.empty_at.shrink_to(2 * self.empty_at.len());
        }
        if self.empty_at.len() >= MOST_KEYS && !self.empty_at.contains_key(&key) {
            return None;
        }
        Some(self.empty_at.entry(key).or_insert(now))
    }

    /// Whether [`Self::allow`] would allow it now, as far as `key` is known.
    pub(crate) fn has_room(&self, key: &K, now: Instant) -> bool {
        let empty_at = self.empty_at.get(key).copied().unwrap_or(now).max(now);
        (empty_at + self.rate.interval).duration_since(now) <= self.rate.interval * self.rate.burst
    }
}

/// One bucket, without a key.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    empty_at: Instant,
}

impl Pace {
    pub(crate) const fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, empty_at: now }
    }

    /// The time between two at a steady pace.
    pub(crate) const fn interval(&self) -> Duration {
        self.rate.interval
    }

    /// Whether it may happen now; if so it is counted.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        pace(self.rate, &mut self.empty_at, now)
    }
}

fn pace(rate: Rate, empty_at: &mut Instant, now: Instant) -> bool {
    let next = (*empty_at).max(now) + rate.interval;
    if next.duration_since(now) > rate.interval * rate.burst {
        return false;
    }
    *empty_at = next;
    true
}

/// Connections in all and by address.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    most_per_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    attempts: Pacer<IpAddr>,
}

/// One counted connection; dropping it counts down.
#[derive(Debug)]
pub(crate) struct Permit {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Permit {
    /// Whose connection it is: an address, or the network of an IPv6 address.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }
}

impl Connections {
    pub(crate) fn new(most: usize, most_per_address: usize, attempts: Rate) -> Self {
        let open = Open { total: 0, by_address: HashMap::new(), attempts: Pacer::new(attempts) };
        Self { most, most_per_address, open: Mutex::new(open) }
    }

    /// Counts a connection from `address`, or refuses it.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Permit> {
        let address = network_of(address);
        let mut open = self.lock();
        let here = open.by_address.get(&address).copied().unwrap_or(0);
        if open.total >= self.most || here >= self.most_per_address || !open.attempts.allow(address, now) {
            return None;
        }
        open.total += 1;
        open.by_address.insert(address, here + 1);
        drop(open);
        Some(Permit { connections: self.clone(), address })
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(here) = open.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// One household has a /64 of IPv6 (RFC 6177) and could otherwise come from endless addresses.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval: Duration::from_secs(1), burst: 3 };

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let (mut pacer, now) = (Pacer::new(RATE), Instant::now());
        let passed = (0..10).filter(|_| pacer.allow("a", now)).count();
        assert_eq!(passed, 3);
        assert!(pacer.allow("b", now), "another key has its own bucket");
        assert!(!pacer.allow("a", now + Duration::from_millis(900)));
        assert!(pacer.allow("a", now + Duration::from_millis(1001)));
        assert!(!pacer.allow("a", now + Duration::from_millis(1001)));
        let later = now + Duration::from_secs(100);
        assert_eq!((0..10).filter(|_| pacer.allow("a", later)).count(), 3);
    }

    #[test]
    fn the_table_of_keys_is_bounded_and_forgets() {
        let (mut pacer, now) = (Pacer::new(RATE), Instant::now());
        let passed = (0..MOST_KEYS + 10).filter(|key| pacer.allow(*key, now)).count();
        assert_eq!(passed, MOST_KEYS);
        let later = now + Duration::from_secs(2);
        for key in 0..MOST_KEYS + 10 {
            pacer.allow(key % 5, later);
        }
        assert!(pacer.allow(usize::MAX, later));
        assert!(pacer.empty_at.len() < 10 && pacer.empty_at.capacity() < LEAST_SWEPT);
    }

    #[test]
    fn who_rests_forgets_everybody_when_nobody_matters_and_nobody_before() {
        let (mut pacer, now) = (Pacer::new(RATE), Instant::now());
        for key in 0..100 {
            assert!(pacer.allow(key, now));
        }
        pacer.reserve(7, now);
        pacer.rest(now + Duration::from_millis(1999));
        assert_eq!(pacer.empty_at.len(), 100, "one of them matters still");
        pacer.rest(now + Duration::from_secs(2));
        assert_eq!(pacer.empty_at.capacity(), 0);
        let later = now + Duration::from_secs(3);
        assert_eq!((0..10).filter(|_| pacer.allow(7, later)).count(), 3);
    }

    #[test]
    fn permits_count_up_and_down_by_address() {
        let plenty = Rate { interval: Duration::from_nanos(1), burst: 1000 };
        let connections = Arc::new(Connections::new(3, 2, plenty));
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let now = Instant::now();
        let first = connections.admit(a, now);
        let second = connections.admit(a, now);
        assert!(first.is_some() && second.is_some() && connections.admit(a, now).is_none());
        let third = connections.admit(b, now);
        assert!(third.is_some() && connections.admit(b, now).is_none(), "three in all");
        drop(first);
        assert!(connections.admit(a, now).is_some());
        drop((second, third));
        assert_eq!(connections.count(), 0);
        assert!(connections.lock().by_address.is_empty());
    }

    #[test]
    fn one_ipv6_network_counts_as_one_address() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
