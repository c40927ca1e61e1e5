//! What an application's back end sees and does: live calls, verdicts, ends and redirections from outside.

use std::ops::Bound;
use std::time::Instant;

use super::{CallKey, Switchboard, SwitchboardOutput, UserKey};
use crate::call::{CallView, ControlError, EndedBy, Screening, Verdict};
use crate::id::{ApplicationKey, CallId, UserId};
use crate::message::Headers;

impl Switchboard {
    /// Whether calls that start from now on wait for a verdict: see [`SwitchboardOutput::Screen`](super::SwitchboardOutput::Screen).
    pub const fn set_screening(&mut self, screening: Option<Screening>) {
        self.screening = screening;
    }

    /// A live call.
    #[must_use]
    pub fn call(&self, now: Instant, application: &ApplicationKey, call_id: &CallId) -> Option<CallView> {
        self.calls.get(&(application.clone(), call_id.clone())).map(|owner| owner.view(now))
    }

    /// Live calls of an application in the order of their ids, beginning after `after`; with `user` those in which that user calls
    /// or is called.
    #[must_use]
    pub fn calls(
        &self,
        now: Instant,
        application: &ApplicationKey,
        user: Option<&UserId>,
        after: Option<&CallId>,
        limit: usize,
    ) -> Vec<CallView> {
        if let Some(user) = user {
            let own = self.calls_by_user.get(&(application.clone(), user.clone()));
            let own = own.into_iter().flatten().filter(|id| after.is_none_or(|after| *id > after));
            return own.take(limit).filter_map(|id| self.call(now, application, id)).collect();
        }
        // No identifier is smaller than "-".
        let first = CallId::new("-").map(|id| (application.clone(), id));
        let begin = match (after, first) {
            (Some(after), _) => Bound::Excluded((application.clone(), after.clone())),
            (None, Ok(first)) => Bound::Included(first),
            (None, Err(_)) => Bound::Unbounded,
        };
        let own = self.calls.range((begin, Bound::Unbounded)).take_while(|((key, _), _)| key == application);
        own.take(limit).map(|(_, owner)| owner.view(now)).collect()
    }

    /// Ends a live call, whatever its state: after the answer both sides are told HungUp, before it the caller Denied and the callee
    /// Canceled.
    ///
    /// # Errors
    /// [`ControlError::UnknownCall`].
    pub fn handle_hang_up(
        &mut self,
        now: Instant,
        application: &ApplicationKey,
        call_id: &CallId,
        by: EndedBy,
    ) -> Result<(), ControlError> {
        let key = self.known(application, call_id)?;
        self.with(&key, |owner, out| owner.hang_up(now, by, out));
        Ok(())
    }

    /// Ends every live call of a user.
    pub fn handle_hang_up_user(
        &mut self,
        now: Instant,
        application: &ApplicationKey,
        user: &UserId,
        by: EndedBy,
    ) {
        let own = self.calls_by_user.get(&(application.clone(), user.clone())).cloned().unwrap_or_default();
        for id in own {
            self.with(&(application.clone(), id), |owner, out| owner.hang_up(now, by, out));
        }
    }

    /// Rings somebody else in place of whoever rings. Devices that rang are told Canceled, the caller nothing before the answer; the
    /// caller's time to an answer does not begin anew.
    ///
    /// # Errors
    /// [`ControlError::UnknownCall`] or [`ControlError::Answered`].
    pub fn handle_redirect(
        &mut self,
        now: Instant,
        application: &ApplicationKey,
        call_id: &CallId,
        to: UserId,
        headers: Option<Headers>,
    ) -> Result<(), ControlError> {
        let key = self.known(application, call_id)?;
        if !self.calls.get(&key).is_some_and(super::Owner::is_ringing) {
            return Err(ControlError::Answered);
        }
        self.connect(now, &key, to, headers);
        Ok(())
    }

    /// The application decided about a call that waits for it.
    ///
    /// # Errors
    /// [`ControlError::UnknownCall`], or [`ControlError::NotAsked`] when it does not wait any more.
    pub fn handle_verdict(
        &mut self,
        now: Instant,
        application: &ApplicationKey,
        call_id: &CallId,
        verdict: Verdict,
    ) -> Result<(), ControlError> {
        let key = self.known(application, call_id)?;
        if !self.calls.get(&key).is_some_and(super::Owner::is_screened) {
            return Err(ControlError::NotAsked);
        }
        self.judge(now, &key, verdict, EndedBy::Control);
        Ok(())
    }

    /// No verdict will come: what the call's [`Screening`] says is done at once.
    ///
    /// # Errors
    /// As [`Self::handle_verdict`].
    pub fn handle_no_verdict(
        &mut self,
        now: Instant,
        application: &ApplicationKey,
        call_id: &CallId,
    ) -> Result<(), ControlError> {
        let key = self.known(application, call_id)?;
        if !self.calls.get(&key).is_some_and(super::Owner::is_screened) {
            return Err(ControlError::NotAsked);
        }
        self.judge_unanswered(now, &key);
        Ok(())
    }

    pub(super) fn judge_unanswered(&mut self, now: Instant, key: &CallKey) {
        if let Some(verdict) = self.calls.get(key).map(super::Owner::unanswered) {
            self.judge(now, key, verdict, EndedBy::Callback);
        }
    }

    fn judge(&mut self, now: Instant, key: &CallKey, verdict: Verdict, by: EndedBy) {
        let (to, headers) = match verdict {
            Verdict::HangUp => return self.with(key, |owner, out| owner.hang_up(now, by, out)),
            Verdict::Continue { headers } => (None, headers),
            Verdict::Connect { to, headers } => (Some(to), headers),
        };
        let Some(owner) = self.calls.get(key) else { return };
        let to = to.unwrap_or_else(|| owner.callee().clone());
        if self.rings(&key.0, &to, owner.caller()) {
            return self.with(key, |owner, out| owner.end_for_glare(now, out));
        }
        self.connect(now, key, to, headers);
        let released = self.calls.get(key).map(|owner| owner.view(now));
        self.outputs.extend(released.map(SwitchboardOutput::Released));
    }

    fn connect(&mut self, now: Instant, key: &CallKey, to: UserId, headers: Option<Headers>) {
        let Some(owner) = self.calls.get(key) else { return };
        let (caller, before) = (owner.caller().clone(), owner.callee().clone());
        let own = owner.caller_device().filter(|_| to == caller).cloned();
        if before != to && before != caller {
            self.forget_call_of(&(key.0.clone(), before), &key.1);
        }
        self.calls_by_user.entry((key.0.clone(), to.clone())).or_default().insert(key.1.clone());
        let devices = self.ringable(&key.0, &to, own.as_ref());
        self.with(key, |owner, out| owner.connect(now, to, headers, devices, out));
    }

    pub(super) fn forget_call_of(&mut self, user: &UserKey, call_id: &CallId) {
        if let Some(own) = self.calls_by_user.get_mut(user) {
            own.remove(call_id);
            if own.is_empty() {
                self.calls_by_user.remove(user);
            }
        }
    }

    fn known(&self, application: &ApplicationKey, call_id: &CallId) -> Result<CallKey, ControlError> {
        let key = (application.clone(), call_id.clone());
        if self.calls.contains_key(&key) { Ok(key) } else { Err(ControlError::UnknownCall) }
    }
}
