//! The client's half of a session: what the server has not confirmed, what of the server was handled.

use std::collections::VecDeque;

use crate::id::{CallId, MessageId, SessionId};
use crate::message::{ClientMessage, Resume};
use crate::wire::{self, Frame};

/// Commands that wait for their outcome; a client that is away that long loses the oldest.
const MOST_PENDING: usize = 512;
/// As the last event handled, this asks for a snapshot: no session counts so far. JSON numbers are exact up to here.
const NOTHING_HANDLED: u64 = (1 << 53) - 1;

/// What the last welcome said.
struct Session {
    id: SessionId,
    token: String,
    epoch: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// How the server's numbered events came, since the start of the client. A server that works misses none and repeats none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Events that were handled.
    pub events: u64,
    /// Numbers that were left out.
    pub missed: u64,
    /// Events that had been handled before, and were not again.
    pub repeated: u64,
}

/// Numbers of one session.
#[derive(Debug, Default)]
pub(super) struct Link {
    session: Option<Session>,
    // A snapshot was announced and has not come: replay alone would not bring the tables together.
    needs_snapshot: bool,
    // A snapshot stands for the events before it, whose numbers are not known.
    begins_anywhere: bool,
    delivery: Delivery,
    last_seq: u64,
    acknowledged: u64,
    next_command: u64,
    pending: VecDeque<Frame<ClientMessage>>,
}

impl Link {
    /// What the hello says of the session before.
    pub(super) fn resume(&self) -> Option<Resume> {
        let Session { id, token, epoch } = self.session.as_ref()?;
        let (session, token, epoch) = (id.clone(), token.clone(), epoch.clone());
        let last_seq = if self.needs_snapshot { NOTHING_HANDLED } else { self.last_seq };
        Some(Resume { session, token, last_seq, epoch })
    }

    /// A welcome: the session goes on, or is a new one that counts from 1. In a new one starts are not repeated: the old
    /// one may have carried them out, and the call may have rung and ended since.
    pub(super) fn opened(&mut self, id: SessionId, token: String, epoch: String, resumed: bool) {
        let is_new = self.session.as_ref().is_none_or(|known| known.id != id);
        self.session = Some(Session { id, token, epoch });
        if is_new {
            self.pending.retain(|frame| !matches!(frame.message, ClientMessage::CallStart(_)));
        }
        self.needs_snapshot = !resumed;
        self.begins_anywhere = !resumed && !is_new;
        if !resumed {
            self.last_seq = 0;
            self.acknowledged = 0;
        }
    }

    /// The announced snapshot came.
    pub(super) const fn snapshot_came(&mut self) {
        self.needs_snapshot = false;
    }

    /// Notes the number of a server's frame; false when it was handled before.
    pub(super) fn accept(&mut self, seq: u64) -> bool {
        if seq == 0 {
            return true;
        }
        if seq <= self.last_seq {
            self.delivery.repeated += 1;
            return false;
        }
        if !std::mem::take(&mut self.begins_anywhere) {
            self.delivery.missed = self.delivery.missed.saturating_add(seq - self.last_seq - 1);
        }
        self.delivery.events += 1;
        self.last_seq = seq;
        true
    }

    /// How events came so far.
    pub(super) const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whether the server does not know yet what was handled.
    pub(super) const fn owes_acknowledgement(&self) -> bool {
        self.last_seq > self.acknowledged
    }

    /// A frame that is not repeated (`hello`, `ping`, `ack`).
    pub(super) fn passing(&mut self, message: ClientMessage) -> String {
        wire::write(&self.frame(None, message))
    }

    /// A command: its frame is repeated after a reconnect until its outcome came.
    pub(super) fn command(&mut self, call: Option<CallId>, message: ClientMessage) -> String {
        let frame = self.frame(call, message);
        let text = wire::write(&frame);
        if self.pending.len() == MOST_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(frame);
        text
    }

    /// The outcome of a command came.
    pub(super) fn settle(&mut self, id: &MessageId) -> Option<Frame<ClientMessage>> {
        let index = self.pending.iter().position(|frame| frame.id == *id)?;
        self.pending.remove(index)
    }

    /// Every command without an outcome, oldest first.
    pub(super) fn repeat(&mut self) -> Vec<String> {
        self.acknowledged = self.last_seq;
        let ack = self.last_seq;
        self.pending
            .iter_mut()
            .map(|frame| {
                frame.ack = ack;
                wire::write(frame)
            })
            .collect()
    }

    /// Whether a start of this call waits to be handled by a server that has handled everything up to `ack`.
    pub(super) fn is_starting(&self, call: &CallId, ack: u64) -> bool {
        self.pending.iter().any(|frame| {
            let starts = matches!(frame.message, ClientMessage::CallStart(_));
            starts && frame.seq > ack && frame.call_id.as_ref() == Some(call)
        })
    }

    /// Whether the call's reveal has no outcome.
    pub(super) fn is_revealing(&self, call: &CallId) -> bool {
        self.pending.iter().any(|frame| {
            matches!(frame.message, ClientMessage::CallReveal(_)) && frame.call_id.as_ref() == Some(call)
        })
    }

    /// The call is over at this end: nothing of it needs to reach the server but its hang-up. A start that was never
    /// received would otherwise ring after a reconnect.
    pub(super) fn forget_call(&mut self, call: &CallId) {
        self.pending.retain(|frame| {
            frame.call_id.as_ref() != Some(call) || matches!(frame.message, ClientMessage::CallHangup(_))
        });
    }

    fn frame(&mut self, call_id: Option<CallId>, message: ClientMessage) -> Frame<ClientMessage> {
        self.next_command += 1;
        self.acknowledged = self.last_seq;
        let id = MessageId::new(format!("c{}", self.next_command))
            .expect("a letter and digits are a well-formed identifier");
        Frame { id, seq: self.next_command, ack: self.last_seq, call_id, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(link: &mut Link, session: &str, resumed: bool) {
        link.opened(SessionId::new(session).unwrap(), String::new(), String::new(), resumed);
    }

    #[test]
    fn gaps_and_repetitions_are_counted_but_not_across_a_snapshot() {
        let mut link = Link::default();
        opened(&mut link, "one", false);
        assert!(link.accept(1) && link.accept(0) && link.accept(2));
        assert_eq!(link.delivery(), Delivery { events: 2, missed: 0, repeated: 0 });
        opened(&mut link, "one", true);
        assert!(!link.accept(2) && link.accept(3));
        assert_eq!(link.delivery(), Delivery { events: 3, missed: 0, repeated: 1 });
        opened(&mut link, "one", false);
        assert!(link.accept(40) && link.accept(43));
        assert_eq!(link.delivery(), Delivery { events: 5, missed: 2, repeated: 1 });
        opened(&mut link, "two", false);
        assert!(link.accept(2));
        assert_eq!(link.delivery().missed, 3, "a new session counts from 1");
        assert!(link.accept(u64::MAX) && !link.accept(u64::MAX));
    }
}
