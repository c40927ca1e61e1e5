//! What a hub knows of other nodes: whose calls its devices are in, and where the other devices of its own calls are.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::{CallState, DeviceAddress};
use offhook_signaling::message::{CallSnapshot, Headers, LiveCall};
use offhook_signaling::wire::Frame;
use offhook_signaling::{CallId, ClientMessage, MessageId, ServerMessage, UserId};

use tokio::sync::Semaphore;

use super::Line;
use super::parted::turns;
use crate::cluster::Cluster;
use crate::cluster::message::{CallTerm, Device, Part};
use crate::cluster::node::NodeId;
use crate::store::UnixMillis;

/// Events for one device whose session is on its way.
const MOST_EARLY: usize = 256;
/// Devices that went to other nodes of late.
const MOST_MOVED: usize = 4096;
/// Between two questions for devices of a callee of whom none is found. One who has just come is heard of by the NATS server of their
/// node at once, by the others a moment later; and what nodes say to each other can be lost while NATS changes.
const SEEKING: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
/// Between two questions whether the calls of other nodes still are.
const CHECKING: Duration = Duration::from_secs(3);
/// The first term of a call.
pub(super) const FIRST_EPOCH: u64 = 1;

/// A call of this node.
#[derive(Debug, Default)]
pub(super) struct Owned {
    pub(super) epoch: u64,
    /// When it was started, as it was written down first: the same in every term, by which two nodes that both see its end know that
    /// it is one call.
    pub(super) started: Option<UnixMillis>,
    /// The devices of it that are not here.
    pub(super) homes: BTreeMap<Device, NodeId>,
    /// Of these, the ones that may not have heard of it: the bus was away.
    pub(super) unsure: BTreeSet<Device>,
    /// How often devices were asked for once more.
    pub(super) sought: usize,
    /// For whom it rings.
    pub(super) rings_for: Option<UserId>,
    /// What waits for devices of which it is not known where they are.
    pub(super) unsent: Vec<(Device, ServerMessage)>,
}

/// One device's part in a call of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) outgoing: bool,
    pub(super) remote: UserId,
    pub(super) answered: bool,
}

/// A call of another node.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) owner: NodeId,
    pub(super) epoch: u64,
    pub(super) sides: BTreeMap<Device, Side>,
    /// Its owner is gone, and it is being taken over: what devices say meanwhile waits.
    pub(super) waiting: Option<Vec<(Line, Frame<ClientMessage>)>>,
    /// Hang-ups for which the owner could not be reached: they are said when it can.
    pub(super) left: Vec<(Device, ClientMessage)>,
}

/// Something for a device whose session is on its way.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) owner: NodeId,
    pub(super) call: CallTerm,
    pub(super) message: ServerMessage,
}

/// Everything about other nodes.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) cluster: Arc<Cluster>,
    pub(super) owned: HashMap<CallId, Owned>,
    pub(super) attached: HashMap<CallId, Attached>,
    by_device: BTreeMap<Device, BTreeSet<CallId>>,
    pub(super) arriving: HashMap<Device, Vec<Early>>,
    moved: HashMap<Device, NodeId>,
    moved_order: VecDeque<Device>,
    /// Commands whose outcome is on its way, and where it goes.
    pub(super) asked: HashMap<(Device, MessageId), Line>,
    /// Own calls that went a step further, to be written down.
    pub(super) stepped: BTreeSet<CallId>,
    ringing_for: BTreeMap<UserId, usize>,
    /// Calls that have found no device elsewhere, and when it is asked once more.
    seeking: BTreeSet<(Instant, CallId)>,
    next_check: Option<Instant>,
    /// Own calls that are being looked at, and whether they are to be once more.
    pub(super) looking: HashMap<CallId, bool>,
    /// Turns for that.
    pub(super) looks: Arc<Semaphore>,
}

impl Far {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            owned: HashMap::new(),
            attached: HashMap::new(),
            by_device: BTreeMap::new(),
            arriving: HashMap::new(),
            moved: HashMap::new(),
            moved_order: VecDeque::new(),
            asked: HashMap::new(),
            stepped: BTreeSet::new(),
            ringing_for: BTreeMap::new(),
            seeking: BTreeSet::new(),
            next_check: None,
            looking: HashMap::new(),
            looks: turns(),
        }
    }

    /// A call has asked for devices elsewhere: it asks again unless one is found.
    pub(super) fn seek_again(&mut self, now: Instant, call_id: &CallId) {
        let Some(owned) = self.owned.get_mut(call_id) else { return };
        if let Some(pause) = SEEKING.get(owned.sought) {
            owned.sought += 1;
            self.seeking.insert((now + *pause, call_id.clone()));
        }
    }

    /// When calls ask again, or are asked for.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let check = self.next_check.filter(|_| !self.attached.is_empty());
        self.seeking.first().map(|(at, _)| *at).into_iter().chain(check).min()
    }

    /// The calls of other nodes by their owners, when it is time to ask for them.
    pub(super) fn due_checks(&mut self, now: Instant) -> BTreeMap<NodeId, Vec<CallId>> {
        let mut checks: BTreeMap<NodeId, Vec<CallId>> = BTreeMap::new();
        if self.next_check.is_some_and(|at| now < at) {
            return checks;
        }
        self.next_check = Some(now + CHECKING);
        for (call_id, attached) in self.attached.iter().filter(|(_, attached)| attached.waiting.is_none()) {
            checks.entry(attached.owner.clone()).or_default().push(call_id.clone());
        }
        checks
    }

    /// The calls that ask again now, as nobody was found.
    pub(super) fn due(&mut self, now: Instant) -> Vec<CallId> {
        let mut due = Vec::new();
        while let Some((at, call_id)) = self.seeking.pop_first() {
            if at > now {
                self.seeking.insert((at, call_id));
                break;
            }
            if self.owned.get(&call_id).is_some_and(|owned| owned.homes.is_empty()) {
                due.push(call_id);
            }
        }
        due
    }

    /// A call rings for somebody. Whether it is the first for them.
    pub(super) fn begin_ringing(&mut self, user: &UserId) -> bool {
        let count = self.ringing_for.entry(user.clone()).or_default();
        *count += 1;
        *count == 1
    }

    /// It does not ring any more. Whether it was the last for them.
    pub(super) fn end_ringing(&mut self, user: &UserId) -> bool {
        match self.ringing_for.get_mut(user) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(_) => self.ringing_for.remove(user).is_some(),
            None => false,
        }
    }

    /// A device has a part in a call of another node. A call that is known keeps its owner unless this one is of a later term; false
    /// when the part was not taken for that.
    pub(super) fn attach(&mut self, device: Device, part: &Part) -> bool {
        let Part { term, owner, outgoing, remote, answered } = part;
        let known = self.attached.entry(term.call_id.clone()).or_insert_with(|| Attached {
            owner: owner.clone(),
            epoch: term.epoch,
            sides: BTreeMap::new(),
            waiting: None,
            left: Vec::new(),
        });
        if term.epoch < known.epoch || (term.epoch == known.epoch && *owner != known.owner) {
            return false;
        }
        (known.owner, known.epoch) = (owner.clone(), term.epoch);
        let side = Side { outgoing: *outgoing, remote: remote.clone(), answered: *answered };
        known.sides.insert(device.clone(), side);
        self.by_device.entry(device).or_default().insert(term.call_id.clone());
        self.next_check.get_or_insert_with(|| crate::environment::now() + CHECKING);
        true
    }

    /// A device has no part in a call any more. Gives what it was, and whether nobody else here has one.
    pub(super) fn leave(&mut self, device: &Device, call_id: &CallId) -> Option<(Side, bool)> {
        let attached = self.attached.get_mut(call_id)?;
        let side = attached.sides.remove(device)?;
        let is_last = attached.sides.is_empty();
        if is_last && attached.waiting.is_none() {
            self.attached.remove(call_id);
        }
        if let Some(calls) = self.by_device.get_mut(device) {
            calls.remove(call_id);
            if calls.is_empty() {
                self.by_device.remove(device);
            }
        }
        Some((side, is_last))
    }

    /// Forgets a call of another node, with all parts in it.
    pub(super) fn forget(&mut self, call_id: &CallId) -> Option<Attached> {
        let attached = self.attached.remove(call_id)?;
        for device in attached.sides.keys() {
            if let Some(calls) = self.by_device.get_mut(device) {
                calls.remove(call_id);
                if calls.is_empty() {
                    self.by_device.remove(device);
                }
            }
        }
        Some(attached)
    }

    /// The calls of other nodes in which a device has a part.
    pub(super) fn calls_of(&self, device: &Device) -> Vec<CallId> {
        self.by_device.get(device).into_iter().flatten().cloned().collect()
    }

    pub(super) fn count_of(&self, device: &Device) -> usize {
        self.by_device.get(device).map_or(0, BTreeSet::len)
    }

    /// The parts of a device, as another node takes them over.
    pub(super) fn parts_of(&self, device: &Device) -> Vec<Part> {
        let part = |call_id: CallId| {
            let attached = self.attached.get(&call_id)?;
            let side = attached.sides.get(device)?;
            Some(Part {
                term: CallTerm { call_id, epoch: attached.epoch },
                owner: attached.owner.clone(),
                outgoing: side.outgoing,
                remote: side.remote.clone(),
                answered: side.answered,
            })
        };
        self.calls_of(device).into_iter().filter_map(part).collect()
    }

    /// Its calls of other nodes, for a snapshot. What is not in here the owner says again: `DeviceEvent::SnapshotSent`.
    pub(super) fn snapshots_of(&self, device: &Device) -> Vec<CallSnapshot> {
        let snapshot = |part: Part| CallSnapshot {
            call_id: part.term.call_id,
            outgoing: part.outgoing,
            remote: part.remote,
            state: match (part.answered, part.outgoing) {
                (true, _) => CallState::Answered,
                (false, true) => CallState::Progressing,
                (false, false) => CallState::Init,
            },
            headers: Headers::new(),
            sdp: None,
            commitment: None,
            display_name: None,
            nonce: None,
        };
        self.parts_of(device).into_iter().map(snapshot).collect()
    }

    /// The nodes that own calls of a device.
    pub(super) fn owners_of(&self, device: &Device) -> BTreeSet<NodeId> {
        let calls = self.by_device.get(device).into_iter().flatten();
        calls.filter_map(|call| Some(self.attached.get(call)?.owner.clone())).collect()
    }

    /// Where a device of an own call is.
    pub(super) fn home(&self, call_id: &CallId, device: &Device) -> Option<(&NodeId, u64)> {
        let owned = self.owned.get(call_id)?;
        Some((owned.homes.get(device)?, owned.epoch))
    }

    /// The session of a device went to another node.
    pub(super) fn note_moved(&mut self, device: Device, to: NodeId) {
        if self.moved.insert(device.clone(), to).is_none() {
            self.moved_order.push_back(device);
        }
        while self.moved_order.len() > MOST_MOVED {
            if let Some(oldest) = self.moved_order.pop_front() {
                self.moved.remove(&oldest);
            }
        }
    }

    pub(super) fn moved_to(&self, device: &Device) -> Option<&NodeId> {
        self.moved.get(device)
    }

    /// The device is here (again).
    pub(super) fn note_here(&mut self, device: &Device) {
        if self.moved.remove(device).is_some() {
            self.moved_order.retain(|moved| moved != device);
        }
    }

    /// Keeps what came before the session did; false when it was none that is on its way.
    pub(super) fn keep_early(&mut self, device: &Device, early: Early) -> bool {
        match self.arriving.get_mut(device) {
            Some(kept) => {
                if kept.len() < MOST_EARLY {
                    kept.push(early);
                }
                true
            }
            None => false,
        }
    }
}

/// What a device remembers of a call, as its side has it.
pub(super) fn live(call_id: &CallId, side: &Side) -> LiveCall {
    LiveCall { call_id: call_id.clone(), outgoing: side.outgoing, remote: side.remote.clone(), nonce: None }
}

/// Who calls and who is called, as a side has it.
pub(super) fn direction<'a>(device: &'a Device, side: &'a Side) -> (&'a UserId, &'a UserId) {
    if side.outgoing { (&device.user, &side.remote) } else { (&side.remote, &device.user) }
}

/// The part of a device in an own call, as another node takes it over.
pub(super) fn own_part(
    owner: &NodeId,
    epoch: u64,
    address: &DeviceAddress,
    view: &offhook_signaling::call::CallRecord,
    answered: bool,
) -> Part {
    let outgoing = view.caller == address.user && view.caller_device.as_ref() == Some(&address.device);
    Part {
        term: CallTerm { call_id: view.call_id.clone(), epoch },
        owner: owner.clone(),
        outgoing,
        remote: if outgoing { view.callee.clone() } else { view.caller.clone() },
        answered,
    }
}
