//! A store that lasts as long as the process: for tests, demos and servers without a data folder.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::token::{NonceCache, NonceUse};
use offhook_signaling::{ApplicationKey, DeviceId, UnixSeconds};

use super::{CREDENTIALS_PER_DEVICE, CredentialHash, DeviceRecord, Store, StoreFuture};
use crate::application::Application;

const MOST_NONCES: usize = 100_000;

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    applications: BTreeMap<ApplicationKey, Application>,
    nonces: NonceCache,
    // The newest last.
    devices: BTreeMap<DeviceAddress, Vec<DeviceRecord>>,
    addresses: std::collections::HashMap<CredentialHash, DeviceAddress>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                applications: BTreeMap::new(),
                nonces: NonceCache::new(MOST_NONCES),
                devices: BTreeMap::new(),
                addresses: std::collections::HashMap::new(),
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
    fn applications(&self) -> StoreFuture<'_, Vec<Application>> {
        done(self.lock().applications.values().cloned().collect())
    }

    fn put_application(&self, application: &Application) -> StoreFuture<'_, ()> {
        self.lock().applications.insert(application.key().clone(), application.clone());
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
        for record in &records {
            state.addresses.remove(&record.hash);
        }
        drop(state);
        done(!records.is_empty())
    }

    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        let State { devices, addresses, .. } = &mut *state;
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
