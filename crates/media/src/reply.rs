//! An answer that comes from another thread: wait for it, or await it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The outcome of a change that a device thread makes. A future for any executor; [`wait`](Self::wait) blocks instead. Dropping it does not
/// undo the change.
#[derive(Debug)]
#[must_use = "await it or call wait() to learn whether it worked"]
pub struct Reply<T>(Arc<Cell<T>>);

impl<T> Reply<T> {
    /// Blocks until the answer is there; `None` after `timeout`, or when whoever would answer is gone.
    pub fn wait(self, timeout: Duration) -> Option<T> {
        let until = Instant::now() + timeout;
        let mut state = self.0.lock();
        loop {
            if let Some(value) = state.value.take() {
                return Some(value);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.abandoned || left.is_zero() {
                return None;
            }
            state = self.0.answered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Future for Reply<T> {
    /// `None` when whoever would answer is gone.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.value.take() {
            Some(value) => Poll::Ready(Some(value)),
            None if state.abandoned => Poll::Ready(None),
            None => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Debug)]
struct Cell<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    abandoned: bool,
    waiting: Option<Waker>,
}

impl<T> Cell<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, value: Option<T>) {
        let mut state = self.lock();
        state.abandoned = value.is_none() && state.value.is_none();
        if value.is_some() {
            state.value = value;
        }
        let waiting = state.waiting.take();
        drop(state);
        self.answered.notify_all();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// Who owes the answer.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Cell<T>>);

impl<T> Answer<T> {
    pub(crate) fn send(self, value: T) {
        self.0.settle(Some(value));
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.0.settle(None);
    }
}

pub(crate) fn reply<T>() -> (Answer<T>, Reply<T>) {
    let state = State { value: None, abandoned: false, waiting: None };
    let cell = Arc::new(Cell { state: Mutex::new(state), answered: Condvar::new() });
    (Answer(Arc::clone(&cell)), Reply(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_who_waits() {
        let (answer, reply) = reply();
        let other = std::thread::spawn(move || answer.send(3));
        assert_eq!(reply.wait(Duration::from_secs(10)), Some(3));
        other.join().unwrap();
    }

    #[test]
    fn an_answer_that_never_comes_is_known() {
        let (answer, mut pending) = reply::<u8>();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pending).poll(&mut cx).is_pending());
        drop(answer);
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(None));
    }
}
