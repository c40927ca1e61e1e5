//! A microphone on the media thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use offhook_media_core::dsp::LevelMeter;
use offhook_media_core::units::MediaTime;

use super::CaptureEdge;
use super::edge::MOST_TAKEN;
use crate::enhance::port::EnhancePort;
use crate::snapshot::word_of_level;

/// What the level's word is before anything was captured.
pub(crate) const NO_LEVEL: u64 = u64::MAX;

/// What a device captures in a tick, for every stream that listens to it.
pub(crate) struct MicrophoneSlot {
    edge: Box<CaptureEdge>,
    port: Option<Box<EnhancePort>>,
    block: Box<[f32]>,
    filled: usize,
    meter: LevelMeter,
    level: Arc<AtomicU64>,
    /// Whether the device is not asked in the next tick, and whether it was not in the last.
    skips_next: bool,
    was_skipped: bool,
    /// Samples' time since it was asked.
    unasked: usize,
    /// So many answers in a row held as much as had passed.
    steady: u32,
}

/// After so many answers a server is known to hand out what it hears as it comes, in blocks no longer than a period.
const STEADY: u32 = 8;

impl MicrophoneSlot {
    /// Not for the real-time thread. `level` is told to others.
    pub(crate) fn new(edge: Box<CaptureEdge>, level: Arc<AtomicU64>) -> Self {
        Self {
            edge,
            port: None,
            block: vec![0.0; MOST_TAKEN].into_boxed_slice(),
            filled: 0,
            meter: LevelMeter::default(),
            level,
            skips_next: false,
            was_skipped: false,
            unasked: 0,
            steady: 0,
        }
    }

    /// Takes what has come, a tick of `period` samples; `passed` samples' time after the tick before.
    pub(super) fn capture(&mut self, passed: usize, period: usize) {
        self.unasked += passed;
        self.was_skipped = std::mem::take(&mut self.skips_next);
        self.filled = if self.was_skipped { 0 } else { self.ask(period) };
        let mut told = None;
        if let Some(port) = &mut self.port {
            (self.filled, told) = port.exchange(&mut self.block, self.filled, self.edge.captured_until());
        }
        if self.filled > 0 {
            let level = self.meter.measure(&self.block[..self.filled]);
            self.level.store(word_of_level(told.unwrap_or(level)), Relaxed);
        }
    }

    /// Whether what is captured comes back from the worker, after the tick.
    pub(super) fn is_enhanced(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.is_routed())
    }

    pub(super) fn can_wait(&self) -> bool {
        self.edge.is_pumped() && !self.is_enhanced()
    }

    fn ask(&mut self, period: usize) -> usize {
        let filled = self.edge.take(&mut self.block);
        let is_steady = filled.abs_diff(std::mem::take(&mut self.unasked)) <= period;
        self.steady = if is_steady { self.steady.saturating_add(1) } else { 0 };
        filled
    }

    /// A server that keeps what it hears is not asked in the next tick where nobody waits for it: an answer costs as much with twice as much in
    /// it. Of one that hands out large blocks nobody knows when the next one completes a packet.
    pub(super) fn skip_next(&mut self, nobody_waits: bool) {
        let may = !self.was_skipped && self.can_wait() && self.edge.is_drained();
        self.skips_next = may && nobody_waits && self.steady >= STEADY;
    }

    /// Whether the device should have delivered by `now`, but has not.
    pub(super) fn is_late(&self, now: MediaTime) -> bool {
        self.edge.is_late(now)
    }

    /// Takes what has come since, where the device was late, and what has come back from the worker.
    pub(super) fn collect(&mut self, now: MediaTime) {
        if self.edge.is_late(now) {
            return self.capture(0, 0);
        }
        self.filled = 0;
        if let Some(port) = &mut self.port {
            let (filled, told) = port.exchange(&mut self.block, 0, None);
            self.filled = filled;
            if let Some(level) = told {
                self.level.store(word_of_level(level), Relaxed);
            }
        }
    }

    /// What is captured goes this way from now on; gives back the way before.
    pub(super) fn set_port(&mut self, port: Box<EnhancePort>) -> Option<Box<EnhancePort>> {
        self.port.replace(port)
    }

    /// What came in this tick, at 48 kHz.
    pub(super) fn block(&self) -> &[f32] {
        &self.block[..self.filled]
    }

    pub(super) fn replace_edge(&mut self, edge: Box<CaptureEdge>) -> Box<CaptureEdge> {
        if let Some(port) = &mut self.port {
            port.device_changed();
        }
        std::mem::replace(&mut self.edge, edge)
    }
}
