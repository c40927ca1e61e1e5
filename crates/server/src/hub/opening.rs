//! How devices come by their sessions: the old one when they name it, from another node where that one has it, else a new one.

use std::time::{Duration, Instant};

use offhook_signaling::ServerMessage;
use offhook_signaling::call::{CallTimers, DeviceAddress};
use offhook_signaling::message::{IssuedCredential, Limits, LiveCall, Resume, Snapshot, Welcome, WireError};
use offhook_signaling::session::ServerSession;

use super::far::Early;
use super::locate::{Resolved, Seeker};
use super::sessions::Entry;
use super::{Command, Hub, Line, Open};
use crate::close::CloseReason;
use crate::cluster::message::{Device, DeviceEvent};
use crate::config::ServerConfig;
use crate::environment::{self, OsEntropy};
use crate::metrics::SessionOpening;
use crate::outbox::Outbox;
use crate::turn::IceIssuer;

impl Hub {
    /// Gives a device its session: the old one when it names it, else a new one.
    pub(super) fn open(&mut self, now: Instant, mut open: Open) {
        let known = self.sessions.get(&open.address).map(|entry| entry.session.id());
        let resumes = known.is_some() && known == open.resume.as_ref().map(|resume| &resume.session);
        let is_known = open.resume.is_some() || !open.calls.is_empty();
        if !resumes && is_known && open.resolved.is_none() && self.far.is_some() {
            return self.look_elsewhere(open);
        }
        if !resumes {
            // The application on the device was started anew, and its old calls have nobody to talk; or it never saw the welcome of who took
            // them over, and still talks.
            let goes_on = self.far.is_some() || self.takes_over(now, open.resume.as_ref());
            let calls = open.calls.iter().filter(|_| goes_on).map(|call| call.call_id.clone()).collect();
            self.replace(now, &open.address, &calls);
            if self.records.are_pending() {
                return self.open_or_hold(now, Box::new(open));
            }
        }
        if let Some(resolved) = open.resolved.take() {
            return self.open_resolved(now, open, *resolved);
        }
        if self.blocked.contains(&open.address.user) {
            // The connection may be gone already; then nobody needs to know.
            let _ = open.opened.send(Err(CloseReason::Refused(WireError::UserBlocked)));
            return;
        }
        if !resumes && let Err(reason) = self.make_room(now, &open.address) {
            // The connection may be gone already; then nobody needs to know.
            let _ = open.opened.send(Err(reason));
            return;
        }
        self.connections += 1;
        let line = Line { address: open.address.clone(), from: open.from, connection: self.connections };
        // A connection that is gone by now reports `Closed` with this very line, or never learns of it.
        if open.opened.send(Ok(line.clone())).is_err() {
            return;
        }
        if resumes {
            self.resume(now, &line, open.resume, open.credential, open.outbox);
        } else {
            let calls = if self.takes_over(now, open.resume.as_ref()) { open.calls } else { Vec::new() };
            self.begin(now, &line, (&calls, true), open.credential, open.outbox);
        }
    }

    /// Whether the calls that a device remembers outlived an earlier server. Later, and when this very server had the
    /// session, a call that is not known here has ended.
    fn takes_over(&self, now: Instant, resume: Option<&Resume>) -> bool {
        let young = now.duration_since(self.started) < self.config.calls.resume + self.config.sessions.resume;
        young && resume.is_some_and(|resume| resume.epoch != self.epoch)
    }

    fn resume(
        &mut self,
        now: Instant,
        line: &Line,
        resume: Option<Resume>,
        credential: Option<IssuedCredential>,
        outbox: Outbox,
    ) {
        let snapshot = self.snapshot_for(&line.address);
        let Some(entry) = self.sessions.get_mut(&line.address) else { return };
        entry.disconnect(CloseReason::Gone);
        let missed = resume.and_then(|resume| entry.session.handle_resume(&resume));
        entry.connect(line.connection, outbox, now);
        let welcome = welcome(&self.config, &self.issuer, &self.epoch, entry, missed.is_some(), credential);
        entry.say(welcome);
        let is_replayed = missed.is_some();
        if let Some(missed) = missed {
            missed.into_iter().for_each(|text| entry.send(text));
        } else {
            entry.session.handle_ack(entry.session.last_seq());
            entry.say(ServerMessage::Snapshot(snapshot));
            self.board.handle_snapshot_sent(&line.address);
        }
        self.metrics.note_session(if is_replayed {
            SessionOpening::Resumed
        } else {
            SessionOpening::Snapshot
        });
        self.sessions.keep(&line.address);
        self.board.handle_connected(&line.address);
        self.tell_owners(&line.address, DeviceEvent::Connected);
        if !is_replayed {
            self.tell_owners(&line.address, DeviceEvent::SnapshotSent);
        }
    }

    pub(super) fn begin(
        &mut self,
        now: Instant,
        line: &Line,
        (calls, is_fresh): (&[LiveCall], bool),
        credential: Option<IssuedCredential>,
        outbox: Outbox,
    ) {
        let entry = self.sessions.insert(line.address.clone(), &mut OsEntropy);
        entry.connect(line.connection, outbox, now);
        self.announce(&line.address, is_fresh);
        self.board.handle_attached(now, &line.address, calls);
        let snapshot = self.snapshot_for(&line.address);
        let Some(entry) = self.sessions.get_mut(&line.address) else { return };
        let welcome = welcome(&self.config, &self.issuer, &self.epoch, entry, false, credential);
        entry.say(welcome);
        entry.say(ServerMessage::Snapshot(snapshot));
        self.metrics.note_session(SessionOpening::New);
        tracing::debug!(user = %line.address.user, device = %line.address.device, "session opened");
    }

    /// Makes sure that one more device fits; a device that is not connected now gives way.
    pub(super) fn make_room(&mut self, now: Instant, address: &DeviceAddress) -> Result<(), CloseReason> {
        let config = self.config.clone();
        let echo = config.echo.as_ref().map(|echo| &echo.user);
        if echo == Some(&address.user) {
            return Ok(());
        }
        if self.sessions.of_user(&address.user) >= self.config.limits.devices_per_user {
            let absent = self.sessions.longest_absent(&address.user).ok_or(CloseReason::Limited)?;
            self.detach(now, &absent, CloseReason::Gone);
        }
        // The echo user's device takes nobody's place.
        let own = echo.map_or(0, |echo| self.sessions.of_user(echo));
        if self.sessions.len() - own >= self.config.limits.devices_per_application {
            return Err(CloseReason::Limited);
        }
        Ok(())
    }

    /// Another node may have the session of this device, or its calls: they are looked for beside the hub.
    fn look_elsewhere(&mut self, mut open: Open) {
        let Some(far) = &mut self.far else { return };
        let device = Device::of(&open.address);
        // What other nodes say to the device from now on waits for its session.
        far.arriving.entry(device).or_default();
        let seeker = Seeker {
            cluster: far.cluster.clone(),
            store: self.records.store(),
            address: open.address.clone(),
        };
        let (resume, calls, own) = (open.resume.clone(), open.calls.clone(), self.own.clone());
        tokio::spawn(async move {
            open.resolved = Some(Box::new(seeker.resolve(resume, calls).await));
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Open(Box::new(open))).await;
            }
        });
    }

    /// Opens the session of a device that was looked for elsewhere.
    fn open_resolved(&mut self, now: Instant, open: Open, resolved: Resolved) {
        let device = Device::of(&open.address);
        let early = self.far.as_mut().and_then(|far| far.arriving.remove(&device)).unwrap_or_default();
        self.take_over_calls(now, &resolved, &device);
        let Open { address, from, resume, calls, credential, outbox, opened, .. } = open;
        let refused = if self.blocked.contains(&address.user) {
            Some(CloseReason::Refused(WireError::UserBlocked))
        } else if resolved.is_incomplete {
            // The calls go on without us; the client comes back in a moment.
            Some(CloseReason::Internal)
        } else {
            self.make_room(now, &address).err()
        };
        self.connections += 1;
        let line = Line { address: address.clone(), from, connection: self.connections };
        let is_welcome = refused.is_none();
        // The connection may be gone already.
        let is_there = opened.send(refused.map_or_else(|| Ok(line.clone()), Err)).is_ok() && is_welcome;
        let owned: Vec<LiveCall> =
            calls.into_iter().filter(|call| self.board.owns(&address.application, &call.call_id)).collect();
        let mut is_whole = false;
        match resolved.session {
            Some(state) => {
                let session = ServerSession::take_over(now, *state);
                let entry = self.sessions.adopt(address.clone(), session);
                if is_there {
                    entry.connect(line.connection, outbox, now);
                }
                self.announce(&address, false);
                self.board.handle_attached(now, &address, &owned);
                if is_there {
                    let resume = resume.map(|resume| resume.last_seq);
                    is_whole = self.go_on(&line, resume.unwrap_or_default(), credential);
                } else {
                    self.absent(now, &address);
                }
            }
            None if is_there => self.begin(now, &line, (&owned, false), credential, outbox),
            // Nobody is here, and nobody was: its calls wait for it elsewhere.
            None => {
                self.tell_owners(&address, DeviceEvent::Disconnected);
                self.leave_all(&device);
                return;
            }
        }
        if is_there {
            self.tell_owners(&address, DeviceEvent::Connected);
            if !is_whole {
                self.tell_owners(&address, DeviceEvent::SnapshotSent);
            }
        } else {
            self.tell_owners(&address, DeviceEvent::Disconnected);
        }
        for call_id in self.board.calls_with(&address) {
            self.send_unsent(&address, &call_id);
        }
        for Early { owner, call, message } in early {
            self.deliver(owner, device.clone(), call, message);
        }
    }

    /// Goes on with a session of another node, at the event after `last_seq`. Whether all events after it are still there.
    fn go_on(&mut self, line: &Line, last_seq: u64, credential: Option<IssuedCredential>) -> bool {
        let snapshot = self.snapshot_for(&line.address);
        let Some(entry) = self.sessions.get_mut(&line.address) else { return false };
        let missed = entry.session.replay(last_seq);
        let welcome = welcome(&self.config, &self.issuer, &self.epoch, entry, missed.is_some(), credential);
        entry.say(welcome);
        match missed {
            Some(missed) => {
                entry.session.handle_ack(last_seq);
                missed.into_iter().for_each(|text| entry.send(text));
                self.metrics.note_session(SessionOpening::Resumed);
                true
            }
            None => {
                entry.session.handle_ack(entry.session.last_seq());
                entry.say(ServerMessage::Snapshot(snapshot));
                self.board.handle_snapshot_sent(&line.address);
                self.metrics.note_session(SessionOpening::Snapshot);
                false
            }
        }
    }

    /// All calls of a device, whatever node has them.
    fn snapshot_for(&self, address: &DeviceAddress) -> Snapshot {
        let mut snapshot = self.board.snapshot_for(address);
        if let Some(far) = &self.far {
            snapshot.calls.extend(far.snapshots_of(&Device::of(address)));
        }
        snapshot
    }

    /// The session waits for its client, longer when it is in a call.
    pub(super) fn absent(&mut self, now: Instant, address: &DeviceAddress) {
        let is_elsewhere = self.far.as_ref().is_some_and(|far| far.count_of(&Device::of(address)) > 0);
        let in_call = is_elsewhere || self.board.is_in_call(address);
        let wait = session_window(&self.config.calls, self.config.sessions.resume, in_call);
        self.sessions.expire_at(address, now + wait);
        self.board.handle_disconnected(now, address);
    }
}

fn session_window(calls: &CallTimers, resume: Duration, in_call: bool) -> Duration {
    if in_call { resume.max(calls.resume) } else { resume }
}

fn welcome(
    config: &ServerConfig,
    issuer: &IceIssuer,
    epoch: &str,
    entry: &mut Entry,
    resumed: bool,
    credential: Option<IssuedCredential>,
) -> ServerMessage {
    let heartbeat = u32::try_from(config.sessions.heartbeat.as_millis()).unwrap_or(u32::MAX);
    ServerMessage::Welcome(Box::new(Welcome {
        session: entry.session.id().clone(),
        resume_token: entry.session.rotate_token(&mut OsEntropy),
        epoch: epoch.to_owned(),
        resumed,
        heartbeat_ms: heartbeat,
        limits: Limits::default(),
        server_time: environment::wall(),
        ice_servers: issuer.fixed().to_vec(),
        credential,
    }))
}
