//! What the engine says about itself. A number that was not measured is absent.

use std::time::Duration;

use crate::device::{Device, DeviceId, Direction};
use crate::threads::Priority;

/// How long the ticks of the media thread took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickTime {
    /// Half of them took at most this.
    pub p50: Duration,
    /// 99 % took at most this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// The engine since it started.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineStats {
    /// What the system granted the media thread; `None` until it has asked.
    pub priority: Option<Priority>,
    /// Ticks of the media thread.
    pub ticks: u64,
    /// Ticks that ended later than two periods after they were due.
    pub deadline_misses: u64,
    /// The same within a second after the engine started or a stream or device was added; not in `deadline_misses`.
    pub startup_deadline_misses: u64,
    /// Processing time of a tick; `None` before the first.
    pub tick_time: Option<TickTime>,
    /// Allocations made by ticks and device callbacks; `None` unless the builder was given a counter.
    pub allocations: Option<u64>,
    /// News the media thread could not deliver because nobody took them in time.
    pub lost_news: u64,
    /// Every open microphone and element.
    pub devices: Vec<DeviceStats>,
}

/// One open microphone or element.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceStats {
    /// Microphone or speaker side.
    pub direction: Direction,
    /// What was asked for.
    pub wanted: Device,
    /// What is used now; another one when the wanted one is lost.
    pub current: Device,
    /// Samples per second of the device.
    pub sample_rate: u32,
    /// Callbacks of the device.
    pub callbacks: u64,
    /// Samples of one channel in the last callback.
    pub callback_samples: u32,
    /// Callbacks that found too little sound (render) or too little room (capture).
    pub xruns: u64,
    /// Errors the sound system reported.
    pub errors: u64,
    /// Blocks of 10 ms that were enhanced; of a microphone.
    pub processed_blocks: u64,
    /// Blocks that were not ready in time and went on as they were captured.
    pub unprocessed_blocks: u64,
}

/// Why a device was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The sound system says it is gone or no longer valid.
    Gone,
    /// Errors came in a flood.
    Errors,
    /// It stopped asking for or delivering sound.
    Silent,
}

/// What happens to devices. Names the side and what it changed to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// A device in use was lost; sound goes on with `now`.
    Lost {
        /// Side.
        direction: Direction,
        /// What was lost.
        device: Device,
        /// What is used instead: the default, or a silent one when there is none.
        now: Device,
        /// Why.
        cause: LossCause,
    },
    /// A device that was lost is used again.
    Returned {
        /// Side.
        direction: Direction,
        /// What came back.
        device: Device,
    },
    /// The system has another default; what follows the default follows it.
    DefaultChanged {
        /// Side.
        direction: Direction,
        /// The new default; `None` when there is none.
        id: Option<DeviceId>,
    },
}
