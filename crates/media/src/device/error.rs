//! Why a device could not be opened.

use thiserror::Error;

use super::Device;
use crate::engine::StartEngineError;
use crate::wav::WavError;

/// Why a device could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenDeviceError {
    /// There is no such device: choose one of [`devices`](super::devices), or none is plugged in.
    #[error("there is no device {0}")]
    NotFound(Device),
    /// There is no sound system: start it, or use [`Device::Null`].
    #[error("no sound system can be reached: {0}")]
    NoSoundSystem(String),
    /// Another program holds it: try again later.
    #[error("the device is in use")]
    Busy,
    /// The system does not let this program use it: the user has to allow it.
    #[error("the system does not allow the use of the device")]
    PermissionDenied,
    /// A source where a sink is wanted, or the other way round.
    #[error("the device works in the other direction only")]
    WrongDirection,
    /// The device works in no way that is understood.
    #[error("the device cannot be used: {0}")]
    Unusable(String),
    /// The WAV file cannot be read or written.
    #[error("{path}: {error}")]
    Wav {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: WavError,
    },
    /// More devices are open than the engine has room for: close some.
    #[error("too many devices are open")]
    TooMany,
    /// The engine was closed.
    #[error("the engine is closed")]
    EngineClosed,
    /// The process-wide engine could not be started.
    #[error(transparent)]
    Engine(#[from] StartEngineError),
}
