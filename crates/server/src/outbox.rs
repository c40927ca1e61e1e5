//! The bounded queue between the hub and one connection. The hub never waits for a client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, mpsc};

use crate::close::CloseReason;

/// Most frames in a queue: a whole replay (256 events) fits with room to spare.
const MOST_FRAMES: usize = 512;
/// Most bytes in a queue; several of the largest frames.
const MOST_BYTES: usize = 256 * 1024;

/// What a connection is to do next.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Send this text frame.
    Frame(String),
    /// Close, after everything queued before was sent.
    Close(CloseReason),
}

#[derive(Debug, Default)]
struct Line {
    queued_bytes: AtomicUsize,
    cut: Notify,
    reason: OnceLock<CloseReason>,
}

/// The hub's end.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Delivery>,
    line: Arc<Line>,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Delivery>,
    line: Arc<Line>,
}

/// An empty queue.
pub(crate) fn channel() -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(MOST_FRAMES);
    let line = Arc::new(Line::default());
    (Outbox { queue: sender, line: line.clone() }, Inbox { queue: receiver, line })
}

impl Outbox {
    /// Queues a frame. A queue that is full cuts the connection: its client can resume when it reads again.
    pub(crate) fn send(&self, text: String) {
        let size = text.len();
        let queued = self.line.queued_bytes.fetch_add(size, Ordering::Relaxed);
        if queued + size > MOST_BYTES || self.queue.try_send(Delivery::Frame(text)).is_err() {
            self.cut(CloseReason::SlowConsumer);
        }
    }

    /// Frames that wait for the connection.
    pub(crate) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Closes the connection after what is queued.
    pub(crate) fn close(&self, reason: CloseReason) {
        if self.queue.try_send(Delivery::Close(reason)).is_err() {
            self.cut(reason);
        }
    }

    fn cut(&self, reason: CloseReason) {
        if self.line.reason.set(reason).is_ok() {
            self.line.cut.notify_one();
        }
    }
}

impl Inbox {
    /// The next frame or the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Delivery {
        let delivery = tokio::select! {
            biased;
            () = self.line.cut.notified() => return Delivery::Close(self.reason()),
            delivery = self.queue.recv() => delivery,
        };
        delivery.map_or(Delivery::Close(CloseReason::Internal), |delivery| self.take(delivery))
    }

    /// What is next, if it is there already.
    pub(crate) fn waiting(&mut self) -> Option<Delivery> {
        let delivery = self.queue.try_recv().ok()?;
        Some(self.take(delivery))
    }

    fn take(&self, delivery: Delivery) -> Delivery {
        if let Delivery::Frame(text) = &delivery {
            self.line.queued_bytes.fetch_sub(text.len(), Ordering::Relaxed);
        }
        delivery
    }

    /// Waits until the connection is cut while a frame is being written.
    pub(crate) async fn cut(&self) -> CloseReason {
        self.line.cut.notified().await;
        self.reason()
    }

    fn reason(&self) -> CloseReason {
        self.line.reason.get().copied().unwrap_or(CloseReason::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_queued_goes_out_before_the_close() {
        let (outbox, mut inbox) = channel();
        outbox.send("one".to_owned());
        outbox.close(CloseReason::Shutdown);
        assert!(matches!(inbox.next().await, Delivery::Frame(text) if text == "one"));
        assert!(matches!(inbox.next().await, Delivery::Close(CloseReason::Shutdown)));
    }

    #[tokio::test]
    async fn what_waits_is_taken_without_waiting_for_more() {
        let (outbox, mut inbox) = channel();
        assert!(inbox.waiting().is_none());
        for text in ["one", "two"] {
            outbox.send(text.to_owned());
        }
        outbox.close(CloseReason::Shutdown);
        assert!(matches!(inbox.next().await, Delivery::Frame(text) if text == "one"));
        assert!(matches!(inbox.waiting(), Some(Delivery::Frame(text)) if text == "two"));
        assert!(matches!(inbox.waiting(), Some(Delivery::Close(CloseReason::Shutdown))));
    }

    #[tokio::test]
    async fn too_many_bytes_cut_the_connection_at_once() {
        let (outbox, mut inbox) = channel();
        for _ in 0..5 {
            outbox.send("x".repeat(60_000));
        }
        assert!(matches!(inbox.next().await, Delivery::Close(CloseReason::SlowConsumer)));
    }

    #[tokio::test]
    async fn bytes_that_were_taken_make_room() {
        let (outbox, mut inbox) = channel();
        for _ in 0..100 {
            outbox.send("x".repeat(60_000));
            assert!(matches!(inbox.next().await, Delivery::Frame(_)));
            outbox.send("x".repeat(60_000));
            assert!(matches!(inbox.waiting(), Some(Delivery::Frame(_))));
        }
    }
}
