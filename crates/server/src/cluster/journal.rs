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
    /// Tells it from an earlier one of the same call, of which a write may still be under way.
    number: u64,
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
    let mut last = 0;
    loop {
        let (call, done) = tokio::select! {
            entry = entries.recv() => match entry {
                Some((call, entry)) => {
                    let slot = slots.entry(call.clone()).or_insert_with(|| {
                        last += 1;
                        Slot { number: last, ..Slot::default() }
                    });
                    match entry {
                        Entry::TakenOver(revision) => slot.revision = Some(revision),
                        Entry::Lost => drop(slots.remove(&call)),
                        newer => slot.next = Some(newer),
                    }
                    (call, None)
                }
                None => return,
            },
            Some((number, (call, entry, result))) = writing.next() => (call, Some((number, entry, result))),
        };
        let Some(slot) = slots.get_mut(&call) else { continue };
        if let Some((number, entry, result)) = done {
            if number != slot.number {
                continue;
            }
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
            let (number, write) =
                (slot.number, write(bus.clone(), call, entry, slot.revision, slot.tries > 0));
            writing.push(async move { (number, write.await) });
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
    if result == Err(KeepError::Changed)
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use offhook_signaling::UserId;
    use offhook_signaling::call::{CallEndCause, EndedBy};
    use offhook_signaling::message::Headers;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;
    use crate::cluster::LocalBus;
    use crate::cluster::bus::KeepFuture;
    use crate::cluster::local::LocalEnd;
    use crate::cluster::node::Subject;
    use crate::store::UnixMillis;

    const LONG: Duration = Duration::from_secs(5);

    /// A memory in which each write waits for a permit.
    #[derive(Debug)]
    struct Gated {
        end: LocalEnd,
        gate: Semaphore,
    }

    impl Bus for Gated {
        fn publish(&self, to: &Subject, ask: Option<u64>, message: Bytes) -> bool {
            self.end.publish(to, ask, message)
        }

        fn subscribe(&self, to: Subject) {
            self.end.subscribe(to);
        }

        fn unsubscribe(&self, to: &Subject) {
            self.end.unsubscribe(to);
        }

        fn flush(&self) -> BoxFuture<'_, ()> {
            self.end.flush()
        }

        fn is_up(&self) -> bool {
            self.end.is_up()
        }

        fn get(&self, bucket: Bucket, key: String) -> KeepFuture<'_, Option<Kept>> {
            self.end.get(bucket, key)
        }

        fn put(
            &self,
            bucket: Bucket,
            key: String,
            value: Bytes,
            revision: Option<u64>,
        ) -> KeepFuture<'_, u64> {
            async move {
                self.gate.acquire().await.unwrap().forget();
                self.end.put(bucket, key, value, revision).await
            }
            .boxed()
        }

        fn renew(&self, bucket: Bucket, key: String, value: Bytes) -> KeepFuture<'_, ()> {
            self.end.renew(bucket, key, value)
        }

        fn take(&self, bucket: Bucket, key: String, revision: u64) -> KeepFuture<'_, ()> {
            self.end.take(bucket, key, revision)
        }
    }

    fn call() -> CallKey {
        let application = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
        (application, CallId::new("c").unwrap())
    }

    fn snapshot(node: &str, epoch: u64) -> Snapshot {
        let (application, call_id) = call();
        let now = UnixMillis(1_764_000_000_000);
        let so_far = CallDetailRecord {
            call_id,
            application,
            caller: UserId::new("alice").unwrap(),
            callee: UserId::new("bob").unwrap(),
            caller_device: None,
            callee_device: None,
            started: now,
            rang: None,
            answered: None,
            established: None,
            ended: now,
            talked_ms: None,
            cause: CallEndCause::None,
            error: None,
            ended_by: EndedBy::Server,
            taken_over: false,
            headers: Headers::new(),
        };
        let owner = Some(format!("{node}_0123456789abcdef").parse().unwrap());
        Snapshot { epoch, owner, so_far }
    }

    struct Stand {
        bus: Arc<Gated>,
        entries: mpsc::UnboundedSender<(CallKey, Entry)>,
        overtaken: mpsc::UnboundedReceiver<Overtaken>,
    }

    impl Stand {
        fn new(shared: &LocalBus, permits: usize) -> Self {
            let (deliveries, _) = mpsc::channel(1);
            let bus = Arc::new(Gated { end: shared.attach(deliveries), gate: Semaphore::new(permits) });
            let (entries, queue) = mpsc::unbounded_channel();
            let (overtake, overtaken) = mpsc::unbounded_channel();
            tokio::spawn(run(bus.clone(), queue, overtake));
            Self { bus, entries, overtaken }
        }

        fn note(&self, entry: Entry) {
            self.entries.send((call(), entry)).unwrap();
        }

        fn live(&self, epoch: u64) {
            self.note(Entry::Live(Box::new(snapshot("a", epoch))));
        }

        async fn kept(&self) -> Option<Kept> {
            self.bus.get(Bucket::Calls, key(&call())).await.unwrap()
        }

        async fn until_kept(&self, is_it: impl Fn(&Option<Kept>) -> bool) {
            let kept = async {
                while !is_it(&self.kept().await) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(LONG, kept).await.expect("it is written");
        }
    }

    fn is_epoch(kept: &Option<Kept>, epoch: u64) -> bool {
        let value = kept.as_ref().and_then(|kept| kept.value.as_ref());
        value.and_then(|value| Snapshot::parse(value)).is_some_and(|kept| kept.epoch == epoch)
    }

    /// Until the task waits for something else.
    async fn settled() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_write_that_is_under_way_when_a_call_is_lost_says_nothing_of_the_call_when_it_is_back() {
        let shared = LocalBus::default();
        let mut stand = Stand::new(&shared, 0);
        stand.live(1);
        settled().await;
        let (deliveries, _) = mpsc::channel(1);
        let other = shared.attach(deliveries);
        let theirs = other.put(Bucket::Calls, key(&call()), snapshot("b", 2).bytes(), None).await.unwrap();
        stand.note(Entry::Lost);
        stand.note(Entry::TakenOver(theirs));
        stand.live(3);
        settled().await;
        // The old write comes to its end, in vain, before the new one.
        stand.bus.gate.add_permits(1);
        settled().await;
        assert!(is_epoch(&stand.kept().await, 2));
        stand.bus.gate.add_permits(10);
        stand.until_kept(|kept| is_epoch(kept, 3)).await;
        stand.live(4);
        stand.until_kept(|kept| is_epoch(kept, 4)).await;
        stand.note(Entry::Over("a_0123456789abcdef".parse().unwrap(), 4));
        stand.until_kept(|kept| kept.as_ref().is_some_and(|kept| kept.value.is_none())).await;
        assert!(stand.overtaken.try_recv().is_err());
    }

    #[tokio::test]
    async fn who_does_not_know_at_which_revision_its_own_call_is_finds_out() {
        let mut stand = Stand::new(&LocalBus::default(), 10);
        stand.live(1);
        stand.until_kept(|kept| is_epoch(kept, 1)).await;
        let before = stand.kept().await;
        stand.note(Entry::Lost);
        stand.live(1);
        stand.until_kept(|kept| *kept != before).await;
        assert!(stand.overtaken.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_call_of_which_somebody_else_wrote_is_said_to_be_overtaken() {
        let shared = LocalBus::default();
        let mut stand = Stand::new(&shared, 10);
        stand.live(1);
        stand.until_kept(|kept| is_epoch(kept, 1)).await;
        let revision = stand.kept().await.map(|kept| kept.revision);
        let taken = snapshot("b", 2).bytes();
        stand.bus.end.put(Bucket::Calls, key(&call()), taken, revision).await.unwrap();
        stand.live(1);
        assert_eq!(timeout(LONG, stand.overtaken.recv()).await.unwrap(), Some(call()));
        assert!(is_epoch(&stand.kept().await, 2));
    }
}
