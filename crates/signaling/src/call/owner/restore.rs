//! Calls that outlive the server that had them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{DeviceAddress, Leg, Outputs, Owner, OwnerOutput, OwnerTimer, Party, ended};
use crate::call::{CallEndCause, CallRecord, CallTimers, EndedBy, Unanswered};
use crate::message::{CallStart, Ended, LiveCall, ServerMessage, WireError};

impl Owner {
    /// Takes over an answered call after a restart, from what one side remembers; the other has the resume time to come back.
    pub(in crate::call) fn adopt(
        now: Instant,
        limits: CallTimers,
        device: &DeviceAddress,
        call: &LiveCall,
    ) -> Self {
        let local = Party { user: device.user.clone(), device: Some(device.device.clone()) };
        let remote = Party { user: call.remote.clone(), device: None };
        let (caller, callee) = if call.outgoing { (local, remote) } else { (remote, local) };
        let missing = if call.outgoing { OwnerTimer::CalleeResume } else { OwnerTimer::CallerResume };
        Self {
            id: call.call_id.clone(),
            application: device.application.clone(),
            start: CallStart {
                to: callee.user.clone(),
                headers: BTreeMap::new(),
                sdp: String::new(),
                commitment: None,
                display_name: None,
            },
            caller,
            callee,
            answer: None,
            nonce: call.nonce.clone(),
            reveal: None,
            candidates: Vec::new(),
            callee_candidates: Vec::new(),
            legs: BTreeMap::new(),
            refusal: None,
            rang: true,
            taken_over: true,
            redirected: false,
            withdrawn: BTreeSet::new(),
            headers_given: None,
            unanswered: Unanswered::Continue,
            started: now,
            rung: None,
            answered: Some(now),
            established: None,
            limits,
            timers: [(missing, now + limits.resume)].into(),
        }
    }

    /// Takes over a call as another server wrote it down; one that was not answered rings on `ringing`.
    pub(in crate::call) fn restore(
        now: Instant,
        limits: CallTimers,
        call: &CallRecord,
        ringing: &[DeviceAddress],
    ) -> Self {
        let before = |since: Duration| now.checked_sub(since).unwrap_or(now);
        let started = before(call.lasted);
        let at = |since_start: Option<Duration>| {
            since_start.map(|since| started.checked_add(since).map_or(now, |at| at.min(now)))
        };
        let answered = at(call.answered_after);
        let timers = match answered {
            Some(_) => {
                let end = now + limits.resume;
                BTreeMap::from([(OwnerTimer::CallerResume, end), (OwnerTimer::CalleeResume, end)])
            }
            None => BTreeMap::new(),
        };
        Self {
            id: call.call_id.clone(),
            application: call.application.clone(),
            caller: Party { user: call.caller.clone(), device: call.caller_device.clone() },
            callee: Party { user: call.callee.clone(), device: call.callee_device.clone() },
            start: CallStart {
                to: call.callee.clone(),
                headers: call.headers.clone(),
                sdp: String::new(),
                commitment: None,
                display_name: None,
            },
            answer: None,
            nonce: None,
            reveal: None,
            candidates: Vec::new(),
            callee_candidates: Vec::new(),
            legs: ringing.iter().map(|address| (address.device.clone(), Leg::Ringing)).collect(),
            refusal: None,
            rang: true,
            taken_over: call.taken_over,
            redirected: false,
            withdrawn: BTreeSet::new(),
            headers_given: None,
            unanswered: Unanswered::Continue,
            started,
            rung: at(call.rang_after),
            answered,
            established: at(call.established_after),
            limits,
            timers,
        }
    }

    /// A side of an answered call is back. Both must remember the same two people, a call id alone lets nobody in; and the same answer: of two
    /// devices that answered at once, the one that was too late may not know it yet, and come first.
    pub(super) fn seat(&mut self, now: Instant, address: &DeviceAddress, live: &LiveCall, out: &mut Outputs) {
        let (caller, callee) = (&mut self.caller, &mut self.callee);
        let (local, remote) = if live.outgoing { (caller, callee) } else { (callee, caller) };
        let is_same = self.nonce.as_ref().zip(live.nonce.as_ref()).is_none_or(|(own, its)| own == its);
        let may_sit = local.user == address.user && remote.user == live.remote && local.device.is_none();
        // The caller knows whose answer it has.
        if !may_sit || !(is_same || live.outgoing) {
            return;
        }
        local.device = Some(address.device.clone());
        if !is_same {
            self.unseat_callee(now, out);
        }
        self.nonce = live.nonce.clone().or_else(|| self.nonce.take());
        if !live.outgoing {
            self.repeat_reveal(out);
        }
    }

    /// It was another device that had answered: that one has the resume time to come back.
    fn unseat_callee(&mut self, now: Instant, out: &mut Outputs) {
        let Some(device) = self.callee.device.take() else { return };
        let told = ServerMessage::CallEnded(ended(CallEndCause::OtherDeviceAnswered));
        out.push(OwnerOutput::Send(self.callee_address(device), told));
        self.timers.insert(OwnerTimer::CalleeResume, now + self.limits.resume);
    }

    /// Ends it: it cannot go on.
    pub(in crate::call) fn fail(&mut self, now: Instant, out: &mut Outputs) {
        self.end_both(now, CallEndCause::Failure, out);
    }

    /// The callee's devices may be where this server cannot look now: what rings nowhere ends.
    pub(in crate::call) fn fail_unreachable(&mut self, now: Instant, out: &mut Outputs) {
        if self.is_ringing() && self.legs.is_empty() {
            let told = Ended { cause: CallEndCause::Failure, error: Some(WireError::Unreachable) };
            self.end_all(now, EndedBy::Server, told, ended(CallEndCause::Failure), out);
        }
    }
}
