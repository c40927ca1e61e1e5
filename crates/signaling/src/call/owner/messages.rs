//! What the devices of a call say about it.

use std::time::Instant;

use super::{DeviceAddress, Leg, MOST_CANDIDATES, Outputs, Owner, OwnerOutput, OwnerTimer, ended};
use crate::call::{CallEndCause, EndedBy};
use crate::message::{
    Answer, Answered, Candidate, ClientMessage, Empty, Ended, Hangup, IceServers, Reveal, ServerMessage,
    Update, WireError,
};

impl Owner {
    /// Something happened on a device.
    ///
    /// # Errors
    /// [`WireError::OutOfOrder`] for what may not come now, [`WireError::UnknownCall`] for a device that has no part in the call,
    /// [`WireError::TooLarge`] for too many candidates. Nothing changed then.
    pub(in crate::call) fn handle_message(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        message: ClientMessage,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if !self.involves(from) {
            return Err(WireError::UnknownCall);
        }
        let caller = self.is_caller(from);
        match message {
            ClientMessage::CallRinging(_) => self.handle_ringing(now, from, out),
            ClientMessage::CallAnswer(answer) => self.handle_answer(now, from, answer, out),
            ClientMessage::CallReveal(reveal) => self.handle_reveal(caller, reveal, out),
            ClientMessage::CallCandidate(candidate) if caller => self.handle_caller_candidate(candidate, out),
            ClientMessage::CallCandidate(candidate) => self.handle_callee_candidate(from, candidate, out),
            ClientMessage::CallUpdate(update) => self.handle_update(caller, update, out),
            ClientMessage::CallEstablished(_) => self.handle_established(now, caller, out),
            ClientMessage::CallIceServers(_) => {
                out.push(OwnerOutput::Send(
                    from.clone(),
                    ServerMessage::CallIceServers(IceServers::default()),
                ));
                Ok(())
            }
            ClientMessage::CallHangup(hangup) => {
                self.handle_hangup(now, from, hangup, out);
                Ok(())
            }
            _ => Err(WireError::OutOfOrder),
        }
    }

    fn handle_ringing(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        let leg = self.legs.get_mut(&from.device).filter(|_| from.user == self.callee.user);
        let (Some(leg @ Leg::Offered), None) = (leg, self.answered) else {
            return Err(WireError::OutOfOrder);
        };
        *leg = Leg::Ringing;
        self.timers.remove(&OwnerTimer::Progress);
        self.rung.get_or_insert(now);
        if !std::mem::replace(&mut self.rang, true) {
            self.to_caller(ServerMessage::CallRinging(Empty {}), out);
        }
        Ok(())
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        answer: Answer,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if self.answered.is_some() || !self.has_live_leg(from) {
            return Err(WireError::OutOfOrder);
        }
        self.answered = Some(now);
        self.callee.device = Some(from.device.clone());
        self.timers.clear();
        let Answer { sdp, nonce } = answer;
        self.answer = Some(sdp.clone());
        self.nonce.clone_from(&nonce);
        let by = self.answered_by();
        self.to_caller(ServerMessage::CallAnswered(Answered { sdp, by, nonce }), out);
        out.push(OwnerOutput::Send(from.clone(), ServerMessage::CallAnswered(Answered::default())));
        self.end_legs(Some(&from.device), ended(CallEndCause::OtherDeviceAnswered), out);
        Ok(())
    }

    /// What the caller reveals is between the two ends: it is passed on once, and kept for a callee that has to be told again.
    fn handle_reveal(
        &mut self,
        from_caller: bool,
        reveal: Reveal,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if !from_caller || self.answered.is_none() {
            return Err(WireError::OutOfOrder);
        }
        match &self.reveal {
            Some(known) if *known == reveal.nonce => {}
            Some(_) => return Err(WireError::OutOfOrder),
            None => {
                self.reveal = Some(reveal.nonce);
                self.repeat_reveal(out);
            }
        }
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
        if self.callee_candidates.len() >= MOST_CANDIDATES {
            return Err(WireError::TooLarge);
        }
        self.callee_candidates.push(candidate.clone());
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
        self.callee_candidates.clear();
        self.to_other(from_caller, ServerMessage::CallUpdate(update), out);
        Ok(())
    }

    fn handle_established(
        &mut self,
        now: Instant,
        from_caller: bool,
        out: &mut Outputs,
    ) -> Result<(), WireError> {
        if self.answered.is_none() {
            return Err(WireError::OutOfOrder);
        }
        self.established.get_or_insert(now);
        self.to_other(from_caller, ServerMessage::CallEstablished(Empty {}), out);
        Ok(())
    }

    fn handle_hangup(&mut self, now: Instant, from: &DeviceAddress, hangup: Hangup, out: &mut Outputs) {
        let told = |cause| Ended { cause, error: hangup.error };
        match self.answered {
            Some(_) => {
                let told = told(after_answer(hangup.cause));
                let by = if self.is_caller(from) { EndedBy::Caller } else { EndedBy::Callee };
                self.end_all(now, by, told, told, out);
            }
            None if self.is_caller(from) => {
                let told = told(before_answer(hangup.cause, CallEndCause::Canceled));
                self.end_all(now, EndedBy::Caller, told, ended(CallEndCause::Canceled), out);
            }
            None if hangup.cause == CallEndCause::Denied && hangup.error.is_none() => {
                let told = told(CallEndCause::Denied);
                self.legs.insert(from.device.clone(), Leg::Refused);
                out.push(OwnerOutput::Send(from.clone(), ServerMessage::CallEnded(told)));
                let told = ended(CallEndCause::Denied);
                self.end_all(now, EndedBy::Callee, told, ended(CallEndCause::Canceled), out);
            }
            None => {
                let told = told(before_answer(hangup.cause, CallEndCause::Denied));
                self.legs.insert(from.device.clone(), Leg::Refused);
                out.push(OwnerOutput::Send(from.clone(), ServerMessage::CallEnded(told)));
                self.refusal.get_or_insert(told);
                self.timers.entry(OwnerTimer::Acknowledge).or_insert(now + self.limits.acknowledge);
                self.end_if_refused_by_all(now, out);
            }
        }
    }
}

// What a side may say of an answered call; anything else is a plain hang-up.
const fn after_answer(cause: CallEndCause) -> CallEndCause {
    match cause {
        CallEndCause::Failure | CallEndCause::Inactive => cause,
        _ => CallEndCause::HungUp,
    }
}

// What a side may say of a call that nobody answered; anything else is its plain refusal.
const fn before_answer(cause: CallEndCause, refusal: CallEndCause) -> CallEndCause {
    match cause {
        CallEndCause::Timeout | CallEndCause::NoAnswer | CallEndCause::Failure => cause,
        _ => refusal,
    }
}
