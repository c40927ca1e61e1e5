//! What a call leaves behind for the case that its owner dies: written down in the background, only the newest, one write of a call at a
//! time. Ringing and answering never wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use offhook_signaling::{ApplicationKey, CallId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::bus::{Bucket, Bus, KeepError, Kept};
use super::node::NodeId;
use crate::store::CallDetailRecord;

/// Between two tries to write; a leader is elected in some seconds.
const PAUSE: Duration = Duration::from_millis(500);
/// After this the end of a call is not written down any more: its record is in the store.
const MOST_TRIES: u32 = 60;

pub(crate) type CallKey = (ApplicationKey, CallId);

/// A live call as its owner wrote it down last. Descriptions are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The term of its owner.
    pub(crate) epoch: u64,
    /// Who has it; nobody when it was released.
    pub(crate) owner: Option<NodeId>,
    /// What its record would say if it had ended then.
    pub(crate) so_far: CallDetailRecord,
}

impl Snapshot {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// # Panics
    /// Never: the types hold only strings, numbers and string-keyed maps.
    pub(crate) fn bytes(&self) -> Bytes {
        let text = serde_json::to_vec(self);
        text.expect("strings, numbers and string-keyed maps are always JSON").into()
    }
}

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It is so far.
    Live(Box<Snapshot>),
    /// It is over; the term in which it was.
    Over(NodeId, u64),
    /// It was taken over at this revision: go on from there.
    TakenOver(u64),
    /// Another node has it: nothing is written any more.
    Lost,
}

/// The call of which a write failed because somebody else had written.
pub(crate) type Overtaken = CallKey;

pub(crate) fn key(call: &CallKey) -> String {
    format!("{}.{}", call.0, call.1)
}

#[derive(Debug, Default)]
struct Slot {
    revision: Option<u64>,
    is_writing: bool,
    next: Option<Entry>,
    tries: u32,
}

/// Writes until the last sender is gone.
pub(crate) async fn run(
    bus: Arc<dyn Bus>,
    mut entries: mpsc::UnboundedReceiver<(CallKey, Entry)>,
    overtaken: mpsc::UnboundedSender<Overtaken>,
) {
    let mut slots: HashMap<CallKey, Slot> = HashMap::new();
    let mut writing = FuturesUnordered::new();
    loop {
        let (call, done) = tokio::select! {
            entry = entries.recv() => match entry {
                Some((call, entry)) => {
                    let slot = slots.entry(call.clone()).or_default();
                    match entry {
                        Entry::TakenOver(revision) => slot.revision = Some(revision),
                        Entry::Lost => drop(slots.remove(&call)),
                        newer => slot.next = Some(newer),
                    }
                    (call, None)
                }
                None => return,
            },
            Some((call, entry, result)) = writing.next() => (call, Some((entry, result))),
        };
        let Some(slot) = slots.get_mut(&call) else { continue };
        if let Some((entry, result)) = done {
            slot.is_writing = false;
            if !settle(slot, entry, result) {
                slots.remove(&call);
                // A node that is going away needs to know no more.
                let _ = overtaken.send(call);
                continue;
            }
            if slot.revision.is_none() && slot.next.is_none() {
                slots.remove(&call);
                continue;
            }
        }
        if !slot.is_writing
            && let Some(entry) = slot.next.take()
        {
            slot.is_writing = true;
            writing.push(write(bus.clone(), call, entry, slot.revision, slot.tries > 0));
        }
    }
}

/// Notes how a write went; false when somebody else has the call.
fn settle(slot: &mut Slot, entry: Entry, result: Result<Option<u64>, KeepError>) -> bool {
    match result {
        Ok(revision) => {
            slot.revision = revision;
            slot.tries = 0;
            true
        }
        Err(KeepError::Changed) => false,
        Err(KeepError::Unavailable(reason)) => {
            slot.tries += 1;
            if slot.tries == 1 {
                tracing::warn!(reason, "a call was not written down yet");
            }
            if slot.tries < MOST_TRIES || !matches!(entry, Entry::Over(..)) {
                // What came meanwhile is newer.
                slot.next.get_or_insert(entry);
            } else {
                slot.revision = None;
            }
            true
        }
    }
}

async fn write(
    bus: Arc<dyn Bus>,
    call: CallKey,
    entry: Entry,
    revision: Option<u64>,
    again: bool,
) -> (CallKey, Entry, Result<Option<u64>, KeepError>) {
    if again {
        sleep(PAUSE).await;
    }
    let mut result = put(&*bus, &call, &entry, revision).await;
    // A write whose answer was lost changed it, too.
    if again
        && result == Err(KeepError::Changed)
        && let Ok(Some(revision)) = own_revision(&*bus, &call, &entry).await
    {
        result = put(&*bus, &call, &entry, Some(revision)).await;
    }
    (call, entry, result)
}

async fn put(
    bus: &dyn Bus,
    call: &CallKey,
    entry: &Entry,
    revision: Option<u64>,
) -> Result<Option<u64>, KeepError> {
    match (entry, revision) {
        (Entry::Live(snapshot), revision) => {
            bus.put(Bucket::Calls, key(call), snapshot.bytes(), revision).await.map(Some)
        }
        (Entry::Over(..), Some(revision)) => {
            bus.take(Bucket::Calls, key(call), revision).await.map(|()| None)
        }
        (Entry::Over(..), None) => Ok(None),
        (Entry::TakenOver(_) | Entry::Lost, revision) => Ok(revision),
    }
}

/// The revision of what is kept, when it is of the same term of the same owner.
async fn own_revision(bus: &dyn Bus, call: &CallKey, entry: &Entry) -> Result<Option<u64>, KeepError> {
    let term = match entry {
        Entry::Live(snapshot) => (snapshot.owner.as_ref(), snapshot.epoch),
        Entry::Over(owner, epoch) => (Some(owner), *epoch),
        Entry::TakenOver(_) | Entry::Lost => return Ok(None),
    };
    let Some(Kept { value: Some(value), revision }) = bus.get(Bucket::Calls, key(call)).await? else {
        return Ok(None);
    };
    let kept = Snapshot::parse(&value);
    Ok(kept.filter(|kept| (kept.owner.as_ref(), kept.epoch) == term).map(|_| revision))
}
