//! What other nodes say, and the devices of this one in calls of theirs.

use std::sync::Arc;
use std::time::Instant;

use offhook_signaling::call::{DeviceAddress, EndedBy};
use offhook_signaling::message::{LiveCall, WireError};
use offhook_signaling::{CallId, ClientMessage, DeviceId, UserId};

use super::Hub;
use super::far::own_part;
use super::passing::Speaker;
use super::records::Held;
use crate::close::CloseReason;
use crate::cluster::message::{Body, CallTerm, ClaimedSession, Device, DeviceEvent, Eviction, Message, Part};
use crate::cluster::node::{NodeId, Subject};
use crate::environment;

/// Calls of one device at once, as in the switchboard.
const MOST_CALLS: usize = 32;

impl Hub {
    pub(super) fn handle_peer(&mut self, now: Instant, message: Message) {
        let Message { from, ask, body, .. } = message.clone();
        match body {
            Body::Seek { call, caller, callee } => self.handle_seek(&from, &call.call_id, &caller, &callee),
            Body::Found { call_id, user, devices } => self.handle_found(&from, &call_id, &user, devices),
            Body::Glare { call_id } => self.board.handle_glare(now, &self.application, &call_id),
            Body::Arrived { device } => self.handle_arrived(now, &from, &device),
            Body::Opened { device } => {
                self.detach(now, &device.address(&self.application), CloseReason::Replaced);
            }
            Body::Claim { .. } if self.records.are_pending() => {
                // What tells that a call is over waits for its record, also for whoever takes the session.
                drop(self.records.hold(Held::Peer(Box::new(message))));
            }
            Body::Claim { device, resume, calls, only_if_here } => {
                let given = self.give_away(now, &from, &device, resume, calls);
                if given.is_some() || !only_if_here {
                    self.answer_node(&from, ask, given.unwrap_or(Body::Nothing));
                }
            }
            Body::Command { device, call, message } => {
                self.handle_command(now, (&from, ask), &device, &call, *message);
            }
            Body::Happened { device, event, only } => {
                self.handle_happened(now, &from, &device, event, only.as_ref());
            }
            Body::Attach { device, live } => {
                let part = self.attach_again(&from, &device, &live);
                self.answer_node(&from, ask, part.map_or(Body::Nothing, |part| Body::Attached { part }));
            }
            Body::Deliver { device, owner, call, message } => {
                let taken = self.deliver(owner, device, call, *message);
                if ask.is_some() {
                    self.answer_node(&from, ask, taken);
                }
            }
            Body::Adopted { call } => {
                let own = self.handle_adopted(&from, &call);
                own.into_iter().for_each(|call| self.tell_node(&from, Body::Adopted { call }));
            }
            Body::Owns { calls } => {
                let own = calls.iter().filter_map(|call| self.handle_adopted(&from, call)).collect();
                self.say_owned(Some(&from), own);
            }
            Body::Released { call } => self.handle_released(&from, &call),
            Body::Holds { calls } => self.handle_holds(&from, calls),
            Body::Strange { calls } => self.handle_strange(&from, &calls),
            Body::List { list, limit } => self.answer_list(now, (&from, ask), &list, limit),
            Body::Control { call_id, wish } => self.handle_control(now, (&from, ask), &call_id, wish),
            Body::Evict { user, device, reason } => self.evict(now, &user, device, reason),
            // Answers go to whoever asked, and what nodes say for themselves has been heard.
            Body::Session { .. }
            | Body::Nothing
            | Body::Outcome { .. }
            | Body::Attached { .. }
            | Body::Delivered
            | Body::Controlled(_)
            | Body::Listed(_)
            | Body::Glance
            | Body::Seen(_)
            | Body::Here
            | Body::Left => {}
        }
    }

    pub(super) fn answer_node(&self, to: &NodeId, ask: Option<u64>, body: Body) {
        if let Some(far) = &self.far {
            far.cluster.answer(to, ask, &self.application, body);
        }
    }

    pub(super) fn tell_node(&self, to: &NodeId, body: Body) {
        if let Some(far) = &self.far {
            far.cluster.tell(to, &self.application, body);
        }
    }

    /// A call for a user with devices here. When that user's own call to the caller rings, one of the two ends: on every node the same.
    fn handle_seek(&self, from: &NodeId, call_id: &CallId, caller: &UserId, callee: &UserId) {
        let crossing = self.board.ringing_call(&self.application, callee, caller);
        if crossing.is_some_and(|own| own < call_id) {
            return self.tell_node(from, Body::Glare { call_id: call_id.clone() });
        }
        let Some(far) = &self.far else { return };
        let own = self.sessions.addresses_of(callee);
        // What rings already is looked for again when the bus was away.
        let rings = |device: &Device| {
            let known = far.attached.get(call_id).filter(|known| known.owner == *from);
            known.is_some_and(|known| known.sides.contains_key(device))
        };
        let can_ring = |address: &&Arc<DeviceAddress>| {
            let device = Device::of(address);
            self.board.can_ring(address) && !rings(&device) && far.count_of(&device) < MOST_CALLS
        };
        let devices: Vec<DeviceId> =
            own.iter().filter(can_ring).map(|address| address.device.clone()).collect();
        if !devices.is_empty() {
            self.tell_node(from, Body::Found { call_id: call_id.clone(), user: callee.clone(), devices });
        }
    }

    fn handle_found(&mut self, from: &NodeId, call_id: &CallId, user: &UserId, devices: Vec<DeviceId>) {
        for device in devices {
            let device = Device { user: user.clone(), device };
            self.ring_at(from, call_id, &device);
        }
    }

    /// Rings a device at another node, if the call still rings for its user.
    fn ring_at(&mut self, node: &NodeId, call_id: &CallId, device: &Device) {
        let address = device.address(&self.application);
        let Some(far) = &mut self.far else { return };
        let Some(owned) = far.owned.get_mut(call_id) else { return };
        if owned.rings_for.as_ref() != Some(&device.user) || self.sessions.get(&address).is_some() {
            return;
        }
        // A device that opens its session while it is looked for is heard of twice.
        let is_known = owned.homes.insert(device.clone(), node.clone()).as_ref() == Some(node);
        let is_unsure = owned.unsure.remove(device);
        if !self.board.involves(&address, call_id) {
            self.board.handle_found(environment::now(), &address, call_id);
        } else if is_unsure || !is_known {
            self.board.handle_repeat(&address, call_id);
        }
    }

    fn handle_arrived(&mut self, _now: Instant, from: &NodeId, device: &Device) {
        let Some(far) = &self.far else { return };
        let ringing = far.owned.iter().filter(|(_, owned)| owned.rings_for.as_ref() == Some(&device.user));
        let calls: Vec<CallId> = ringing.map(|(call_id, _)| call_id.clone()).collect();
        for call_id in calls {
            self.ring_at(from, &call_id, device);
        }
    }

    /// Gives the session of a device to the node where it is now, and its calls with it.
    fn give_away(
        &mut self,
        now: Instant,
        to: &NodeId,
        device: &Device,
        resume: Option<ClaimedSession>,
        calls: Vec<CallId>,
    ) -> Option<Body> {
        let address = device.address(&self.application);
        let entry = self.sessions.remove(&address)?;
        let is_proved = resume.is_some_and(|ClaimedSession(resume)| entry.session.proves(&resume));
        if !is_proved {
            self.leave_calls_but(now, &address, &calls.into_iter().collect());
        }
        let session = entry.into_session(CloseReason::Gone);
        let mut parts = self.far.as_ref().map_or_else(Vec::new, |far| far.parts_of(device));
        for call_id in self.board.calls_with(&address) {
            let view = self.board.call(now, &self.application, &call_id);
            let Some(far) = &mut self.far else { continue };
            if let (Some(view), Some(owned)) = (view, far.owned.get_mut(&call_id)) {
                owned.homes.insert(device.clone(), to.clone());
                let is_answered = view.so_far.talked.is_some();
                parts.push(own_part(far.cluster.node(), owned.epoch, &address, &view.so_far, is_answered));
            }
        }
        self.board.handle_moved(&address);
        self.leave_all(device);
        self.withdraw(&device.user);
        if let Some(far) = &mut self.far {
            far.note_moved(device.clone(), to.clone());
        }
        let state = is_proved.then(|| Box::new(session.hand_over()));
        Some(Body::Session { state, parts })
    }

    /// A device of another node says something about a call of ours.
    fn handle_command(
        &mut self,
        now: Instant,
        (from, ask): (&NodeId, Option<u64>),
        device: &Device,
        call: &CallTerm,
        message: ClientMessage,
    ) {
        let CallTerm { call_id, epoch } = call;
        let address = device.address(&self.application);
        self.note_home(&address, from, Some(call_id));
        let known = self.far.as_ref().and_then(|far| far.owned.get(call_id)).map(|owned| owned.epoch);
        if known.is_some_and(|known| known < *epoch) {
            self.overtaken(call_id);
        }
        let late = self.records.hold_end_of(Some(call_id));
        let passed = self.may_pass(call_id, &message, || Speaker::There { node: from.clone(), ask });
        let error = match message {
            ClientMessage::CallStart(_) | ClientMessage::CallReport(_) => Some(WireError::OutOfOrder),
            message => self.execute(now, &address, Some(call_id.clone()), message).err(),
        };
        if let (Some(speaker), None) = (passed, error) {
            return self.pass_on(speaker);
        }
        let Some(far) = &self.far else { return };
        let body = Body::Outcome { error };
        let message = Message::new(far.cluster.node().clone(), self.application.clone(), body);
        let outcome = Held::Far(Box::new(message.answering(ask)), from.clone());
        let outcome = if late { self.records.hold(outcome) } else { Some(outcome) };
        self.carry_out(outcome);
    }

    fn handle_happened(
        &mut self,
        now: Instant,
        from: &NodeId,
        device: &Device,
        event: DeviceEvent,
        only: Option<&CallId>,
    ) {
        let address = device.address(&self.application);
        if self.sessions.get(&address).is_some() {
            // It is here; what another node says of it is older.
            return;
        }
        if matches!(event, DeviceEvent::Connected | DeviceEvent::SnapshotSent) {
            self.note_home(&address, from, only);
        } else if !self.is_at(&address, from) {
            return;
        }
        match (event, only) {
            (DeviceEvent::Connected, _) => self.board.handle_connected(&address),
            (DeviceEvent::Disconnected, _) => self.board.handle_disconnected(now, &address),
            (DeviceEvent::Detached, None) => self.board.handle_detached(now, &address),
            (DeviceEvent::Detached, Some(call_id)) => self.board.handle_left(now, &address, call_id),
            (DeviceEvent::SnapshotSent, _) => self.board.handle_snapshot_sent(&address),
        }
    }

    /// Whether a device was at this node when it was last heard of.
    fn is_at(&self, address: &DeviceAddress, node: &NodeId) -> bool {
        let device = Device::of(address);
        let calls = self.board.calls_with(address);
        calls.iter().any(|call_id| {
            let home = self.far.as_ref().and_then(|far| far.home(call_id, &device));
            home.is_some_and(|(home, _)| home == node)
        })
    }

    /// A device that was elsewhere remembers a call of ours.
    fn attach_again(&mut self, from: &NodeId, device: &Device, live: &LiveCall) -> Option<Part> {
        let address = device.address(&self.application);
        let call_id = &live.call_id;
        if !self.board.handle_back(environment::now(), &address, live) {
            return None;
        }
        let far = self.far.as_mut()?;
        let owned = far.owned.get_mut(call_id)?;
        owned.homes.insert(device.clone(), from.clone());
        let epoch = owned.epoch;
        let own = far.cluster.node().clone();
        self.send_unsent(&address, call_id);
        let view = self.board.call(environment::now(), &self.application, call_id)?;
        let is_answered = view.so_far.talked.is_some();
        Some(own_part(&own, epoch, &address, &view.so_far, is_answered))
    }

    /// Sessions of a user end here because another node was told so.
    pub(super) fn evict(&mut self, now: Instant, user: &UserId, device: Option<DeviceId>, reason: Eviction) {
        let close = match reason {
            Eviction::Unblocked => {
                self.blocked.remove(user);
                return;
            }
            Eviction::Blocked => {
                self.board.handle_hang_up_user(now, &self.application, user, EndedBy::Blocked);
                self.route();
                self.blocked.insert(user.clone());
                CloseReason::Blocked
            }
            Eviction::Revoked => CloseReason::Revoked,
        };
        for address in self.sessions.addresses_of(user) {
            if device.as_ref().is_none_or(|device| *device == address.device) {
                self.detach(now, &address, close);
            }
        }
    }

    /// Has the other nodes end sessions of a user, too.
    pub(super) fn evict_elsewhere(&self, user: &UserId, device: Option<DeviceId>, reason: Eviction) {
        if let Some(far) = &self.far {
            let body = Body::Evict { user: user.clone(), device, reason };
            far.cluster.say(&Subject::every_node(), &self.application, body);
        }
    }
}
