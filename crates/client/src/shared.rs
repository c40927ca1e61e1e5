//! What the handles and the drivers of one client share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offhook_signaling::CallId;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use crate::builder::Settings;
use crate::call::Call;
use crate::driver::{Command, IceServers};
use crate::event::ClientEvent;
use crate::listener::Listeners;
use crate::microphone::Sound;
use crate::queue::EventHub;

/// Calls that are over and can still be looked at.
const MOST_OVER: usize = 16;

/// So long a call waits for the addresses of servers that are being looked up.
const LOOKUP: Duration = Duration::from_secs(4);

/// One client, for its handles and drivers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) events: EventHub<ClientEvent>,
    pub(crate) listeners: Listeners,
    pub(crate) sound: Sound,
    /// The newest start; it may have ended.
    run: Mutex<Option<Run>>,
    /// All live calls and the last ones that are over, the oldest first.
    calls: Mutex<VecDeque<Call>>,
    ice_servers: watch::Sender<Lookup>,
}

/// Servers for candidates, as far as they are looked up.
#[derive(Debug, Default)]
struct Lookup {
    servers: IceServers,
    /// Look-ups under way.
    pending: u32,
}

/// From one start to its end.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) signal: Arc<Signal>,
    /// Becomes true when the drivers have ended, by word or by being dropped.
    pub(crate) ended: watch::Receiver<bool>,
}

impl Run {
    fn is_over(&self) -> bool {
        *self.ended.borrow() || self.ended.has_changed().is_err()
    }
}

/// Wishes that must reach the driver even when its queue is full.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    wake: Notify,
    terminate: AtomicBool,
    started: AtomicBool,
    no_token: AtomicBool,
}

impl Signal {
    /// Looks again: somebody hung up.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The client must end.
    pub(crate) fn terminate(&self) {
        self.terminate.store(true, Ordering::Release);
        self.wake();
    }

    /// The application has no token.
    pub(crate) fn give_up_token(&self) {
        self.no_token.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the application said so since the last look.
    pub(crate) fn take_no_token(&self) -> bool {
        self.no_token.swap(false, Ordering::AcqRel)
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn must_terminate(&self) -> bool {
        self.terminate.load(Ordering::Acquire)
    }

    pub(crate) fn set_started(&self, started: bool) {
        self.started.store(started, Ordering::Release);
    }

    fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            sound: Sound::new(settings.microphone.clone(), settings.processing),
            settings,
            events: EventHub::new(),
            listeners: Listeners::default(),
            run: Mutex::new(None),
            calls: Mutex::new(VecDeque::new()),
            ice_servers: watch::Sender::new(Lookup::default()),
        }
    }

    /// The start that runs.
    pub(crate) fn run(&self) -> Option<Run> {
        self.lock_run().clone().filter(|run| !run.is_over())
    }

    /// Makes `run` the one that runs; `false` when one runs already.
    pub(crate) fn begin(&self, run: Run) -> bool {
        let mut current = self.lock_run();
        if current.as_ref().is_some_and(|run| !run.is_over()) {
            return false;
        }
        *current = Some(run);
        true
    }

    /// The start that is registered with the server.
    pub(crate) fn started(&self) -> Option<Run> {
        self.run().filter(|run| run.signal.is_started())
    }

    pub(crate) fn add_call(&self, call: Call) {
        let mut calls = self.lock_calls();
        let over = calls.iter().filter(|call| call.is_over()).count();
        if over >= MOST_OVER
            && let Some(oldest) = calls.iter().position(Call::is_over)
        {
            calls.remove(oldest);
        }
        calls.push_back(call);
    }

    pub(crate) fn call(&self, id: &CallId) -> Option<Call> {
        self.lock_calls().iter().find(|call| call.core().id == *id).cloned()
    }

    pub(crate) fn live_calls(&self) -> Vec<Call> {
        self.lock_calls().iter().filter(|call| !call.is_over()).cloned().collect()
    }

    /// Servers for a new call, the application's own first; waits for a look-up that is under way.
    pub(crate) async fn ice_servers(&self) -> IceServers {
        let mut watch = self.ice_servers.subscribe();
        // After the time-out what is known has to do. The sender lives as long as this.
        let _ = timeout(LOOKUP, watch.wait_for(|lookup| lookup.pending == 0)).await;
        let mut servers = self.ice_servers.borrow().servers.clone();
        servers.stun.splice(0..0, self.settings.stun.iter().copied());
        servers
    }

    /// A look-up begins.
    pub(crate) fn begin_lookup(&self) {
        self.ice_servers.send_modify(|lookup| lookup.pending += 1);
    }

    /// A look-up has ended.
    pub(crate) fn end_lookup(&self, servers: IceServers) {
        self.ice_servers.send_modify(|lookup| {
            lookup.pending = lookup.pending.saturating_sub(1);
            lookup.servers = servers;
        });
    }

    fn lock_run(&self) -> MutexGuard<'_, Option<Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_calls(&self) -> MutexGuard<'_, VecDeque<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
