//! The engine and the microphone of a client: one microphone for all calls, open only while one of them uses it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use offhook_media::{AudioProcessing, Device, Engine, Microphone};
use tokio::time::timeout;

use crate::error::MicrophoneError;

/// What a client has of sound.
#[derive(Debug)]
pub(crate) struct Sound {
    state: Mutex<State>,
    /// One opens at a time, so that two calls do not open two.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    engine: Option<Engine>,
    wanted: Device,
    processing: Option<AudioProcessing>,
    open: Weak<Lease>,
}

/// The open microphone; it closes with the last lease.
#[derive(Debug)]
pub(crate) struct Lease(Microphone);

impl Lease {
    pub(crate) fn microphone(&self) -> &Microphone {
        &self.0
    }
}

impl Sound {
    pub(crate) fn new(wanted: Device, processing: Option<AudioProcessing>) -> Self {
        let state = Mutex::new(State { engine: None, wanted, processing, open: Weak::new() });
        Self { state, opening: tokio::sync::Mutex::new(()) }
    }

    /// The engine, once the client was started.
    pub(crate) fn engine(&self) -> Option<Engine> {
        self.lock().engine.clone()
    }

    /// The engine from this start on.
    pub(crate) fn set_engine(&self, engine: Engine) {
        let before = self.lock().engine.replace(engine);
        // The last handle of an engine waits for its threads: not while others wait for the lock.
        drop(before);
    }

    /// The open microphone, when a call uses it.
    pub(crate) fn current(&self) -> Option<Arc<Lease>> {
        self.lock().open.upgrade()
    }

    /// Opens the microphone, or shares the one that is open.
    pub(crate) async fn open(&self, patience: Duration) -> Result<Arc<Lease>, MicrophoneError> {
        let opened = timeout(patience, self.open_now()).await;
        opened.unwrap_or(Err(MicrophoneError::TimedOut(patience)))
    }

    async fn open_now(&self) -> Result<Arc<Lease>, MicrophoneError> {
        let _one_at_a_time = self.opening.lock().await;
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let engine = self.engine().ok_or(MicrophoneError::NotStarted)?;
        let device = self.lock().wanted.clone();
        // What opens after the patience ended is closed again.
        let microphone = engine.request_microphone(device).await?;
        let lease = Arc::new(Lease(microphone));
        let mut state = self.lock();
        if let Some(processing) = state.processing {
            lease.microphone().set_processing(processing);
        }
        state.open = Arc::downgrade(&lease);
        drop(state);
        Ok(lease)
    }

    /// Changes the device, also in running calls.
    pub(crate) async fn set_device(&self, device: Device, patience: Duration) -> Result<(), MicrophoneError> {
        let _not_while_it_opens =
            timeout(patience, self.opening.lock()).await.map_err(|_| MicrophoneError::TimedOut(patience))?;
        if let Some(open) = self.current() {
            let changed = timeout(patience, open.microphone().set_device(device.clone())).await;
            match changed {
                Ok(Some(changed)) => changed?,
                Ok(None) => return Err(MicrophoneError::NotStarted),
                Err(_) => return Err(MicrophoneError::TimedOut(patience)),
            }
        }
        self.lock().wanted = device;
        Ok(())
    }

    /// Chooses what is done to the microphone's sound, also in running calls.
    pub(crate) fn set_processing(&self, processing: AudioProcessing) {
        let mut state = self.lock();
        state.processing = Some(processing);
        // Whoever opens one now sees the choice: both are done under the lock.
        if let Some(open) = state.open.upgrade() {
            open.microphone().set_processing(processing);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
