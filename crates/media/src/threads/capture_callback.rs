//! | thread | capture callback |
//! |---|---|
//! | started by | the sound system, or a paced device |
//! | priority | the device's; asked for at its first callback |
//! | may | copy into the capture ring, count |
//! | must not | allocate, lock, log, wait |

use std::sync::Arc;

use ringbuf::HeapProd;
use ringbuf::traits::{Observer, Producer};

use super::EngineClock;
use crate::device::{DeviceHealth, RealTimeProbe, Stamps};

/// Samples converted at once.
const PIECE: usize = 240;

/// What a capture device calls with the sound it took in. Real-time safe.
pub struct CaptureCallback {
    ring: HeapProd<f32>,
    health: Arc<DeviceHealth>,
    clock: EngineClock,
    probe: RealTimeProbe,
    stamps: Option<Stamps>,
}

impl CaptureCallback {
    pub(crate) fn new(
        ring: HeapProd<f32>,
        health: Arc<DeviceHealth>,
        clock: EngineClock,
        probe: RealTimeProbe,
    ) -> Self {
        Self { ring, health, clock, probe, stamps: None }
    }

    /// Takes mono samples in -1..=1, any number.
    pub fn deliver(&mut self, samples: &[f32]) {
        let before = self.probe.enter();
        self.begin(samples.len());
        let taken = self.ring.push_slice(samples);
        self.health.end_callback(samples.len() - taken);
        self.probe.leave(before);
    }

    /// Takes interleaved samples of `channels` channels, which are averaged; `convert` makes one a number in -1..=1.
    pub fn deliver_interleaved<T: Copy>(&mut self, data: &[T], channels: usize, convert: impl Fn(T) -> f32) {
        let before = self.probe.enter();
        let channels = channels.max(1);
        self.begin(data.len() / channels);
        let (mut mono, mut missing) = ([0.0; PIECE], 0);
        for piece in data.chunks(PIECE * channels) {
            let samples = piece.len() / channels;
            for (out, frame) in mono.iter_mut().zip(piece.chunks_exact(channels)) {
                *out = frame.iter().map(|sample| convert(*sample)).sum::<f32>() / channels as f32;
            }
            missing += samples - self.ring.push_slice(&mono[..samples]);
        }
        self.health.end_callback(missing);
        self.probe.leave(before);
    }

    /// The engine's clock.
    pub fn clock(&self) -> EngineClock {
        self.clock
    }

    /// Samples there is room for.
    pub(crate) fn room(&self) -> usize {
        self.ring.vacant_len()
    }

    /// Notes when samples came: for measuring.
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
}

impl std::fmt::Debug for CaptureCallback {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CaptureCallback").field("health", &self.health).finish_non_exhaustive()
    }
}
