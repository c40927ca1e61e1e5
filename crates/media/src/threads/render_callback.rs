//! | thread | render callback |
//! |---|---|
//! | started by | the sound system, or a paced device |
//! | priority | the device's; asked for at its first callback |
//! | may | copy out of the render ring, count |
//! | must not | allocate, lock, log, wait |

use std::sync::Arc;

use ringbuf::HeapCons;
use ringbuf::traits::{Consumer, Observer};

use super::EngineClock;
use crate::device::{DeviceHealth, RealTimeProbe, Stamps};

/// Samples converted at once.
const PIECE: usize = 240;

/// What a render device calls for the sound it is to play. Real-time safe.
pub struct RenderCallback {
    ring: HeapCons<f32>,
    health: Arc<DeviceHealth>,
    clock: EngineClock,
    probe: RealTimeProbe,
    primed: bool,
    stamps: Option<Stamps>,
}

impl RenderCallback {
    pub(crate) fn new(
        ring: HeapCons<f32>,
        health: Arc<DeviceHealth>,
        clock: EngineClock,
        probe: RealTimeProbe,
    ) -> Self {
        Self { ring, health, clock, probe, primed: false, stamps: None }
    }

    /// Fills mono samples in -1..=1, any number; what is missing is silence.
    pub fn fill(&mut self, samples: &mut [f32]) {
        let before = self.probe.enter();
        self.begin(samples.len());
        let given = self.ring.pop_slice(samples);
        samples[given..].fill(0.0);
        self.finish(samples.len(), given);
        self.probe.leave(before);
    }

    /// How many of the samples that a server asks for it is given now: those that are ready, for it has others to play meanwhile; but never so few
    /// that it is owed more than `most`. Before the first sound all of them, because a server waits for them before it begins.
    pub fn due(&self, asked: usize, most: usize) -> usize {
        if self.primed { self.ring.occupied_len().min(asked).max(asked.saturating_sub(most)) } else { asked }
    }

    /// Fills interleaved samples of `channels` channels, all with the same sound; `convert` makes one from a number in -1..=1.
    pub fn fill_interleaved<T: Copy>(&mut self, data: &mut [T], channels: usize, convert: impl Fn(f32) -> T) {
        let before = self.probe.enter();
        let channels = channels.max(1);
        self.begin(data.len() / channels);
        let (mut mono, mut total, mut given) = ([0.0; PIECE], 0, 0);
        for piece in data.chunks_mut(PIECE * channels) {
            let samples = piece.len() / channels;
            let popped = self.ring.pop_slice(&mut mono[..samples]);
            mono[popped..].fill(0.0);
            for (sample, frame) in mono.iter().zip(piece.chunks_exact_mut(channels)) {
                frame.fill(convert(*sample));
            }
            total += samples;
            given += popped;
        }
        self.finish(total, given);
        self.probe.leave(before);
    }

    /// Notes when samples were asked for: for measuring.
    pub(crate) fn stamped(self, stamps: Stamps) -> Self {
        Self { stamps: Some(stamps), ..self }
    }

    fn begin(&mut self, samples: usize) {
        let now = self.clock.now();
        self.health.begin_callback(now, samples);
        if let Some(stamps) = &mut self.stamps {
            stamps.note(now, samples);
        }
    }

    /// The device's counters: for its error callback.
    pub fn health(&self) -> Arc<DeviceHealth> {
        Arc::clone(&self.health)
    }

    /// The engine's clock.
    pub fn clock(&self) -> EngineClock {
        self.clock
    }

    /// Before the first sound nothing can be missing.
    fn finish(&mut self, samples: usize, given: usize) {
        self.health.end_callback(if self.primed { samples - given } else { 0 });
        self.primed |= given > 0;
    }
}

impl std::fmt::Debug for RenderCallback {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RenderCallback").field("health", &self.health).finish_non_exhaustive()
    }
}
