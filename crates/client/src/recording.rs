//! What a call keeps of itself, to be looked at when it was bad.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use offhook_media_core::recording::{FlightRecorder, Kept};

/// Memory of a call for what arrived: five minutes and more of packets of 10 ms.
const ARRIVALS_BYTES: usize = 1 << 20;
/// With sound it takes more.
const SOUND_BYTES: usize = 2 << 20;

/// What a client keeps of what arrives in each of its calls. It is kept in memory, the oldest gives way, and nothing is written before
/// somebody [asks](crate::Call::save_recording).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlightRecording {
    /// Nothing.
    Off,
    /// When packets came, their headers and what was measured every second, in at most 1 MiB: no sound, no keys, no names, no addresses.
    #[default]
    Arrivals,
    /// Also what the other side said, in at most 2 MiB. Only for calls whose people agreed to be recorded.
    Sound,
}

impl FlightRecording {
    pub(crate) fn recorder(self) -> Option<FlightRecorder> {
        match self {
            Self::Off => None,
            Self::Arrivals => Some(FlightRecorder::new(Kept::Arrivals, ARRIVALS_BYTES)),
            Self::Sound => Some(FlightRecorder::new(Kept::Sound, SOUND_BYTES)),
        }
    }
}

/// Writes a file that only this user can read, where the system knows users.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}
