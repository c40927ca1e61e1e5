//! One call at the server: who may answer, who won, when it ends. Decides alone, without clock or I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{CallEndCause, CallState, CallTimers};
use crate::id::{ApplicationKey, CallId, DeviceId, UserId};
use crate::message::{
    Answered, CallSnapshot, CallStart, Candidate, ClientMessage, Empty, Ended, Hangup, Incoming, LiveCall,
    ServerMessage, Update, WireError,
};

const MOST_CANDIDATES: usize = 64;

/// One installation of one user of one application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress {
    /// The application.
    pub application: ApplicationKey,
    /// The user.
    pub user: UserId,
    /// The installation.
    pub device: DeviceId,
}

/// What an owner wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OwnerOutput {
    /// Send an event about this call to a device.
    Send(DeviceAddress, ServerMessage),
    /// The call is over; the owner can be dropped.
    Ended(CallRecord),
}

/// What is known of a call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The call.
    pub call_id: CallId,
    /// The application.
    pub application: ApplicationKey,
    /// Who called.
    pub caller: UserId,
    /// Who was called.
    pub callee: UserId,
    /// Why it ended, as the caller was told.
    pub cause: CallEndCause,
    /// From start to end.
    pub lasted: Duration,
    /// From answer to end, when it was answered.
    pub talked: Option<Duration>,
}

/// The timers of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum OwnerTimer {
    /// Nobody rang: the call ends `Timeout`.
    Progress,
    /// Nobody answered: the call ends `NoAnswer`.
    Setup,
    /// After a refusal: devices that do not ring by now no longer count.
    Acknowledge,
    /// The caller's connection is gone while it rings: the call ends `Canceled`.
    CallerGone,
    /// The caller's connection is gone after the answer: the call ends `Inactive`.
    CallerResume,
    /// The same for the callee.
    CalleeResume,
}

/// One device of the callee that was offered the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Offered,
    Ringing,
    Refused,
}

/// One side of an answered call: the device is unknown after a server restart until it comes back.
#[derive(Debug)]
struct Party {
    user: UserId,
    device: Option<DeviceId>,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Owner {
    id: CallId,
    application: ApplicationKey,
    caller: Party,
    callee: Party,
    start: CallStart,
    answer: Option<String>,
    candidates: Vec<Candidate>,
    callee_candidates: usize,
    legs: BTreeMap<DeviceId, Leg>,
    refusal: Option<Ended>,
    rang: bool,
    started: Instant,
    answered: Option<Instant>,
    limits: CallTimers,
    timers: BTreeMap<OwnerTimer, Instant>,
}

type Outputs = Vec<OwnerOutput>;

impl Owner {
    /// A call that starts now: the caller is told Progressing and every given device of the callee is offered the call.
    pub(super) fn start(
        now: Instant,
        limits: CallTimers,
        id: CallId,
        caller: &DeviceAddress,
        start: CallStart,
        devices: impl Iterator<Item = DeviceId>,
        out: &mut Outputs,
    ) -> Self {
        let mut owner = Self {
            id,
            application: caller.application.clone(),
            caller: Party { user: caller.user.clone(), device: Some(caller.device.clone()) },
            callee: Party { user: start.to.clone(), device: None },
            start,
            answer: None,
            candidates: Vec::new(),
            callee_candidates: 0,
            legs: BTreeMap::new(),
            refusal: None,
            rang: false,
            started: now,
            answered: None,
            limits,
            timers: [(OwnerTimer::Progress, now + limits.progress), (OwnerTimer::Setup, now + limits.setup)]
                .into(),
        };
        owner.to_caller(ServerMessage::CallProgressing(Empty {}), out);
        for device in devices {
            owner.offer(device, out);
        }
        owner
    }

    /// Takes over an answered call after a restart, from what one side remembers; the other has the resume time to come back.
    pub(super) fn adopt(now: Instant, limits: CallTimers, device: &DeviceAddress, call: &LiveCall) -> Self {
        let local = Party { user: device.user.clone(), device: Some(device.device.clone()) };
        let remote = Party { user: call.remote.clone(), device: None };
        let (caller, callee) = if call.outgoing { (local, remote) } else { (remote, local) };
        let missing = if call.outgoing { OwnerTimer::CalleeResume } else { OwnerTimer::CallerResume };
        Self {
            id: call.call_id.clone(),
            application: device.application.clone(),
            start: CallStart { to: callee.user.clone(), headers: BTreeMap::new(), sdp: String::new() },
            caller,
            callee,
            answer: None,
            candidates: Vec::new(),
            callee_candidates: 0,
            legs: BTreeMap::new(),
            refusal: None,
            rang: true,
            started: now,
            answered: Some(now),
            limits,
            timers: [(missing, now + limits.resume)].into(),
        }
    }

    /// The user that is called.
    pub(super) const fn callee(&self) -> &UserId {
        &self.callee.user
    }

    /// The user that calls.
    pub(super) const fn caller(&self) -> &UserId {
        &self.caller.user
    }

    /// Whether nobody has answered yet.
    pub(super) const fn is_ringing(&self) -> bool {
        self.answered.is_none()
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.values().min().copied()
    }

    /// A device of the callee came online, or a side of an answered call came back.
    pub(super) fn handle_attached(
        &mut self,
        address: &DeviceAddress,
        live: Option<&LiveCall>,
        out: &mut Outputs,
    ) {
        if self.answered.is_none() {
            if address.user == self.callee.user && !self.is_caller(address) {
                self.offer(address.device.clone(), out);
            }
        } else if let Some(live) = live {
            let party = if live.outgoing { &mut self.caller } else { &mut self.callee };
            if party.user == address.user && party.device.is_none() {
                party.device = Some(address.device.clone());
            }
        }
        self.handle_connected(address);
    }

    /// The connection of a device is back.
    pub(super) fn handle_connected(&mut self, address: &DeviceAddress) {
        if self.is_caller(address) {
            self.timers.remove(&OwnerTimer::CallerGone);
            self.timers.remove(&OwnerTimer::CallerResume);
        }
        if self.is_callee(address) {
            self.timers.remove(&OwnerTimer::CalleeResume);
        }
    }

    /// The connection of a device is lost; its session may come back.
    pub(super) fn handle_disconnected(&mut self, now: Instant, address: &DeviceAddress) {
        if self.is_caller(address) {
            let (timer, limit) = match self.answered {
                None => (OwnerTimer::CallerGone, self.limits.caller_gone),
                Some(_) => (OwnerTimer::CallerResume, self.limits.resume),
            };
            self.timers.insert(timer, now + limit);
        }
        if self.is_callee(address) {
            self.timers.insert(OwnerTimer::CalleeResume, now + self.limits.resume);
        }
    }

    /// The session of a device is gone for good.
    pub(super) fn handle_detached(&mut self, now: Instant, address: &DeviceAddress, out: &mut Outputs) {
        if self.is_caller(address) {
            let cause = if self.answered.is_some() { CallEndCause::Inactive } else { CallEndCause::Canceled };
            self.end_all(now, ended(cause), ended(cause), out);
        } else if self.is_callee(address) {
            self.end_all(now, ended(CallEndCause::Inactive), ended(CallEndCause::Inactive), out);
        } else if self.legs.remove(&address.device).is_some() {
            self.end_if_refused_by_all(now, out);
        }
    }

    /// Something happened on a device.
    ///
    /// # Errors
    /// [`WireError::OutOfOrder`] for what may not come now, [`WireError::UnknownCall`] for a device that has no part in the call,
    /// [`WireError::TooLarge`] for too many candidates. Nothing changed then.
    pub(super) fn handle_message(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        message: ClientMessage,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        let caller = self.is_caller(from);
        if !caller && !self.is_callee(from) && !self.has_live_leg(from) {
            return Err(WireError::UnknownCall);
        }
        match message {
            ClientMessage::CallRinging(_) => self.handle_ringing(from, out),
            ClientMessage::CallAnswer(answer) => self.handle_answer(now, from, answer.sdp, out),
            ClientMessage::CallCandidate(candidate) if caller => self.handle_caller_candidate(candidate, out),
            ClientMessage::CallCandidate(candidate) => self.handle_callee_candidate(from, candidate, out),
            ClientMessage::CallUpdate(update) => self.handle_update(caller, update, out),
            ClientMessage::CallEstablished(_) => self.handle_established(caller, out),
            ClientMessage::CallHangup(hangup) => {
                self.handle_hangup(now, from, hangup, out);
                Ok(())
            }
            _ => Err(WireError::OutOfOrder),
        }
    }

    /// Fires what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outputs) {
        let due: Vec<OwnerTimer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            if self.timers.remove(&timer).is_some() {
                self.fire(now, timer, out);
            }
        }
    }

    /// The call as a device should see it; `None` when the device has no part in it.
    pub(super) fn snapshot_for(&self, address: &DeviceAddress) -> Option<CallSnapshot> {
        let outgoing = self.is_caller(address);
        if !outgoing && !self.is_callee(address) && !self.has_live_leg(address) {
            return None;
        }
        let state = match (self.answered, outgoing) {
            (Some(_), _) => CallState::Answered,
            (None, true) if self.rang => CallState::Ringing,
            (None, true) => CallState::Progressing,
            (None, false) => CallState::Init,
        };
        Some(CallSnapshot {
            call_id: self.id.clone(),
            outgoing,
            remote: if outgoing { self.callee.user.clone() } else { self.caller.user.clone() },
            state,
            headers: self.start.headers.clone(),
            sdp: if outgoing {
                self.answer.clone()
            } else {
                Some(self.start.sdp.clone()).filter(|sdp| !sdp.is_empty())
            },
        })
    }

    fn fire(&mut self, now: Instant, timer: OwnerTimer, out: &mut Outputs) {
        match timer {
            OwnerTimer::Progress if self.rang => {}
            OwnerTimer::Progress => self.end_both(now, CallEndCause::Timeout, out),
            OwnerTimer::Setup => self.end_both(now, CallEndCause::NoAnswer, out),
            OwnerTimer::Acknowledge => {
                self.legs.retain(|_, leg| *leg != Leg::Offered);
                self.end_if_refused_by_all(now, out);
            }
            OwnerTimer::CallerGone => self.end_both(now, CallEndCause::Canceled, out),
            OwnerTimer::CallerResume | OwnerTimer::CalleeResume => {
                self.end_both(now, CallEndCause::Inactive, out)
            }
        }
    }

    fn offer(&mut self, device: DeviceId, out: &mut Outputs) {
        if self.legs.contains_key(&device) {
            return;
        }
        let address = self.callee_address(device.clone());
        self.legs.insert(device, Leg::Offered);
        let incoming = Incoming {
            from: self.caller.user.clone(),
            headers: self.start.headers.clone(),
            sdp: self.start.sdp.clone(),
        };
        out.push(OwnerOutput::Send(address.clone(), ServerMessage::CallIncoming(incoming)));
        for candidate in &self.candidates {
            out.push(OwnerOutput::Send(address.clone(), ServerMessage::CallCandidate(candidate.clone())));
        }
    }

    fn handle_ringing(&mut self, from: &DeviceAddress, out: &mut Outputs) -> Result<(), WireError> {
        let leg = self.legs.get_mut(&from.device).filter(|_| from.user == self.callee.user);
        let (Some(leg @ Leg::Offered), None) = (leg, self.answered) else {
            return Err(WireError::OutOfOrder);
        };
        *leg = Leg::Ringing;
        self.timers.remove(&OwnerTimer::Progress);
        if !std::mem::replace(&mut self.rang, true) {
            self.to_caller(ServerMessage::CallRinging(Empty {}), out);
        }
        Ok(())
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        sdp: String,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if self.answered.is_some() || !self.has_live_leg(from) {
            return Err(WireError::OutOfOrder);
        }
        self.answered = Some(now);
        self.callee.device = Some(from.device.clone());
        self.timers.clear();
        self.answer = Some(sdp.clone());
        self.to_caller(ServerMessage::CallAnswered(Answered { sdp }), out);
        out.push(OwnerOutput::Send(
            from.clone(),
            ServerMessage::CallAnswered(Answered { sdp: String::new() }),
        ));
        self.end_legs(Some(&from.device), ended(CallEndCause::OtherDeviceAnswered), out);
        Ok(())
    }

    fn handle_caller_candidate(&mut self, candidate: Candidate, out: &mut Outputs) -> Result<(), WireError> {
        if self.candidates.len() >= MOST_CANDIDATES {
            return Err(WireError::TooLarge);
        }
        let message = ServerMessage::CallCandidate(candidate.clone());
        if self.answered.is_some() {
            self.to_callee(message, out);
        } else {
            let live = self.legs.iter().filter(|(_, leg)| **leg != Leg::Refused);
            for (device, _) in live {
                out.push(OwnerOutput::Send(self.callee_address(device.clone()), message.clone()));
            }
        }
        self.candidates.push(candidate);
        Ok(())
    }

    fn handle_callee_candidate(
        &mut self,
        from: &DeviceAddress,
        candidate: Candidate,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if !self.is_callee(from) {
            return Err(WireError::OutOfOrder);
        }
        if self.callee_candidates >= MOST_CANDIDATES {
            return Err(WireError::TooLarge);
        }
        self.callee_candidates += 1;
        self.to_caller(ServerMessage::CallCandidate(candidate), out);
        Ok(())
    }

    fn handle_update(
        &mut self,
        from_caller: bool,
        update: Update,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if self.answered.is_none() {
            return Err(WireError::OutOfOrder);
        }
        // A new generation of candidates may follow a new description.
        self.candidates.clear();
        self.callee_candidates = 0;
        self.to_other(from_caller, ServerMessage::CallUpdate(update), out);
        Ok(())
    }

    fn handle_established(&mut self, from_caller: bool, out: &mut Outputs) -> Result<(), WireError> {
        if self.answered.is_none() {
            return Err(WireError::OutOfOrder);
        }
        self.to_other(from_caller, ServerMessage::CallEstablished(Empty {}), out);
        Ok(())
    }

    fn handle_hangup(&mut self, now: Instant, from: &DeviceAddress, hangup: Hangup, out: &mut Outputs) {
        let told = Ended { cause: hangup.cause, error: hangup.error };
        match self.answered {
            Some(_) => {
                let told = Ended { cause: after_answer(hangup.cause), ..told };
                self.end_all(now, told, told, out);
            }
            None if self.is_caller(from) => {
                self.end_all(now, told, ended(CallEndCause::Canceled), out);
            }
            None if hangup.cause == CallEndCause::Denied && hangup.error.is_none() => {
                self.legs.insert(from.device.clone(), Leg::Refused);
                out.push(OwnerOutput::Send(from.clone(), ServerMessage::CallEnded(told)));
                self.end_all(now, ended(CallEndCause::Denied), ended(CallEndCause::Canceled), out);
            }
            None => {
                self.legs.insert(from.device.clone(), Leg::Refused);
                out.push(OwnerOutput::Send(from.clone(), ServerMessage::CallEnded(told)));
                self.refusal.get_or_insert(told);
                self.timers.entry(OwnerTimer::Acknowledge).or_insert(now + self.limits.acknowledge);
                self.end_if_refused_by_all(now, out);
            }
        }
    }

    fn end_if_refused_by_all(&mut self, now: Instant, out: &mut Outputs) {
        if self.answered.is_none()
            && let Some(refusal) = self.refusal
            && self.legs.values().all(|leg| *leg == Leg::Refused)
        {
            self.end_all(now, refusal, refusal, out);
        }
    }

    fn end_both(&mut self, now: Instant, cause: CallEndCause, out: &mut Outputs) {
        self.end_all(now, ended(cause), ended(cause), out);
    }

    fn end_all(&mut self, now: Instant, caller: Ended, callee: Ended, out: &mut Outputs) {
        self.timers.clear();
        self.to_caller(ServerMessage::CallEnded(caller), out);
        if self.answered.is_some() {
            self.to_callee(ServerMessage::CallEnded(callee), out);
        } else {
            self.end_legs(None, callee, out);
        }
        out.push(OwnerOutput::Ended(CallRecord {
            call_id: self.id.clone(),
            application: self.application.clone(),
            caller: self.caller.user.clone(),
            callee: self.callee.user.clone(),
            cause: caller.cause,
            lasted: now.saturating_duration_since(self.started),
            talked: self.answered.map(|at| now.saturating_duration_since(at)),
        }));
    }

    fn end_legs(&mut self, but: Option<&DeviceId>, told: Ended, out: &mut Outputs) {
        for (device, leg) in std::mem::take(&mut self.legs) {
            if leg != Leg::Refused && Some(&device) != but {
                out.push(OwnerOutput::Send(self.callee_address(device), ServerMessage::CallEnded(told)));
            }
        }
    }

    fn to_other(&self, from_caller: bool, message: ServerMessage, out: &mut Outputs) {
        if from_caller { self.to_callee(message, out) } else { self.to_caller(message, out) }
    }

    fn to_caller(&self, message: ServerMessage, out: &mut Outputs) {
        if let Some(address) = self.address(&self.caller) {
            out.push(OwnerOutput::Send(address, message));
        }
    }

    fn to_callee(&self, message: ServerMessage, out: &mut Outputs) {
        if let Some(address) = self.address(&self.callee) {
            out.push(OwnerOutput::Send(address, message));
        }
    }

    fn address(&self, party: &Party) -> Option<DeviceAddress> {
        let device = party.device.clone()?;
        Some(DeviceAddress { application: self.application.clone(), user: party.user.clone(), device })
    }

    fn callee_address(&self, device: DeviceId) -> DeviceAddress {
        DeviceAddress { application: self.application.clone(), user: self.callee.user.clone(), device }
    }

    fn is_caller(&self, address: &DeviceAddress) -> bool {
        self.caller.user == address.user && self.caller.device.as_ref() == Some(&address.device)
    }

    fn is_callee(&self, address: &DeviceAddress) -> bool {
        self.callee.user == address.user && self.callee.device.as_ref() == Some(&address.device)
    }

    fn has_live_leg(&self, address: &DeviceAddress) -> bool {
        let leg = self.legs.get(&address.device);
        address.user == self.callee.user && leg.is_some_and(|leg| *leg != Leg::Refused)
    }
}

const fn ended(cause: CallEndCause) -> Ended {
    Ended { cause, error: None }
}

// What a side may say of an answered call; anything else is a plain hang-up.
const fn after_answer(cause: CallEndCause) -> CallEndCause {
    match cause {
        CallEndCause::Failure | CallEndCause::Inactive => cause,
        _ => CallEndCause::HungUp,
    }
}
