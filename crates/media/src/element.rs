//! A speaker with the meaning of an HTML audio element.

use std::sync::{Arc, Mutex};

use offhook_media_core::units::MediaTime;

use crate::control::lock;
use crate::device::supervisor::OpenPort;
use crate::device::{Device, Direction, OpenDeviceError};
use crate::engine::Engine;
use crate::processor::{Command, ElementChange};
use crate::reply::Reply;
use crate::stream::StreamSource;

/// A sink bound to a device: what is its source sounds there. Copies are the same element; it is closed when the last one is dropped.
///
/// A stream sounds in one element at a time: the last it was given to. Sound is live: what is paused or muted passes unheard.
#[derive(Debug, Clone)]
pub struct AudioElement {
    inner: Arc<Inner>,
    engine: Engine,
}

#[derive(Debug)]
struct Inner {
    port: OpenPort,
    settings: Mutex<Settings>,
}

#[derive(Debug)]
struct Settings {
    source: Option<StreamSource>,
    volume: f32,
    muted: bool,
    paused: bool,
}

impl AudioElement {
    /// Opens an element on the process-wide engine. Blocks; see [`Engine::request_element`] for the other way.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open(device: Device) -> Result<Self, OpenDeviceError> {
        Engine::shared()?.open_element(device)
    }

    pub(crate) fn new(engine: Engine, port: OpenPort) -> Self {
        let settings = Settings { source: None, volume: 1.0, muted: false, paused: false };
        Self { inner: Arc::new(Inner { port, settings: Mutex::new(settings) }), engine }
    }

    /// Plays a stream, instead of everything it played before; `None` for silence.
    pub fn set_src_object(&self, source: Option<&StreamSource>) {
        // Held over the commands, so that the last to be called is also the last to be obeyed.
        let mut settings = lock(&self.inner.settings);
        let source = source.filter(|source| self.is_ours(source));
        self.command(match source {
            Some(source) => ElementChange::BindOnly(source.key()),
            None => ElementChange::UnbindAll,
        });
        settings.source = source.cloned();
    }

    /// What [`set_src_object`](Self::set_src_object) was given last.
    pub fn src_object(&self) -> Option<StreamSource> {
        lock(&self.inner.settings).source.clone()
    }

    /// Plays one more stream together with the others, at most sixteen.
    pub fn add_source(&self, source: &StreamSource) {
        let _held = lock(&self.inner.settings);
        if self.is_ours(source) {
            self.command(ElementChange::Bind(source.key()));
        }
    }

    /// Ends a stream's sound here.
    pub fn remove_source(&self, source: &StreamSource) {
        let mut settings = lock(&self.inner.settings);
        settings.source.take_if(|bound| bound == source);
        self.command(ElementChange::Unbind(source.key()));
    }

    /// Takes another device, while the sound goes on. When it cannot be opened, nothing changes.
    pub fn set_sink_id(&self, device: Device) -> Reply<Result<(), OpenDeviceError>> {
        self.engine.change_device(Direction::Render, self.inner.port.key, device)
    }

    /// The device that was asked for last.
    pub fn sink_id(&self) -> Device {
        lock(&self.inner.port.port.state).wanted.clone()
    }

    /// Sets the volume, 0..=1; what is outside is brought inside, and what is no number changes nothing.
    pub fn set_volume(&self, volume: f32) {
        self.set(|settings| {
            if !volume.is_nan() {
                settings.volume = volume.clamp(0.0, 1.0);
            }
        });
    }

    /// The volume, 0..=1.
    pub fn volume(&self) -> f32 {
        lock(&self.inner.settings).volume
    }

    /// Silences it without changing its volume.
    pub fn set_muted(&self, muted: bool) {
        self.set(|settings| settings.muted = muted);
    }

    /// Whether it is muted.
    pub fn muted(&self) -> bool {
        lock(&self.inner.settings).muted
    }

    /// Goes on playing. An element plays from the beginning, unless it was paused.
    pub fn play(&self) {
        self.set(|settings| settings.paused = false);
    }

    /// Stops playing until [`play`](Self::play).
    pub fn pause(&self) {
        self.set(|settings| settings.paused = true);
    }

    /// Whether it is paused.
    pub fn paused(&self) -> bool {
        lock(&self.inner.settings).paused
    }

    /// When the first sample of its present device was played; `None` before that.
    pub fn started_at(&self) -> Option<MediaTime> {
        self.inner.port.port.started_at()
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = lock(&self.inner.settings);
        change(&mut settings);
        let gain = if settings.muted || settings.paused { 0.0 } else { settings.volume };
        self.command(ElementChange::Gain(gain));
    }

    /// Whether the source is one of this engine.
    fn is_ours(&self, source: &StreamSource) -> bool {
        let ours = source.is_of(&self.engine);
        if !ours {
            tracing::warn!("a stream of another engine cannot sound here");
        }
        ours
    }

    fn command(&self, change: ElementChange) {
        self.inner.port.control.send(Command::Element(self.inner.port.key, change));
    }
}
