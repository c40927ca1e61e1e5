//! What carries messages between nodes, and keeps what must outlive one of them for a while.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::node::Subject;

/// The largest message between nodes: a session with all its events fits. NATS carries a mebibyte unless it is told otherwise.
pub(crate) const MOST_MESSAGE: usize = 512 * 1024;

/// What a bus brings to a node.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// A message on a subject the node listens to.
    Message(Bytes),
    /// Nobody listens where this question went.
    Unheard(u64),
    /// Other nodes can be reached, from now on.
    Up,
    /// Other nodes cannot be reached, from now on.
    Down,
    /// A node has renewed its lease: its identity as it wrote it.
    Lease(String),
}

/// A place of the shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Bucket {
    /// The leases of nodes.
    Nodes,
    /// Live calls, as their owners wrote them down last.
    Calls,
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The value; `None` where it was taken away on purpose a short time ago.
    pub(crate) value: Option<Bytes>,
    /// What a change of it has to name.
    pub(crate) revision: u64,
}

/// Why the shared memory did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeepError {
    /// Somebody else changed it meanwhile: look again.
    #[error("somebody else changed it")]
    Changed,
    /// It cannot be reached or has no leader now: try again later.
    #[error("the cluster's memory cannot be reached: {0}")]
    Unavailable(String),
}

/// What the shared memory answers.
pub(crate) type KeepFuture<'a, T> = BoxFuture<'a, Result<T, KeepError>>;

/// Messages between nodes, and compare-and-set. Sending never waits: calls must ring whatever the bus does.
pub(crate) trait Bus: fmt::Debug + Send + Sync {
    /// Sends to whoever listens. With `ask`, [`Delivery::Unheard`] follows when nobody does. Messages of one node to one subject
    /// arrive in order, or not at all. Returns false when the queue is full.
    fn publish(&self, to: &Subject, ask: Option<u64>, message: Bytes) -> bool;

    /// Listens from now on; what this node publishes after this goes out after it.
    fn subscribe(&self, to: Subject);

    /// Listens no more.
    fn unsubscribe(&self, to: &Subject);

    /// Until everything that was published so far is on its way.
    fn flush(&self) -> BoxFuture<'_, ()>;

    /// Whether other nodes can be reached, as far as is known.
    fn is_up(&self) -> bool;

    /// Looks under a key.
    fn get(&self, bucket: Bucket, key: String) -> KeepFuture<'_, Option<Kept>>;

    /// Writes what is there at `revision`, or what is not there yet. Returns the new revision.
    fn put(&self, bucket: Bucket, key: String, value: Bytes, revision: Option<u64>) -> KeepFuture<'_, u64>;

    /// Writes whatever is there.
    fn renew(&self, bucket: Bucket, key: String, value: Bytes) -> KeepFuture<'_, ()>;

    /// Takes away what is there at `revision`. For some minutes it is remembered that it was there.
    fn take(&self, bucket: Bucket, key: String, revision: u64) -> KeepFuture<'_, ()>;
}

/// Where a bus brings what it has for a node.
pub(crate) type Deliveries = mpsc::Sender<Delivery>;
