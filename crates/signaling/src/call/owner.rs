//! One call at the server: who may answer, who won, when it ends. Decides alone, without clock or I/O.

mod control;
mod messages;
mod restore;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{CallEndCause, CallRecord, CallTimers, EndedBy, Unanswered};
use crate::id::{ApplicationKey, CallId, DeviceId, UserId};
use crate::message::{CallStart, Candidate, Ended, Headers, Incoming, LiveCall, Progressing, ServerMessage};

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
    /// The application said nothing in time.
    NoVerdict(Instant),
    /// The call is over; the owner can be dropped.
    Ended(CallRecord),
}

/// The timers of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum OwnerTimer {
    /// The application said nothing about the call: it goes on, or ends.
    Screen,
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
    /// What the callee and then the caller said for the authentication string; passed on as it is.
    nonce: Option<String>,
    reveal: Option<String>,
    candidates: Vec<Candidate>,
    callee_candidates: Vec<Candidate>,
    legs: BTreeMap<DeviceId, Leg>,
    refusal: Option<Ended>,
    rang: bool,
    taken_over: bool,
    /// Somebody else rings than whoever was called.
    redirected: bool,
    /// Devices that rang before the call was led elsewhere: for them it is over, whoever rings later.
    withdrawn: BTreeSet<(UserId, DeviceId)>,
    /// What the callee is told in place of the caller's headers.
    headers_given: Option<Headers>,
    unanswered: Unanswered,
    started: Instant,
    rung: Option<Instant>,
    answered: Option<Instant>,
    established: Option<Instant>,
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
            nonce: None,
            reveal: None,
            candidates: Vec::new(),
            callee_candidates: Vec::new(),
            legs: BTreeMap::new(),
            refusal: None,
            rang: false,
            taken_over: false,
            redirected: false,
            withdrawn: BTreeSet::new(),
            headers_given: None,
            unanswered: Unanswered::Continue,
            started: now,
            rung: None,
            answered: None,
            established: None,
            limits,
            timers: [(OwnerTimer::Progress, now + limits.progress), (OwnerTimer::Setup, now + limits.setup)]
                .into(),
        };
        owner.to_caller(ServerMessage::CallProgressing(Progressing::default()), out);
        for device in devices {
            owner.offer(device, out);
        }
        owner
    }

    /// Its name.
    pub(super) const fn id(&self) -> &CallId {
        &self.id
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

    /// Whether media is connected at one side.
    pub(super) const fn is_established(&self) -> bool {
        self.established.is_some()
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.values().min().copied()
    }

    /// A device came online: it may have to ring, or it may be a side of an answered call that came back.
    pub(super) fn handle_attached(
        &mut self,
        now: Instant,
        address: &DeviceAddress,
        live: Option<&LiveCall>,
        may_ring: bool,
        out: &mut Outputs,
    ) {
        if self.answered.is_none() {
            if may_ring && !self.is_screened() && address.user == self.callee.user && !self.is_caller(address)
            {
                self.offer(address.device.clone(), out);
            }
        } else if let Some(live) = live {
            self.seat(now, address, live, out);
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
            self.end_all(now, EndedBy::Server, ended(cause), ended(cause), out);
        } else if self.is_callee(address) {
            self.end_both(now, CallEndCause::Inactive, out);
        } else if self.has_live_leg(address) {
            // A device that refused stays refused: it does not ring again when it comes back.
            self.legs.remove(&address.device);
            self.end_if_refused_by_all(now, out);
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

    /// Whether a device has a part in the call.
    pub(super) fn involves(&self, address: &DeviceAddress) -> bool {
        self.is_caller(address) || self.is_callee(address) || self.has_live_leg(address)
    }

    fn fire(&mut self, now: Instant, timer: OwnerTimer, out: &mut Outputs) {
        match timer {
            OwnerTimer::Screen => Self::verdict_missing(now, out),
            OwnerTimer::Progress => self.end_both(now, CallEndCause::Timeout, out),
            OwnerTimer::Setup => self.end_both(now, CallEndCause::NoAnswer, out),
            OwnerTimer::Acknowledge => {
                self.withdraw_unacknowledged(out);
                self.end_if_refused_by_all(now, out);
            }
            OwnerTimer::CallerGone => self.end_both(now, CallEndCause::Canceled, out),
            OwnerTimer::CallerResume | OwnerTimer::CalleeResume => {
                self.end_both(now, CallEndCause::Inactive, out)
            }
        }
    }

    fn offer(&mut self, device: DeviceId, out: &mut Outputs) {
        let key = (self.callee.user.clone(), device);
        let is_withdrawn = self.withdrawn.contains(&key);
        let (_, device) = key;
        if is_withdrawn || self.legs.contains_key(&device) {
            return;
        }
        let address = self.callee_address(device.clone());
        self.legs.insert(device, Leg::Offered);
        out.push(OwnerOutput::Send(address.clone(), ServerMessage::CallIncoming(self.incoming())));
        for candidate in &self.candidates {
            out.push(OwnerOutput::Send(address.clone(), ServerMessage::CallCandidate(candidate.clone())));
        }
    }

    pub(in crate::call) fn display_name(&self) -> Option<&str> {
        self.start.display_name.as_deref()
    }

    fn incoming(&self) -> Incoming {
        Incoming {
            from: self.caller.user.clone(),
            headers: self.callee_headers().clone(),
            sdp: self.start.sdp.clone(),
            commitment: self.start.commitment.clone(),
            display_name: self.start.display_name.clone(),
            ice_servers: Vec::new(),
        }
    }

    const fn callee_headers(&self) -> &Headers {
        match &self.headers_given {
            Some(headers) => headers,
            None => &self.start.headers,
        }
    }

    /// Who answered, where that is not whom the caller called.
    fn answered_by(&self) -> Option<UserId> {
        self.redirected.then(|| self.callee.user.clone())
    }

    fn withdraw_unacknowledged(&mut self, out: &mut Outputs) {
        for (device, leg) in self.legs.iter_mut().filter(|(_, leg)| **leg == Leg::Offered) {
            *leg = Leg::Refused;
            let address = DeviceAddress {
                application: self.application.clone(),
                user: self.callee.user.clone(),
                device: device.clone(),
            };
            let canceled = ServerMessage::CallEnded(ended(CallEndCause::Canceled));
            out.push(OwnerOutput::Send(address, canceled));
        }
    }

    fn end_if_refused_by_all(&mut self, now: Instant, out: &mut Outputs) {
        if self.answered.is_none()
            && let Some(refusal) = self.refusal
            && self.legs.values().all(|leg| *leg == Leg::Refused)
        {
            self.end_all(now, EndedBy::Callee, refusal, refusal, out);
        }
    }

    fn end_both(&mut self, now: Instant, cause: CallEndCause, out: &mut Outputs) {
        self.end_all(now, EndedBy::Server, ended(cause), ended(cause), out);
    }

    fn end_all(&mut self, now: Instant, by: EndedBy, caller: Ended, callee: Ended, out: &mut Outputs) {
        self.timers.clear();
        self.to_caller(ServerMessage::CallEnded(caller), out);
        if self.answered.is_some() {
            self.to_callee(ServerMessage::CallEnded(callee), out);
        } else {
            self.end_legs(None, callee, out);
        }
        out.push(OwnerOutput::Ended(self.record(now, by, caller)));
    }

    fn record(&self, now: Instant, ended_by: EndedBy, told: Ended) -> CallRecord {
        let since_start = |at: Option<Instant>| Some(at?.saturating_duration_since(self.started));
        CallRecord {
            call_id: self.id.clone(),
            application: self.application.clone(),
            caller: self.caller.user.clone(),
            callee: self.callee.user.clone(),
            caller_device: self.caller.device.clone(),
            callee_device: self.callee.device.clone(),
            headers: self.callee_headers().clone(),
            cause: told.cause,
            error: told.error,
            ended_by,
            lasted: now.saturating_duration_since(self.started),
            rang_after: since_start(self.rung),
            answered_after: since_start(self.answered).filter(|_| !self.taken_over),
            established_after: since_start(self.established),
            talked: self.answered.map(|at| now.saturating_duration_since(at)),
            taken_over: self.taken_over,
        }
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
