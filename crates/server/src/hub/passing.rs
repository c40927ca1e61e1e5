//! What one side of a call says to the other, as far as the other side is at another node: it counts as accepted when that node has it.
//! An owner that is parted from the others does not know it, and may be the owner no more.

use std::time::{Duration, Instant};

use offhook_signaling::message::WireError;
use offhook_signaling::wire::Frame;
use offhook_signaling::{CallId, ClientMessage, ServerMessage};
use tokio::time::{sleep, timeout};

use super::records::Held;
use super::{Command, Hub, Line, Wanted};
use crate::cluster::Answer;
use crate::cluster::message::{Body, Device, Message};
use crate::cluster::node::{NodeId, Subject};

/// For the other node to say that it has it: less than a node waits for the outcome of what it forwarded here.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries of what cannot be passed on.
const AGAIN: Duration = Duration::from_secs(1);

/// Who said it.
#[derive(Debug)]
pub(super) enum Speaker {
    /// A device of this node.
    Here { line: Line, frame: Box<Frame<ClientMessage>> },
    /// A device of another node, which forwarded it under this number.
    There { node: NodeId, ask: Option<u64> },
}

/// What became of something that was passed on.
#[derive(Debug)]
pub(crate) struct Passed {
    speaker: Speaker,
    /// The node of the other side.
    to: NodeId,
    answer: Answer,
    /// The call for which the caller revealed its nonce with it.
    reveals: Option<CallId>,
}

impl Hub {
    /// Who says this, when it may have to be passed on to another node and is lost when that does not hear it. All else about a call is
    /// a state, of which other nodes hear again.
    pub(super) fn may_pass(
        &self,
        call_id: &CallId,
        message: &ClientMessage,
        speaker: impl FnOnce() -> Speaker,
    ) -> Option<Speaker> {
        let is_said_once = matches!(
            message,
            ClientMessage::CallUpdate(_) | ClientMessage::CallCandidate(_) | ClientMessage::CallReveal(_)
        );
        let owned = self.far.as_ref().filter(|_| is_said_once)?.owned.get(call_id)?;
        (!owned.homes.is_empty()).then(speaker)
    }

    /// Carries out what a device said, and tells its outcome when the other side's node has it.
    pub(super) fn pass_on(&mut self, speaker: Speaker) {
        let wanted = self.wanted();
        match self.other_side(&wanted) {
            Some((node, body)) => self.ask_to_tell(speaker, node, body),
            None => {
                let outcome = self.outcome_for(speaker, None);
                self.carry_out_these(wanted, outcome);
            }
        }
    }

    /// The node that is to be told, when that is all there is to do. What goes to several devices goes to those that ring: whichever
    /// answers is told all of it again.
    fn other_side(&self, wanted: &Wanted) -> Option<(NodeId, Body)> {
        let far = self.far.as_ref()?;
        let ([(to, call_id, message)], true) = (&wanted.events[..], wanted.ended.is_empty()) else {
            return None;
        };
        let device = Device::of(to);
        let (node, epoch) = far.home(call_id, &device).filter(|_| self.sessions.get(to).is_none())?;
        let body = self.delivery(far.cluster.node(), device, call_id.clone(), epoch, message.clone());
        Some((node.clone(), body))
    }

    fn ask_to_tell(&mut self, speaker: Speaker, to: NodeId, body: Body) {
        let Some(far) = &mut self.far else { return };
        if let Speaker::Here { line, frame } = &speaker {
            // Should it be repeated meanwhile, it waits for the same outcome.
            far.asked.insert((Device::of(&line.address), frame.id.clone()), line.clone());
        }
        let reveals = match &body {
            Body::Deliver { call, message, .. } if matches!(**message, ServerMessage::CallReveal(_)) => {
                Some(call.call_id.clone())
            }
            _ => None,
        };
        let answer = far.cluster.ask(&Subject::node(&to), &self.application, body);
        let own = self.own.clone();
        tokio::spawn(async move {
            let answer = timeout(PATIENCE, answer).await.unwrap_or(Answer::Silent);
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Passed(Passed { speaker, to, answer, reveals })).await;
            }
        });
    }

    pub(super) fn passed(&mut self, now: Instant, passed: Passed) {
        let Passed { speaker, to, answer, reveals } = passed;
        let speaker = match speaker {
            Speaker::Here { line, frame } => {
                let key = (Device::of(&line.address), frame.id.clone());
                let repeated = self.far.as_mut().and_then(|far| far.asked.remove(&key));
                Speaker::Here { line: repeated.unwrap_or(line), frame }
            }
            there @ Speaker::There { .. } => there,
        };
        let (error, speaker) = match (answer, speaker) {
            (Answer::Body(Body::Delivered), speaker) => (None, speaker),
            (Answer::Body(Body::Adopted { call }), Speaker::Here { line, frame }) => {
                self.handle_adopted(&to, &call);
                let is_owned = self.far.as_ref().is_some_and(|far| far.owned.contains_key(&call.call_id));
                if !is_owned {
                    // The node that has the call carries it out.
                    return self.handle_frame(now, &line, *frame);
                }
                (Some(WireError::Unreachable), Speaker::Here { line, frame })
            }
            (_, speaker) => (Some(WireError::Unreachable), speaker),
        };
        if let (Some(call_id), Some(_)) = (reveals, error) {
            // The callee has not heard it: said again it is news.
            self.board.handle_unheard_reveal(&self.application, &call_id);
        }
        if let (Speaker::Here { line, frame }, Some(error)) = (&speaker, error) {
            return self.refuse(line.clone(), (**frame).clone(), error);
        }
        if let Some(outcome) = self.outcome_for(speaker, error) {
            self.tell(outcome);
        }
    }

    /// Refuses what a device said. What the caller reveals is said once and has no other way: where it cannot be passed on now it has no
    /// outcome, and is tried again until it has one.
    pub(super) fn refuse(&mut self, line: Line, frame: Frame<ClientMessage>, error: WireError) {
        let is_tried_again =
            error == WireError::Unreachable && matches!(frame.message, ClientMessage::CallReveal(_));
        let key = (Device::of(&line.address), frame.id.clone());
        let Some(far) = self.far.as_mut().filter(|_| is_tried_again) else {
            if let Some(far) = &mut self.far {
                far.asked.remove(&key);
            }
            return self.settle(&line, frame.id, Some(error));
        };
        far.asked.insert(key.clone(), line);
        self.try_later(key.0, frame, AGAIN);
    }

    /// Tries something again in a moment; should it be repeated meanwhile, it waits for the same outcome.
    pub(super) fn try_later(&self, device: Device, frame: Frame<ClientMessage>, pause: Duration) {
        let own = self.own.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Again(device, Box::new(frame))).await;
            }
        });
    }

    /// Tries again what had no outcome, for whichever connection waits for it now.
    pub(super) fn again(&mut self, now: Instant, device: Device, frame: Frame<ClientMessage>) {
        let asked = self.far.as_mut().and_then(|far| far.asked.remove(&(device, frame.id.clone())));
        if let Some(line) = asked {
            self.handle_frame(now, &line, frame);
        }
    }

    fn outcome_for(&self, speaker: Speaker, error: Option<WireError>) -> Option<Held> {
        match speaker {
            Speaker::Here { line, frame } => Some(Held::Outcome { line, of: frame.id, error }),
            Speaker::There { node, ask } => {
                let own = self.far.as_ref()?.cluster.node().clone();
                let message = Message::new(own, self.application.clone(), Body::Outcome { error });
                Some(Held::Far(Box::new(message.answering(ask)), node))
            }
        }
    }
}
