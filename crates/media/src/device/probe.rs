//! Counts allocations where there must be none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Watches real-time code from its first to its last line. Without a counter it does nothing.
#[derive(Debug, Clone, Default)]
pub struct RealTimeProbe {
    counter: Option<fn() -> u64>,
    allocations: Arc<AtomicU64>,
}

impl RealTimeProbe {
    /// `counter` tells how often the calling thread has allocated or freed memory so far.
    pub fn new(counter: Option<fn() -> u64>) -> Self {
        Self { counter, allocations: Arc::default() }
    }

    /// Allocations seen; `None` without a counter.
    pub fn allocations(&self) -> Option<u64> {
        self.counter.map(|_| self.allocations.load(Relaxed))
    }

    pub(crate) fn enter(&self) -> u64 {
        self.counter.map_or(0, |count| count())
    }

    pub(crate) fn leave(&self, before: u64) {
        if let Some(count) = self.counter {
            let made = count().wrapping_sub(before);
            if made > 0 {
                self.allocations.fetch_add(made, Relaxed);
            }
        }
    }
}
