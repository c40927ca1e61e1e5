//! Devices that are no hardware: silence, WAV files and queues, at the pace of a timer.
//!
//! [`PacedCapture`] and [`PacedRender`] do one period when told to; a thread tells them in an engine, a simulation in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use offhook_media_core::units::SAMPLE_RATE;

use super::wav_file::{WavPlayer, WavRecorder};
use super::{Device, OpenDevice, OpenDeviceError};
use crate::latency::LatencyMode;
use crate::threads::pacer::Pacer;
use crate::threads::{CALLBACK_PRIORITY, CaptureCallback, EngineClock, RenderCallback, ask_for_real_time};

/// Gives samples: mono, 48 kHz. Real-time safe.
pub(super) trait SoundSource: Send {
    /// Fills all of `samples`, with silence where there is nothing.
    fn fill(&mut self, samples: &mut [f32]);
}

/// Takes samples: mono, 48 kHz. Real-time safe.
pub(super) trait SoundSink: Send {
    /// Takes them, or drops what it has no room for.
    fn take(&mut self, samples: &[f32]);
}

/// Silence, and nowhere.
struct Null;

impl SoundSource for Null {
    fn fill(&mut self, samples: &mut [f32]) {
        samples.fill(0.0);
    }
}

impl SoundSink for Null {
    fn take(&mut self, _: &[f32]) {}
}

/// A microphone whose periods are asked for from outside.
pub struct PacedCapture {
    source: Box<dyn SoundSource>,
    callback: CaptureCallback,
    block: Box<[f32]>,
    owed: u64,
}

impl PacedCapture {
    /// Opens a device that is not of the system; `samples` per period.
    ///
    /// # Errors
    /// [`OpenDeviceError::Wav`], [`OpenDeviceError::Busy`], [`OpenDeviceError::WrongDirection`]; [`OpenDeviceError::NotFound`] for a device of
    /// the system.
    pub fn open(device: &Device, samples: usize, callback: CaptureCallback) -> Result<Self, OpenDeviceError> {
        let source: Box<dyn SoundSource> = match device {
            Device::Null => Box::new(Null),
            Device::Wav(path) => Box::new(WavPlayer::open(path)?),
            Device::Pcm(queue) => queue.open_source()?,
            Device::Default | Device::Id(_) => return Err(OpenDeviceError::NotFound(device.clone())),
        };
        Ok(Self { source, callback, block: vec![0.0; samples.max(1)].into_boxed_slice(), owed: 0 })
    }

    /// One period has passed. What the ring has no room for is delivered later: nothing is dropped. Real-time safe.
    pub fn period(&mut self) {
        self.owed += 1;
        while self.owed > 0 && self.callback.room() >= self.block.len() {
            self.source.fill(&mut self.block);
            self.callback.deliver(&self.block);
            self.owed -= 1;
        }
    }
}

/// A speaker whose periods are asked for from outside.
pub struct PacedRender {
    sink: Box<dyn SoundSink>,
    callback: RenderCallback,
    block: Box<[f32]>,
}

impl PacedRender {
    /// Opens a device that is not of the system; `samples` per period.
    ///
    /// # Errors
    /// As [`PacedCapture::open`].
    pub fn open(device: &Device, samples: usize, callback: RenderCallback) -> Result<Self, OpenDeviceError> {
        let sink: Box<dyn SoundSink> = match device {
            Device::Null => Box::new(Null),
            Device::Wav(path) => Box::new(WavRecorder::create(path)?),
            Device::Pcm(queue) => queue.open_sink()?,
            Device::Default | Device::Id(_) => return Err(OpenDeviceError::NotFound(device.clone())),
        };
        Ok(Self { sink, callback, block: vec![0.0; samples.max(1)].into_boxed_slice() })
    }

    /// One period has passed. Real-time safe.
    pub fn period(&mut self) {
        self.callback.fill(&mut self.block);
        self.sink.take(&self.block);
    }
}

impl std::fmt::Debug for PacedCapture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PacedCapture").field("callback", &self.callback).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PacedRender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PacedRender").field("callback", &self.callback).finish_non_exhaustive()
    }
}

/// How devices are to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) period: Duration,
    /// Of the media thread.
    pub(crate) tick: Duration,
    /// What is asked of devices of the system.
    pub(crate) latency: LatencyMode,
    pub(crate) real_time: bool,
}

impl Pace {
    /// Samples of a period.
    pub(crate) fn samples(self) -> usize {
        let samples = self.period.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000;
        usize::try_from(samples).unwrap_or(usize::MAX).clamp(1, SAMPLE_RATE as usize)
    }

    /// A microphone delivers right before a tick: a millisecond, and a fifth of a short one.
    pub(super) fn microphone_beat(self, clock: EngineClock, period: Duration) -> Pacer {
        let before = (self.tick / 5).min(Duration::from_millis(1));
        Pacer::on_beat(clock, self.tick - before, period)
    }

    /// A speaker takes its sound when a tick has surely ended: a third of one later.
    pub(super) fn speaker_beat(self, clock: EngineClock, period: Duration) -> Pacer {
        Pacer::on_beat(clock, self.tick / 3, period)
    }
}

/// The thread that plays the part of a sound card; stops when dropped.
pub(super) struct TimerThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TimerThread {
    pub(super) fn capture(
        device: &Device,
        pace: Pace,
        callback: CaptureCallback,
    ) -> Result<Self, OpenDeviceError> {
        let clock = callback.clock();
        let mut capture = PacedCapture::open(device, pace.samples(), callback)?;
        let beat = pace.microphone_beat(clock, pace.period);
        Self::start("offhook-capture", pace, beat, Duration::ZERO, move || capture.period())
    }

    pub(super) fn render(
        device: &Device,
        pace: Pace,
        callback: RenderCallback,
    ) -> Result<Self, OpenDeviceError> {
        let clock = callback.clock();
        let mut render = PacedRender::open(device, pace.samples(), callback)?;
        let beat = pace.speaker_beat(clock, pace.period);
        // Where the whole system stood still, the media thread has to make what the next period takes.
        Self::start("offhook-render", pace, beat, pace.period / 5, move || render.period())
    }

    fn start(
        name: &str,
        pace: Pace,
        mut pacer: Pacer,
        rest: Duration,
        mut period: impl FnMut() + Send + 'static,
    ) -> Result<Self, OpenDeviceError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            if pace.real_time {
                ask_for_real_time(CALLBACK_PRIORITY);
            }
            while !stopped.load(Relaxed) {
                // A late timer does not skip: the periods it missed follow.
                pacer.wait();
                period();
                pacer.catch_breath(rest);
            }
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = spawned.map_err(|error| OpenDeviceError::Unusable(error.to_string()))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl OpenDevice for TimerThread {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn follows_engine_clock(&self) -> bool {
        true
    }
}

impl Drop for TimerThread {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only panics when a source does, and none can.
            let _ = thread.join();
        }
    }
}
