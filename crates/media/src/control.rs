//! What handles and threads share: the way to the media thread, and who is to be told.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use ringbuf::HeapProd;
use ringbuf::traits::Producer;

use crate::device::supervisor::{Port, Request};
use crate::device::{Direction, RealTimeProbe};
use crate::enhance::worker::EnhanceControl;
use crate::event_queue::EventHub;
use crate::key::{Key, Keys};
use crate::processor::{Command, MOST_OPEN, StreamShared};
use crate::stats::DeviceEvent;
use crate::threads::EngineClock;
use crate::threads::media_thread::MediaThreadCounters;

/// Shared by all handles of an engine and its threads but the media thread, which holds none of it.
pub(crate) struct Control {
    pub(crate) clock: EngineClock,
    pub(crate) period: Duration,
    pub(crate) probe: RealTimeProbe,
    pub(crate) counters: Arc<MediaThreadCounters>,
    pub(crate) lost_news: Arc<AtomicU64>,
    pub(crate) device_events: EventHub<DeviceEvent>,
    pub(crate) enhance: EnhanceControl,
    commands: Mutex<CommandQueue>,
    stream_keys: Mutex<Keys>,
    microphone_keys: Mutex<Keys>,
    element_keys: Mutex<Keys>,
    ports: Mutex<Vec<Arc<Port>>>,
    streams: Mutex<HashMap<Key, Arc<StreamShared>>>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    closed: AtomicBool,
}

/// The ring to the media thread, and what waits for room in it.
struct CommandQueue {
    ring: HeapProd<Command>,
    waiting: VecDeque<Command>,
}

impl CommandQueue {
    fn flush(&mut self) {
        while let Some(command) = self.waiting.pop_front() {
            if let Err(command) = self.ring.try_push(command) {
                self.waiting.push_front(command);
                return;
            }
        }
    }
}

impl Control {
    pub(crate) fn new(
        clock: EngineClock,
        period: Duration,
        probe: RealTimeProbe,
        commands: HeapProd<Command>,
        lost_news: Arc<AtomicU64>,
        requests: mpsc::Sender<Request>,
        enhance: EnhanceControl,
    ) -> Self {
        Self {
            clock,
            period,
            probe,
            counters: Arc::default(),
            lost_news,
            device_events: EventHub::default(),
            enhance,
            commands: Mutex::new(CommandQueue { ring: commands, waiting: VecDeque::new() }),
            stream_keys: Mutex::new(Keys::new(MOST_OPEN)),
            microphone_keys: Mutex::new(Keys::new(MOST_OPEN)),
            element_keys: Mutex::new(Keys::new(MOST_OPEN)),
            ports: Mutex::new(Vec::new()),
            streams: Mutex::new(HashMap::new()),
            requests: Mutex::new(Some(requests)),
            closed: AtomicBool::new(false),
        }
    }

    /// Sends a command; never blocks on the media thread. Commands arrive in the order they were sent.
    pub(crate) fn send(&self, command: Command) {
        let mut queue = lock(&self.commands);
        if self.is_closed() {
            return;
        }
        queue.waiting.push_back(command);
        queue.flush();
    }

    /// Sends what found no room before.
    pub(crate) fn flush_commands(&self) {
        lock(&self.commands).flush();
    }

    /// Asks the device thread; gives the request back when there is none.
    pub(crate) fn ask(&self, request: Request) -> Result<(), Request> {
        match &*lock(&self.requests) {
            Some(requests) => requests.send(request).map_err(|refused| refused.0),
            None => Err(request),
        }
    }

    /// From now on nothing is accepted.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        // Whoever sends holds the lock: after this nothing more gets into the ring, which the media thread empties when it ends.
        lock(&self.commands).waiting.clear();
        self.counters.stop.store(true, Relaxed);
        *lock(&self.requests) = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn stream_keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.stream_keys)
    }

    /// Of microphones or of elements.
    pub(crate) fn device_keys(&self, direction: Direction) -> MutexGuard<'_, Keys> {
        match direction {
            Direction::Capture => lock(&self.microphone_keys),
            Direction::Render => lock(&self.element_keys),
        }
    }

    /// Every open microphone and element.
    pub(crate) fn ports(&self) -> MutexGuard<'_, Vec<Arc<Port>>> {
        lock(&self.ports)
    }

    /// Every open stream.
    pub(crate) fn streams(&self) -> MutexGuard<'_, HashMap<Key, Arc<StreamShared>>> {
        lock(&self.streams)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Control").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// A thread that panicked left nothing half-done behind any of these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
