//! A store that lasts as long as the process: for tests, demos and servers without a data folder.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::PushSubscription;
use offhook_signaling::token::{NonceCache, NonceUse};
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UnixSeconds, UserId};

use super::{
    CREDENTIALS_PER_DEVICE, CallDetailRecord, CredentialHash, DeviceRecord, PUSHES_PER_USER, PushKey,
    PushRecord, RecordPage, RecordQuery, Store, StoreFuture, StoredApplication,
};

const MOST_NONCES: usize = 100_000;
/// Beyond it the oldest records are forgotten: this store is for servers that nobody bills by.
const MOST_RECORDS_KEPT: usize = 10_000;

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    applications: BTreeMap<ApplicationKey, StoredApplication>,
    nonces: NonceCache,
    // The newest last.
    devices: BTreeMap<DeviceAddress, Vec<DeviceRecord>>,
    addresses: std::collections::HashMap<CredentialHash, DeviceAddress>,
    push_key: Option<PushKey>,
    pushes: BTreeMap<DeviceAddress, PushSubscription>,
    blocked: BTreeMap<(ApplicationKey, UserId), UnixSeconds>,
    // Numbered from 1, the oldest first.
    records: VecDeque<(u64, CallDetailRecord)>,
    last_record: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                applications: BTreeMap::new(),
                nonces: NonceCache::new(MOST_NONCES),
                devices: BTreeMap::new(),
                addresses: std::collections::HashMap::new(),
                push_key: None,
                pushes: BTreeMap::new(),
                blocked: BTreeMap::new(),
                records: VecDeque::new(),
                last_record: 0,
            }),
        }
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    std::future::ready(Ok(value)).boxed()
}

impl Store for MemoryStore {
    fn applications(&self) -> StoreFuture<'_, Vec<StoredApplication>> {
        done(self.lock().applications.values().cloned().collect())
    }

    fn put_application(&self, application: &StoredApplication) -> StoreFuture<'_, ()> {
        self.lock().applications.insert(application.key.clone(), application.clone());
        done(())
    }

    fn bind_nonce(
        &self,
        scope: &str,
        nonce: &str,
        device: &DeviceId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> StoreFuture<'_, NonceUse> {
        done(self.lock().nonces.bind(&format!("{scope}/{nonce}"), device, expires, now))
    }

    fn put_device(&self, record: &DeviceRecord) -> StoreFuture<'_, ()> {
        self.lock().put(record.clone());
        done(())
    }

    fn device(&self, hash: CredentialHash) -> StoreFuture<'_, Option<DeviceRecord>> {
        let state = self.lock();
        let records = state.addresses.get(&hash).and_then(|address| state.devices.get(address));
        let record = records.and_then(|records| records.iter().find(|record| record.hash == hash).cloned());
        drop(state);
        done(record)
    }

    fn revoke_device(&self, address: &DeviceAddress) -> StoreFuture<'_, bool> {
        let mut state = self.lock();
        let records = state.devices.remove(address).unwrap_or_default();
        state.pushes.remove(address);
        for record in &records {
            state.addresses.remove(&record.hash);
        }
        drop(state);
        done(!records.is_empty())
    }

    fn push_key(&self, fresh: PushKey) -> StoreFuture<'_, PushKey> {
        done(self.lock().push_key.get_or_insert(fresh).clone())
    }

    fn put_push(&self, record: &PushRecord) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        // A browser that another user signed in on: nobody is told of calls to the one before.
        state.pushes.retain(|address, known| {
            address.application != record.address.application
                || known.endpoint != record.subscription.endpoint
        });
        state.pushes.insert(record.address.clone(), record.subscription.clone());
        drop(state);
        done(())
    }

    fn devices(
        &self,
        application: &ApplicationKey,
        user: Option<&UserId>,
        now: UnixSeconds,
        after: Option<&(UserId, DeviceId)>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<DeviceRecord>> {
        let state = self.lock();
        let newest = state.devices.values().filter_map(|records| records.last());
        let wanted = newest.filter(|record| {
            record.address.application == *application
                && user.is_none_or(|user| record.address.user == *user)
                && record.expires > now
                && after.is_none_or(|(user, device)| {
                    (&record.address.user, &record.address.device) > (user, device)
                })
        });
        done(wanted.take(limit).cloned().collect())
    }

    fn block_user(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        since: Option<UnixSeconds>,
    ) -> StoreFuture<'_, ()> {
        let key = (application.clone(), user.clone());
        let mut state = self.lock();
        match since {
            // The first block counts.
            Some(since) => drop(state.blocked.entry(key).or_insert(since)),
            None => drop(state.blocked.remove(&key)),
        }
        drop(state);
        done(())
    }

    fn delete_push(&self, address: &DeviceAddress, endpoint: Option<&str>) -> StoreFuture<'_, bool> {
        let mut state = self.lock();
        let known = state.pushes.get(address);
        let is_meant = known.is_some_and(|known| endpoint.is_none_or(|endpoint| endpoint == known.endpoint));
        if is_meant {
            state.pushes.remove(address);
        }
        drop(state);
        done(is_meant)
    }

    fn pushes_of(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        now: UnixSeconds,
    ) -> StoreFuture<'_, Vec<PushRecord>> {
        let state = self.lock();
        let is_registered = |address: &DeviceAddress| {
            state.devices.get(address).is_some_and(|known| known.iter().any(|record| record.expires > now))
        };
        let of_user = state.pushes.iter().filter(|(address, _)| {
            address.application == *application && address.user == *user && is_registered(address)
        });
        let record = |(address, subscription): (&DeviceAddress, &PushSubscription)| PushRecord {
            address: address.clone(),
            subscription: subscription.clone(),
        };
        let records = of_user.map(record).take(PUSHES_PER_USER).collect();
        drop(state);
        done(records)
    }

    fn blocked_since(
        &self,
        application: &ApplicationKey,
        user: &UserId,
    ) -> StoreFuture<'_, Option<UnixSeconds>> {
        done(self.lock().blocked.get(&(application.clone(), user.clone())).copied())
    }

    fn blocked_users(
        &self,
        application: &ApplicationKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(UserId, UnixSeconds)>> {
        let state = self.lock();
        let own = state
            .blocked
            .iter()
            .filter(|((of, user), _)| of == application && after.is_none_or(|after| user > after));
        let users = own.take(limit).map(|((_, user), since)| (user.clone(), *since)).collect();
        drop(state);
        done(users)
    }

    fn put_record(&self, record: &CallDetailRecord) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        // As the tables of the others have it: a call is one by these three.
        let key =
            |record: &CallDetailRecord| (record.application.clone(), record.call_id.clone(), record.started);
        let own = key(record);
        if !state.records.iter().rev().any(|(_, known)| key(known) == own) {
            state.last_record += 1;
            let number = state.last_record;
            state.records.push_back((number, record.clone()));
            if state.records.len() > MOST_RECORDS_KEPT {
                state.records.pop_front();
            }
        }
        drop(state);
        done(())
    }

    fn record(
        &self,
        application: &ApplicationKey,
        call_id: &CallId,
    ) -> StoreFuture<'_, Option<CallDetailRecord>> {
        let state = self.lock();
        let of_call =
            |record: &CallDetailRecord| record.application == *application && record.call_id == *call_id;
        let record = state.records.iter().rev().find(|(_, record)| of_call(record));
        done(record.map(|(_, record)| record.clone()))
    }

    fn records(&self, query: &RecordQuery) -> StoreFuture<'_, RecordPage> {
        let state = self.lock();
        let mut wanted = state.records.iter().filter(|(number, record)| {
            query.after.is_none_or(|after| *number > after)
                && record.application == query.application
                && query.from.is_none_or(|from| record.ended >= from)
                && query.to.is_none_or(|to| record.ended < to)
                && query.user.as_ref().is_none_or(|user| record.caller == *user || record.callee == *user)
        });
        let records: Vec<_> = wanted.by_ref().take(query.limit).cloned().collect();
        let next = records.last().filter(|_| wanted.next().is_some()).map(|(number, _)| *number);
        done(RecordPage { records: records.into_iter().map(|(_, record)| record).collect(), next })
    }

    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        let State { devices, addresses, pushes, .. } = &mut *state;
        for records in devices.values_mut() {
            records.retain(|record| {
                let keep = record.expires >= now;
                if !keep {
                    addresses.remove(&record.hash);
                }
                keep
            });
        }
        devices.retain(|_, records| !records.is_empty());
        pushes.retain(|address, _| devices.contains_key(address));
        drop(state);
        done(())
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        done(())
    }
}

impl State {
    fn put(&mut self, record: DeviceRecord) {
        self.addresses.insert(record.hash, record.address.clone());
        let records = self.devices.entry(record.address.clone()).or_default();
        records.push(record);
        if records.len() > CREDENTIALS_PER_DEVICE {
            let oldest = records.remove(0);
            self.addresses.remove(&oldest.hash);
        }
    }
}
