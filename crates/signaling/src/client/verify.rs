//! The authentication strings of calls: what is told of them, and what the caller reveals.

use std::time::Instant;

use super::{ClientMachine, Phase, Timer};
use crate::entropy::EntropySource;
use crate::event::CallEvent;
use crate::id::CallId;
use crate::message::{ClientMessage, Reveal};
use crate::verification::Nonce;

impl<E: EntropySource> ClientMachine<E> {
    pub(super) fn reveal(&mut self, id: &CallId, nonce: Nonce) {
        // Said on the last connection and without an outcome, it was just said again.
        if self.link.is_revealing(id) {
            return;
        }
        let reveal = Reveal { nonce: nonce.to_string() };
        self.send_command(Some(id.clone()), ClientMessage::CallReveal(reveal));
    }

    /// The server has another session, or may be another server: what it was told to pass on may be lost.
    pub(super) fn repeat_reveals(&mut self) {
        let revealed: Vec<(CallId, Nonce)> = self
            .live_calls()
            .filter_map(|(id, call)| Some((id.clone(), call.verification.own_reveal()?)))
            .collect();
        for (id, nonce) in revealed {
            self.reveal(&id, nonce);
        }
    }

    /// Within this the answer gets to the caller and its nonce here, or one of the two has been away long enough to lose the call.
    pub(super) fn await_reveal(&mut self, now: Instant, id: &CallId) {
        if self.calls.get(id).is_some_and(|call| call.verification.awaits_reveal()) {
            let end = now + self.config.timers.resume * 2;
            self.timers.insert(Timer::CallReveal(id.clone()), end);
        }
    }

    /// The connection is back: what was said meanwhile comes now.
    pub(super) fn await_reveals(&mut self, now: Instant) {
        let live: Vec<CallId> = self.live_calls().map(|(id, _)| id.clone()).collect();
        live.iter().for_each(|id| self.await_reveal(now, id));
    }

    pub(super) fn handle_reveal(&mut self, id: &CallId, reveal: &Reveal) {
        let Some(call) = self.calls.get_mut(id).filter(|call| !call.is_over()) else { return };
        call.verification.revealed(&reveal.nonce);
        self.timers.remove(&Timer::CallReveal(id.clone()));
        self.tell_verification(id);
    }

    pub(super) fn call_reveal_expired(&mut self, now: Instant, id: &CallId) {
        if self.phase != Phase::Online {
            return self.await_reveal(now, id);
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.verification.expire();
        }
        self.tell_verification(id);
    }

    /// Tells how the verification ended, when it has.
    pub(super) fn tell_verification(&mut self, id: &CallId) {
        if let Some(news) = self.calls.get_mut(id).and_then(|call| call.verification.take_news()) {
            self.tell(id, CallEvent::Verification(news));
        }
    }
}
