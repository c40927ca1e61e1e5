//! Calls whose owner is gone, or may be: they are looked for, and taken over here or followed to where they went.

use std::sync::Arc;
use std::time::Instant;

use offhook_signaling::call::{CallEndCause, DeviceAddress};
use offhook_signaling::message::{Ended, WireError};
use offhook_signaling::{CallId, ServerMessage};

use super::far::{Attached, Owned, direction, live};
use super::locate::{Lead, Located, Seeker};
use super::sessions::Entry;
use super::{Command, Hub};
use crate::cluster::journal::Snapshot;
use crate::cluster::message::{Body, CallTerm, Device, DeviceEvent, MOST_NAMED};
use crate::cluster::node::{NodeId, Subject};

/// A call that was looked for.
#[derive(Debug)]
pub(crate) struct Found {
    call_id: CallId,
    /// The device for which it was looked for.
    device: Device,
    located: Located,
}

impl Hub {
    /// Finds out where a call of another node is now, and takes it over when that node is gone.
    pub(super) fn start_locating(&mut self, call_id: &CallId, gone: Option<NodeId>) {
        let Some(far) = &mut self.far else { return };
        let Some(attached) = far.attached.get_mut(call_id).filter(|attached| attached.waiting.is_none())
        else {
            return;
        };
        // Whoever talks knows more of it than whom it only rang for.
        let Some((device, side)) = attached.sides.iter().max_by_key(|(_, side)| side.answered) else {
            return;
        };
        let (live, is_answered) = (live(call_id, side), side.answered);
        let lead = Lead { owner: Some(attached.owner.clone()), epoch: attached.epoch, gone };
        let address = Arc::new(device.address(&self.application));
        attached.waiting = Some(Vec::new());
        let seeker = Seeker { cluster: far.cluster.clone(), store: self.records.store(), address };
        let (own, call_id, device) = (self.own.clone(), call_id.clone(), device.clone());
        tokio::spawn(async move {
            let located = seeker.locate(&live, is_answered, lead).await;
            // A hub that is gone has no calls.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Located(Box::new(Found { call_id, device, located }))).await;
            }
        });
    }

    pub(super) fn located(&mut self, now: Instant, found: Found) {
        let Found { call_id, device: sought_for, located } = found;
        let Some(far) = &mut self.far else { return };
        let Some(attached) = far.attached.get_mut(&call_id) else { return };
        let waiting = attached.waiting.take().unwrap_or_default();
        match located {
            Located::Elsewhere(part) => {
                (attached.owner, attached.epoch) = (part.owner.clone(), part.term.epoch);
                let devices: Vec<Device> = attached.sides.keys().cloned().collect();
                let left = std::mem::take(&mut attached.left);
                self.show_devices(&call_id, &devices);
                for (device, message) in left {
                    let message = Box::new(message);
                    self.tell_node(&part.owner, Body::Command { device, call: part.term.clone(), message });
                }
                if !devices.contains(&sought_for) {
                    // It left or went elsewhere meanwhile, and the owner takes it for back.
                    let (event, only) = (DeviceEvent::Disconnected, Some(call_id.clone()));
                    self.tell_node(&part.owner, Body::Happened { device: sought_for, event, only });
                }
                self.forget_if_left(&call_id);
            }
            Located::Mine { snapshot, revision } => {
                let Some(attached) = far.forget(&call_id) else { return };
                self.come_home(now, &call_id, &snapshot, revision, &attached);
                for (device, message) in attached.left {
                    // It is over, or it ends now.
                    let address = device.address(&self.application);
                    let _ = self.execute(now, &address, Some(call_id.clone()), message);
                }
            }
            Located::Over(cause) => self.is_over(&call_id, cause),
            Located::Unknown => {
                for (line, frame) in waiting {
                    self.leave_word(&call_id, &line, &frame);
                    self.refuse(line, frame, WireError::Unreachable);
                }
                self.forget_if_left(&call_id);
                return self.start_locating(&call_id, None);
            }
        }
        self.route();
        for (line, frame) in waiting {
            if let Some(far) = &mut self.far {
                far.asked.remove(&(Device::of(&line.address), frame.id.clone()));
            }
            self.handle_frame(now, &line, frame);
        }
    }

    /// Forgets a call of another node that its last device here left while it was looked for.
    fn forget_if_left(&mut self, call_id: &CallId) {
        if let Some(far) = &mut self.far
            && far.attached.get(call_id).is_some_and(|attached| attached.sides.is_empty())
        {
            far.forget(call_id);
        }
    }

    /// Tells the owner of a call which devices of it are here.
    fn show_devices(&self, call_id: &CallId, devices: &[Device]) {
        let Some(far) = &self.far else { return };
        let Some(attached) = far.attached.get(call_id) else { return };
        for device in devices {
            let entry = self.sessions.get(&device.address(&self.application));
            let is_connected = entry.is_some_and(Entry::is_connected);
            // Where it is comes first, else nothing else of it counts.
            let events: &[DeviceEvent] = match is_connected {
                true => &[DeviceEvent::Connected],
                false => &[DeviceEvent::Connected, DeviceEvent::Disconnected],
            };
            for event in events {
                let (device, only) = (device.clone(), Some(call_id.clone()));
                let body = Body::Happened { device, event: *event, only };
                far.cluster.tell(&attached.owner, &self.application, body);
            }
        }
    }

    /// A call is this node's from now on; its devices here take part as any do.
    fn come_home(
        &mut self,
        now: Instant,
        call_id: &CallId,
        snapshot: &Snapshot,
        revision: u64,
        attached: &Attached,
    ) {
        let address = |device: &Device| device.address(&self.application);
        let ringing: Vec<DeviceAddress> = attached
            .sides
            .iter()
            .filter(|(_, side)| !side.answered && !side.outgoing)
            .map(|(device, _)| address(device))
            .collect();
        let sides: Vec<_> = attached
            .sides
            .iter()
            .map(|(device, side)| (device, address(device), live(call_id, side)))
            .collect();
        for (device, side) in &attached.sides {
            let (caller, callee) = direction(device, side);
            self.board.set_rings_elsewhere(&self.application, caller, callee, call_id, false);
        }
        self.restore(now, snapshot, revision, &ringing);
        for (_, address, live) in sides {
            self.board.handle_back(now, &address, &live);
            self.send_unsent(&address, call_id);
            if !self.sessions.get(&address).is_some_and(Entry::is_connected) {
                self.board.handle_disconnected(now, &address);
            }
        }
    }

    /// A call of another node is over, and its devices here were not told.
    fn is_over(&mut self, call_id: &CallId, cause: Option<CallEndCause>) {
        let Some(attached) = self.far.as_mut().and_then(|far| far.forget(call_id)) else { return };
        self.issuer.call_over(&self.application, call_id);
        for (device, side) in attached.sides {
            let (caller, callee) = direction(&device, &side);
            self.board.set_rings_elsewhere(&self.application, caller, callee, call_id, false);
            let usual = if side.answered { CallEndCause::HungUp } else { CallEndCause::Failure };
            let ended = Ended { cause: cause.unwrap_or(usual), error: None };
            if let Some(entry) = self.sessions.get_mut(&device.address(&self.application)) {
                entry.event(call_id.clone(), ServerMessage::CallEnded(ended));
            }
        }
    }

    /// Another node says that it owns a call. Gives the term in which it is this node's, when that is a later one.
    pub(super) fn handle_adopted(&mut self, from: &NodeId, call: &CallTerm) -> Option<CallTerm> {
        let CallTerm { call_id, epoch } = call;
        self.fenced(call_id, from, *epoch);
        let far = self.far.as_mut()?;
        if let Some(own) = far.owned.get(call_id) {
            return (own.epoch > *epoch).then(|| CallTerm { call_id: call_id.clone(), epoch: own.epoch });
        }
        let attached = far.attached.get_mut(call_id).filter(|known| known.epoch < *epoch)?;
        (attached.owner, attached.epoch) = (from.clone(), *epoch);
        // It may be over there by now.
        self.start_locating(call_id, None);
        None
    }

    /// Tells a node, or all of them, that these calls are owned here.
    pub(super) fn say_owned(&self, to: Option<&NodeId>, calls: Vec<CallTerm>) {
        let Some(far) = &self.far else { return };
        let to = to.map_or_else(Subject::every_node, Subject::node);
        for calls in calls.chunks(MOST_NAMED) {
            far.cluster.say(&to, &self.application, Body::Owns { calls: calls.to_vec() });
        }
    }

    pub(super) fn handle_released(&mut self, from: &NodeId, call: &CallTerm) {
        let attached = self.far.as_ref().and_then(|far| far.attached.get(&call.call_id));
        if attached.is_some_and(|known| known.owner == *from && known.epoch <= call.epoch) {
            self.start_locating(&call.call_id, Some(from.clone()));
        }
    }

    /// Asks the owners of the calls that devices of this node are in whether they still are.
    pub(super) fn check_on_owners(&mut self, now: Instant) {
        let Some(far) = &mut self.far else { return };
        for (owner, calls) in far.due_checks(now) {
            for calls in calls.chunks(MOST_NAMED) {
                far.cluster.tell(&owner, &self.application, Body::Holds { calls: calls.to_vec() });
            }
        }
    }

    /// Another node has devices in these calls.
    pub(super) fn handle_holds(&self, from: &NodeId, mut calls: Vec<CallId>) {
        let Some(far) = &self.far else { return };
        calls.retain(|call_id| match far.owned.get(call_id) {
            // One that was taken for dead comes back with its devices.
            Some(owned) => !owned.homes.values().any(|home| home == from),
            // Of one whose record is being written it is told in a moment.
            None => !self.records.hold_end_of(Some(call_id)),
        });
        if !calls.is_empty() {
            self.tell_node(from, Body::Strange { calls });
        }
    }

    pub(super) fn handle_strange(&mut self, from: &NodeId, calls: &[CallId]) {
        for call_id in calls {
            let attached = self.far.as_ref().and_then(|far| far.attached.get(call_id));
            if attached.is_some_and(|attached| attached.owner == *from) {
                self.start_locating(call_id, None);
            }
        }
    }

    /// A node is dead: its calls need a new owner, and its devices may come back elsewhere.
    pub(super) fn node_gone(&mut self, now: Instant, node: &NodeId) {
        let Some(far) = &self.far else { return };
        let theirs = far.attached.iter().filter(|(_, attached)| attached.owner == *node);
        let theirs: Vec<CallId> = theirs.map(|(call_id, _)| call_id.clone()).collect();
        let own = far.owned.iter().flat_map(|(call_id, owned)| {
            let there = owned.homes.iter().filter(|(_, home)| *home == node);
            there.map(|(device, _)| (call_id.clone(), device.clone()))
        });
        let own: Vec<_> = own.collect();
        for call_id in theirs {
            self.start_locating(&call_id, Some(node.clone()));
        }
        for (call_id, device) in own {
            let address = device.address(&self.application);
            let view = self.board.call(now, &self.application, &call_id);
            let is_answered = view.is_some_and(|view| view.so_far.talked.is_some());
            if let Some(owned) = self.far.as_mut().and_then(|far| far.owned.get_mut(&call_id)) {
                owned.homes.remove(&device);
            }
            if is_answered {
                self.board.handle_disconnected(now, &address);
            } else {
                self.board.handle_left(now, &address, &call_id);
            }
        }
    }

    /// What happened meanwhile is not known: every call that has to do with other nodes, or with this one, is looked at.
    pub(super) fn bus_back(&mut self, node: Option<&NodeId>) {
        self.look_who_is_blocked();
        self.look_who_is_registered();
        let Some(far) = &mut self.far else { return };
        let is_theirs = |owner: &NodeId| node.is_none_or(|node| node == owner);
        let theirs = far.attached.iter().filter(|(_, attached)| is_theirs(&attached.owner));
        let theirs: Vec<CallId> = theirs.map(|(call_id, _)| call_id.clone()).collect();
        let term =
            |(call_id, owned): (&CallId, &Owned)| CallTerm { call_id: call_id.clone(), epoch: owned.epoch };
        let terms: Vec<CallTerm> = far.owned.iter().map(term).collect();
        for owned in far.owned.values_mut() {
            owned.unsure = owned.homes.keys().cloned().collect();
        }
        for call_id in theirs {
            self.start_locating(&call_id, None);
        }
        // Whoever has taken one over says so at once; the shared memory, which knows it too, may have no leader yet.
        self.say_owned(node, terms.clone());
        for CallTerm { call_id, .. } in terms {
            self.overtaken(&call_id);
            self.seek(&call_id);
        }
    }
}
