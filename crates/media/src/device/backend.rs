//! What the engine needs of a sound system.

use super::{Device, DeviceId, Direction, OpenDeviceError};
use crate::threads::{CaptureCallback, RenderCallback};

/// Opens devices. Lives on the device thread, which made it; nothing here is real-time.
pub trait Backend {
    /// Opens a microphone that calls `callback` from now on.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    fn open_capture(
        &mut self,
        device: &Device,
        callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError>;

    /// Opens a speaker that calls `callback` from now on.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    fn open_render(
        &mut self,
        device: &Device,
        callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError>;

    /// The system's default now; `None` when it has none.
    fn default_id(&mut self, direction: Direction) -> Option<DeviceId>;

    /// Whether a device that was lost is there again.
    fn is_present(&mut self, direction: Direction, device: &Device) -> bool;

    /// Looks for a device in use; asked before it is opened and then once a second, so it must cost next to nothing. For sound systems that
    /// carry the sound of a vanished device elsewhere without a word. Those that report a loss to the device's callbacks need not tell.
    fn look_for(&mut self, _direction: Direction, _id: &DeviceId) -> Sighting {
        Sighting::Unknown
    }
}

/// What a look for a device of the system found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// It is there. Once it was away, however shortly, it is there under another number.
    Present(u32),
    /// It is not there.
    Absent,
    /// The sound system did not tell. Means nothing.
    Unknown,
}

/// A device that runs. Dropping it stops its callbacks.
pub trait OpenDevice {
    /// Samples per second of one channel.
    fn sample_rate(&self) -> u32;

    /// Whether it is paced by the engine's own clock, so that it cannot drift against it.
    fn follows_engine_clock(&self) -> bool;

    /// What moves its sound, when no thread of its own calls the callback: asked for once, right after it was opened.
    fn take_pump(&mut self) -> Option<Box<dyn Pump>> {
        None
    }
}

/// Moves sound between a device and its callback when it is told to: by the media thread, a microphone's right before a tick and a speaker's right
/// after it. Real-time safe but for the system call that it takes, which never waits.
pub trait Pump: Send {
    /// Moves what there is to move now.
    fn pump(&mut self);

    /// Where a speaker stands that asks for sound and keeps some; `None` when it takes what it wants in each tick and keeps nothing.
    fn standing(&self) -> Option<Standing> {
        None
    }
}

/// Where a speaker stands that asks for sound, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it asked for and was not given yet.
    pub owed: usize,
    /// What it keeps when it is owed nothing.
    pub kept: usize,
}
