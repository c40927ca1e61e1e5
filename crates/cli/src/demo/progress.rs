//! What the demo says on stderr while it runs.

use std::time::Instant;

use crate::terminal;

/// Lines with the time since the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    began: Instant,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub(super) fn say(self, what: &str) {
        terminal::say(&format!("{:8.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }
}
