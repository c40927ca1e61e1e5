//! What a device is told that has missed something.

use super::{DeviceAddress, Outputs, Owner, OwnerOutput};
use crate::call::CallState;
use crate::message::{Answered, CallSnapshot, Reveal, ServerMessage};

impl Owner {
    /// The call as a device should see it; `None` when the device has no part in it.
    pub(in crate::call) fn snapshot_for(&self, address: &DeviceAddress) -> Option<CallSnapshot> {
        if !self.involves(address) {
            return None;
        }
        let outgoing = self.is_caller(address);
        let state = match (self.answered, outgoing) {
            (Some(_), _) => CallState::Answered,
            (None, true) if self.rang => CallState::Ringing,
            (None, true) => CallState::Progressing,
            (None, false) => CallState::Init,
        };
        Some(CallSnapshot {
            call_id: self.id.clone(),
            outgoing,
            remote: match (outgoing, self.answered) {
                (false, _) => self.caller.user.clone(),
                // Where a call is led is the back end's business until somebody answers.
                (true, None) => self.start.to.clone(),
                (true, Some(_)) => self.callee.user.clone(),
            },
            state,
            headers: if outgoing { &self.start.headers } else { self.callee_headers() }.clone(),
            sdp: if outgoing {
                self.answer.clone()
            } else {
                Some(self.start.sdp.clone()).filter(|sdp| !sdp.is_empty())
            },
            commitment: self.start.commitment.clone().filter(|_| !outgoing),
            display_name: self.start.display_name.clone().filter(|_| !outgoing),
            nonce: self.nonce.clone().filter(|_| outgoing),
        })
    }

    /// Says again what a snapshot does not hold. A device that knows it already takes no notice.
    pub(in crate::call) fn resend(&self, address: &DeviceAddress, out: &mut Outputs) {
        let to_caller = self.is_caller(address);
        if self.is_callee(address) {
            self.repeat_reveal(out);
        }
        if !self.involves(address) || (self.answered.is_some() && self.start.sdp.is_empty()) {
            return;
        }
        let mut send = |message| out.push(OwnerOutput::Send(address.clone(), message));
        match (&self.answer, to_caller) {
            (Some(sdp), true) => {
                let (sdp, by, nonce) = (sdp.clone(), self.answered_by(), self.nonce.clone());
                send(ServerMessage::CallAnswered(Answered { sdp, by, nonce }))
            }
            (None, false) => send(ServerMessage::CallIncoming(self.incoming())),
            _ => {}
        }
        let candidates = if to_caller { &self.callee_candidates } else { &self.candidates };
        candidates.iter().for_each(|candidate| send(ServerMessage::CallCandidate(candidate.clone())));
    }

    /// What the caller revealed was heard by nobody.
    pub(in crate::call) fn forget_reveal(&mut self) {
        self.reveal = None;
    }

    /// The callee may not have heard what the caller revealed.
    pub(super) fn repeat_reveal(&self, out: &mut Outputs) {
        if let Some(nonce) = self.reveal.clone() {
            self.to_callee(ServerMessage::CallReveal(Reveal { nonce }), out);
        }
    }
}
