//! Which calls wake devices that are not connected, and when that is over.

use std::collections::HashSet;

use offhook_signaling::call::{CallEndCause, DeviceAddress};
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};

use super::Hub;
use crate::push::{PushNews, PushedCall};

impl Hub {
    /// A call was started: devices of the callee that are not connected are woken, if it waits at all.
    pub(super) fn push_call(&self, caller: &DeviceAddress, call_id: &CallId, callee: UserId) {
        if self.pushes.is_none() || !self.board.is_waiting(&caller.application, call_id) {
            return;
        }
        let connected = self.connected_devices(&callee);
        let timers = &self.config.calls;
        // Without a device that rings it ends earlier.
        let rings = if connected.is_empty() { timers.progress } else { timers.setup };
        self.push(PushNews::Started(PushedCall {
            application: caller.application.clone(),
            call_id: call_id.clone(),
            caller: caller.user.clone(),
            callee,
            connected,
            rings,
        }));
    }

    /// A device answered, or refused for all.
    pub(super) fn push_over(&self, callee: &DeviceAddress, call_id: &CallId, cause: CallEndCause) {
        self.push_end((callee.application.clone(), callee.user.clone()), call_id.clone(), cause);
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
