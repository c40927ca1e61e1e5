//! The clocks and the randomness of this machine: the only places where the crate asks for them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use offhook_signaling::{EntropySource, UnixSeconds};

use crate::store::{UnixMillis, millis};

/// Random bytes of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OsEntropy;

impl OsEntropy {
    /// Whether the operating system gives random bytes; asked once at start.
    pub(crate) fn is_available() -> bool {
        getrandom::fill(&mut [0_u8; 32]).is_ok()
    }
}

impl EntropySource for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes)
            .expect("random bytes were available at start, and Linux never takes them away");
    }
}

/// The monotonic clock; stands still in a test that pauses tokio's time.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock.
pub(crate) fn wall() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(since.as_secs())
}

/// The wall clock, finer.
pub(crate) fn wall_millis() -> UnixMillis {
    UnixMillis(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}
