//! Devices of one's own, without an engine: for measuring what a device itself does to time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use offhook_media_core::units::MediaTime;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::paced::Pace;
use super::{Backend, Device, DeviceHealth, OpenDevice, OpenDeviceError, RealTimeProbe, SystemBackend};
use crate::latency::LatencyMode;
use crate::threads::pacer::Pacer;
use crate::threads::{CALLBACK_PRIORITY, CaptureCallback, EngineClock, RenderCallback, ask_for_real_time};

/// Period of devices that are no hardware.
const PACED: Pace = Pace {
    period: Duration::from_millis(5),
    tick: Duration::from_millis(5),
    latency: LatencyMode::Normal,
    real_time: true,
};

/// Where no media thread does it.
const PUMPED_EVERY: Duration = Duration::from_millis(2);
/// Callbacks whose times are kept: more than ten minutes of them at the usual periods.
const MOST_STAMPS: usize = 1 << 17;
/// Callbacks this near to a sample tell when it met the device: enough that one of them came in time, near enough that clocks do not drift.
const NEAR: Duration = Duration::from_millis(250);

/// When each callback came, noted by the callback. Real-time safe: what finds no room is left out.
pub(crate) struct Stamps {
    ring: HeapProd<Stamp>,
    samples: u64,
}

/// A callback: its time, and how many samples went before.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    at: MediaTime,
    before: u64,
}

impl Stamps {
    fn new() -> (Self, HeapCons<Stamp>) {
        let (ring, kept) = HeapRb::new(MOST_STAMPS).split();
        (Self { ring, samples: 0 }, kept)
    }

    pub(crate) fn note(&mut self, at: MediaTime, samples: usize) {
        let _ = self.ring.try_push(Stamp { at, before: self.samples });
        self.samples += samples as u64;
    }
}

/// When the samples of a device met it.
#[derive(Debug, Clone)]
pub struct DeviceTimeline {
    stamps: Vec<Stamp>,
    sample_rate: u32,
}

impl DeviceTimeline {
    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// When sample number `sample` was taken by the speaker or given by the microphone. A callback can only be late: of those around the sample
    /// the earliest, by its own count, decides. `None` when none was near.
    pub fn time_of(&self, sample: u64) -> Option<MediaTime> {
        let near = NEAR.as_micros() as i64;
        self.stamps
            .iter()
            .map(|stamp| (stamp, self.micros(sample) - self.micros(stamp.before)))
            .filter(|(_, ahead)| ahead.abs() <= near)
            .map(|(stamp, ahead)| MediaTime::from_micros(stamp.at.as_micros() + ahead))
            .min()
    }

    fn micros(&self, samples: u64) -> i64 {
        (samples as f64 * 1e6 / f64::from(self.sample_rate)).round() as i64
    }
}

/// A thread in the media thread's place, for a device that has none of its own; ends when dropped.
struct Pumping {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pumping {
    fn start(device: &mut dyn OpenDevice, clock: EngineClock) -> Result<Option<Self>, OpenDeviceError> {
        let Some(mut pump) = device.take_pump() else { return Ok(None) };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut beat = Pacer::on_beat(clock, Duration::ZERO, PUMPED_EVERY);
        let body = move || {
            ask_for_real_time(CALLBACK_PRIORITY);
            while !stopped.load(Relaxed) {
                beat.wait_from(clock.now());
                pump.pump();
            }
        };
        let spawned = std::thread::Builder::new().name("offhook-pump".to_owned()).spawn(body);
        let thread = spawned.map_err(|error| OpenDeviceError::Unusable(error.to_string()))?;
        Ok(Some(Self { stop, thread: Some(thread) }))
    }
}

impl Drop for Pumping {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only panics when a pump does, and none can.
            let _ = thread.join();
        }
    }
}

/// A speaker that plays what it was given when it was opened, and then silence. It stops when dropped.
pub struct DirectPlayback {
    _pumping: Option<Pumping>,
    device: Box<dyn OpenDevice>,
    health: Arc<DeviceHealth>,
    stamps: HeapCons<Stamp>,
}

impl DirectPlayback {
    /// Plays mono `sound`, which has to be at the device's own rate: see [`sample_rate`](Self::sample_rate).
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open(device: &Device, clock: EngineClock, sound: &[f32]) -> Result<Self, OpenDeviceError> {
        let (mut queue, waiting) = HeapRb::new(sound.len().max(1)).split();
        queue.push_slice(sound);
        let health = Arc::new(DeviceHealth::default());
        let (noted, stamps) = Stamps::new();
        let callback = RenderCallback::new(waiting, Arc::clone(&health), clock, RealTimeProbe::default());
        let mut device = SystemBackend::new(PACED).open_render(device, callback.stamped(noted))?;
        Ok(Self { _pumping: Pumping::start(&mut *device, clock)?, device, health, stamps })
    }

    /// Whether its first callback has come.
    pub fn has_begun(&self) -> bool {
        !self.stamps.is_empty()
    }

    /// Samples per second of the device.
    pub fn sample_rate(&self) -> u32 {
        self.device.sample_rate()
    }

    /// Stops it, and tells when it took its samples.
    pub fn finish(self) -> DeviceTimeline {
        let Self { _pumping: pumping, device, mut stamps, .. } = self;
        drop(pumping);
        DeviceTimeline { sample_rate: device.sample_rate(), stamps: stamps.pop_iter().collect() }
    }
}

/// A microphone whose sound waits to be read. It stops when dropped.
pub struct DirectRecording {
    _pumping: Option<Pumping>,
    device: Box<dyn OpenDevice>,
    health: Arc<DeviceHealth>,
    stamps: HeapCons<Stamp>,
    recorded: HeapCons<f32>,
}

impl DirectRecording {
    /// Records mono sound at the device's own rate; sound for which there is no room among `most_samples` is lost.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open(device: &Device, clock: EngineClock, most_samples: usize) -> Result<Self, OpenDeviceError> {
        let (queue, recorded) = HeapRb::new(most_samples.max(1)).split();
        let health = Arc::new(DeviceHealth::default());
        let (noted, stamps) = Stamps::new();
        let callback = CaptureCallback::new(queue, Arc::clone(&health), clock, RealTimeProbe::default());
        let mut device = SystemBackend::new(PACED).open_capture(device, callback.stamped(noted))?;
        Ok(Self { _pumping: Pumping::start(&mut *device, clock)?, device, health, stamps, recorded })
    }

    /// Whether its first callback has come.
    pub fn has_begun(&self) -> bool {
        !self.stamps.is_empty()
    }

    /// Samples per second of the device.
    pub fn sample_rate(&self) -> u32 {
        self.device.sample_rate()
    }

    /// Stops it, and gives what was recorded, from the first sample on, and when the samples came.
    pub fn finish(self) -> (Vec<f32>, DeviceTimeline) {
        let Self { _pumping: pumping, device, mut stamps, mut recorded, .. } = self;
        drop(pumping);
        let timeline =
            DeviceTimeline { sample_rate: device.sample_rate(), stamps: stamps.pop_iter().collect() };
        (recorded.pop_iter().collect(), timeline)
    }
}

impl std::fmt::Debug for DirectPlayback {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DirectPlayback").field("health", &self.health).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DirectRecording {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DirectRecording").field("health", &self.health).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(stamps: &[(i64, u64)]) -> DeviceTimeline {
        let stamps = stamps
            .iter()
            .map(|(micros, before)| Stamp { at: MediaTime::from_micros(*micros), before: *before });
        DeviceTimeline { stamps: stamps.collect(), sample_rate: 48_000 }
    }

    #[test]
    fn late_callbacks_do_not_move_a_sample() {
        // Every 5 ms from 1 s on, but the first came 30 ms late and then three at once.
        let stamps = [(1_030_000, 0), (1_030_100, 240), (1_030_200, 480), (1_015_000, 720), (1_021_000, 960)];
        assert_eq!(timeline(&stamps).time_of(0), Some(MediaTime::from_micros(1_000_000)));
        assert_eq!(timeline(&stamps).time_of(960), Some(MediaTime::from_micros(1_020_000)));
    }

    #[test]
    fn a_gap_moves_only_what_comes_after_it() {
        let stamps = [(0, 0), (5_000, 240), (1_500_000, 48_000), (1_505_000, 48_240)];
        assert_eq!(timeline(&stamps).time_of(0), Some(MediaTime::ZERO));
        assert_eq!(timeline(&stamps).time_of(48_000), Some(MediaTime::from_micros(1_500_000)));
        assert_eq!(timeline(&stamps).time_of(24_000), None);
    }
}
