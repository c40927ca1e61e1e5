//! What an application's back end asks of its hub, and what it is answered.

use std::sync::Arc;
use std::time::Instant;

use offhook_signaling::call::{CallView, ControlError, EndedBy};
use offhook_signaling::message::Headers;
use offhook_signaling::{ApplicationKey, CallId, UserId};
use tokio::sync::{mpsc, oneshot};

use super::records::Held;
use super::{Command, Hub};
use crate::close::CloseReason;
use crate::cluster::listing::{List, Listed};
use crate::cluster::message::{Body, Controlled, Eviction, Message, SeenCall, Wish};
use crate::cluster::node::NodeId;
use crate::environment;
use crate::server::Shared;

/// A question and where its answer goes. Whoever asked may be gone by then.
#[derive(Debug)]
pub(crate) enum Question {
    /// Entries of a list, so many at most.
    List { list: List, limit: usize, answer: oneshot::Sender<Listed> },
    /// One live call; `None` means that it has its record, or never was.
    Call { call_id: CallId, answer: oneshot::Sender<Option<CallView>> },
    /// End a call. Answered when its record is written.
    HangUp { call_id: CallId, answer: oneshot::Sender<Result<(), ControlError>> },
    /// Ring somebody else.
    Redirect {
        call_id: CallId,
        to: UserId,
        headers: Option<Headers>,
        answer: oneshot::Sender<Result<(), ControlError>>,
    },
    /// End the sessions of a user. Answered with whether there was one.
    EndUser { user: UserId, answer: oneshot::Sender<bool> },
    /// Let a user in no more. Answered when the records of their calls are written.
    Block { user: UserId, answer: oneshot::Sender<()> },
    /// Let a user in again.
    Unblock { user: UserId, answer: oneshot::Sender<()> },
}

/// An answer that waits for records.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To [`Question::Call`], when the call's end is being written.
    Over(oneshot::Sender<Option<CallView>>),
    /// To [`Question::HangUp`].
    HungUp(oneshot::Sender<Result<(), ControlError>>),
    /// To [`Question::Block`].
    Blocked(oneshot::Sender<()>),
}

/// The hub has ended: the server is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Shared {
    /// Asks the hub of an application.
    pub(crate) async fn ask<T>(
        &self,
        application: &ApplicationKey,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Gone> {
        ask(&self.hub(application), question).await
    }
}

async fn ask<T>(
    hub: &mpsc::Sender<Command>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Gone> {
    let (answer, answered) = oneshot::channel();
    hub.send(Command::Ask(Box::new(question(answer)))).await.map_err(|_| Gone)?;
    answered.await.map_err(|_| Gone)
}

impl Reply {
    pub(super) fn send(self) {
        // Whoever asked may not wait any more.
        match self {
            Self::Over(answer) => {
                let _ = answer.send(None);
            }
            Self::HungUp(answer) => {
                let _ = answer.send(Ok(()));
            }
            Self::Blocked(answer) => {
                let _ = answer.send(());
            }
        }
    }
}

impl Hub {
    pub(super) fn answer(&mut self, now: Instant, question: Question) {
        // Whoever asked may not wait any more: then nobody needs to know.
        match question {
            Question::List { list, limit, answer } => {
                let _ = answer.send(self.list(now, &list, limit));
            }
            Question::Call { call_id, answer } => match self.board.call(now, &self.application, &call_id) {
                None if self.records.hold_end_of(Some(&call_id)) => self.reply(Reply::Over(answer)),
                call => {
                    let _ = answer.send(call);
                }
            },
            Question::HangUp { call_id, answer } => self.hang_up(now, &call_id, answer),
            Question::Redirect { call_id, to, headers, answer } => {
                let _ = answer.send(self.redirect(now, &call_id, to, headers));
            }
            Question::EndUser { user, answer } => {
                let ended = self.detach_user(now, &user, CloseReason::Revoked);
                self.evict_elsewhere(&user, None, Eviction::Revoked);
                let _ = answer.send(ended);
            }
            Question::Block { user, answer } => {
                self.board.handle_hang_up_user(now, &self.application, &user, EndedBy::Blocked);
                self.route();
                self.detach_user(now, &user, CloseReason::Blocked);
                self.evict_elsewhere(&user, None, Eviction::Blocked);
                self.blocked.insert(user);
                self.reply(Reply::Blocked(answer));
            }
            Question::Unblock { user, answer } => {
                self.blocked.remove(&user);
                self.evict_elsewhere(&user, None, Eviction::Unblocked);
                let _ = answer.send(());
            }
        }
    }

    fn hang_up(&mut self, now: Instant, call_id: &CallId, answer: oneshot::Sender<Result<(), ControlError>>) {
        match self.board.handle_hang_up(now, &self.application, call_id, EndedBy::Control) {
            Ok(()) => {
                self.route();
                self.reply(Reply::HungUp(answer));
            }
            Err(error) => {
                let _ = answer.send(Err(error));
            }
        }
    }

    /// What a back end wants that asked another node. Answered when all records that are on their way are written.
    pub(super) fn handle_control(
        &mut self,
        now: Instant,
        (from, ask): (&NodeId, Option<u64>),
        call_id: &CallId,
        wish: Wish,
    ) {
        let result = match wish {
            Wish::Look => {
                let view = self.board.call(now, &self.application, call_id).ok_or(ControlError::UnknownCall);
                view.map(|view| Controlled::Seen(Box::new(SeenCall::new(view, environment::wall_millis()))))
            }
            Wish::HangUp => self
                .board
                .handle_hang_up(now, &self.application, call_id, EndedBy::Control)
                .map(|()| Controlled::Done),
            Wish::Redirect { to, headers } => {
                self.redirect(now, call_id, to, headers).map(|()| Controlled::Done)
            }
        };
        let result = result.unwrap_or_else(|error| match error {
            ControlError::Answered => Controlled::Answered,
            ControlError::UnknownCall | ControlError::NotAsked => Controlled::Unknown,
        });
        self.route();
        let Some(far) = &self.far else { return };
        let body = Body::Controlled(result);
        let message = Message::new(far.cluster.node().clone(), self.application.clone(), body).answering(ask);
        if let Some(held) = self.records.hold(Held::Far(Box::new(message), from.clone())) {
            self.tell(held);
        }
    }

    /// Rings somebody else, and wakes their devices in place of those of whoever was called.
    fn redirect(
        &mut self,
        now: Instant,
        call_id: &CallId,
        to: UserId,
        headers: Option<Headers>,
    ) -> Result<(), ControlError> {
        let before = self.board.call(now, &self.application, call_id);
        self.board.handle_redirect(now, &self.application, call_id, to, headers)?;
        if let Some(before) = before {
            self.push_elsewhere(now, &before);
        }
        self.seek(call_id);
        Ok(())
    }

    fn detach_user(&mut self, now: Instant, user: &UserId, reason: CloseReason) -> bool {
        let addresses: Vec<Arc<_>> = self.sessions.addresses_of(user);
        for address in &addresses {
            self.detach(now, address, reason);
        }
        !addresses.is_empty()
    }

    /// Answers when all records that are on their way are written.
    fn reply(&mut self, reply: Reply) {
        if let Some(held) = self.records.hold(Held::Reply(reply)) {
            self.tell(held);
        }
    }
}
