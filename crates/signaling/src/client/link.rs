//! The client's half of a session: what the server has not confirmed, what of the server was handled.

use std::collections::VecDeque;

use crate::id::{CallId, MessageId, SessionId};
use crate::message::{ClientMessage, Resume};
use crate::wire::{self, Frame};

/// Commands that wait for their outcome; a client that is away that long loses the oldest.
const MOST_PENDING: usize = 512;

/// Numbers of one session.
#[derive(Debug, Default)]
pub(super) struct Link {
    session: Option<(SessionId, String)>,
    last_seq: u64,
    acknowledged: u64,
    next_command: u64,
    pending: VecDeque<Frame<ClientMessage>>,
}

impl Link {
    /// What the hello says of the session before.
    pub(super) fn resume(&self) -> Option<Resume> {
        let (session, token) = self.session.clone()?;
        Some(Resume { session, token, last_seq: self.last_seq })
    }

    /// A welcome: the session goes on, or is a new one that counts from 1.
    pub(super) fn opened(&mut self, session: SessionId, token: String, resumed: bool) {
        self.session = Some((session, token));
        if !resumed {
            self.last_seq = 0;
            self.acknowledged = 0;
        }
    }

    /// Notes the number of a server's frame; false when it was handled before.
    pub(super) fn accept(&mut self, seq: u64) -> bool {
        if seq == 0 {
            return true;
        }
        let new = seq > self.last_seq;
        self.last_seq = self.last_seq.max(seq);
        new
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

    /// Whether a start of this call waits for its outcome.
    pub(super) fn is_starting(&self, call: &CallId) -> bool {
        self.pending.iter().any(|frame| {
            frame.call_id.as_ref() == Some(call) && matches!(frame.message, ClientMessage::CallStart(_))
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
