//! Waking at a time.
//!
//! The timers of tokio go off up to a millisecond late, and each one that is set for an earlier time than those before wakes its own thread once
//! more. A driver sets one after every packet.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

pub(crate) use kind::Alarm;

/// Whether a runtime needs tokio's time for alarms.
pub(crate) const NEEDS_TOKIO_TIME: bool = cfg!(not(target_os = "linux"));

/// What comes of `future` within this time; `None` when it takes longer.
///
/// # Errors
/// The system has no timer left.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> io::Result<Option<T>> {
    let end = Instant::now() + limit;
    let (mut alarm, mut future) = (Alarm::new()?, pin!(future));
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(outcome) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        loop {
            let now = Instant::now();
            if now >= end {
                return Poll::Ready(None);
            }
            alarm.set(now, end);
            if alarm.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    });
    Ok(outcome.await)
}

#[cfg(target_os = "linux")]
mod kind {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::{Duration, Instant};

    use crate::readable::Readable;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// A time of zero would stop it.
    const LEAST: Duration = Duration::from_nanos(1);

    /// One timer of the system, for one task.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        timer: Readable<OwnedFd>,
        set: Option<Instant>,
    }

    impl Alarm {
        /// One that is not set. For the runtime it is called in.
        pub(crate) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self { timer: Readable::new(timer)?, set: None })
        }

        /// Goes off at `at`, and not when it was set to before; it is `now`.
        pub(crate) fn set(&mut self, now: Instant, at: Instant) {
            if self.set == Some(at) {
                return;
            }
            let left = at.saturating_duration_since(now).max(LEAST);
            let once = Itimerspec {
                it_interval: Timespec::default(),
                // A time that is out of range is too far away to matter.
                it_value: Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }),
            };
            // It only refuses times that are no times.
            self.set =
                timerfd_settime(self.timer.get(), TimerfdTimerFlags::empty(), &once).is_ok().then_some(at);
        }

        /// Ready once after it went off; now and then also without that.
        pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            // What is not read of it does no harm: setting it anew begins anew.
            ready!(self.timer.poll(cx));
            self.timer.forget();
            self.set = None;
            Poll::Ready(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kind {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Instant;

    use tokio::time::{Sleep, sleep_until};

    /// A timer of tokio.
    #[derive(Debug)]
    pub(crate) struct Alarm(Pin<Box<Sleep>>);

    impl Alarm {
        /// One that goes off at once. For the runtime it is called in.
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self(Box::pin(sleep_until(Instant::now().into()))))
        }

        /// Goes off at `at`, and not when it was set to before; it is `now`.
        pub(crate) fn set(&mut self, _now: Instant, at: Instant) {
            self.0.as_mut().reset(at.into());
        }

        /// Ready after it went off.
        pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.as_mut().poll(cx)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::{Duration, Instant};

    use super::{Alarm, within};

    /// Waits until it is `at` by this alarm; how often it went off.
    async fn wait(alarm: &mut Alarm, at: Instant) -> u32 {
        let mut times = 0;
        while Instant::now() < at {
            alarm.set(Instant::now(), at);
            poll_fn(|cx| alarm.poll(cx)).await;
            times += 1;
        }
        times
    }

    #[tokio::test]
    async fn it_goes_off_at_its_time_again_and_again() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..20 {
            let times = wait(&mut alarm, Instant::now() + Duration::from_millis(2)).await;
            assert!((1..=2).contains(&times), "{times}");
        }
    }

    #[test]
    fn what_takes_too_long_is_not_waited_for() {
        // As the media drivers run: without what tokio's own timers need.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        if super::NEEDS_TOKIO_TIME {
            runtime.enable_time();
        }
        runtime.enable_io().build().unwrap().block_on(async {
            assert_eq!(within(Duration::from_secs(3600), std::future::ready(1)).await.unwrap(), Some(1));
            let (begin, short) = (Instant::now(), Duration::from_millis(5));
            assert_eq!(within(short, std::future::pending::<()>()).await.unwrap(), None);
            assert!(begin.elapsed() >= short);
        });
    }

    #[tokio::test]
    async fn a_time_that_has_passed_is_now_and_another_time_takes_the_place_of_the_first() {
        let mut alarm = Alarm::new().unwrap();
        let now = Instant::now();
        alarm.set(now, now - Duration::from_secs(1));
        poll_fn(|cx| alarm.poll(cx)).await;
        alarm.set(now, now + Duration::from_secs(3600));
        assert!(wait(&mut alarm, Instant::now() + Duration::from_millis(5)).await >= 1);
    }
}
