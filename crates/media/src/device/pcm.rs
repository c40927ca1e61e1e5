//! Samples from and to the application: for bots, voice agents and tests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::paced::{SoundSink, SoundSource};
use super::{Device, Direction, OpenDeviceError};

/// Samples a queue holds: ten seconds.
const QUEUE_SAMPLES: usize = 480_000;

/// A source that plays what is written into the feeder: mono, 48 kHz, at most ten seconds ahead; silence when nothing is there. Open the device
/// as a microphone.
pub fn pcm_source() -> (Device, PcmFeeder) {
    let (producer, consumer) = HeapRb::new(QUEUE_SAMPLES).split();
    let counts = Arc::new(Counts::default());
    let end = DeviceEnd::Source(PcmSource { queue: consumer, counts: Arc::clone(&counts) });
    (Device::Pcm(PcmDevice::new(Direction::Capture, end)), PcmFeeder { queue: producer, counts })
}

/// A sink whose sound is read from the tap: mono, 48 kHz. Sound that is not read within ten seconds is dropped. Open the device as an element.
pub fn pcm_sink() -> (Device, PcmTap) {
    let (producer, consumer) = HeapRb::new(QUEUE_SAMPLES).split();
    let dropped = Arc::new(AtomicU64::new(0));
    let end = DeviceEnd::Sink(PcmSink { queue: producer, dropped: Arc::clone(&dropped) });
    (Device::Pcm(PcmDevice::new(Direction::Render, end)), PcmTap { queue: consumer, dropped })
}

/// The device's end of a queue. Copies are the same device; it can be open once at a time.
#[derive(Clone)]
pub struct PcmDevice {
    direction: Direction,
    end: Arc<Mutex<Option<DeviceEnd>>>,
}

enum DeviceEnd {
    Source(PcmSource),
    Sink(PcmSink),
}

impl PcmDevice {
    fn new(direction: Direction, end: DeviceEnd) -> Self {
        Self { direction, end: Arc::new(Mutex::new(Some(end))) }
    }

    /// Which side it can be opened on.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    pub(super) fn open_source(&self) -> Result<Box<dyn SoundSource>, OpenDeviceError> {
        match self.take(Direction::Capture)? {
            DeviceEnd::Source(source) => Ok(Box::new(Lent { end: Some(source), device: self.clone() })),
            DeviceEnd::Sink(_) => Err(OpenDeviceError::WrongDirection),
        }
    }

    pub(super) fn open_sink(&self) -> Result<Box<dyn SoundSink>, OpenDeviceError> {
        match self.take(Direction::Render)? {
            DeviceEnd::Sink(sink) => Ok(Box::new(Lent { end: Some(sink), device: self.clone() })),
            DeviceEnd::Source(_) => Err(OpenDeviceError::WrongDirection),
        }
    }

    fn take(&self, direction: Direction) -> Result<DeviceEnd, OpenDeviceError> {
        if self.direction != direction {
            return Err(OpenDeviceError::WrongDirection);
        }
        self.end.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(OpenDeviceError::Busy)
    }
}

impl PartialEq for PcmDevice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.end, &other.end)
    }
}

impl Eq for PcmDevice {}

impl std::fmt::Debug for PcmDevice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PcmDevice").field("direction", &self.direction).finish_non_exhaustive()
    }
}

/// Gives the end back when the device is closed.
struct Lent<T: Into<DeviceEnd>> {
    end: Option<T>,
    device: PcmDevice,
}

impl<T: Into<DeviceEnd>> Drop for Lent<T> {
    fn drop(&mut self) {
        let end = self.end.take().map(Into::into);
        *self.device.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

impl From<PcmSource> for DeviceEnd {
    fn from(source: PcmSource) -> Self {
        Self::Source(source)
    }
}

impl From<PcmSink> for DeviceEnd {
    fn from(sink: PcmSink) -> Self {
        Self::Sink(sink)
    }
}

/// Samples ever written, taken, and to be skipped.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    taken: AtomicU64,
    skip_to: AtomicU64,
}

struct PcmSource {
    queue: HeapCons<f32>,
    counts: Arc<Counts>,
}

impl PcmSource {
    fn fill(&mut self, samples: &mut [f32]) {
        let mut taken = self.counts.taken.load(Relaxed);
        let skip = self.counts.skip_to.load(Relaxed).saturating_sub(taken);
        if skip > 0 {
            taken += self.queue.skip(usize::try_from(skip).unwrap_or(usize::MAX)) as u64;
        }
        let given = self.queue.pop_slice(samples);
        samples[given..].fill(0.0);
        self.counts.taken.store(taken + given as u64, Relaxed);
    }
}

impl SoundSource for Lent<PcmSource> {
    fn fill(&mut self, samples: &mut [f32]) {
        match &mut self.end {
            Some(source) => source.fill(samples),
            None => samples.fill(0.0),
        }
    }
}

struct PcmSink {
    queue: HeapProd<f32>,
    dropped: Arc<AtomicU64>,
}

impl SoundSink for Lent<PcmSink> {
    fn take(&mut self, samples: &[f32]) {
        if let Some(sink) = &mut self.end {
            let taken = sink.queue.push_slice(samples);
            sink.dropped.fetch_add((samples.len() - taken) as u64, Relaxed);
        }
    }
}

/// Where the application writes what a microphone is to say.
pub struct PcmFeeder {
    queue: HeapProd<f32>,
    counts: Arc<Counts>,
}

impl PcmFeeder {
    /// Queues mono samples at 48 kHz in -1..=1; returns how many there was room for. Never blocks.
    pub fn write(&mut self, samples: &[f32]) -> usize {
        let taken = self.queue.push_slice(samples);
        self.counts.written.fetch_add(taken as u64, Relaxed);
        taken
    }

    /// Samples that wait to be said.
    pub fn queued(&self) -> usize {
        let counts = &self.counts;
        let gone = counts.taken.load(Relaxed).max(counts.skip_to.load(Relaxed));
        usize::try_from(counts.written.load(Relaxed).saturating_sub(gone)).unwrap_or(usize::MAX)
    }

    /// Drops what waits, for one who interrupts. Takes effect at the device's next period.
    pub fn clear(&mut self) {
        self.counts.skip_to.store(self.counts.written.load(Relaxed), Relaxed);
    }
}

impl std::fmt::Debug for PcmFeeder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PcmFeeder").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

/// Where the application reads what a speaker plays.
pub struct PcmTap {
    queue: HeapCons<f32>,
    dropped: Arc<AtomicU64>,
}

impl PcmTap {
    /// Takes the oldest samples; returns how many there were. Never blocks.
    pub fn read(&mut self, samples: &mut [f32]) -> usize {
        self.queue.pop_slice(samples)
    }

    /// Samples that wait to be read.
    pub fn queued(&self) -> usize {
        self.queue.occupied_len()
    }

    /// Samples lost because they were not read in time.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl std::fmt::Debug for PcmTap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PcmTap").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcm(device: &Device) -> &PcmDevice {
        match device {
            Device::Pcm(pcm) => pcm,
            _ => panic!("not a queue"),
        }
    }

    #[test]
    fn what_is_fed_is_played_once_and_what_is_cleared_is_not() {
        let (device, mut feeder) = pcm_source();
        let mut source = pcm(&device).open_source().unwrap();
        feeder.write(&[0.1; 300]);
        let mut block = [1.0; 240];
        source.fill(&mut block);
        assert_eq!((block[239], feeder.queued()), (0.1, 60));
        feeder.clear();
        assert_eq!(feeder.queued(), 0);
        feeder.write(&[0.2; 10]);
        source.fill(&mut block);
        assert_eq!((block[0], block[9], block[10], feeder.queued()), (0.2, 0.2, 0.0, 0));
    }

    #[test]
    fn a_queue_is_open_once_at_a_time_and_in_its_direction() {
        let (device, _feeder) = pcm_source();
        assert!(matches!(pcm(&device).open_sink(), Err(OpenDeviceError::WrongDirection)));
        let open = pcm(&device).open_source().unwrap();
        assert!(matches!(pcm(&device.clone()).open_source(), Err(OpenDeviceError::Busy)));
        drop(open);
        assert!(pcm(&device).open_source().is_ok());
    }

    #[test]
    fn a_tap_that_is_not_read_loses_the_newest_and_counts_it() {
        let (device, mut tap) = pcm_sink();
        let mut sink = pcm(&device).open_sink().unwrap();
        for _ in 0..QUEUE_SAMPLES / 240 + 1 {
            sink.take(&[0.5; 240]);
        }
        assert_eq!((tap.queued(), tap.dropped()), (QUEUE_SAMPLES, 240));
        let mut block = [0.0; 100];
        assert_eq!(tap.read(&mut block), 100);
        assert_eq!(block, [0.5; 100]);
    }
}
