//! Notices that a certificate was renewed, and tells when it ends.

use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::UnixSeconds;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::interval;

use super::{Current, TlsDoor, TlsError};
use crate::config::TlsFiles;
use crate::environment;
use crate::metrics::Metrics;
use crate::server::StopSign;

/// Between two looks at the files.
const LOOKING: Duration = Duration::from_secs(5);
/// Whoever renews certificates does it long before.
const SOON: u64 = 7 * DAY;
const DAY: u64 = 86_400;

/// What the files hold, to tell it from other contents; nothing where one cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents(Option<[u8; 32]>);

impl Contents {
    pub(super) fn of(files: &TlsFiles) -> Self {
        let hash = |path| std::fs::read(path).ok().map(Sha256::digest);
        let both = hash(&files.certificate).zip(hash(&files.key));
        Self(both.map(|(certificate, key)| {
            Sha256::new().chain_update(certificate).chain_update(key).finalize().into()
        }))
    }
}

/// When to read the files again. Chain and key are written one after the other: what two looks see the same is whole.
#[derive(Debug)]
pub(super) struct Renewal {
    read: Contents,
    seen: Contents,
}

impl Renewal {
    pub(super) const fn new(read: Contents) -> Self {
        Self { read, seen: read }
    }

    /// They are being read.
    pub(super) const fn note_read(&mut self, contents: Contents) {
        (self.read, self.seen) = (contents, contents);
    }

    /// What is in them now; whether to read them.
    pub(super) fn handle_look(&mut self, contents: Contents) -> bool {
        let is_whole = std::mem::replace(&mut self.seen, contents) == contents;
        is_whole && contents != self.read
    }
}

/// Looks until the server stops, and warns of a certificate that ends.
pub(crate) async fn watch(door: Arc<TlsDoor>, metrics: Arc<Metrics>, mut stop: StopSign) {
    let mut ticks = interval(LOOKING);
    let mut warned = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.draining() => return,
        }
        let looking = door.clone();
        // The files may be on a slow disk.
        if let Ok(Some(read)) = spawn_blocking(move || looking.reload_if_renewed()).await {
            note(&read, &metrics);
        }
        let now = environment::wall();
        if let Some(left) = warning(door.current().ends, now, &mut warned) {
            tracing::warn!(days = left / DAY, "the certificate ends soon or has ended: renew it");
        }
    }
}

/// Tells how reading the files went.
pub(crate) fn note(read: &Result<Arc<Current>, TlsError>, metrics: &Metrics) {
    metrics.note_certificate(read.is_ok());
    match read {
        Ok(current) => {
            tracing::info!(ends = current.ends.map(|ends| ends.0), "the certificate was read again")
        }
        Err(error) => tracing::error!(%error, "the certificate that was in use stays in use"),
    }
}

/// The seconds that are left, once a day when they are few.
fn warning(ends: Option<UnixSeconds>, now: UnixSeconds, warned: &mut Option<u64>) -> Option<u64> {
    let left = ends?.0.saturating_sub(now.0);
    let today = now.0 / DAY;
    let is_due = left < SOON && *warned != Some(today);
    is_due.then(|| {
        *warned = Some(today);
        left
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Contents = Contents(Some([1; 32]));
    const TORN: Contents = Contents(Some([2; 32]));
    const NEW: Contents = Contents(Some([3; 32]));

    #[test]
    fn files_are_read_once_when_they_have_changed_and_are_whole() {
        let mut renewal = Renewal::new(OLD);
        assert!(!renewal.handle_look(OLD));
        assert!(!renewal.handle_look(TORN), "it may be half of a renewal");
        assert!(!renewal.handle_look(NEW));
        assert!(renewal.handle_look(NEW));
        renewal.note_read(NEW);
        assert!(!renewal.handle_look(NEW), "whether it could be used or not");
        assert!(!renewal.handle_look(Contents(None)));
        assert!(renewal.handle_look(Contents(None)), "that they are gone is told");
    }

    #[test]
    fn a_certificate_that_ends_is_told_once_a_day() {
        let (ends, mut warned) = (Some(UnixSeconds(100 * DAY)), None);
        assert_eq!(warning(ends, UnixSeconds(93 * DAY), &mut warned), None);
        assert_eq!(warning(ends, UnixSeconds(93 * DAY + 1), &mut warned), Some(7 * DAY - 1));
        assert_eq!(warning(ends, UnixSeconds(93 * DAY + 6), &mut warned), None);
        assert_eq!(warning(ends, UnixSeconds(94 * DAY), &mut warned), Some(6 * DAY));
        assert_eq!(warning(ends, UnixSeconds(200 * DAY), &mut warned), Some(0));
        assert_eq!(warning(None, UnixSeconds(200 * DAY), &mut None), None);
    }
}
