//! What others than the devices of a call do with it: the application's back end, and who blocks a user.

use std::time::Instant;

use super::{Leg, Outputs, Owner, OwnerOutput, OwnerTimer, ended};
use crate::call::{
    CallEndCause, CallState, CallView, EndedBy, LegState, LegView, Screening, Unanswered, Verdict,
};
use crate::id::{DeviceId, UserId};
use crate::message::{Ended, Headers, WireError};

impl Owner {
    /// How the call is now.
    pub(in crate::call) fn view(&self, now: Instant) -> CallView {
        let rings = self.legs.values().any(|leg| *leg == Leg::Ringing);
        let state = match (self.answered, self.established) {
            (Some(_), Some(_)) => CallState::Established,
            (Some(_), None) => CallState::Answered,
            (None, _) if self.is_screened() => CallState::Init,
            (None, _) if rings => CallState::Ringing,
            (None, _) => CallState::Progressing,
        };
        let leg = |(device, leg): (&DeviceId, &Leg)| LegView {
            device: device.clone(),
            state: match leg {
                Leg::Offered => LegState::Offered,
                Leg::Ringing => LegState::Ringing,
                Leg::Refused => LegState::Refused,
            },
        };
        CallView {
            state,
            legs: self.legs.iter().map(leg).collect(),
            so_far: self.record(now, EndedBy::Server, ended(CallEndCause::None)),
        }
    }

    /// Ends the call, whatever its state.
    pub(in crate::call) fn hang_up(&mut self, now: Instant, by: EndedBy, out: &mut Outputs) {
        let (caller, callee) = match self.answered {
            Some(_) => (CallEndCause::HungUp, CallEndCause::HungUp),
            None => (CallEndCause::Denied, CallEndCause::Canceled),
        };
        self.end_all(now, by, ended(caller), ended(callee), out);
    }

    /// The other's call rings already: this one ends before the other's devices hear of it.
    pub(in crate::call) fn end_for_glare(&mut self, now: Instant, out: &mut Outputs) {
        let told = Ended { cause: CallEndCause::Canceled, error: Some(WireError::Glare) };
        self.end_all(now, EndedBy::Server, told, told, out);
    }

    /// Waits for a verdict before anybody rings. Only for a call that has just started.
    pub(in crate::call) fn screen(&mut self, now: Instant, screening: Screening) {
        self.unanswered = screening.otherwise;
        self.timers.remove(&OwnerTimer::Progress);
        self.timers.insert(OwnerTimer::Screen, now + screening.patience);
    }

    /// Whether it waits for a verdict.
    pub(in crate::call) fn is_screened(&self) -> bool {
        self.timers.contains_key(&OwnerTimer::Screen)
    }

    /// No verdict came: what is done instead.
    pub(in crate::call) const fn unanswered(&self) -> Verdict {
        match self.unanswered {
            Unanswered::Continue => Verdict::Continue { headers: None },
            Unanswered::HangUp => Verdict::HangUp,
        }
    }

    /// Rings `devices` of `to` and nobody else. The caller's time to an answer stays what it was.
    pub(in crate::call) fn connect(
        &mut self,
        now: Instant,
        to: UserId,
        headers: Option<Headers>,
        devices: Vec<DeviceId>,
        out: &mut Outputs,
    ) {
        let rang = self.legs.keys().map(|device| (self.callee.user.clone(), device.clone()));
        self.withdrawn.extend(rang);
        self.end_legs(None, ended(CallEndCause::Canceled), out);
        self.refusal = None;
        self.timers.remove(&OwnerTimer::Acknowledge);
        self.timers.remove(&OwnerTimer::Screen);
        self.redirected |= to != self.callee.user;
        self.callee.user = to;
        if headers.is_some() {
            self.headers_given = headers;
        }
        self.timers.insert(OwnerTimer::Progress, now + self.limits.progress);
        for device in devices {
            self.offer(device, out);
        }
    }

    /// The device that calls, to leave it out where people call themselves.
    pub(in crate::call) const fn caller_device(&self) -> Option<&DeviceId> {
        self.caller.device.as_ref()
    }

    pub(super) fn verdict_missing(now: Instant, out: &mut Outputs) {
        out.push(OwnerOutput::NoVerdict(now));
    }
}
