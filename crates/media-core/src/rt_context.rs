//! The mark of a function that runs on the real-time thread.

use std::marker::PhantomData;

use crate::units::MediaTime;

/// What every function of a tick gets. It is not `Send`: who holds one is on the real-time thread (or in a test that plays it), and
/// does not allocate, lock, log or call the system.
///
/// ```compile_fail
/// fn send<T: Send>(_: T) {}
/// send(offhook_media_core::rt_context::RtContext::new(offhook_media_core::units::MediaTime::ZERO));
/// ```
#[derive(Debug)]
pub struct RtContext {
    now: MediaTime,
    on_this_thread: PhantomData<*const ()>,
}

impl RtContext {
    /// The context of a tick at `now`. Made by the media thread and by simulations, once per tick.
    pub const fn new(now: MediaTime) -> Self {
        Self { now, on_this_thread: PhantomData }
    }

    /// The time of this tick.
    pub const fn now(&self) -> MediaTime {
        self.now
    }
}
