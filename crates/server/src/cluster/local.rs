//! Nodes of one process.

use std::collections::{BTreeMap, BTreeSet};
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
    parting: Parting,
}

/// What a partition of the network leaves of the bus.
#[derive(Debug, Default)]
struct Parting {
    /// Nodes that hear none of the others.
    deaf: BTreeSet<u64>,
    /// Nodes that see the memory as it was, and cannot change it.
    aside: BTreeMap<u64, BTreeMap<(Bucket, String), Kept>>,
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

    /// Parts the server that was the `node`th to be given this bus, counted from 1, from all others, as a network that fails without a word:
    /// they do not hear each other, and the shared memory is on the others' side. For tests.
    pub fn part(&self, node: u64) {
        let mut state = self.lock();
        let kept = state.kept.clone();
        state.parting.deaf.insert(node);
        state.parting.aside.insert(node, kept);
    }

    /// Lets it and the others hear each other again. With `memory` it sees the shared memory, too: JetStream needs a while longer for
    /// that, in which what it is asked for may be old.
    pub fn rejoin(&self, node: u64, memory: bool) {
        let mut state = self.lock();
        state.parting.deaf.remove(&node);
        if memory {
            state.parting.aside.remove(&node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, bucket: Bucket, key: String, value: Option<Bytes>) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        if bucket == Bucket::Nodes && value.is_some() {
            for (number, node) in &self.nodes {
                if !self.parting.aside.contains_key(number) {
                    // A node that does not keep up misses one of many.
                    let _ = node.try_send(Delivery::Lease(key.clone()));
                }
            }
        }
        self.kept.insert((bucket, key), Kept { value, revision });
        revision
    }

    fn hears(&self, to: u64, from: u64) -> bool {
        to == from || !(self.parting.deaf.contains(&to) || self.parting.deaf.contains(&from))
    }

    fn revision_of(&self, bucket: Bucket, key: &str) -> Option<u64> {
        self.kept.get(&(bucket, key.to_owned())).map(|kept| kept.revision)
    }
}

fn no_leader() -> KeepError {
    KeepError::Unavailable("it has no leader".to_owned())
}

impl Bus for LocalEnd {
    fn publish(&self, to: &Subject, ask: Option<u64>, message: Bytes) -> bool {
        let state = self.bus.lock();
        if self.gone.load(Ordering::Relaxed) {
            return false;
        }
        let interest = state.interest.get(to).into_iter().flatten();
        let heard =
            interest.filter(|node| state.hears(**node, self.number)).filter_map(|node| state.nodes.get(node));
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
        let state = self.bus.lock();
        let kept = state.parting.aside.get(&self.number).unwrap_or(&state.kept).get(&(bucket, key)).cloned();
        drop(state);
        std::future::ready(Ok(kept)).boxed()
    }

    fn put(&self, bucket: Bucket, key: String, value: Bytes, revision: Option<u64>) -> KeepFuture<'_, u64> {
        let mut state = self.bus.lock();
        let result = if state.parting.aside.contains_key(&self.number) {
            Err(no_leader())
        } else if state.revision_of(bucket, &key) == revision {
            Ok(state.write(bucket, key, Some(value)))
        } else {
            Err(KeepError::Changed)
        };
        drop(state);
        std::future::ready(result).boxed()
    }

    fn renew(&self, bucket: Bucket, key: String, value: Bytes) -> KeepFuture<'_, ()> {
        let mut state = self.bus.lock();
        let result = if state.parting.aside.contains_key(&self.number) {
            Err(no_leader())
        } else {
            state.write(bucket, key, Some(value));
            Ok(())
        };
        drop(state);
        std::future::ready(result).boxed()
    }

    fn take(&self, bucket: Bucket, key: String, revision: u64) -> KeepFuture<'_, ()> {
        let mut state = self.bus.lock();
        let result = if state.parting.aside.contains_key(&self.number) {
            Err(no_leader())
        } else if state.revision_of(bucket, &key) == Some(revision) {
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
