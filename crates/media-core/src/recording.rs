//! What arrived in a call, second by second, in bounded memory: a flight recorder, and the file it makes (docs/FLIGHT_RECORDING.md).
//!
//! [`FlightRecorder`] is filled while the call runs, off the real-time thread; [`Recording`] reads the bytes it makes. Neither opens a file.
//!
//! # Real-time
//! Allocates: nothing here is for the real-time thread.

mod outline;
mod reader;
mod recorder;
mod second;
mod wire;

pub use reader::{Record, RecordedPacket, Recording, RecordingError};
pub use recorder::FlightRecorder;
pub use second::Second;
pub use wire::{Moment, MomentKind, Settings};

/// Longest payload that is recorded, and read.
pub const MOST_PAYLOAD: usize = 1500;

/// What is kept of each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kept {
    /// When it came, its header, how long its sound is and which copies it holds: enough to replay every decision, none of what was said.
    #[default]
    Arrivals,
    /// All of it, so that what was heard can be heard again. For calls whose people agreed to be recorded.
    Sound,
}
