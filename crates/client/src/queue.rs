//! News for applications: bounded queues that any number of tasks can read, each at its own pace.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

/// Events that wait for a reader; after that the oldest give way, so that the newest (an end above all) is never lost.
const MOST_WAITING: usize = 256;
/// Events a reader that comes later still gets, where a hub remembers.
const MOST_REMEMBERED: usize = 64;

/// One reader's events. Reading never holds up who sends; a reader that does not read loses the oldest.
///
/// It is a [`Stream`] too. After the last event that can come it says `None`.
#[derive(Debug)]
pub struct EventStream<T>(Arc<Queue<T>>);

impl<T> EventStream<T> {
    /// Waits for the next event; `None` when no more can come. Cancel safe.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.0.poll(cx)).await
    }

    /// The next event, when there is one now.
    pub fn try_next(&mut self) -> Option<T> {
        self.0.lock().waiting.pop_front()
    }

    /// Events lost because they were not read in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }

    /// As [`next`](Self::next), for several tasks that share this reader: each event goes to one of them.
    pub(crate) async fn next_shared(&self) -> Option<T> {
        poll_fn(|cx| self.0.poll(cx)).await
    }
}

impl<T> Stream for EventStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll(cx)
    }
}

#[derive(Debug)]
struct Queue<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    readers: Vec<Waker>,
    lost: u64,
    closed: bool,
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                if !state.readers.iter().any(|known| known.will_wake(cx.waker())) {
                    state.readers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        let mut state = self.lock();
        change(&mut state);
        let readers = std::mem::take(&mut state.readers);
        drop(state);
        readers.into_iter().for_each(Waker::wake);
    }
}

/// The sending side: each reader gets its own copy.
#[derive(Debug)]
pub(crate) struct EventHub<T>(Mutex<HubState<T>>);

#[derive(Debug)]
struct HubState<T> {
    readers: Vec<Weak<Queue<T>>>,
    remembers: bool,
    history: VecDeque<T>,
    closed: bool,
}

impl<T: Clone> EventHub<T> {
    /// Readers get what comes after they subscribed.
    pub(crate) fn new() -> Self {
        Self::with(false)
    }

    /// Readers get what came before they subscribed, too.
    pub(crate) fn remembering() -> Self {
        Self::with(true)
    }

    fn with(remembers: bool) -> Self {
        let state = HubState { readers: Vec::new(), remembers, history: VecDeque::new(), closed: false };
        Self(Mutex::new(state))
    }

    /// A new reader.
    pub(crate) fn subscribe(&self) -> EventStream<T> {
        let mut hub = self.lock();
        let waiting = hub.history.clone();
        let state = State { waiting, readers: Vec::new(), lost: 0, closed: hub.closed };
        let queue = Arc::new(Queue(Mutex::new(state)));
        // Where nothing is sent for long, nothing else would forget readers that are gone.
        hub.readers.retain(|reader| reader.strong_count() > 0);
        hub.readers.push(Arc::downgrade(&queue));
        EventStream(queue)
    }

    /// To every reader; after [`close`](Self::close) to nobody.
    pub(crate) fn send(&self, event: &T) {
        let mut hub = self.lock();
        if hub.closed {
            return;
        }
        if hub.remembers {
            push_bounded(&mut hub.history, event.clone(), MOST_REMEMBERED);
        }
        hub.readers.retain(|reader| match reader.upgrade() {
            Some(reader) => {
                reader.change(|state| {
                    state.lost += u64::from(push_bounded(&mut state.waiting, event.clone(), MOST_WAITING));
                });
                true
            }
            None => false,
        });
    }

    /// No more events: readers see the end after what waits for them.
    pub(crate) fn close(&self) {
        let mut hub = self.lock();
        hub.closed = true;
        Self::end(&mut hub);
    }

    /// Takes the readers of now away: what is sent from now on does not reach them.
    pub(crate) fn detach_readers(&self) -> DetachedReaders<T> {
        DetachedReaders(std::mem::take(&mut self.lock().readers))
    }

    fn end(hub: &mut HubState<T>) {
        DetachedReaders(std::mem::take(&mut hub.readers)).end(None);
    }

    fn lock(&self) -> MutexGuard<'_, HubState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Readers that get one last event, or none.
#[derive(Debug)]
pub(crate) struct DetachedReaders<T>(Vec<Weak<Queue<T>>>);

impl<T: Clone> DetachedReaders<T> {
    /// The last event, then the end.
    pub(crate) fn end(self, last: Option<&T>) {
        for reader in self.0.iter().filter_map(Weak::upgrade) {
            reader.change(|state| {
                if let Some(last) = last {
                    state.lost += u64::from(push_bounded(&mut state.waiting, last.clone(), MOST_WAITING));
                }
                state.closed = true;
            });
        }
    }
}

/// Returns whether the oldest gave way.
fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) -> bool {
    let full = queue.len() >= most;
    if full {
        queue.pop_front();
    }
    queue.push_back(item);
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_never_lost() {
        let hub = EventHub::new();
        let mut reader = hub.subscribe();
        (0..300).for_each(|n| hub.send(&n));
        assert_eq!((reader.lost(), reader.try_next()), (44, Some(44)));
        assert_eq!(std::iter::from_fn(|| reader.try_next()).last(), Some(299));
    }

    #[tokio::test]
    async fn readers_see_the_end_after_the_last_event() {
        let hub = EventHub::new();
        let mut reader = hub.subscribe();
        hub.send(&1);
        hub.detach_readers().end(Some(&9));
        let mut later = hub.subscribe();
        hub.send(&2);
        hub.close();
        hub.send(&3);
        assert_eq!((reader.next().await, reader.next().await, reader.next().await), (Some(1), Some(9), None));
        assert_eq!((later.next().await, later.next().await), (Some(2), None));
        assert_eq!(hub.subscribe().next().await, None);
    }

    #[test]
    fn readers_that_are_gone_are_forgotten() {
        let hub = EventHub::<u8>::new();
        (0..100).for_each(|_| drop(hub.subscribe()));
        assert_eq!(hub.lock().readers.len(), 1);
    }

    #[tokio::test]
    async fn who_comes_later_gets_what_was() {
        let hub = EventHub::remembering();
        hub.send(&1);
        assert_eq!(hub.subscribe().next().await, Some(1));
    }

    #[tokio::test]
    async fn several_tasks_share_a_reader() {
        let hub = Arc::new(EventHub::new());
        let reader = Arc::new(hub.subscribe());
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let reader = Arc::clone(&reader);
                tokio::spawn(async move { reader.next_shared().await })
            })
            .collect();
        tokio::task::yield_now().await;
        hub.send(&7);
        hub.close();
        let mut got = Vec::new();
        for task in tasks {
            got.extend(task.await.unwrap());
        }
        assert_eq!(got, [7]);
    }
}
