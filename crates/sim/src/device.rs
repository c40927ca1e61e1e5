//! Sound devices in virtual time: clocks that are off, callbacks of odd sizes, stalls.

use std::time::Duration;

use crate::rng::Rng;

/// How a virtual device behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceConfig {
    /// Samples per second by the device's own clock; above 0.
    pub sample_rate: u32,
    /// How much its clock runs fast (positive) or slow, in parts per million; more than -1,000,000.
    pub skew_ppm: f64,
    /// Sizes of its callbacks in samples, repeated in turn; zeros are skipped.
    pub callback_samples: Vec<usize>,
    /// Each callback comes up to this much late (uniform), without moving the ones after it.
    pub wake_jitter: Duration,
    /// Times in which no callback comes; those missed come at once afterwards.
    pub stalls: Vec<DeviceStall>,
    /// Seed of the wake-up jitter.
    pub seed: u64,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            sample_rate: crate::SAMPLE_RATE,
            skew_ppm: 0.0,
            callback_samples: vec![480],
            wake_jitter: Duration::ZERO,
            stalls: Vec::new(),
            seed: 1,
        }
    }
}

/// A time in which a device gives no callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStall {
    /// True time at which it begins.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
}

/// One call of a device into the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCallback {
    /// True time since the device was started.
    pub at: Duration,
    /// Samples asked for or delivered.
    pub samples: usize,
}

/// A device as an endless sequence of callbacks, in true time.
///
/// The n-th callback comes when the device's clock has counted the samples of the callbacks before it, as a render
/// device asks. For a capture device read it as "these samples end here" by taking [`position`](Self::position).
#[derive(Debug, Clone)]
pub struct VirtualDevice {
    config: DeviceConfig,
    rng: Rng,
    turn: usize,
    position: u64,
    latest: Duration,
}

impl VirtualDevice {
    /// A device that starts at time zero. Without any callback size above 0 it uses 480 samples, and with a rate of 0
    /// or a skew that would stop its clock, 48 kHz without skew.
    pub fn new(config: DeviceConfig) -> Self {
        let mut config = config;
        config.callback_samples.retain(|&samples| samples > 0);
        if config.callback_samples.is_empty() {
            config.callback_samples.push(480);
        }
        let true_rate = f64::from(config.sample_rate) * (1.0 + config.skew_ppm * 1e-6);
        if !(true_rate.is_finite() && true_rate > 0.0) {
            config.sample_rate = crate::SAMPLE_RATE;
            config.skew_ppm = 0.0;
        }
        let rng = Rng::stream(config.seed, 5);
        Self { config, rng, turn: 0, position: 0, latest: Duration::ZERO }
    }

    /// Samples of all callbacks so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// True time at which the device's clock has counted `samples`.
    pub fn time_of(&self, samples: u64) -> Duration {
        let true_rate = f64::from(self.config.sample_rate) * (1.0 + self.config.skew_ppm * 1e-6);
        Duration::try_from_secs_f64(samples as f64 / true_rate).unwrap_or(Duration::MAX)
    }

    /// The next callback.
    pub fn next_callback(&mut self) -> DeviceCallback {
        let samples = self.config.callback_samples[self.turn % self.config.callback_samples.len()];
        let late = self.rng.duration(Duration::ZERO, self.config.wake_jitter);
        let ideal = self.time_of(self.position).saturating_add(late);
        self.latest = self.latest.max(self.after_stalls(ideal));
        self.turn += 1;
        self.position += samples as u64;
        DeviceCallback { at: self.latest, samples }
    }

    fn after_stalls(&self, at: Duration) -> Duration {
        let hit =
            self.config.stalls.iter().find(|stall| at >= stall.start && at - stall.start < stall.length);
        hit.map_or(at, |stall| stall.start + stall.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_makes_a_device_count_more_samples_in_the_same_time() {
        let mut device = VirtualDevice::new(DeviceConfig { skew_ppm: 200.0, ..DeviceConfig::default() });
        while device.next_callback().at < Duration::from_secs(100) {}
        let counted = device.position() as f64;
        assert!((counted - 4_800_960.0).abs() < 1000.0, "{counted}");
    }

    #[test]
    fn odd_sizes_take_turns() {
        let sizes = vec![441, 0, 128];
        let mut device =
            VirtualDevice::new(DeviceConfig { callback_samples: sizes, ..DeviceConfig::default() });
        let taken: Vec<usize> = (0..4).map(|_| device.next_callback().samples).collect();
        assert_eq!(taken, [441, 128, 441, 128]);
    }

    #[test]
    fn callbacks_missed_in_a_stall_come_at_once() {
        let stall = DeviceStall { start: Duration::from_millis(100), length: Duration::from_millis(500) };
        let mut device = VirtualDevice::new(DeviceConfig { stalls: vec![stall], ..DeviceConfig::default() });
        let times: Vec<Duration> = (0..70).map(|_| device.next_callback().at).collect();
        assert_eq!(times.iter().filter(|at| **at == Duration::from_millis(600)).count(), 51);
        assert!(times.is_sorted());
        assert_eq!(times[61], Duration::from_millis(610));
    }
}
