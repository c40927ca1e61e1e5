//! All calls of one server, and which devices are there to ring. Sans-IO: sockets, storage and limits are the server's.

mod control;
mod elsewhere;
mod taken_over;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use self::taken_over::TakenOver;
use super::owner::{DeviceAddress, Owner, OwnerOutput};
use super::{CallEndCause, CallRecord, CallTimers, CallView, Screening};
use crate::id::{ApplicationKey, CallId, DeviceId, UserId};
use crate::message::{
    CallStart, ClientMessage, Ended, Headers, LiveCall, ServerMessage, Snapshot, WireError,
};

/// Calls of one device at once.
const MOST_CALLS_PER_DEVICE: usize = 32;
/// Calls with all they have in one snapshot; with what is left of the others it stays below the frame limit.
const SNAPSHOT_BYTES: usize = 48 * 1024;

type CallKey = (ApplicationKey, CallId);
type UserKey = (ApplicationKey, UserId);

/// What the switchboard wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchboardOutput {
    /// Send a numbered event about a call to a device's session.
    Send {
        /// The device.
        to: DeviceAddress,
        /// The call.
        call_id: CallId,
        /// The event.
        message: ServerMessage,
    },
    /// A call was started and rings nobody before [`Switchboard::handle_verdict`] or its [`Screening`]'s time.
    Screen(CallView),
    /// A call that waited for a verdict rings from now on.
    Released(CallView),
    /// A call is over.
    Ended(CallRecord),
}

/// How many calls there are, by how far they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Nobody has answered.
    pub ringing: usize,
    /// Answered; no side has said that its media is connected.
    pub answered: usize,
    /// Media is connected.
    pub established: usize,
}

/// The machine. After every `handle_*`, drain [`Self::poll_output`] and ask [`Self::poll_timeout`] again.
#[derive(Debug)]
pub struct Switchboard {
    timers: CallTimers,
    screening: Option<Screening>,
    calls: BTreeMap<CallKey, Owner>,
    // The calls in which a user has a part: nothing that one user does may cost a search through the calls of all.
    calls_by_user: BTreeMap<UserKey, BTreeSet<CallId>>,
    devices: BTreeMap<UserKey, BTreeSet<DeviceId>>,
    deadlines: BTreeSet<(Instant, CallKey)>,
    over: TakenOver,
    outputs: VecDeque<SwitchboardOutput>,
    elsewhere: bool,
    rings_elsewhere: BTreeMap<elsewhere::Direction, BTreeSet<CallId>>,
}

impl Switchboard {
    /// A switchboard without calls.
    #[must_use]
    pub const fn new(timers: CallTimers) -> Self {
        Self {
            timers,
            screening: None,
            calls: BTreeMap::new(),
            calls_by_user: BTreeMap::new(),
            devices: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            over: TakenOver::new(),
            outputs: VecDeque::new(),
            elsewhere: false,
            rings_elsewhere: BTreeMap::new(),
        }
    }

    /// How many calls there are.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// How many calls there are, by how far they are.
    #[must_use]
    pub fn counts(&self) -> CallCounts {
        let mut counts = CallCounts::default();
        for owner in self.calls.values() {
            *match owner.is_established() {
                _ if owner.is_ringing() => &mut counts.ringing,
                true => &mut counts.established,
                false => &mut counts.answered,
            } += 1;
        }
        counts
    }

    /// Live calls of all applications, at most so many.
    #[must_use]
    pub fn all_calls(&self, now: Instant, most: usize) -> Vec<CallView> {
        self.calls.values().take(most).map(|owner| owner.view(now)).collect()
    }

    /// A device opened a new session: calls that ring for its user ring on it, and `live` calls that nobody knows are taken over.
    pub fn handle_attached(&mut self, now: Instant, address: &DeviceAddress, live: &[LiveCall]) {
        let user = (address.application.clone(), address.user.clone());
        self.devices.entry(user).or_default().insert(address.device.clone());
        for live in live.iter().take(MOST_CALLS_PER_DEVICE) {
            let key = (address.application.clone(), live.call_id.clone());
            if !self.calls.contains_key(&key) && !self.over.contains(&key) {
                self.insert(key, Owner::adopt(now, self.timers, address, live));
            }
        }
        for key in self.keys_of(address) {
            let live = live.iter().find(|live| live.call_id == key.1);
            let may_ring = self.may_ring(address);
            self.with(&key, |owner, out| owner.handle_attached(now, address, live, may_ring, out));
        }
    }

    /// A device was sent a snapshot because events are gone: says again, as events, what the snapshot does not hold.
    pub fn handle_snapshot_sent(&mut self, address: &DeviceAddress) {
        for key in self.keys_of(address) {
            self.with(&key, |owner, out| owner.resend(address, out));
        }
    }

    /// The connection of a device that has a session is back.
    pub fn handle_connected(&mut self, address: &DeviceAddress) {
        for key in self.keys_of(address) {
            self.with(&key, |owner, _| owner.handle_connected(address));
        }
    }

    /// The connection of a device is lost; its session may come back.
    pub fn handle_disconnected(&mut self, now: Instant, address: &DeviceAddress) {
        for key in self.keys_of(address) {
            self.with(&key, |owner, _| owner.handle_disconnected(now, address));
        }
    }

    /// The session of a device is gone for good.
    pub fn handle_detached(&mut self, now: Instant, address: &DeviceAddress) {
        self.forget_device(address);
        for key in self.keys_of(address) {
            self.with(&key, |owner, out| owner.handle_detached(now, address, out));
        }
    }

    fn forget_device(&mut self, address: &DeviceAddress) {
        let user = (address.application.clone(), address.user.clone());
        if let Some(devices) = self.devices.get_mut(&user) {
            devices.remove(&address.device);
            if devices.is_empty() {
                self.devices.remove(&user);
            }
        }
    }

    /// A device says something about a call.
    ///
    /// # Errors
    /// A [`WireError`] for the command's outcome; nothing changed then.
    pub fn handle_message(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        call_id: &CallId,
        message: ClientMessage,
    ) -> Result<(), WireError> {
        let key = (from.application.clone(), call_id.clone());
        if let ClientMessage::CallStart(start) = message {
            return self.start(now, from, key, start);
        }
        if !self.calls.contains_key(&key) {
            return Err(WireError::UnknownCall);
        }
        let mut result = Ok(());
        self.with(&key, |owner, out| result = owner.handle_message(now, from, message, out));
        result
    }

    /// All calls of a device. Descriptions and headers are left out where the frame would grow too large: see
    /// [`Self::handle_snapshot_sent`].
    #[must_use]
    pub fn snapshot_for(&self, address: &DeviceAddress) -> Snapshot {
        let mut room = SNAPSHOT_BYTES;
        let mut snapshot = Snapshot {
            calls: self
                .calls_of(&address.application, &address.user)
                .filter_map(|owner| owner.snapshot_for(address))
                .collect(),
        };
        for call in &mut snapshot.calls {
            // Escapes count: a control character takes six bytes.
            let size = serde_json::to_string(call).map_or(usize::MAX, |text| text.len());
            match room.checked_sub(size) {
                Some(left) => room = left,
                None => (call.sdp, call.headers) = (None, Headers::new()),
            }
        }
        snapshot
    }

    /// Whether a device has a call.
    #[must_use]
    pub fn is_in_call(&self, address: &DeviceAddress) -> bool {
        self.calls_of(&address.application, &address.user).any(|owner| owner.involves(address))
    }

    /// What the caller of a live call calls themselves.
    #[must_use]
    pub fn display_name(&self, application: &ApplicationKey, call_id: &CallId) -> Option<&str> {
        let owner = self.calls.get(&(application.clone(), call_id.clone()))?;
        owner.display_name()
    }

    /// Whether a call waits for somebody to answer, and for nothing else.
    #[must_use]
    pub fn is_waiting(&self, application: &ApplicationKey, call_id: &CallId) -> bool {
        let owner = self.calls.get(&(application.clone(), call_id.clone()));
        owner.is_some_and(|owner| owner.is_ringing() && !owner.is_screened())
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.deadlines.first().cloned()
            && at <= now
        {
            self.with(&key, |owner, out| owner.handle_timeout(now, out));
        }
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<SwitchboardOutput> {
        self.outputs.pop_front()
    }

    fn start(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        key: CallKey,
        start: CallStart,
    ) -> Result<(), WireError> {
        if self.calls.contains_key(&key) {
            return Err(WireError::DuplicateCall);
        }
        if !self.may_ring(from) {
            return Err(WireError::RateLimited);
        }
        if self.rings(&from.application, &start.to, &from.user) {
            // Glare: the other's call came first and already rings here; this one ends before the other's devices hear of it.
            self.end_unheard(from, key.1, start, CallEndCause::Canceled, Some(WireError::Glare));
            return Ok(());
        }
        let to_self = start.to == from.user;
        let devices = self.ringable(&from.application, &start.to, Some(&from.device).filter(|_| to_self));
        if to_self && devices.is_empty() && !self.elsewhere {
            // Whose devices are online is no secret from oneself: there is nothing to wait for.
            self.end_unheard(from, key.1, start, CallEndCause::Timeout, None);
            return Ok(());
        }
        let mut out = Vec::new();
        // Who is asked first rings nobody before.
        let devices = if self.screening.is_some() { Vec::new() } else { devices };
        let mut owner =
            Owner::start(now, self.timers, key.1.clone(), from, start, devices.into_iter(), &mut out);
        let screened = self.screening.map(|screening| {
            owner.screen(now, screening);
            owner.view(now)
        });
        self.insert(key.clone(), owner);
        self.publish(&key, out);
        self.outputs.extend(screened.map(SwitchboardOutput::Screen));
        Ok(())
    }

    /// Ends a call of which nobody but its caller has heard.
    fn end_unheard(
        &mut self,
        caller: &DeviceAddress,
        call_id: CallId,
        start: CallStart,
        cause: CallEndCause,
        error: Option<WireError>,
    ) {
        let message = ServerMessage::CallEnded(Ended { cause, error });
        let record = CallRecord::unheard(caller, call_id.clone(), start, cause, error);
        self.outputs.push_back(SwitchboardOutput::Send { to: caller.clone(), call_id, message });
        self.outputs.push_back(SwitchboardOutput::Ended(record));
    }

    /// Whether a call from `caller` to `callee` rings.
    pub(crate) fn rings(&self, application: &ApplicationKey, caller: &UserId, callee: &UserId) -> bool {
        self.ringing_call(application, caller, callee).is_some()
            || self.rings_elsewhere.contains_key(&(application.clone(), caller.clone(), callee.clone()))
    }

    /// The devices of a user that can have one more call, but for `but`.
    fn ringable(&self, application: &ApplicationKey, user: &UserId, but: Option<&DeviceId>) -> Vec<DeviceId> {
        let of_user = self.devices.get(&(application.clone(), user.clone()));
        let address = |device: &DeviceId| DeviceAddress {
            application: application.clone(),
            user: user.clone(),
            device: device.clone(),
        };
        let devices = of_user.into_iter().flatten().filter(|device| but != Some(*device));
        devices.filter(|device| self.may_ring(&address(device))).cloned().collect()
    }

    /// Whether a device can have one more call.
    fn may_ring(&self, address: &DeviceAddress) -> bool {
        let own = self.calls_of(&address.application, &address.user).filter(|owner| owner.involves(address));
        own.count() < MOST_CALLS_PER_DEVICE
    }

    fn calls_of(&self, application: &ApplicationKey, user: &UserId) -> impl Iterator<Item = &Owner> {
        let own = self.calls_by_user.get(&(application.clone(), user.clone()));
        let application = application.clone();
        own.into_iter().flatten().filter_map(move |id| self.calls.get(&(application.clone(), id.clone())))
    }

    fn keys_of(&self, address: &DeviceAddress) -> Vec<CallKey> {
        let own = self.calls_by_user.get(&(address.application.clone(), address.user.clone()));
        own.into_iter().flatten().map(|id| (address.application.clone(), id.clone())).collect()
    }

    fn insert(&mut self, key: CallKey, owner: Owner) {
        if let Some(at) = owner.poll_timeout() {
            self.deadlines.insert((at, key.clone()));
        }
        for user in [owner.caller(), owner.callee()] {
            self.calls_by_user.entry((key.0.clone(), user.clone())).or_default().insert(key.1.clone());
        }
        self.calls.insert(key, owner);
    }

    fn remove(&mut self, key: &CallKey) {
        let Some(owner) = self.calls.remove(key) else { return };
        for user in [owner.caller(), owner.callee()] {
            self.forget_call_of(&(key.0.clone(), user.clone()), &key.1);
        }
    }

    /// Runs `act` on a call and keeps its deadline and outputs in step.
    fn with(&mut self, key: &CallKey, act: impl FnOnce(&mut Owner, &mut Vec<OwnerOutput>)) {
        let Some(owner) = self.calls.get_mut(key) else { return };
        let mut out = Vec::new();
        let before = owner.poll_timeout();
        act(owner, &mut out);
        let after = owner.poll_timeout();
        if before != after {
            if let Some(at) = before {
                self.deadlines.remove(&(at, key.clone()));
            }
            if let Some(at) = after {
                self.deadlines.insert((at, key.clone()));
            }
        }
        self.publish(key, out);
    }

    fn publish(&mut self, key: &CallKey, out: Vec<OwnerOutput>) {
        for output in out {
            let output = match output {
                OwnerOutput::Send(to, message) => {
                    SwitchboardOutput::Send { to, call_id: key.1.clone(), message }
                }
                OwnerOutput::NoVerdict(now) => {
                    self.judge_unanswered(now, key);
                    continue;
                }
                OwnerOutput::Ended(record) => {
                    self.remove(key);
                    if record.taken_over {
                        self.over.note(key.clone());
                    }
                    SwitchboardOutput::Ended(record)
                }
            };
            self.outputs.push_back(output);
        }
    }
}
