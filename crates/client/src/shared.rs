//! What the handles and the drivers of one client share.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offhook_signaling::CallId;
use tokio::sync::{Notify, mpsc, watch};

use crate::builder::Settings;
use crate::call::Call;
use crate::driver::Command;
use crate::event::ClientEvent;
use crate::listener::Listeners;
use crate::microphone::Sound;
use crate::queue::EventHub;

/// Calls that are over and can still be looked at.
const MOST_OVER: usize = 16;

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
    /// STUN servers the signaling server named.
    stun: Mutex<Vec<SocketAddr>>,
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
            stun: Mutex::new(Vec::new()),
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

    /// STUN servers for a new call: the application's own first.
    pub(crate) fn stun_servers(&self) -> Vec<SocketAddr> {
        let named = self.stun.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings.stun.iter().chain(named.iter()).copied().collect()
    }

    pub(crate) fn set_stun_servers(&self, named: Vec<SocketAddr>) {
        *self.stun.lock().unwrap_or_else(PoisonError::into_inner) = named;
    }

    fn lock_run(&self) -> MutexGuard<'_, Option<Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_calls(&self) -> MutexGuard<'_, VecDeque<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
