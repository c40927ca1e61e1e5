//! Which calls wake devices that are not connected, and when that is over.

use std::collections::HashSet;
use std::time::Instant;

use offhook_signaling::call::{CallEndCause, CallView, DeviceAddress};
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};

use super::Hub;
use crate::push::{PushNews, PushedCall};

impl Hub {
    /// A call was started: devices of the callee that are not connected are woken, if it waits at all.
    pub(super) fn push_call(&self, caller: &DeviceAddress, call_id: &CallId, callee: UserId) {
        if self.board.is_waiting(&caller.application, call_id) {
            self.push_waiting(caller.user.clone(), call_id, callee);
        }
    }

    pub(super) fn push_waiting(&self, caller: UserId, call_id: &CallId, callee: UserId) {
        if self.pushes.is_none() {
            return;
        }
        let connected = self.connected_devices(&callee);
        let timers = &self.config.calls;
        // Without a device that rings it ends earlier.
        let rings = if connected.is_empty() { timers.progress } else { timers.setup };
        self.push(PushNews::Started(PushedCall {
            application: self.application.clone(),
            call_id: call_id.clone(),
            caller,
            callee,
            display_name: self.board.display_name(&self.application, call_id).map(str::to_owned),
            connected,
            rings,
        }));
    }

    /// A device answered, or refused for all.
    pub(super) fn push_over(&self, callee: &DeviceAddress, call_id: &CallId, cause: CallEndCause) {
        self.push_end((callee.application.clone(), callee.user.clone()), call_id.clone(), cause);
    }

    /// A call was led to somebody else: who was woken for it before need not come, and the others are woken.
    pub(super) fn push_elsewhere(&self, now: Instant, before: &CallView) {
        let of = &before.so_far;
        let Some(after) = self.board.call(now, &self.application, &of.call_id) else { return };
        if after.so_far.callee == of.callee {
            return;
        }
        let callee = (self.application.clone(), of.callee.clone());
        self.push_end(callee, of.call_id.clone(), CallEndCause::Canceled);
        self.push_waiting(of.caller.clone(), &of.call_id, after.so_far.callee);
    }

    pub(super) fn push_end(&self, callee: (ApplicationKey, UserId), call_id: CallId, cause: CallEndCause) {
        if self.pushes.is_none() {
            return;
        }
        let (application, user) = callee;
        let connected = self.connected_devices(&user);
        self.push(PushNews::Over { application, call_id, cause, connected });
    }

    fn connected_devices(&self, user: &UserId) -> HashSet<DeviceId> {
        self.sessions.connected_of(user).cloned().collect()
    }

    fn push(&self, news: PushNews) {
        let full = self.pushes.as_ref().is_some_and(|pushes| pushes.try_send(news).is_err());
        if full {
            tracing::warn!("too many calls at once: one is not pushed");
        }
    }
}
