//! How much one user, one address and one application may ask of a server, whatever the number of its connections.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{ApplicationKey, UserId};

use crate::config::{Limits, Rate};
use crate::limit::Pacer;

/// Nobody is held up for longer at once; who is over the limit is asked again then.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The same limit for many. They are told apart by a keyed hash: what a stranger can make the server remember is a number.
#[derive(Debug)]
struct Gate {
    pacer: Mutex<Pacer<u64>>,
}

impl Gate {
    fn new(rate: Rate) -> Self {
        Self { pacer: Mutex::new(Pacer::new(rate)) }
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Pacer<u64>) -> T) -> T {
        ask(&mut self.pacer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All limits that are not of a single connection.
#[derive(Debug)]
pub(crate) struct Tolls {
    names: RandomState,
    messages_of_user: Gate,
    messages_of_address: Gate,
    messages_of_application: Gate,
    calls_of_address: Gate,
    calls_of_application: Gate,
    registrations_of_user: Gate,
    registrations_of_address: Gate,
    registrations_of_application: Gate,
    refusals_of_address: Gate,
    requests_of_application: Gate,
}

impl Tolls {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            names: RandomState::new(),
            messages_of_user: Gate::new(limits.messages_per_user),
            messages_of_address: Gate::new(limits.messages_per_address),
            messages_of_application: Gate::new(limits.messages_per_application),
            calls_of_address: Gate::new(limits.calls_per_address),
            calls_of_application: Gate::new(limits.calls_per_application),
            registrations_of_user: Gate::new(limits.registrations_per_user),
            registrations_of_address: Gate::new(limits.registrations_per_address),
            registrations_of_application: Gate::new(limits.registrations_per_application),
            refusals_of_address: Gate::new(limits.refusals_per_address),
            requests_of_application: Gate::new(limits.requests_per_application),
        }
    }

    /// Forgets whoever matters no more, for a time at which a crowd may have gone.
    pub(crate) fn rest(&self, now: Instant) {
        let gates = [
            &self.messages_of_user,
            &self.messages_of_address,
            &self.messages_of_application,
            &self.calls_of_address,
            &self.calls_of_application,
            &self.registrations_of_user,
            &self.registrations_of_address,
            &self.registrations_of_application,
            &self.refusals_of_address,
            &self.requests_of_application,
        ];
        for gate in gates {
            gate.with(|pacer| pacer.rest(now));
        }
    }

    fn name(&self, of: impl Hash) -> u64 {
        self.names.hash_one(of)
    }

    fn user(&self, application: &ApplicationKey, user: &UserId) -> u64 {
        self.name((application, user))
    }

    /// Counts a message, and says how long its connection reads no further.
    pub(crate) fn message(&self, of: &DeviceAddress, from: IpAddr, now: Instant) -> Duration {
        let user = self.user(&of.application, &of.user);
        let (address, application) = (self.name(from), self.name(&of.application));
        let waits = [
            self.messages_of_user.with(|pacer| pacer.reserve(user, now)),
            self.messages_of_address.with(|pacer| pacer.reserve(address, now)),
            self.messages_of_application.with(|pacer| pacer.reserve(application, now)),
        ];
        waits.into_iter().max().unwrap_or_default().min(LONGEST_WAIT)
    }

    /// Whether one more call may be started; if so it is counted.
    pub(crate) fn may_call(&self, application: &ApplicationKey, from: IpAddr, now: Instant) -> bool {
        let (address, application) = (self.name(from), self.name(application));
        // What one address is refused is not taken from all others of the application.
        self.calls_of_address.with(|pacer| pacer.allow(address, now))
            && self.calls_of_application.with(|pacer| pacer.allow(application, now))
    }

    /// Whether an address may show one more token or password; it is counted when it turns out to be wrong.
    pub(crate) fn may_prove(&self, from: IpAddr, now: Instant) -> bool {
        let address = self.name(from);
        self.refusals_of_address.with(|pacer| pacer.has_room(&address, now))
    }

    /// An address showed a wrong token or password.
    pub(crate) fn note_refusal(&self, from: IpAddr, now: Instant) {
        let address = self.name(from);
        self.refusals_of_address.with(|pacer| pacer.allow(address, now));
    }

    /// Whether an application's back end may ask once more; if so it is counted.
    pub(crate) fn may_ask(&self, application: &ApplicationKey, now: Instant) -> bool {
        let application = self.name(application);
        self.requests_of_application.with(|pacer| pacer.allow(application, now))
    }

    /// Whether a device with a good token may be registered; if so it is counted.
    pub(crate) fn may_register(&self, of: &DeviceAddress, from: IpAddr, now: Instant) -> bool {
        let user = self.user(&of.application, &of.user);
        let (address, application) = (self.name(from), self.name(&of.application));
        self.registrations_of_address.with(|pacer| pacer.allow(address, now))
            && self.registrations_of_user.with(|pacer| pacer.allow(user, now))
            && self.registrations_of_application.with(|pacer| pacer.allow(application, now))
    }
}

#[cfg(test)]
mod tests {
    use offhook_signaling::DeviceId;

    use super::*;

    fn device(user: &str) -> DeviceAddress {
        DeviceAddress {
            application: ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap(),
            user: UserId::new(user).unwrap(),
            device: DeviceId::new("d").unwrap(),
        }
    }

    const TWO: Rate = Rate { interval: Duration::from_millis(100), burst: 2 };

    #[test]
    fn a_message_beyond_a_limit_waits_its_turn_and_no_longer() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let there = IpAddr::from([127, 0, 0, 2]);
        let (ada, bob) = (device("ada"), device("bob"));
        let now = Instant::now();
        let wait = |tolls: &Tolls, of: &DeviceAddress, from| tolls.message(of, from, now);
        let user = Tolls::new(&Limits { messages_per_user: TWO, ..Limits::default() });
        assert_eq!([0, 1].map(|_| wait(&user, &ada, here)), [Duration::ZERO; 2]);
        assert_eq!(wait(&user, &ada, there), Duration::from_millis(100), "from wherever");
        assert_eq!(wait(&user, &ada, there), Duration::from_millis(200), "one after the other");
        assert_eq!(wait(&user, &bob, here), Duration::ZERO);
        for _ in 0..100 {
            assert!(wait(&user, &ada, here) <= LONGEST_WAIT);
        }
        let address = Tolls::new(&Limits { messages_per_address: TWO, ..Limits::default() });
        assert_eq!([&ada, &bob].map(|of| wait(&address, of, here)), [Duration::ZERO; 2]);
        assert_eq!(wait(&address, &ada, here), Duration::from_millis(100), "whoever");
        assert_eq!(wait(&address, &ada, there), Duration::ZERO);
        let application = Tolls::new(&Limits { messages_per_application: TWO, ..Limits::default() });
        assert_eq!([&ada, &bob].map(|of| wait(&application, of, here)), [Duration::ZERO; 2]);
        assert_eq!(wait(&application, &bob, there), Duration::from_millis(100));
    }

    #[test]
    fn calls_and_registrations_are_counted_for_address_and_application() {
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (ada, bob) = (device("ada"), device("bob"));
        let now = Instant::now();
        let address = Limits { calls_per_address: TWO, registrations_per_address: TWO, ..Limits::default() };
        let tolls = Tolls::new(&address);
        let calls = |from| (0..4).filter(|_| tolls.may_call(&ada.application, from, now)).count();
        assert_eq!((calls(here), calls(there)), (2, 2));
        let registered = |from| (0..4).filter(|_| tolls.may_register(&ada, from, now)).count();
        assert_eq!((registered(here), registered(there)), (2, 2));
        let application =
            Limits { calls_per_application: TWO, registrations_per_application: TWO, ..Limits::default() };
        let tolls = Tolls::new(&application);
        let calls = |from| (0..4).filter(|_| tolls.may_call(&ada.application, from, now)).count();
        assert_eq!((calls(here), calls(there)), (2, 0));
        let registered = |of| (0..4).filter(|_| tolls.may_register(of, here, now)).count();
        assert_eq!((registered(&ada), registered(&bob)), (2, 0));
    }

    #[test]
    fn who_guesses_is_heard_less_often_and_who_is_right_is_not() {
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let tolls = Tolls::new(&Limits { refusals_per_address: TWO, ..Limits::default() });
        let now = Instant::now();
        for _ in 0..10 {
            assert!(tolls.may_prove(here, now), "being right costs nothing");
        }
        for _ in 0..2 {
            assert!(tolls.may_prove(here, now));
            tolls.note_refusal(here, now);
        }
        assert!(!tolls.may_prove(here, now) && tolls.may_prove(there, now));
        assert!(tolls.may_prove(here, now + Duration::from_millis(101)));
    }
}
