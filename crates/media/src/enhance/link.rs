//! What crosses between the media thread and the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::units::MediaTime;
use ringbuf::HeapProd;
use ringbuf::traits::Producer;

use super::AudioProcessing;
use super::stage::BLOCK;
use crate::key::Key;

/// Most samples of a piece of what is played: 5 ms.
pub(crate) const MOST_PIECE: usize = 240;

/// 10 ms of a microphone, on their way to be enhanced.
pub(crate) struct CaptureBlock {
    pub(crate) sequence: u64,
    /// Nothing before it matters.
    pub(crate) restart: bool,
    /// It is the first one of another device.
    pub(crate) other_device: bool,
    /// When its last sample was captured; maybe late, never early.
    pub(crate) ends_at: Option<MediaTime>,
    pub(crate) samples: [f32; BLOCK],
}

/// 10 ms enhanced, on their way back.
pub(crate) struct EnhancedBlock {
    pub(crate) sequence: u64,
    /// Of what the chain hears.
    pub(crate) level: AudioLevel,
    /// Samples by which the chain delays.
    pub(crate) delay: usize,
    pub(crate) samples: [f32; BLOCK],
}

/// A piece of what is put before a loudspeaker.
pub(crate) struct ReferencePiece {
    pub(crate) source: Key,
    /// Number of its first sample among all of the source.
    pub(crate) number: u64,
    /// When its first sample is played; maybe late, never early.
    pub(crate) plays_at: MediaTime,
    /// Samples the device ever lacked.
    pub(crate) missing: u64,
    /// It is the first one for another device.
    pub(crate) restart: bool,
    length: usize,
    samples: [f32; MOST_PIECE],
}

impl ReferencePiece {
    /// Of more than [`MOST_PIECE`] samples, the first.
    pub(crate) fn new(
        source: Key,
        number: u64,
        plays_at: MediaTime,
        missing: u64,
        restart: bool,
        samples: &[f32],
    ) -> Self {
        let length = samples.len().min(MOST_PIECE);
        let mut piece =
            Self { source, number, plays_at, missing, restart, length, samples: [0.0; MOST_PIECE] };
        piece.samples[..length].copy_from_slice(&samples[..length]);
        piece
    }

    pub(crate) fn samples(&self) -> &[f32] {
        &self.samples[..self.length]
    }
}

/// What both ends of a microphone's way to the worker know.
#[derive(Debug)]
pub(crate) struct EnhanceShared {
    settings: AtomicU32,
    processed: AtomicU64,
    unprocessed: AtomicU64,
    closed: AtomicBool,
}

impl EnhanceShared {
    pub(crate) fn new(settings: AudioProcessing) -> Self {
        Self {
            settings: AtomicU32::new(settings.to_bits()),
            processed: AtomicU64::new(0),
            unprocessed: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn settings(&self) -> AudioProcessing {
        AudioProcessing::of_bits(self.settings.load(Relaxed))
    }

    pub(crate) fn set(&self, settings: AudioProcessing) {
        self.settings.store(settings.to_bits(), Relaxed);
    }

    /// Blocks that came back in time.
    pub(crate) fn processed(&self) -> u64 {
        self.processed.load(Relaxed)
    }

    /// Blocks that did not, and went on as they were.
    pub(crate) fn unprocessed(&self) -> u64 {
        self.unprocessed.load(Relaxed)
    }

    pub(super) fn count(&self, processed: bool) {
        let counter = if processed { &self.processed } else { &self.unprocessed };
        counter.fetch_add(1, Relaxed);
    }

    /// The microphone is gone.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

/// The media thread's end of the way of what loudspeakers play. Real-time safe.
pub(crate) struct ReferenceTap {
    ring: HeapProd<ReferencePiece>,
    wanted: Arc<AtomicBool>,
}

impl ReferenceTap {
    pub(crate) fn new(ring: HeapProd<ReferencePiece>, wanted: Arc<AtomicBool>) -> Self {
        Self { ring, wanted }
    }

    /// Whether anybody cancels echoes.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// What finds no room is lost; the numbers show it.
    pub(crate) fn give(&mut self, piece: ReferencePiece) {
        let _ = self.ring.try_push(piece);
    }
}
