//! What devices say, and what becomes of it.

use std::time::Instant;

use offhook_signaling::call::{CallEndCause, DeviceAddress};
use offhook_signaling::message::{Empty, IssuedCredential, Outcome, Registered, WireError};
use offhook_signaling::wire::Frame;
use offhook_signaling::{CallId, ClientMessage, MessageId, ServerMessage};

use super::passing::Speaker;
use super::records::Held;
use super::{Hub, Line};
use crate::environment;

impl Hub {
    pub(super) fn handle_frame(&mut self, now: Instant, line: &Line, frame: Frame<ClientMessage>) {
        let Some(entry) = self.sessions.of_line(line) else { return };
        entry.session.handle_client_seq(frame.seq);
        entry.session.handle_ack(frame.ack);
        let Frame { id, seq, ack, call_id, message } = frame;
        match message {
            ClientMessage::Ping(_) => {
                // An idle client is heard of by nothing else.
                if let Some(since) = now.checked_sub(self.repeated_for) {
                    entry.session.forget_outcomes(since);
                }
                entry.say(ServerMessage::Pong(Empty {}));
            }
            ClientMessage::Ack(_) => {}
            message => {
                if let Some(outcome) = entry.session.outcome_of(&id) {
                    return entry.say(ServerMessage::Outcome(outcome));
                }
                if self.records.holds_outcome(&line.address, &id) {
                    return;
                }
                let frame = Frame { id, seq, ack, call_id, message };
                let Some(frame) = self.forward(line, frame) else { return };
                let passed = frame.call_id.as_ref().and_then(|call_id| {
                    let speaker = || Speaker::Here { line: line.clone(), frame: Box::new(frame.clone()) };
                    self.may_pass(call_id, &frame.message, speaker)
                });
                let message = frame.message;
                let late = self.records.hold_end_of(frame.call_id.as_ref());
                let allowed =
                    if self.may_say(now, line, &message) { Ok(()) } else { Err(WireError::RateLimited) };
                let error =
                    allowed.and_then(|()| self.execute(now, &line.address, frame.call_id, message)).err();
                if let (Some(speaker), None) = (passed, error) {
                    return self.pass_on(speaker);
                }
                let outcome = Held::Outcome { line: line.clone(), of: frame.id, error };
                // Who learns that a call is unknown has been told that it ended.
                let outcome = if late { self.records.hold(outcome) } else { Some(outcome) };
                self.carry_out(outcome);
            }
        }
    }

    /// Whether one more call may be started here.
    fn may_say(&mut self, now: Instant, line: &Line, message: &ClientMessage) -> bool {
        !matches!(message, ClientMessage::CallStart(_))
            || (self.call_starts.allow(line.address.user.clone(), now)
                && self.tolls.may_call(&self.application, line.from, now))
    }

    pub(super) fn execute(
        &mut self,
        now: Instant,
        address: &DeviceAddress,
        call_id: Option<CallId>,
        message: ClientMessage,
    ) -> Result<(), WireError> {
        let call_id = call_id.ok_or(WireError::OutOfOrder)?;
        if let ClientMessage::CallReport(report) = message {
            return self.take_report(now, address, &call_id, report);
        }
        let starts = matches!(message, ClientMessage::CallStart(_));
        if starts && self.far.as_ref().is_some_and(|far| far.attached.contains_key(&call_id)) {
            return Err(WireError::DuplicateCall);
        }
        let (calls, answers) = match &message {
            ClientMessage::CallStart(start) => (Some(start.to.clone()), false),
            message => (None, matches!(message, ClientMessage::CallAnswer(_))),
        };
        if starts {
            self.screen_calls();
        }
        self.board.handle_message(now, address, &call_id, message)?;
        if let Some(callee) = calls {
            self.push_call(address, &call_id, callee);
        }
        if answers {
            self.push_over(address, &call_id, CallEndCause::OtherDeviceAnswered);
            self.tell_answered(now, &call_id);
        }
        if starts {
            self.begin_owning(&call_id);
            self.metrics.note_call_started();
            tracing::info!(%call_id, application = %address.application, "call started");
        }
        Ok(())
    }

    /// Answers a command, and remembers the answer in case the client repeats it: its connection may be gone by now.
    pub(super) fn settle(&mut self, line: &Line, of: MessageId, error: Option<WireError>) {
        let Some(entry) = self.sessions.once_of_line(line) else { return };
        let outcome = Outcome { of: Some(of.clone()), error, message: String::new() };
        if let Some(error) = error {
            self.metrics.note_refused(error);
        }
        entry.session.remember(environment::now(), of, error);
        entry.say(ServerMessage::Outcome(outcome));
    }

    pub(super) fn registered(
        &mut self,
        line: &Line,
        of: MessageId,
        result: Result<IssuedCredential, WireError>,
    ) {
        let error = result.as_ref().err().copied();
        if let Ok(credential) = result {
            self.say(line, ServerMessage::Registered(Registered { credential }));
        }
        self.settle(line, of, error);
    }
}
