//! Nobody is told that a call is over before its record is on disk.
//!
//! What would tell it waits here in the order in which the calls ended: events, the outcome of the command that ended the call, and
//! devices that come back, because their snapshot would show that the call is gone. The hub itself never waits, so that records of
//! calls that end together are committed together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::call::{CallRecord, DeviceAddress};
use offhook_signaling::message::WireError;
use offhook_signaling::{CallId, MessageId, ServerMessage, UserId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::control::Reply;
use super::{Line, Open};
use crate::cluster::message::{Body, Message};
use crate::cluster::node::NodeId;
use crate::environment;
use crate::metrics::Metrics;
use crate::store::{CallDetailRecord, Store, UnixMillis};
use crate::traces::Traces;
use crate::webhook::Notice;

/// A disk that is full for a moment does not cost a record. After the last pause the call's end is told without one: people
/// must be able to hang up.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// Something that tells that a call is over.
#[derive(Debug)]
pub(super) enum Held {
    /// An event.
    Event { to: DeviceAddress, call_id: CallId, message: ServerMessage },
    /// The outcome of the command that ended the call.
    Outcome { line: Line, of: MessageId, error: Option<WireError> },
    /// A device that opens a session.
    Open(Box<Open>),
    /// What the application's back end is told.
    Reply(Reply),
    /// What it is told by callback.
    Notice(Box<Notice>),
    /// What another node is told.
    Far(Box<Message>, NodeId),
    /// What somebody is told of whom it is not known where they are.
    Unseen(UserId, Box<Body>),
    /// A node that wants the session of a device.
    Peer(Box<Message>),
}

/// What waits for one record.
#[derive(Debug)]
struct Waiting {
    number: u64,
    call_id: CallId,
    written: bool,
    held: Vec<Held>,
}

/// Records on their way to the store.
#[derive(Debug)]
pub(super) struct Records {
    store: Arc<dyn Store>,
    waiting: VecDeque<Waiting>,
    last: u64,
    done: mpsc::UnboundedSender<u64>,
    written: mpsc::UnboundedReceiver<u64>,
    metrics: Arc<Metrics>,
    traces: Traces,
}

impl Records {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, traces: Traces) -> Self {
        // Unbounded, but never longer than `waiting`.
        let (done, written) = mpsc::unbounded_channel();
        Self { store, waiting: VecDeque::new(), last: 0, done, written, metrics, traces }
    }

    /// Where records go.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Begins to write the record of a call; `held` waits for it. `started` is what other nodes know, where they may write it, too.
    pub(super) fn write(&mut self, record: CallRecord, started: Option<UnixMillis>, held: Vec<Held>) {
        self.last += 1;
        let number = self.last;
        let call_id = record.call_id.clone();
        self.waiting.push_back(Waiting { number, call_id, written: false, held });
        let record = CallDetailRecord::new(record, environment::wall_millis());
        let started = started.unwrap_or(record.started);
        let record = record.started_at(started);
        self.traces.note(&record);
        let (store, done, metrics) = (self.store.clone(), self.done.clone(), self.metrics.clone());
        tokio::spawn(async move {
            if !write(&*store, &record).await {
                metrics.note_record_lost();
            }
            // A hub that is gone has nobody to tell.
            let _ = done.send(number);
        });
    }

    /// Whether a record is on its way.
    pub(super) fn are_pending(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many records are on their way.
    pub(super) fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Waits for every record that is on its way now; gives it back when none is.
    pub(super) fn hold(&mut self, held: Held) -> Option<Held> {
        match self.waiting.back_mut() {
            Some(waiting) => {
                waiting.held.push(held);
                None
            }
            None => Some(held),
        }
    }

    /// Whether the end of this call waits to be told.
    pub(super) fn hold_end_of(&self, call_id: Option<&CallId>) -> bool {
        self.waiting.iter().any(|waiting| Some(&waiting.call_id) == call_id)
    }

    /// Whether the outcome of this command waits.
    pub(super) fn holds_outcome(&self, address: &DeviceAddress, id: &MessageId) -> bool {
        self.waiting.iter().flat_map(|waiting| &waiting.held).any(
            |held| matches!(held, Held::Outcome { line, of, .. } if *line.address == *address && of == id),
        )
    }

    /// The next record that was written. Cancel safe; pending for ever while none is on its way.
    pub(super) async fn next_written(&mut self) -> u64 {
        match self.written.recv().await {
            Some(number) => number,
            None => std::future::pending().await,
        }
    }

    /// What may be told now that this record is written.
    pub(super) fn release(&mut self, number: u64) -> Vec<Held> {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.number == number) {
            waiting.written = true;
        }
        let mut released = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.written) {
            released.extend(self.waiting.pop_front().into_iter().flat_map(|waiting| waiting.held));
        }
        released
    }
}

/// Whether it was written in the end.
async fn write(store: &dyn Store, record: &CallDetailRecord) -> bool {
    for pause in PAUSES {
        match store.put_record(record).await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(call_id = %record.call_id, %error, "call record not written yet"),
        }
        sleep(pause).await;
    }
    let last = store.put_record(record).await;
    if let Err(error) = &last {
        tracing::error!(call_id = %record.call_id, %error, "call record lost");
    }
    last.is_ok()
}
