//! Whose registrations were ended while other nodes could not be heard: their sessions here end, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{SessionId, UnixSeconds, UserId};

use super::blocking::patiently;
use super::{Command, Hub};
use crate::close::CloseReason;

/// A session, and by its id that it is still the same.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    address: Arc<DeviceAddress>,
    id: SessionId,
}

/// Whether the store is being asked: several nodes come back in the same moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Looking {
    #[default]
    Not,
    Now,
    /// And once more after that, for what happened before another node was heard.
    Again,
}

impl Hub {
    /// Looks into the store, beside the hub, for the registrations of all that have a session here.
    pub(super) fn look_who_is_registered(&mut self) {
        if self.looking != Looking::Not {
            self.looking = Looking::Again;
            return;
        }
        self.looking = Looking::Now;
        let echo = self.config.echo.as_ref().map(|echo| &echo.user);
        let mut sessions: BTreeMap<UserId, Vec<Session>> = BTreeMap::new();
        for address in self.sessions.addresses().filter(|address| Some(&address.user) != echo) {
            let Some(entry) = self.sessions.get(&address) else { continue };
            let session = Session { address: address.clone(), id: entry.session.id().clone() };
            sessions.entry(address.user.clone()).or_default().push(session);
        }
        let (store, application, own) = (self.records.store(), self.application.clone(), self.own.clone());
        tokio::spawn(async move {
            let mut gone = Vec::new();
            for (user, sessions) in sessions {
                // One that has ended by itself is forgotten later: its device was let in.
                let registered =
                    || store.devices(&application, Some(&user), UnixSeconds(0), None, usize::MAX);
                let Some(registered) = patiently(registered).await else { break };
                gone.extend(
                    sessions.into_iter().filter(|session| {
                        !registered.iter().any(|record| record.address == *session.address)
                    }),
                );
            }
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Unregistered(gone)).await;
            }
        });
    }

    pub(super) fn take_unregistered(&mut self, now: Instant, gone: Vec<Session>) {
        if std::mem::take(&mut self.looking) == Looking::Again {
            self.look_who_is_registered();
        }
        for Session { address, id } in gone {
            // Whoever began anew meanwhile was let in anew.
            if self.sessions.get(&address).is_some_and(|entry| *entry.session.id() == id) {
                self.detach(now, &address, CloseReason::Revoked);
            }
        }
    }
}
