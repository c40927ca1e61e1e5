//! Nodes of one process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::bus::{Bucket, Bus, Deliveries, Delivery, KeepError, KeepFuture, Kept};
use super::node::Subject;

/// Connects servers of one process, for tests and for programs that embed several. Give every server a clone of the same one.
#[derive(Debug, Clone, Default)]
pub struct LocalBus(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    nodes: BTreeMap<u64, Deliveries>,
    interest: BTreeMap<Subject, Vec<u64>>,
    kept: BTreeMap<(Bucket, String), Kept>,
    revision: u64,
}

/// One node's end of a [`LocalBus`].
#[derive(Debug)]
pub(crate) struct LocalEnd {
    number: u64,
    bus: LocalBus,
    gone: AtomicBool,
}

impl LocalBus {
    pub(crate) fn attach(&self, deliveries: Deliveries) -> LocalEnd {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.nodes.insert(number, deliveries);
        drop(state);
        LocalEnd { number, bus: self.clone(), gone: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, bucket: Bucket, key: String, value: Option<Bytes>) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        if bucket == Bucket::Nodes {
            for node in self.nodes.values() {
                // A node that does not keep up misses one of many.
                let _ = node.try_send(Delivery::Lease(key.clone()));
            }
        }
        self.kept.insert((bucket, key), Kept { value, revision });
        revision
    }

    fn revision_of(&self, bucket: Bucket, key: &str) -> Option<u64> {
        self.kept.get(&(bucket, key.to_owned())).map(|kept| kept.revision)
    }
}

impl Bus for LocalEnd {
    fn publish(&self, to: &Subject, ask: Option<u64>, message: Bytes) -> bool {
        let state = self.bus.lock();
        if self.gone.load(Ordering::Relaxed) {
            return false;
        }
        let heard = state.interest.get(to).into_iter().flatten().filter_map(|node| state.nodes.get(node));
        let mut sent = 0;
        for node in heard {
            sent += usize::from(node.try_send(Delivery::Message(message.clone())).is_ok());
        }
        if let (0, Some(ask), Some(own)) = (sent, ask, state.nodes.get(&self.number)) {
            let _ = own.try_send(Delivery::Unheard(ask));
        }
        true
    }

    fn subscribe(&self, to: Subject) {
        let mut state = self.bus.lock();
        let nodes = state.interest.entry(to).or_default();
        if !nodes.contains(&self.number) {
            nodes.push(self.number);
        }
    }

    fn unsubscribe(&self, to: &Subject) {
        let mut state = self.bus.lock();
        if let Some(nodes) = state.interest.get_mut(to) {
            nodes.retain(|node| *node != self.number);
            if nodes.is_empty() {
                state.interest.remove(to);
            }
        }
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn is_up(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }

    fn get(&self, bucket: Bucket, key: String) -> KeepFuture<'_, Option<Kept>> {
        let kept = self.bus.lock().kept.get(&(bucket, key)).cloned();
        std::future::ready(Ok(kept)).boxed()
    }

    fn put(&self, bucket: Bucket, key: String, value: Bytes, revision: Option<u64>) -> KeepFuture<'_, u64> {
        let mut state = self.bus.lock();
        let result = if state.revision_of(bucket, &key) == revision {
            Ok(state.write(bucket, key, Some(value)))
        } else {
            Err(KeepError::Changed)
        };
        drop(state);
        std::future::ready(result).boxed()
    }

    fn renew(&self, bucket: Bucket, key: String, value: Bytes) -> KeepFuture<'_, ()> {
        self.bus.lock().write(bucket, key, Some(value));
        std::future::ready(Ok(())).boxed()
    }

    fn take(&self, bucket: Bucket, key: String, revision: u64) -> KeepFuture<'_, ()> {
        let mut state = self.bus.lock();
        let result = if state.revision_of(bucket, &key) == Some(revision) {
            state.write(bucket, key, None);
            Ok(())
        } else {
            Err(KeepError::Changed)
        };
        drop(state);
        std::future::ready(result).boxed()
    }
}

impl Drop for LocalEnd {
    fn drop(&mut self) {
        let mut state = self.bus.lock();
        self.gone.store(true, Ordering::Relaxed);
        state.nodes.remove(&self.number);
        for nodes in state.interest.values_mut() {
            nodes.retain(|node| *node != self.number);
        }
        state.interest.retain(|_, nodes| !nodes.is_empty());
    }
}
