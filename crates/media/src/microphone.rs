//! A microphone as applications hold it.

use std::sync::Arc;

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::units::MediaTime;

use crate::control::lock;
use crate::device::supervisor::OpenPort;
use crate::device::{Device, Direction, OpenDeviceError};
use crate::engine::Engine;
use crate::enhance::AudioProcessing;
use crate::key::Key;
use crate::processor::Command;
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
        let microphone = Self { port: Arc::new(port), engine };
        microphone.process(microphone.device().is_of_the_system());
        microphone
    }

    /// Takes another device, while everything that listens goes on. When it cannot be opened, nothing changes.
    pub fn set_device(&self, device: Device) -> Reply<Result<(), OpenDeviceError>> {
        self.process(device.is_of_the_system());
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

    /// Chooses what is done to its sound, from now on and whatever its device: within 30 ms (off: 100 ms), without a
    /// click. Until this is called it is
    /// [`AudioProcessing::ON`] for a device of the system and [`AudioProcessing::OFF`] for any other.
    pub fn set_processing(&self, processing: AudioProcessing) {
        lock(&self.port.port.processing).wanted = Some(processing);
        self.process(false);
    }

    /// What is done to its sound.
    pub fn processing(&self) -> AudioProcessing {
        let processing = lock(&self.port.port.processing);
        processing.way.as_ref().map_or(AudioProcessing::OFF, |way| way.settings())
    }

    /// Puts into effect what the application chose, or else what suits the device.
    fn process(&self, is_of_the_system: bool) {
        let mut processing = lock(&self.port.port.processing);
        let suits = if is_of_the_system { AudioProcessing::ON } else { AudioProcessing::OFF };
        let settings = processing.wanted.unwrap_or(suits);
        match &processing.way {
            Some(way) => {
                way.set(settings);
                self.engine.control().enhance.wake();
            }
            // As long as there is nothing to do there is no way, and no delay.
            None if settings.changes_sound() => {
                let control = self.engine.control();
                let (port, way) = control.enhance.open_port(settings);
                control.send(Command::Enhance(self.port.key, Box::new(port)));
                processing.way = Some(way);
            }
            None => {}
        }
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
