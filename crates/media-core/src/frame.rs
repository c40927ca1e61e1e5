//! Sound in pieces of 10 ms.

use crate::units::{FRAME_SAMPLES, MediaTime};

/// 10 ms of one channel at 48 kHz, with the time it was captured at. Plain data, so that a ring can carry it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioFrame {
    /// When the first sample entered the microphone, on the engine's clock.
    pub captured: MediaTime,
    /// Samples in -1..=1.
    pub samples: [f32; FRAME_SAMPLES],
}

impl AudioFrame {
    /// Silence at `captured`.
    pub const fn silence(captured: MediaTime) -> Self {
        Self { captured, samples: [0.0; FRAME_SAMPLES] }
    }
}
