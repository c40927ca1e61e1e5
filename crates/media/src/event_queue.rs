//! News for applications: bounded queues that any thread or task can read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Events that wait for a reader; after that the oldest give way.
const MOST_WAITING: usize = 256;

/// One reader's events. Reading never holds up who sends; a reader that does not read loses the oldest.
#[derive(Debug)]
pub struct Events<T>(Arc<Queue<T>>);

impl<T> Events<T> {
    /// The next event, when there is one.
    pub fn try_next(&mut self) -> Option<T> {
        self.0.lock().waiting.pop_front()
    }

    /// Waits for the next event; `None` after `timeout`, or when no more can come. Blocks.
    pub fn next_within(&mut self, timeout: Duration) -> Option<T> {
        let until = Instant::now() + timeout;
        let mut state = self.0.lock();
        loop {
            if let Some(event) = state.waiting.pop_front() {
                return Some(event);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self.0.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the next event; `None` when no more can come. Works with any executor.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As a `Stream` would have it.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match state.waiting.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Events lost because they were not read in time.
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }
}

#[derive(Debug)]
struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    reader: Option<Waker>,
    lost: u64,
    closed: bool,
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: T) {
        let mut state = self.lock();
        if state.waiting.len() == MOST_WAITING {
            state.waiting.pop_front();
            state.lost += 1;
        }
        state.waiting.push_back(event);
        self.wake(state);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let reader = state.reader.take();
        drop(state);
        self.arrived.notify_all();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The sending side: each reader gets its own copy.
#[derive(Debug)]
pub(crate) struct EventHub<T>(Mutex<Readers<T>>);

#[derive(Debug)]
struct Readers<T> {
    queues: Vec<Weak<Queue<T>>>,
    closed: bool,
}

impl<T> Default for EventHub<T> {
    fn default() -> Self {
        Self(Mutex::new(Readers { queues: Vec::new(), closed: false }))
    }
}

impl<T: Clone> EventHub<T> {
    /// A reader of what comes from now on; of the end only, when that was before.
    pub(crate) fn subscribe(&self) -> Events<T> {
        let mut readers = self.readers();
        let state = State { waiting: VecDeque::new(), reader: None, lost: 0, closed: readers.closed };
        let queue = Arc::new(Queue { state: Mutex::new(state), arrived: Condvar::new() });
        // Where nothing is ever sent, nothing else would forget readers that are gone.
        readers.queues.retain(|reader| reader.strong_count() > 0);
        readers.queues.push(Arc::downgrade(&queue));
        Events(queue)
    }

    pub(crate) fn send(&self, event: &T) {
        self.readers().queues.retain(|reader| match reader.upgrade() {
            Some(reader) => {
                reader.push(event.clone());
                true
            }
            None => false,
        });
    }
}

impl<T> EventHub<T> {
    fn readers(&self) -> MutexGuard<'_, Readers<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Readers learn the end after the last event.
    pub(crate) fn close(&self) {
        let mut readers = self.readers();
        readers.closed = true;
        for reader in readers.queues.iter().filter_map(Weak::upgrade) {
            reader.close();
        }
    }
}

impl<T> Drop for EventHub<T> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_read_loses_the_oldest() {
        let hub = EventHub::default();
        let mut events = hub.subscribe();
        (0..300).for_each(|n| hub.send(&n));
        assert_eq!((events.lost(), events.try_next()), (44, Some(44)));
    }

    #[test]
    fn readers_learn_the_end_after_the_last_event() {
        let hub = EventHub::default();
        let (mut one, mut two) = (hub.subscribe(), hub.subscribe());
        hub.send(&1);
        drop(hub);
        for events in [&mut one, &mut two] {
            assert_eq!(events.next_within(Duration::from_secs(5)), Some(1));
            assert_eq!(events.next_within(Duration::from_secs(5)), None);
            let cx = Context::from_waker(Waker::noop());
            assert_eq!(events.poll_next(&cx), Poll::Ready(None));
        }
    }

    #[test]
    fn who_comes_after_the_end_does_not_wait_for_it() {
        let hub = EventHub::<u8>::default();
        hub.close();
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(hub.subscribe().poll_next(&cx), Poll::Ready(None));
    }

    #[test]
    fn readers_that_are_gone_are_forgotten() {
        let hub = EventHub::<u8>::default();
        (0..100).for_each(|_| drop(hub.subscribe()));
        assert_eq!(hub.readers().queues.len(), 1);
    }

    #[test]
    fn who_waits_is_woken() {
        let hub = Arc::new(EventHub::default());
        let mut events = hub.subscribe();
        let sender = std::thread::spawn(move || hub.send(&7));
        assert_eq!(events.next_within(Duration::from_secs(10)), Some(7));
        sender.join().unwrap();
    }
}
