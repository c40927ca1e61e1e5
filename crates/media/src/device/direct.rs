//! Devices of one's own, without an engine: for measuring what a device itself does to time.

use std::sync::Arc;
use std::time::Duration;

use offhook_media_core::units::MediaTime;
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapRb};

use super::paced::Pace;
use super::{Backend, Device, DeviceHealth, OpenDevice, OpenDeviceError, RealTimeProbe, SystemBackend};
use crate::threads::{CaptureCallback, EngineClock, RenderCallback};

/// Period of devices that are no hardware.
const PACED: Pace = Pace { period: Duration::from_millis(5), real_time: true };

/// A speaker that plays what it was given when it was opened, and then silence. It stops when dropped.
pub struct DirectPlayback {
    device: Box<dyn OpenDevice>,
    health: Arc<DeviceHealth>,
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
        let callback = RenderCallback::new(waiting, Arc::clone(&health), clock, RealTimeProbe::default());
        let device = SystemBackend::new(PACED).open_render(device, callback)?;
        Ok(Self { device, health })
    }

    /// Samples per second of the device.
    pub fn sample_rate(&self) -> u32 {
        self.device.sample_rate()
    }

    /// When the device took the first sample; `None` before that.
    pub fn started_at(&self) -> Option<MediaTime> {
        self.health.first_callback().map(|(at, _)| at)
    }
}

/// A microphone whose sound waits to be read. It stops when dropped.
pub struct DirectRecording {
    device: Box<dyn OpenDevice>,
    health: Arc<DeviceHealth>,
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
        let callback = CaptureCallback::new(queue, Arc::clone(&health), clock, RealTimeProbe::default());
        let device = SystemBackend::new(PACED).open_capture(device, callback)?;
        Ok(Self { device, health, recorded })
    }

    /// Samples per second of the device.
    pub fn sample_rate(&self) -> u32 {
        self.device.sample_rate()
    }

    /// When the device delivered the first block of sound; `None` before that.
    pub fn started_at(&self) -> Option<MediaTime> {
        self.health.first_callback().map(|(at, _)| at)
    }

    /// Takes what was recorded and not read yet, from the first sample on.
    pub fn read(&mut self) -> Vec<f32> {
        self.recorded.pop_iter().collect()
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
