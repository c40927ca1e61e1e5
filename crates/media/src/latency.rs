//! What delay an engine is tuned for.

use std::time::Duration;

/// What a call is tuned for. Give it to both the engine ([`EngineBuilder::latency`](crate::EngineBuilder::latency)) and what sends the packets;
/// each side of a call chooses for the sound it sends and hears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LatencyMode {
    /// About 30 ms from mouth to ear plus the path: ticks of 5 ms, 5 ms device periods.
    #[default]
    Normal,
    /// About 15 ms from mouth to ear plus the path, for playing music together and the like: ticks of 1.25 ms, 2.5 ms device periods, where the
    /// device can. Wants more bandwidth, four times the wake-ups and real-time priority.
    Low,
}

impl LatencyMode {
    /// How often the media thread ticks.
    pub(crate) const fn tick(self) -> Duration {
        match self {
            Self::Normal => Duration::from_millis(5),
            Self::Low => Duration::from_micros(1250),
        }
    }

    /// Period of devices that are no hardware.
    pub(crate) const fn paced_period(self) -> Duration {
        match self {
            Self::Normal => Duration::from_millis(5),
            Self::Low => Duration::from_micros(2500),
        }
    }

    /// The usual period of hardware is divided by this.
    pub(crate) const fn device_share(self) -> u32 {
        match self {
            Self::Normal => 1,
            Self::Low => 2,
        }
    }
}
