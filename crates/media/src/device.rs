//! Sound devices: which there are, how they are opened, and what becomes of one that is lost.
//!
//! Microphones and speakers of the system, WAV files, PCM queues and the silent device stand behind one trait, [`Backend`].

mod backend;
mod cpal_host;
mod curated;
mod direct;
mod error;
mod health;
mod id;
pub mod paced;
mod pcm;
mod probe;
#[cfg(target_os = "linux")]
mod pulse_link;
#[cfg(target_os = "linux")]
mod pulse_server;
#[cfg(target_os = "linux")]
mod pulse_stream;
mod registry;
pub(crate) mod supervisor;
mod wav_file;

use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub(crate) use self::pulse_link::fuzz as fuzz_pulse_stream;
pub use backend::{Backend, OpenDevice, Pump, Sighting, Standing};
pub(crate) use direct::Stamps;
pub use direct::{DeviceTimeline, DirectPlayback, DirectRecording};
pub use error::OpenDeviceError;
pub use health::{DeviceHealth, ErrorSeverity};
pub use id::{DeviceId, DeviceInfo, Direction, ParseDeviceIdError};
pub use pcm::{PcmDevice, PcmFeeder, PcmTap, pcm_sink, pcm_source};
pub use probe::RealTimeProbe;
pub use registry::{SystemBackend, all_devices, devices};

/// Where sound comes from or goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// What the system uses unless told otherwise; follows when the user changes that.
    Default,
    /// A device of the system, by its persistent id.
    Id(DeviceId),
    /// A timer: silence as a microphone, nothing as a speaker.
    Null,
    /// A WAV file. A microphone plays it (any rate and channels) and then gives silence; a speaker records 48 kHz mono into it, and the file is
    /// readable at any time.
    Wav(PathBuf),
    /// A queue of samples: made by [`pcm_source`] and [`pcm_sink`].
    Pcm(PcmDevice),
}

impl Device {
    /// [`Device::Null`].
    pub const fn null() -> Self {
        Self::Null
    }

    /// [`Device::Wav`].
    pub fn wav(path: impl Into<PathBuf>) -> Self {
        Self::Wav(path.into())
    }

    /// Whether it is a device of the system: it can be lost, and has a clock of its own.
    pub const fn is_of_the_system(&self) -> bool {
        matches!(self, Self::Default | Self::Id(_))
    }

    /// Whether what it plays may sound in a room: not in a file, and not nowhere.
    pub(crate) const fn is_heard(&self) -> bool {
        matches!(self, Self::Default | Self::Id(_) | Self::Pcm(_))
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Id(id) => id.fmt(formatter),
            Self::Null => formatter.write_str("null"),
            Self::Wav(path) => write!(formatter, "{}", path.display()),
            Self::Pcm(_) => formatter.write_str("pcm"),
        }
    }
}
