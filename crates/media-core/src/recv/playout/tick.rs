//! What one step of the playout has to do with: its time, its state and the packet that is due.

use crate::jitter::{Slot, micros};
use crate::units::MediaTime;

/// One part of a pull.
#[derive(Debug, Clone, Copy)]
pub(in crate::recv) struct Tick {
    /// When its first sample is played, if the pull's first is played at once.
    pub(super) now: MediaTime,
    /// How long the whole pull sounds, in microseconds: so much earlier a packet has to be here.
    pub(super) quantum: i64,
    pub(super) is_first: bool,
}

impl Tick {
    /// The first part of a pull of `samples`.
    pub(in crate::recv) fn new(now: MediaTime, samples: usize) -> Self {
        Self { now, quantum: micros(samples as i64), is_first: true }
    }

    /// The part after `samples`.
    pub(in crate::recv) fn after(self, samples: usize) -> Self {
        let now = MediaTime::from_micros(self.now.as_micros().saturating_add(micros(samples as i64)));
        Self { now, is_first: false, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No packet has come.
    Idle,
    /// The first packet waits until the wanted delay is reached.
    Starting,
    /// Sound is played.
    Playing,
    /// Nothing has come for longer than is given up: media time stands still.
    Holding,
}

/// What is known of the packet that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) sequence: i64,
    pub(super) timestamp: i64,
    pub(super) end: i64,
    pub(super) fec_samples: i64,
    /// Nothing is missing before it: the far end paused.
    pub(super) after_pause: bool,
}

impl From<&Slot> for Due {
    fn from(slot: &Slot) -> Self {
        let (sequence, timestamp, fec_samples) = (slot.sequence, slot.timestamp, slot.fec_samples);
        Self { sequence, timestamp, end: slot.end(), fec_samples, after_pause: false }
    }
}
