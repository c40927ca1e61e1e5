//! Devices and calls at other servers of one cluster: who may ring there, calls that are taken over from a server that is gone, and
//! calls that another server has taken over.

use std::time::Instant;

use super::{CallKey, Owner, Switchboard};
use crate::call::{CallRecord, DeviceAddress};
use crate::id::{ApplicationKey, CallId, UserId};
use crate::message::LiveCall;

/// Who calls whom.
pub(super) type Direction = (ApplicationKey, UserId, UserId);

impl Switchboard {
    /// Whether devices may be attached to other servers: a user without a device here may still be there.
    pub const fn set_elsewhere(&mut self, elsewhere: bool) {
        self.elsewhere = elsewhere;
    }

    /// A call of another server rings here, or does not any more. A call in the other direction then ends by glare, as it would if
    /// both were here.
    pub fn set_rings_elsewhere(
        &mut self,
        application: &ApplicationKey,
        caller: &UserId,
        callee: &UserId,
        call_id: &CallId,
        rings: bool,
    ) {
        if caller == callee {
            return;
        }
        let key = (application.clone(), caller.clone(), callee.clone());
        if rings {
            self.rings_elsewhere.entry(key).or_default().insert(call_id.clone());
        } else if let Some(calls) = self.rings_elsewhere.get_mut(&key) {
            calls.remove(call_id);
            if calls.is_empty() {
                self.rings_elsewhere.remove(&key);
            }
        }
    }

    /// Whether a device can have one more call.
    #[must_use]
    pub fn can_ring(&self, address: &DeviceAddress) -> bool {
        self.may_ring(address)
    }

    /// The call from one user to another that rings, if one does and nobody is asked about it any more.
    #[must_use]
    pub fn ringing_call(
        &self,
        application: &ApplicationKey,
        caller: &UserId,
        callee: &UserId,
    ) -> Option<&CallId> {
        let mut own = self.calls_of(application, caller);
        own.find(|owner| {
            owner.is_ringing()
                && !owner.is_screened()
                && owner.caller() == caller
                && owner.callee() == callee
                && caller != callee
        })
        .map(Owner::id)
    }

    /// Whether a call is one of this switchboard.
    #[must_use]
    pub fn owns(&self, application: &ApplicationKey, call_id: &CallId) -> bool {
        self.calls.contains_key(&(application.clone(), call_id.clone()))
    }

    /// The calls of this switchboard in which a device has a part.
    #[must_use]
    pub fn calls_with(&self, address: &DeviceAddress) -> Vec<CallId> {
        let own = self.calls_of(&address.application, &address.user);
        own.filter(|owner| owner.involves(address)).map(|owner| owner.id().clone()).collect()
    }

    /// Whether a device has a part in a call of this switchboard.
    #[must_use]
    pub fn involves(&self, address: &DeviceAddress, call_id: &CallId) -> bool {
        let key = (address.application.clone(), call_id.clone());
        self.calls.get(&key).is_some_and(|owner| owner.involves(address))
    }

    /// A device of the callee was found at another server: it rings if the call still does.
    pub fn handle_found(&mut self, now: Instant, address: &DeviceAddress, call_id: &CallId) {
        let key = (address.application.clone(), call_id.clone());
        self.with(&key, |owner, out| {
            if owner.is_ringing() {
                owner.handle_attached(now, address, None, true, out);
            }
        });
    }

    /// Other servers cannot be reached now: a call that rings nowhere fails.
    pub fn handle_unreachable(&mut self, now: Instant, application: &ApplicationKey, call_id: &CallId) {
        let key = (application.clone(), call_id.clone());
        self.with(&key, |owner, out| owner.fail_unreachable(now, out));
    }

    /// The other's call rings already: see [`Self::set_rings_elsewhere`].
    pub fn handle_glare(&mut self, now: Instant, application: &ApplicationKey, call_id: &CallId) {
        let key = (application.clone(), call_id.clone());
        self.with(&key, |owner, out| {
            if owner.is_ringing() {
                owner.end_for_glare(now, out);
            }
        });
    }

    /// Takes over a call whose server is gone. An answered one goes on: each side has the resume time to come back, until
    /// [`Self::handle_connected`]. One that rang on `ringing` fails at once. A call that is known here already stays what it is.
    pub fn handle_restored(&mut self, now: Instant, call: &CallRecord, ringing: &[DeviceAddress]) {
        let key = (call.application.clone(), call.call_id.clone());
        if self.calls.contains_key(&key) {
            return;
        }
        let owner = Owner::restore(now, self.timers, call, ringing);
        let was_ringing = owner.is_ringing();
        self.insert(key.clone(), owner);
        if was_ringing {
            self.with(&key, |owner, out| owner.fail(now, out));
        }
    }

    /// A device has left one call, as in [`Self::handle_detached`].
    pub fn handle_left(&mut self, now: Instant, address: &DeviceAddress, call_id: &CallId) {
        let key = (address.application.clone(), call_id.clone());
        self.with(&key, |owner, out| owner.handle_detached(now, address, out));
    }

    /// A device of an answered call came back from elsewhere, or of one that rings: as in [`Self::handle_attached`], for one call and
    /// without ringing. Whether it has a part in it.
    pub fn handle_back(&mut self, now: Instant, address: &DeviceAddress, live: &LiveCall) -> bool {
        let key = (address.application.clone(), live.call_id.clone());
        self.with(&key, |owner, out| owner.handle_attached(now, address, Some(live), false, out));
        self.involves(address, &live.call_id)
    }

    /// What the caller revealed did not get to the callee's node: said again it is passed on again.
    pub fn handle_unheard_reveal(&mut self, application: &ApplicationKey, call_id: &CallId) {
        self.with(&(application.clone(), call_id.clone()), |owner, _| owner.forget_reveal());
    }

    /// Says again to a device what a snapshot does not hold, about one call: see [`Self::handle_snapshot_sent`].
    pub fn handle_repeat(&mut self, address: &DeviceAddress, call_id: &CallId) {
        let key = (address.application.clone(), call_id.clone());
        self.with(&key, |owner, out| owner.resend(address, out));
    }

    /// The call cannot go on.
    pub fn handle_failed(&mut self, now: Instant, application: &ApplicationKey, call_id: &CallId) {
        let key = (application.clone(), call_id.clone());
        self.with(&key, |owner, out| owner.fail(now, out));
    }

    /// Another server has taken the call over: it is forgotten here, and nobody is told. Whether it was here.
    pub fn handle_lost(&mut self, application: &ApplicationKey, call_id: &CallId) -> bool {
        let key: CallKey = (application.clone(), call_id.clone());
        let Some(owner) = self.calls.get(&key) else { return false };
        if let Some(at) = owner.poll_timeout() {
            self.deadlines.remove(&(at, key.clone()));
        }
        self.remove(&key);
        true
    }

    /// The session of a device went to another server: it rings there, and its calls go on.
    pub fn handle_moved(&mut self, address: &DeviceAddress) {
        self.forget_device(address);
    }
}
