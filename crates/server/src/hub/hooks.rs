//! Calls that an application's back end is asked about, and what it is told of them.

use std::time::Instant;

use offhook_signaling::CallId;
use offhook_signaling::call::{CallRecord, CallView, EndedBy, Screening, Verdict};

use super::Hub;
use crate::environment;
use crate::store::CallDetailRecord;
use crate::webhook::{CallbackTarget, Notice};

impl Hub {
    fn target(&self) -> Option<CallbackTarget> {
        self.notices.as_ref().and_then(|_| self.applications.callback_target(&self.application))
    }

    /// A call is about to start: it waits for the application where that wants to be asked.
    pub(super) fn screen_calls(&mut self) {
        let screening = self.target().map(|target| Screening {
            patience: target.callbacks.timeout(),
            otherwise: target.callbacks.on_failure,
        });
        self.board.set_screening(screening);
    }

    pub(super) fn ask_about(&mut self, view: &CallView) {
        let notice = self.target().map(|target| Notice::incoming(target, view, self.own.clone()));
        if !notice.is_some_and(|notice| self.send_notice(notice)) {
            self.judge(environment::now(), &view.so_far.call_id, None);
        }
    }

    pub(super) fn tell_answered(&self, now: Instant, call_id: &CallId) {
        let Some(view) = self.board.call(now, &self.application, call_id) else { return };
        if let Some(target) = self.target() {
            self.send_notice(Notice::answered(target, &view, self.own.clone()));
        }
    }

    /// What is told of the end of a call, once its record is written.
    pub(super) fn over_notice(&self, record: &CallRecord) -> Option<Notice> {
        let target = self.target()?;
        let record = CallDetailRecord::new(record.clone(), environment::wall_millis());
        Some(Notice::disconnected(target, &record, self.own.clone()))
    }

    /// Whether somebody will tell it.
    pub(super) fn send_notice(&self, notice: Notice) -> bool {
        let taken = self.notices.as_ref().is_some_and(|notices| notices.try_send(notice).is_ok());
        if !taken {
            tracing::warn!(application = %self.application, "too many callbacks wait: one is not sent");
        }
        taken
    }

    pub(super) fn judge(&mut self, now: Instant, call_id: &CallId, verdict: Option<Verdict>) {
        let judged = match verdict {
            Some(verdict) => self.board.handle_verdict(now, &self.application, call_id, verdict),
            None => self.board.handle_no_verdict(now, &self.application, call_id),
        };
        if let Err(error) = judged {
            tracing::debug!(%call_id, %error, "a verdict came too late");
        }
    }

    pub(super) fn end_answered(&mut self, now: Instant, call_id: &CallId) {
        let ended = self.board.handle_hang_up(now, &self.application, call_id, EndedBy::Control);
        if let Err(error) = ended {
            tracing::debug!(%call_id, %error, "nothing left to end");
        }
    }
}
