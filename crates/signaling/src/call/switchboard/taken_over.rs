//! Calls of an earlier server that ended at this one: a device that remembers one of them does not bring it back.

use std::collections::{BTreeSet, VecDeque};

use super::CallKey;

/// Whoever takes calls over asks the records first: these are for the moment until a record is there.
const MOST: usize = 16_384;

/// The last of them.
#[derive(Debug)]
pub(super) struct TakenOver {
    order: VecDeque<CallKey>,
    known: BTreeSet<CallKey>,
}

impl TakenOver {
    pub(super) const fn new() -> Self {
        Self { order: VecDeque::new(), known: BTreeSet::new() }
    }

    /// Such a call is over.
    pub(super) fn note(&mut self, key: CallKey) {
        if self.known.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, key: &CallKey) -> bool {
        self.known.contains(key)
    }
}
