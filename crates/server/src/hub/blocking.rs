//! Who is blocked, after other nodes could not be heard for a while: blocks and their ends may have been missed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use offhook_signaling::{ApplicationKey, UserId};
use tokio::time::sleep;

use super::{Command, Hub};
use crate::cluster::message::Eviction;
use crate::store::{Store, StoreError};

/// Users in one look.
const PAGE: usize = 1000;
/// Between two looks into a store that does not answer.
const PAUSE: Duration = Duration::from_secs(3);
const TRIES: usize = 40;

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
            let Some(blocked) = patiently(|| blocked_of(&*store, &application)).await else { return };
            // A hub that is gone has no sessions.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Blocks(Blocks { known, blocked })).await;
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

/// What the store says, which may be a while behind a network that was parted, too; nothing when it does not come back.
pub(super) async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    look: impl Fn() -> F,
) -> Option<T> {
    for tries in 1.. {
        match look().await {
            Ok(found) => return Some(found),
            Err(error) if tries < TRIES => {
                tracing::debug!(%error, "what happened meanwhile is not known yet");
                sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, "who was blocked or revoked meanwhile is not known");
                break;
            }
        }
    }
    None
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
