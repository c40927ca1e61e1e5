//! The sessions of one application, by user and device, and when those without a connection end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::session::ServerSession;
use offhook_signaling::{CallId, DeviceId, EntropySource, ServerMessage, UserId};

use super::Line;
use crate::close::CloseReason;
use crate::cluster::listing::SeenDevice;
use crate::outbox::Outbox;
use crate::store::millis;

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    // A user has few devices: a search through them is shorter than another table. Sorted, because they are listed in pages.
    users: BTreeMap<UserId, Vec<Entry>>,
    count: usize,
    deadlines: BTreeSet<(Instant, UserId, DeviceId)>,
}

/// A connection and since when it is open.
#[derive(Debug)]
struct Connection {
    number: u64,
    outbox: Outbox,
    since: Instant,
}

/// One session and its connection, if it has one now.
#[derive(Debug)]
pub(super) struct Entry {
    address: Arc<DeviceAddress>,
    pub(super) session: ServerSession,
    connection: Option<Connection>,
    /// The number of its first connection: what was said over earlier ones was another session's.
    first: Option<u64>,
    expires: Option<Instant>,
}

impl Sessions {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// How many have a connection now.
    pub(super) fn connected(&self) -> usize {
        self.users.values().flatten().filter(|entry| entry.connection.is_some()).count()
    }

    /// Frames that wait for connections to take them.
    pub(super) fn queued(&self) -> usize {
        let open = self.users.values().flatten().filter_map(|entry| entry.connection.as_ref());
        open.map(|connection| connection.outbox.queued()).sum()
    }

    pub(super) fn of_user(&self, user: &UserId) -> usize {
        self.users.get(user).map_or(0, Vec::len)
    }

    /// The devices of a user that have a connection now.
    pub(super) fn connected_of(&self, user: &UserId) -> impl Iterator<Item = &DeviceId> {
        let entries = self.users.get(user).into_iter().flatten();
        entries.filter(|entry| entry.connection.is_some()).map(|entry| &entry.address.device)
    }

    /// The devices of a user that have a connection at `now`, and for how long.
    pub(super) fn seen_of(&self, now: Instant, user: &UserId) -> Vec<SeenDevice> {
        let entries = self.users.get(user).into_iter().flatten();
        let seen = entries.filter_map(|entry| {
            let since = entry.connection.as_ref()?.since;
            let device = entry.address.device.clone();
            Some(SeenDevice { device, connected_ms: millis(now.saturating_duration_since(since)) })
        });
        seen.collect()
    }

    /// Users that have a session, by name.
    pub(super) fn users_after(&self, after: Option<&UserId>) -> impl Iterator<Item = &UserId> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.users.range::<UserId, _>((begin, Bound::Unbounded)).map(|(user, _)| user)
    }

    pub(super) fn addresses_of(&self, user: &UserId) -> Vec<Arc<DeviceAddress>> {
        self.users.get(user).into_iter().flatten().map(|entry| entry.address.clone()).collect()
    }

    pub(super) fn get(&self, address: &DeviceAddress) -> Option<&Entry> {
        self.users.get(&address.user)?.iter().find(|entry| entry.address.device == address.device)
    }

    pub(super) fn get_mut(&mut self, address: &DeviceAddress) -> Option<&mut Entry> {
        self.users.get_mut(&address.user)?.iter_mut().find(|entry| entry.address.device == address.device)
    }

    /// The session that this connection serves; `None` when another connection took its place.
    pub(super) fn of_line(&mut self, line: &Line) -> Option<&mut Entry> {
        let connection = line.connection;
        self.get_mut(&line.address)
            .filter(|entry| entry.connection.as_ref().is_some_and(|own| own.number == connection))
    }

    /// The session that this connection served, whatever serves it now; `None` when there is another in its place.
    pub(super) fn once_of_line(&mut self, line: &Line) -> Option<&mut Entry> {
        self.get_mut(&line.address).filter(|entry| entry.first.is_some_and(|first| first <= line.connection))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.users.values_mut().flatten()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Arc<DeviceAddress>> {
        self.users.values().flatten().map(|entry| entry.address.clone())
    }

    /// A fresh session; the device must not have one.
    pub(super) fn insert(
        &mut self,
        address: Arc<DeviceAddress>,
        source: &mut dyn EntropySource,
    ) -> &mut Entry {
        self.adopt(address, ServerSession::new(source))
    }

    /// A session of another node; the device must not have one here.
    pub(super) fn adopt(&mut self, address: Arc<DeviceAddress>, session: ServerSession) -> &mut Entry {
        let entry = Entry { address: address.clone(), session, connection: None, first: None, expires: None };
        self.count += 1;
        let entries = self.users.entry(address.user.clone()).or_default();
        let index = entries.len();
        entries.push(entry);
        &mut entries[index]
    }

    pub(super) fn remove(&mut self, address: &DeviceAddress) -> Option<Entry> {
        self.keep(address);
        let entries = self.users.get_mut(&address.user)?;
        let index = entries.iter().position(|entry| entry.address.device == address.device)?;
        let entry = entries.swap_remove(index);
        if entries.is_empty() {
            self.users.remove(&address.user);
        }
        self.count -= 1;
        Some(entry)
    }

    /// The session ends at this time unless its client comes back.
    pub(super) fn expire_at(&mut self, address: &DeviceAddress, at: Instant) {
        self.keep(address);
        if let Some(entry) = self.get_mut(address) {
            entry.expires = Some(at);
            self.deadlines.insert((at, address.user.clone(), address.device.clone()));
        }
    }

    /// The client came back.
    pub(super) fn keep(&mut self, address: &DeviceAddress) {
        if let Some(at) = self.get_mut(address).and_then(|entry| entry.expires.take()) {
            self.deadlines.remove(&(at, address.user.clone(), address.device.clone()));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, ..)| *at)
    }

    /// The sessions whose time is over.
    pub(super) fn expired(&self, now: Instant) -> Vec<Arc<DeviceAddress>> {
        let due = self.deadlines.iter().take_while(|(at, ..)| *at <= now);
        due.filter_map(|(_, user, device)| {
            let entries = self.users.get(user)?;
            entries.iter().find(|entry| entry.address.device == *device).map(|entry| entry.address.clone())
        })
        .collect()
    }

    /// The device of a user that has been without a connection for the longest time.
    pub(super) fn longest_absent(&self, user: &UserId) -> Option<Arc<DeviceAddress>> {
        let entries = self.users.get(user)?.iter().filter(|entry| entry.connection.is_none());
        entries.min_by_key(|entry| entry.expires).map(|entry| entry.address.clone())
    }
}

impl Entry {
    /// Gives the session away, and its connection, if there is one, to be closed.
    pub(super) fn into_session(mut self, reason: CloseReason) -> ServerSession {
        self.disconnect(reason);
        self.session
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn connect(&mut self, number: u64, outbox: Outbox, since: Instant) {
        self.first.get_or_insert(number);
        self.connection = Some(Connection { number, outbox, since });
    }

    /// Closes the connection, if there is one.
    pub(super) fn disconnect(&mut self, reason: CloseReason) {
        if let Some(connection) = self.connection.take() {
            connection.outbox.close(reason);
        }
    }

    /// The connection closed by itself.
    pub(super) fn forget_connection(&mut self) {
        self.connection = None;
    }

    /// Sends a frame as it is.
    pub(super) fn send(&self, text: String) {
        if let Some(connection) = &self.connection {
            connection.outbox.send(text);
        }
    }

    /// Sends a message that is not repeated after a reconnect.
    pub(super) fn say(&self, message: ServerMessage) {
        if self.connection.is_some() {
            self.send(self.session.unnumbered(message));
        }
    }

    /// Sends an event about a call, and keeps it for a reconnect.
    pub(super) fn event(&mut self, call_id: CallId, message: ServerMessage) {
        let text = self.session.event(Some(call_id), message);
        self.send(text);
    }
}
