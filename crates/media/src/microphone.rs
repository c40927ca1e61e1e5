//! A microphone as applications hold it.

use std::sync::Arc;

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::units::MediaTime;

use crate::control::lock;
use crate::device::supervisor::OpenPort;
use crate::device::{Device, Direction, OpenDeviceError};
use crate::engine::Engine;
use crate::key::Key;
use crate::reply::Reply;

/// An open microphone. Copies are the same microphone; it is closed when the last one is dropped. Several streams can listen to it.
#[derive(Debug, Clone)]
pub struct Microphone {
    port: Arc<OpenPort>,
    engine: Engine,
}

impl Microphone {
    /// Opens a microphone on the process-wide engine. Blocks; see [`Engine::request_microphone`] for the other way.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open(device: Device) -> Result<Self, OpenDeviceError> {
        Engine::shared()?.open_microphone(device)
    }

    pub(crate) fn new(engine: Engine, port: OpenPort) -> Self {
        Self { port: Arc::new(port), engine }
    }

    /// Takes another device, while everything that listens goes on. When it cannot be opened, nothing changes.
    pub fn set_device(&self, device: Device) -> Reply<Result<(), OpenDeviceError>> {
        self.engine.change_device(Direction::Capture, self.port.key, device)
    }

    /// The device that was asked for last.
    pub fn device(&self) -> Device {
        lock(&self.port.port.state).wanted.clone()
    }

    /// When the first sample of its present device was captured; `None` before that.
    pub fn started_at(&self) -> Option<MediaTime> {
        self.port.port.started_at()
    }

    /// How loud it is now; `None` before the first sound.
    pub fn level(&self) -> Option<AudioLevel> {
        self.port.port.captured_level()
    }

    pub(crate) fn key(&self) -> Key {
        self.port.key
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}
