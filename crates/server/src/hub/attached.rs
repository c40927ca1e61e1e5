//! The devices of this node in calls of other nodes: what they say goes to the owner, and what the owner says to them.

use std::time::{Duration, Instant};

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::WireError;
use offhook_signaling::wire::Frame;
use offhook_signaling::{CallId, ClientMessage, ServerMessage, UserId};
use tokio::time::sleep;

use super::far::{Early, direction};
use super::{Command, Hub, Line};
use crate::cluster::Answer;
use crate::cluster::message::{Body, CallTerm, Device, DeviceEvent, Part};
use crate::cluster::node::{NodeId, Subject};
use crate::environment;

/// Commands that wait while a call is taken over.
const MOST_WAITING: usize = 64;
/// By then every NATS server knows who listens at which other: when a call and its callee come to two of them at once, neither may hear of
/// the other at first.
const SPREADING: Duration = Duration::from_millis(500);
/// Until something is said again of which the owner of the call said that it does not know it.
const DENIED: Duration = Duration::from_millis(200);

impl Hub {
    /// Tells a device of this node what the owner of a call has for it. Gives the answer for an owner that asks.
    pub(super) fn deliver(
        &mut self,
        owner: NodeId,
        device: Device,
        call: CallTerm,
        mut message: ServerMessage,
    ) -> Body {
        let address = device.address(&self.application);
        let Some(far) = &mut self.far else { return Body::Nothing };
        if self.sessions.get(&address).is_none() {
            return self.deliver_to_absent(owner, device, call, message);
        }
        if owner != *far.cluster.node() && !self.follow(owner, &device, &call, &message) {
            return self.later_term(&call).map_or(Body::Nothing, |call| Body::Adopted { call });
        }
        let call_id = call.call_id;
        self.issuer.fill_in(environment::wall(), &address, &call_id, &mut message);
        if let Some(entry) = self.sessions.get_mut(&address) {
            entry.event(call_id, message);
        }
        Body::Delivered
    }

    /// The session of the device is on its way here, at another node by now, or gone.
    fn deliver_to_absent(
        &mut self,
        owner: NodeId,
        device: Device,
        call: CallTerm,
        message: ServerMessage,
    ) -> Body {
        let Some(far) = &mut self.far else { return Body::Nothing };
        let early = Early { owner: owner.clone(), call: call.clone(), message: message.clone() };
        if far.keep_early(&device, early) {
            return Body::Delivered;
        }
        let own = far.cluster.node().clone();
        match far.moved_to(&device).cloned() {
            Some(node) if node != own => {
                let body = Body::Deliver { device, owner, call, message: Box::new(message) };
                self.tell_node(&node, body);
                Body::Delivered
            }
            _ => {
                if owner != own {
                    let (event, only) = (DeviceEvent::Disconnected, Some(call.call_id));
                    self.tell_node(&owner, Body::Happened { device, event, only });
                }
                Body::Nothing
            }
        }
    }

    /// The term in which a call is this node's, when it is a later one.
    fn later_term(&self, call: &CallTerm) -> Option<CallTerm> {
        let own = self.far.as_ref()?.owned.get(&call.call_id)?;
        (own.epoch > call.epoch).then(|| CallTerm { call_id: call.call_id.clone(), epoch: own.epoch })
    }

    /// Whether a call is this node's, in an earlier term.
    fn owns_earlier(&self, call: &CallTerm) -> bool {
        let own = self.far.as_ref().and_then(|far| far.owned.get(&call.call_id));
        own.is_some_and(|own| own.epoch < call.epoch)
    }

    /// Keeps in step what is known of a device's part in a call of another node; false for what an earlier owner says.
    fn follow(&mut self, owner: NodeId, device: &Device, call: &CallTerm, message: &ServerMessage) -> bool {
        let call_id = &call.call_id;
        // It may have been taken over without this node's hearing of it. The end that is told may be that of an earlier call of the same id.
        if matches!(message, ServerMessage::CallEnded(_)) && self.owns_earlier(call) {
            self.overtaken(call_id);
            return false;
        }
        self.fenced(call_id, &owner, call.epoch);
        let Some(far) = &mut self.far else { return false };
        if far.owned.contains_key(call_id) {
            if let Some(call) = self.later_term(call) {
                self.tell_node(&owner, Body::Adopted { call });
            }
            return false;
        }
        if let Some(known) = far.attached.get(call_id)
            && (call.epoch < known.epoch || (call.epoch == known.epoch && known.owner != owner))
        {
            return false;
        }
        match message {
            ServerMessage::CallIncoming(incoming) => {
                let crossing = self.board.ringing_call(&self.application, &device.user, &incoming.from);
                if crossing.is_some_and(|own| own < call_id) {
                    // They call each other, and this call was on its way when the other began.
                    self.tell_node(&owner, Body::Glare { call_id: call_id.clone() });
                    return false;
                }
                let Some(far) = &mut self.far else { return false };
                let part = Part {
                    term: call.clone(),
                    owner,
                    outgoing: false,
                    remote: incoming.from.clone(),
                    answered: false,
                };
                far.attach(device.clone(), &part);
                self.rings_elsewhere(device, call_id, true);
            }
            ServerMessage::CallAnswered(answered) => {
                self.rings_elsewhere(device, call_id, false);
                let Some(far) = &mut self.far else { return false };
                if let Some(side) = far.attached.get_mut(call_id).and_then(|call| call.sides.get_mut(device))
                {
                    side.answered = true;
                    if let Some(by) = &answered.by {
                        side.remote = by.clone();
                    }
                }
            }
            ServerMessage::CallEnded(_) => {
                // Who was not told of the call is not told of its end.
                let is_known = far.attached.get(call_id).is_some_and(|call| call.sides.contains_key(device));
                if self.leave(device, call_id) {
                    self.issuer.call_over(&self.application, call_id);
                }
                return is_known;
            }
            _ => {}
        }
        true
    }

    pub(super) fn rings_elsewhere(&mut self, device: &Device, call_id: &CallId, rings: bool) {
        let Some(far) = &self.far else { return };
        let Some(side) = far.attached.get(call_id).and_then(|call| call.sides.get(device)) else { return };
        if side.outgoing {
            return;
        }
        let (caller, callee) = direction(device, side);
        let rings = rings && !side.answered;
        self.board.set_rings_elsewhere(&self.application, caller, callee, call_id, rings);
    }

    /// A device has no part in a call of another node any more; whether it was the last here.
    pub(super) fn leave(&mut self, device: &Device, call_id: &CallId) -> bool {
        self.rings_elsewhere(device, call_id, false);
        self.far.as_mut().and_then(|far| far.leave(device, call_id)).is_some_and(|(_, is_last)| is_last)
    }

    pub(super) fn leave_all(&mut self, device: &Device) {
        let calls = self.far.as_ref().map_or_else(Vec::new, |far| far.calls_of(device));
        for call_id in calls {
            self.leave(device, &call_id);
        }
    }

    /// Tells the owners of a device's calls what happened to it.
    pub(super) fn tell_owners(&self, address: &DeviceAddress, event: DeviceEvent) {
        let Some(far) = &self.far else { return };
        let device = Device::of(address);
        for owner in far.owners_of(&device) {
            let body = Body::Happened { device: device.clone(), event, only: None };
            far.cluster.tell(&owner, &self.application, body);
        }
    }

    /// A session was opened here: its user can be reached here, and what rings for them rings here, too.
    pub(super) fn announce(&mut self, address: &DeviceAddress, is_fresh: bool) {
        if self.config.echo.as_ref().is_some_and(|echo| echo.user == address.user) {
            return;
        }
        let Some(far) = &mut self.far else { return };
        let device = Device::of(address);
        far.note_here(&device);
        let nodes = Subject::user(&self.application, &address.user);
        if self.sessions.of_user(&address.user) == 1 {
            far.cluster.bus().subscribe(nodes.clone());
        }
        if is_fresh {
            far.cluster.say(&nodes, &self.application, Body::Opened { device });
        }
        self.say_arrived(address);
        let (own, address) = (self.own.clone(), address.clone());
        tokio::spawn(async move {
            sleep(SPREADING).await;
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Arrived(address)).await;
            }
        });
    }

    /// Tells whoever has a call that rings for this user, unless the device is gone by now.
    pub(super) fn say_arrived(&self, address: &DeviceAddress) {
        if let Some(far) = self.far.as_ref().filter(|_| self.sessions.get(address).is_some()) {
            let ringing = Subject::ringing(&self.application, &address.user);
            far.cluster.say(&ringing, &self.application, Body::Arrived { device: Device::of(address) });
        }
    }

    /// A session ended here: when it was the last of its user, they are not here any more.
    pub(super) fn withdraw(&self, user: &UserId) {
        if let Some(far) = self.far.as_ref().filter(|_| self.sessions.of_user(user) == 0) {
            far.cluster.bus().unsubscribe(&Subject::user(&self.application, user));
        }
    }

    /// Sends what a device says about a call of another node there; gives it back when the call is not another node's.
    pub(super) fn forward(
        &mut self,
        line: &Line,
        frame: Frame<ClientMessage>,
    ) -> Option<Frame<ClientMessage>> {
        let is_here = matches!(frame.message, ClientMessage::CallStart(_) | ClientMessage::CallReport(_));
        let device = Device::of(&line.address);
        let (Some(far), Some(call_id), false) = (&mut self.far, frame.call_id.clone(), is_here) else {
            return Some(frame);
        };
        let key = (device.clone(), frame.id.clone());
        if let Some(asked) = far.asked.get_mut(&key) {
            // It was repeated: the outcome goes where it was repeated.
            *asked = line.clone();
            return None;
        }
        let Some(attached) = far.attached.get_mut(&call_id).filter(|call| call.sides.contains_key(&device))
        else {
            return Some(frame);
        };
        far.asked.insert(key.clone(), line.clone());
        if let Some(waiting) = attached.waiting.as_mut().filter(|waiting| waiting.len() < MOST_WAITING) {
            waiting.push((line.clone(), frame));
            return None;
        }
        if !far.cluster.is_up() {
            self.leave_word(&call_id, line, &frame);
            self.refuse(line.clone(), frame, WireError::Unreachable);
            return None;
        }
        let call = CallTerm { call_id, epoch: attached.epoch };
        let owner = attached.owner.clone();
        let body = Body::Command { device, call, message: Box::new(frame.message.clone()) };
        let answer = far.cluster.ask(&Subject::node(&owner), &self.application, body);
        let (own, line) = (self.own.clone(), line.clone());
        tokio::spawn(async move {
            let answer = answer.await;
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Forwarded(line, Box::new(frame), answer)).await;
            }
        });
        None
    }

    /// A hang-up for which the owner of the call cannot be reached is said when it can.
    pub(super) fn leave_word(&mut self, call_id: &CallId, line: &Line, frame: &Frame<ClientMessage>) {
        let Some(attached) = self.far.as_mut().and_then(|far| far.attached.get_mut(call_id)) else { return };
        let device = Device::of(&line.address);
        let is_said = attached.left.iter().any(|(of, _)| *of == device);
        if matches!(frame.message, ClientMessage::CallHangup(_)) && !is_said {
            attached.left.push((device, frame.message.clone()));
        }
    }

    pub(super) fn forwarded(
        &mut self,
        now: Instant,
        line: Line,
        frame: Frame<ClientMessage>,
        answer: Answer,
    ) {
        let Some(far) = &mut self.far else { return };
        let key = (Device::of(&line.address), frame.id.clone());
        let (Some(line), Some(call_id)) = (far.asked.remove(&key), frame.call_id.clone()) else { return };
        match answer {
            // Where the owner knows the call and not the device, which was not told that it is out of it, there is no use in haste.
            Answer::Body(Body::Outcome { error: Some(WireError::UnknownCall) })
                if far.attached.get(&call_id).is_some_and(|call| call.sides.contains_key(&key.0)) =>
            {
                far.asked.insert(key.clone(), line);
                self.start_locating(&call_id, None);
                self.try_later(key.0, frame, DENIED);
            }
            Answer::Body(Body::Outcome { error: Some(WireError::UnknownCall) }) => {
                self.say_again(now, line, frame, &call_id);
            }
            Answer::Body(Body::Outcome { error: Some(error) }) => self.refuse(line, frame, error),
            Answer::Body(Body::Outcome { error: None }) => self.settle(&line, frame.id, None),
            Answer::Silent if !far.cluster.is_up() => self.refuse(line, frame, WireError::Unreachable),
            Answer::Unheard | Answer::Silent => self.say_again(now, line, frame, &call_id),
            Answer::Body(_) => self.refuse(line, frame, WireError::Unreachable),
        }
    }

    /// The owner of a call is gone, or has it no more: whoever has it now carries out what a device said.
    fn say_again(&mut self, now: Instant, line: Line, frame: Frame<ClientMessage>, call_id: &CallId) {
        let device = Device::of(&line.address);
        let Some(far) = &mut self.far else { return };
        if far.attached.get(call_id).is_none_or(|attached| !attached.sides.contains_key(&device)) {
            // It was taken over here meanwhile, or it is over.
            return self.handle_frame(now, &line, frame);
        }
        far.asked.insert((device, frame.id.clone()), line.clone());
        self.start_locating(call_id, None);
        let attached = self.far.as_mut().and_then(|far| far.attached.get_mut(call_id));
        match attached.and_then(|attached| attached.waiting.as_mut()) {
            Some(waiting) if waiting.len() < MOST_WAITING => waiting.push((line, frame)),
            _ => self.refuse(line, frame, WireError::Unreachable),
        }
    }
}

#[cfg(test)]
mod tests;
