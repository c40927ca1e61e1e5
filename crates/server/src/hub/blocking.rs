//! Who is blocked, after other nodes could not be heard for a while: blocks and their ends may have been missed.

use std::collections::HashSet;
use std::time::Instant;

use offhook_signaling::{ApplicationKey, UserId};

use super::{Command, Hub};
use crate::cluster::message::Eviction;
use crate::store::{Store, StoreError};

/// Users in one look.
const PAGE: usize = 1000;

/// What the store says of blocks.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Who was known to be blocked when it was asked.
    known: HashSet<UserId>,
    /// Who is.
    blocked: HashSet<UserId>,
}

impl Hub {
    /// Looks into the store, beside the hub.
    pub(super) fn look_who_is_blocked(&self) {
        let (store, application) = (self.records.store(), self.application.clone());
        let (own, known) = (self.own.clone(), self.blocked.clone());
        tokio::spawn(async move {
            match blocked_of(&*store, &application).await {
                Ok(blocked) => {
                    // A hub that is gone has no sessions.
                    if let Some(own) = own.upgrade() {
                        let _ = own.send(Command::Blocks(Blocks { known, blocked })).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "who was blocked meanwhile is not known"),
            }
        });
    }

    pub(super) fn take_blocks(&mut self, now: Instant, Blocks { known, blocked }: Blocks) {
        for user in known.difference(&blocked) {
            self.evict(now, user, None, Eviction::Unblocked);
        }
        // Who has no session is refused at the door.
        for user in blocked.difference(&known) {
            if self.sessions.of_user(user) > 0 {
                self.evict(now, user, None, Eviction::Blocked);
            }
        }
    }
}

async fn blocked_of(store: &dyn Store, application: &ApplicationKey) -> Result<HashSet<UserId>, StoreError> {
    let (mut blocked, mut after) = (HashSet::new(), None);
    loop {
        let page = store.blocked_users(application, after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(user, _)| user.clone());
        blocked.extend(page.into_iter().map(|(user, _)| user));
        if is_last {
            return Ok(blocked);
        }
    }
}
