//! The calls of this node, as far as other nodes have to do with them: whom they reach, what is written down, who takes over.

use std::collections::BTreeSet;
use std::time::Instant;

use offhook_signaling::call::{CallView, DeviceAddress};
use offhook_signaling::{CallId, ServerMessage, UserId};

use super::Hub;
use super::far::{FIRST_EPOCH, Owned};
use super::locate::Resolved;
use super::records::Held;
use crate::close::CloseReason;
use crate::cluster::journal::{Entry, Snapshot};
use crate::cluster::message::{Body, CallTerm, Device, DeviceEvent, Message};
use crate::cluster::node::{NodeId, Subject};
use crate::environment;
use crate::store::CallDetailRecord;

/// Events of one call that wait until it is known where its devices are.
const MOST_UNSENT: usize = 128;

impl Hub {
    /// A call was started here.
    pub(super) fn begin_owning(&mut self, call_id: &CallId) {
        let Some(far) = self.far.as_mut().filter(|_| self.board.owns(&self.application, call_id)) else {
            return;
        };
        far.owned.insert(call_id.clone(), Owned { epoch: FIRST_EPOCH, ..Owned::default() });
        far.stepped.insert(call_id.clone());
        self.seek(call_id);
    }

    pub(super) fn view(&self, call_id: &CallId) -> Option<CallView> {
        self.board.call(environment::now(), &self.application, call_id)
    }

    fn is_echo(&self, user: &UserId) -> bool {
        self.config.echo.as_ref().is_some_and(|echo| echo.user == *user)
    }

    /// Looks for devices of the callee at other nodes, once the call waits for an answer.
    pub(super) fn seek(&mut self, call_id: &CallId) {
        if self.far.is_none() || !self.board.is_waiting(&self.application, call_id) {
            return;
        }
        let Some(call) = self.view(call_id).map(|view| view.so_far) else { return };
        if self.is_echo(&call.callee) {
            return;
        }
        self.ring_for(call_id, Some(call.callee.clone()));
        let Some(far) = &mut self.far else { return };
        far.seek_again(environment::now(), call_id);
        let Some(owned) = far.owned.get(call_id) else { return };
        if far.cluster.is_up() {
            let term = CallTerm { call_id: call_id.clone(), epoch: owned.epoch };
            let nodes = Subject::user(&self.application, &call.callee);
            let body = Body::Seek { call: term, caller: call.caller, callee: call.callee };
            far.cluster.say(&nodes, &self.application, body);
        } else if self.pushes.is_none() {
            self.board.handle_unreachable(environment::now(), &self.application, call_id);
        }
    }

    /// Listens for devices that arrive while the call rings for `user`.
    pub(super) fn ring_for(&mut self, call_id: &CallId, user: Option<UserId>) {
        let Some(far) = &mut self.far else { return };
        let Some(owned) = far.owned.get_mut(call_id) else { return };
        if owned.rings_for == user {
            return;
        }
        owned.sought = 0;
        let before = std::mem::replace(&mut owned.rings_for, user.clone());
        if let Some(user) = user.filter(|user| far.begin_ringing(user)) {
            far.cluster.bus().subscribe(Subject::ringing(&self.application, &user));
        }
        if let Some(user) = before.filter(|user| far.end_ringing(user)) {
            far.cluster.bus().unsubscribe(&Subject::ringing(&self.application, &user));
        }
    }

    /// A device was told something about an own call: when that is a step, it is written down.
    pub(super) fn note_progress(&mut self, call_id: &CallId, message: &ServerMessage) {
        let is_step = matches!(
            message,
            ServerMessage::CallRinging(_)
                | ServerMessage::CallAnswered(_)
                | ServerMessage::CallEstablished(_)
        );
        if let Some(far) = self.far.as_mut().filter(|_| is_step) {
            far.stepped.insert(call_id.clone());
        }
    }

    /// Writes down the calls that went a step further.
    pub(super) fn journal(&mut self) {
        let Some(far) = &mut self.far else { return };
        for call_id in std::mem::take(&mut far.stepped) {
            let Some(view) = self.view(&call_id) else { continue };
            if view.so_far.talked.is_some() {
                self.ring_for(&call_id, None);
            }
            let Some(far) = &mut self.far else { return };
            let Some(owned) = far.owned.get_mut(&call_id) else { continue };
            let so_far = CallDetailRecord::new(view.so_far, environment::wall_millis());
            let started = *owned.started.get_or_insert(so_far.started);
            let snapshot = Snapshot {
                epoch: owned.epoch,
                owner: Some(far.cluster.node().clone()),
                so_far: so_far.started_at(started),
            };
            far.cluster.note((self.application.clone(), call_id), Entry::Live(Box::new(snapshot)));
        }
    }

    /// A call is over, or another node's.
    pub(super) fn disown(&mut self, call_id: &CallId) -> Option<Owned> {
        self.ring_for(call_id, None);
        let far = self.far.as_mut()?;
        far.stepped.remove(call_id);
        let owned = far.owned.remove(call_id)?;
        let over = Entry::Over(far.cluster.node().clone(), owned.epoch);
        far.cluster.note((self.application.clone(), call_id.clone()), over);
        Some(owned)
    }

    /// An event of a call that is over, for when its record is written.
    pub(super) fn held_event(
        &self,
        to: DeviceAddress,
        call_id: CallId,
        message: ServerMessage,
        owned: &Option<Owned>,
    ) -> Held {
        let (Some(far), Some(owned), None) = (&self.far, owned, self.sessions.get(&to)) else {
            return Held::Event { to, call_id, message };
        };
        let device = Device::of(&to);
        let home = owned.homes.get(&device).cloned();
        let body = self.delivery(far.cluster.node(), device, call_id.clone(), owned.epoch, message.clone());
        match home {
            Some(node) => {
                let message = Message::new(far.cluster.node().clone(), self.application.clone(), body);
                Held::Far(Box::new(message), node)
            }
            None if owned.epoch > FIRST_EPOCH && matches!(message, ServerMessage::CallEnded(_)) => {
                Held::Unseen(to.user, Box::new(body))
            }
            None => Held::Event { to, call_id, message },
        }
    }

    pub(super) fn delivery(
        &self,
        owner: &NodeId,
        device: Device,
        call_id: CallId,
        epoch: u64,
        message: ServerMessage,
    ) -> Body {
        let call = CallTerm { call_id, epoch };
        Body::Deliver { device, owner: owner.clone(), call, message: Box::new(message) }
    }

    pub(super) fn send_far(&self, message: Message, to: &NodeId) {
        if let Some(far) = &self.far {
            far.cluster.send(&Subject::node(to), message);
        }
    }

    /// Tells a device that has no session here.
    pub(super) fn event_elsewhere(&mut self, to: &DeviceAddress, call_id: CallId, message: ServerMessage) {
        let Some(far) = &self.far else { return };
        let device = Device::of(to);
        let own = far.cluster.node().clone();
        match far.home(&call_id, &device).map(|(node, epoch)| (node.clone(), epoch)) {
            Some((node, epoch)) => {
                let body = self.delivery(&own, device, call_id, epoch, message);
                far.cluster.tell(&node, &self.application, body);
            }
            // Where it is now is not known yet: whoever takes a call over hears of its devices a moment later.
            None => {
                let Some(owned) = self.far.as_mut().and_then(|far| far.owned.get_mut(&call_id)) else {
                    return;
                };
                if owned.unsent.len() < MOST_UNSENT {
                    owned.unsent.push((device, message));
                }
            }
        }
    }

    /// Where a device of an own call is has become known: it is told what waited.
    pub(super) fn send_unsent(&mut self, address: &DeviceAddress, call_id: &CallId) {
        let device = Device::of(address);
        let Some(owned) = self.far.as_mut().and_then(|far| far.owned.get_mut(call_id)) else { return };
        if owned.unsent.is_empty() {
            return;
        }
        let (own, others) =
            std::mem::take(&mut owned.unsent).into_iter().partition(|(waits, _)| *waits == device);
        owned.unsent = others;
        let own: Vec<(Device, ServerMessage)> = own;
        for (_, message) in own {
            self.event(address, call_id.clone(), message);
        }
    }

    /// A device of own calls is at this node now.
    pub(super) fn note_home(&mut self, address: &DeviceAddress, node: &NodeId, only: Option<&CallId>) {
        let device = Device::of(address);
        let is_here = self.sessions.get(address).is_some();
        if is_here {
            return;
        }
        for call_id in self.board.calls_with(address) {
            if only.is_some_and(|only| *only != call_id) {
                continue;
            }
            if let Some(owned) = self.far.as_mut().and_then(|far| far.owned.get_mut(&call_id)) {
                owned.homes.insert(device.clone(), node.clone());
                self.send_unsent(address, &call_id);
            }
        }
    }

    /// Goes on with a call whose owner is gone; one that rang fails. `ringing` are the devices here that rang.
    pub(super) fn restore(
        &mut self,
        now: Instant,
        snapshot: &Snapshot,
        revision: u64,
        ringing: &[DeviceAddress],
    ) {
        let call = snapshot.so_far.clone();
        let (application, call_id) = (call.application.clone(), call.call_id.clone());
        if self.board.owns(&application, &call_id) || self.records.hold_end_of(Some(&call_id)) {
            return;
        }
        let Some(far) = &mut self.far else { return };
        let (caller, callee) = (call.caller.clone(), call.callee.clone());
        tracing::info!(%call_id, %application, epoch = snapshot.epoch, "call taken over");
        let owned = Owned { epoch: snapshot.epoch, started: Some(call.started), ..Owned::default() };
        far.owned.insert(call_id.clone(), owned);
        let cluster = far.cluster.clone();
        cluster.note((application.clone(), call_id.clone()), Entry::TakenOver(revision));
        self.board.handle_restored(now, &call.going_on(environment::wall_millis()), ringing);
        let adopted = CallTerm { call_id, epoch: snapshot.epoch };
        for user in BTreeSet::from([caller, callee]) {
            let body = Body::Adopted { call: adopted.clone() };
            cluster.say(&Subject::user(&application, &user), &application, body);
        }
        self.expect_people(&adopted.call_id, 0);
    }

    /// What was found elsewhere of a device that opens its session here.
    pub(super) fn take_over_calls(&mut self, now: Instant, resolved: &Resolved, device: &Device) {
        for part in &resolved.parts {
            let call_id = &part.term.call_id;
            let Some(far) = &mut self.far else { return };
            if part.owner == *far.cluster.node() {
                if let Some(owned) = far.owned.get_mut(call_id) {
                    owned.homes.remove(device);
                }
            } else if !self.board.owns(&self.application, call_id) && far.attach(device.clone(), part) {
                self.rings_elsewhere(device, call_id, true);
            }
        }
        for (snapshot, revision) in &resolved.mine {
            self.restore(now, snapshot, *revision, &[]);
        }
    }

    /// A device begins anew here: its session is over, and with it the calls it does not know any more.
    pub(super) fn replace(&mut self, now: Instant, address: &DeviceAddress, keep: &BTreeSet<CallId>) {
        if keep.is_empty() {
            return self.detach(now, address, CloseReason::Replaced);
        }
        let Some(mut entry) = self.sessions.remove(address) else { return };
        self.leave_calls_but(now, address, keep);
        self.board.handle_moved(address);
        self.board.handle_disconnected(now, address);
        self.withdraw(&address.user);
        self.route();
        entry.disconnect(CloseReason::Replaced);
    }

    /// Ends a device's part in all calls but these.
    pub(super) fn leave_calls_but(&mut self, now: Instant, address: &DeviceAddress, keep: &BTreeSet<CallId>) {
        let device = Device::of(address);
        for call_id in self.board.calls_with(address) {
            if !keep.contains(&call_id) {
                self.board.handle_left(now, address, &call_id);
            }
        }
        let Some(far) = &self.far else { return };
        for part in far.parts_of(&device) {
            if !keep.contains(&part.term.call_id) {
                let only = Some(part.term.call_id.clone());
                let body = Body::Happened { device: device.clone(), event: DeviceEvent::Detached, only };
                if let Some(far) = &self.far {
                    far.cluster.tell(&part.owner, &self.application, body);
                }
                self.leave(&device, &part.term.call_id);
            }
        }
    }
}
