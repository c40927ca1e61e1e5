//! Where the media thread meets a device: its ring, its rate, its clock.

use std::sync::Arc;
use std::time::Duration;

use offhook_media_core::dsp::{Resampler, ResamplerError};
use offhook_media_core::jitter::{DriftEstimator, DriftResampler};
use offhook_media_core::units::{MediaTime, Ppm, SAMPLE_RATE};
use ringbuf::traits::{Consumer, Observer, Producer};
use ringbuf::{HeapCons, HeapProd};

use super::pumped_level::PumpedLevel;
use super::render_level::{DeviceView, RenderLevel};
use crate::device::{DeviceHealth, Pump};
use crate::enhance::link::{MOST_PIECE, ReferencePiece, ReferenceTap};
use crate::key::Key;

/// Samples in a ring between device and media thread: a third of a second at 48 kHz.
pub(crate) const RING_SAMPLES: usize = 16_384;
/// Samples moved at once.
const PIECE: usize = 480;
/// A device that caught up is followed by this part of a second in a tick: 40 ms, so that no tick takes long.
const AT_ONCE: usize = 25;
/// Most samples at 48 kHz that come of it, with what waited in the resampler: 40 ms, and a step at the lowest rate.
pub(super) const MOST_TAKEN: usize = 1920 + STEP * 48;
/// The resampler works in steps of so many input samples.
const STEP: usize = 120;

/// A device's clock against the engine's, from how many samples it has counted.
#[derive(Debug)]
struct Drift {
    estimator: DriftEstimator,
    rate: u32,
    samples: u64,
}

impl Drift {
    fn new(rate: u32) -> Self {
        Self { estimator: DriftEstimator::default(), rate: rate.max(1), samples: 0 }
    }

    /// The device counted `samples` more, the last of them at `at`.
    fn counted(&mut self, samples: usize, at: MediaTime) {
        self.samples += samples as u64;
        let (seconds, rest) = (self.samples / u64::from(self.rate), self.samples % u64::from(self.rate));
        let counted = (seconds * 1_000_000 + rest * 1_000_000 / u64::from(self.rate)) as i64;
        self.estimator.arrived(at, at.as_micros() - counted);
    }

    fn drift(&self) -> Option<Ppm> {
        self.estimator.drift()
    }
}

/// The microphone side: what the device captured, at 48 kHz. Of a device that counts 48,000 samples in its own second nothing is changed: its
/// clock is the sender's clock, which the far end follows, and a packet need not wait for what a filter wants to see.
pub(crate) struct CaptureEdge {
    ring: HeapCons<f32>,
    health: Arc<DeviceHealth>,
    rate: u32,
    converter: Option<(Resampler, Drift)>,
    pump: Option<Box<dyn Pump>>,
}

impl CaptureEdge {
    /// Not for the real-time thread.
    pub(crate) fn new(
        ring: HeapCons<f32>,
        health: Arc<DeviceHealth>,
        rate: u32,
        pump: Option<Box<dyn Pump>>,
    ) -> Result<Self, ResamplerError> {
        let converter = match rate {
            SAMPLE_RATE => None,
            _ => Some((Resampler::new(rate, SAMPLE_RATE)?, Drift::new(rate))),
        };
        Ok(Self { ring, health, rate, converter, pump })
    }

    /// Whether a server keeps what is captured until it is asked.
    pub(crate) const fn is_pumped(&self) -> bool {
        self.pump.is_some()
    }

    /// Whether all that came was taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.ring.is_empty()
    }

    /// Fills `block`, which holds [`MOST_TAKEN`], with what has come; returns how many samples that are.
    pub(crate) fn take(&mut self, block: &mut [f32]) -> usize {
        if let Some(pump) = &mut self.pump {
            pump.pump();
        }
        let most = (self.rate as usize / AT_ONCE).max(STEP);
        let Some((resampler, drift)) = &mut self.converter else {
            let most = most.min(block.len());
            return self.ring.pop_slice(&mut block[..most]);
        };
        // The ring is looked at before the time: who sees the samples of a callback also sees its time.
        let waiting = self.ring.occupied_len().min(most);
        let (mut left, mut made) = (waiting, 0);
        let mut piece = [0.0; PIECE];
        while left > 0 {
            let taken = self.ring.pop_slice(&mut piece[..left.min(PIECE)]);
            resampler.process(&piece[..taken], |samples| {
                let count = samples.len().min(block.len() - made);
                block[made..made + count].copy_from_slice(&samples[..count]);
                made += count;
            });
            left -= taken.max(1).min(left);
        }
        if waiting > 0
            && let Some(at) = self.health.last_callback()
        {
            drift.counted(waiting, at);
            if let Some(Ppm(fast)) = drift.drift() {
                // A fast device gives more samples than there is time: fewer come out.
                resampler.follow(Ppm(-fast));
            }
        }
        made
    }
}

impl CaptureEdge {
    /// Whether the device should have called by `now`, a period after its last call, and what it brings then is not taken. One that stopped
    /// altogether is not waited for.
    pub(crate) fn is_late(&self, now: MediaTime) -> bool {
        let Some(last) = self.health.last_callback().filter(|_| !self.is_pumped()) else { return false };
        let period = lasting(self.health.callback_samples() as usize, self.rate);
        (last + period..last + 2 * period).contains(&now) || !self.ring.is_empty()
    }

    /// When the last sample that was taken was captured: maybe late, never early. `None` before the first callback.
    pub(crate) fn captured_until(&self) -> Option<MediaTime> {
        // The ring is looked at before the time: who misses the samples of a callback may see its time, which is later.
        let waiting = self.ring.occupied_len();
        Some(self.health.last_callback()? - lasting(waiting, self.rate))
    }
}

/// What becomes of sound at 48 kHz of the engine's clock for a device that has a clock of its own.
enum Converter {
    /// The same rate, give or take a crystal: where that is exact, nothing is computed.
    Clock(Box<DriftResampler>),
    Rate(Box<Resampler>),
}

impl Converter {
    fn new(rate: u32) -> Result<Self, ResamplerError> {
        Ok(match rate {
            SAMPLE_RATE => Self::Clock(Box::default()),
            _ => Self::Rate(Box::new(Resampler::new(SAMPLE_RATE, rate)?)),
        })
    }

    /// The device's clock runs fast by this: it wants more samples than there is time.
    fn follow(&mut self, fast: Ppm) {
        match self {
            Self::Clock(resampler) => resampler.set_speed(Ppm(-fast.0)),
            Self::Rate(resampler) => resampler.follow(fast),
        }
    }

    fn process(&mut self, samples: &[f32], mut emit: impl FnMut(&[f32])) {
        match self {
            Self::Clock(resampler) => {
                let mut made = [0.0; PIECE + 2];
                for piece in samples.chunks(PIECE) {
                    let count = resampler.push(piece, &mut made);
                    emit(&made[..count]);
                }
            }
            Self::Rate(resampler) => resampler.process(samples, emit),
        }
    }
}

/// The speaker side: sound at 48 kHz of the engine's clock, on its way to the device.
pub(crate) struct RenderEdge {
    ring: HeapProd<f32>,
    health: Arc<DeviceHealth>,
    rate: u32,
    converter: Option<(Converter, Drift)>,
    level: RenderLevel,
    /// The pace of what a server asks for.
    pace: Option<PumpedLevel>,
    /// Whether a microphone could hear it.
    is_heard: bool,
    is_new: bool,
    /// Samples it was given, ever, at 48 kHz.
    given: u64,
    pump: Option<Box<dyn Pump>>,
}

impl RenderEdge {
    /// Not for the real-time thread. `is_heard`: it sounds in a room, or may.
    pub(crate) fn new(
        ring: HeapProd<f32>,
        health: Arc<DeviceHealth>,
        rate: u32,
        follows_engine_clock: bool,
        is_heard: bool,
        pump: Option<Box<dyn Pump>>,
    ) -> Result<Self, ResamplerError> {
        // What a server asks for comes at its own clock's pace: that is followed by how much is made, not by how fast it is played.
        let is_asked = pump.as_ref().is_some_and(|pump| pump.standing().is_some());
        let pace = (rate == SAMPLE_RATE && is_asked).then(PumpedLevel::default);
        let converter = match rate {
            SAMPLE_RATE if follows_engine_clock || pace.is_some() => None,
            _ => Some((Converter::new(rate)?, Drift::new(rate))),
        };
        let level = RenderLevel::new(rate, !follows_engine_clock);
        Ok(Self { ring, health, rate, converter, level, pace, is_heard, is_new: true, given: 0, pump })
    }

    /// How many samples at 48 kHz the device is to be given now, for a tick every `period`.
    pub(crate) fn wanted(&mut self, now: MediaTime, period: Duration, margin: Duration) -> usize {
        // The ring is looked at before the time: who sees that the device took something also sees when.
        let ready = self.ring.occupied_len();
        if let (Some(pace), Some(standing)) =
            (&mut self.pace, self.pump.as_ref().and_then(|pump| pump.standing()))
        {
            // Before its first callback nobody knows when the device begins: sound made now would only grow old.
            let begun = self.health.last_callback().is_some();
            return if begun { pace.wanted(period, standing, ready).min(self.ring.vacant_len()) } else { 0 };
        }
        let view = DeviceView {
            ready,
            room: self.ring.vacant_len(),
            last_callback: self.health.last_callback(),
            callback_samples: self.health.callback_samples() as usize,
            missing: self.health.missing_samples(),
        };
        let (wanted, consumed) = self.level.wanted(now, &view, period, margin);
        let Some((converter, drift)) = &mut self.converter else { return wanted };
        if consumed > 0
            && let Some(at) = view.last_callback
        {
            drift.counted(consumed, at);
            if let Some(fast) = drift.drift() {
                converter.follow(fast);
            }
        }
        if matches!(converter, Converter::Clock(_)) {
            return wanted;
        }
        let wanted = (wanted as u64 * u64::from(SAMPLE_RATE)).div_ceil(u64::from(self.rate));
        usize::try_from(wanted).unwrap_or(0).next_multiple_of(STEP)
    }

    /// Whether a server asks for what it plays, and keeps enough meanwhile.
    pub(crate) const fn is_asked_for(&self) -> bool {
        self.pace.is_some()
    }

    /// All that is given in this tick was given.
    pub(crate) fn finish_tick(&mut self) {
        if let Some(pump) = &mut self.pump {
            pump.pump();
        }
    }

    /// Puts sound of the element `key` before the device, and tells `reference` of it.
    pub(crate) fn give(&mut self, key: Key, samples: &[f32], reference: &mut ReferenceTap) {
        if self.is_heard && reference.is_wanted() {
            self.tell(key, samples, reference);
        }
        self.given += samples.len() as u64;
        let Self { ring, converter, level, .. } = self;
        match converter {
            None => level.written(ring.push_slice(samples)),
            Some((converter, _)) => {
                converter.process(samples, |made| level.written(ring.push_slice(made)));
            }
        }
    }
}

impl RenderEdge {
    /// The device takes what is given now after what is in its ring, and its next callback.
    fn tell(&mut self, key: Key, samples: &[f32], reference: &mut ReferenceTap) {
        // The ring is looked at before the time: what a callback takes in between is counted with it, and the stamp is later, not earlier.
        let ready = self.ring.occupied_len();
        let Some(last) = self.health.last_callback() else { return };
        let before = ready + self.health.callback_samples() as usize;
        let begins = last + lasting(before, self.rate);
        let missing = self.health.missing_samples();
        for (n, piece) in samples.chunks(MOST_PIECE).enumerate() {
            let earlier = n * MOST_PIECE;
            let plays_at = begins + lasting(earlier, SAMPLE_RATE);
            let number = self.given + earlier as u64;
            reference.give(ReferencePiece::new(key, number, plays_at, missing, self.is_new, piece));
            self.is_new = false;
        }
    }
}

/// How long so many samples sound.
fn lasting(samples: usize, rate: u32) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use ringbuf::HeapRb;
    use ringbuf::traits::Split;

    use super::*;
    use crate::key::Keys;

    /// Samples a second that come out of a capture edge once it knows the clock.
    fn captured(rate: u32, period: usize, skew_ppm: f64) -> f64 {
        let (mut ring, taken) = HeapRb::new(RING_SAMPLES).split();
        let health = Arc::new(DeviceHealth::default());
        let mut edge = CaptureEdge::new(taken, Arc::clone(&health), rate, None).unwrap();
        let mut block = [0.0; MOST_TAKEN];
        let (mut counted, mut came, mut first) = (0_u64, 0, None);
        let mut last = (0.0, 0);
        for tick in 0..32_000_u64 {
            let now = tick as f64 * 2500.0;
            loop {
                let at = (counted + period as u64) as f64 * 1e6 / f64::from(rate) / (1.0 + skew_ppm * 1e-6);
                if at > now {
                    break;
                }
                counted += period as u64;
                health.begin_callback(MediaTime::from_micros(at as i64), period);
                assert_eq!(ring.push_iter(std::iter::repeat_n(0.1, period)), period);
                health.end_callback(0);
            }
            let made = edge.take(&mut block);
            came += made;
            if made > 0 && tick >= 8000 {
                first.get_or_insert((now, came));
                last = (now, came);
            }
        }
        let first = first.unwrap_or_default();
        f64::from(last.1 as u32 - first.1 as u32) * 1e6 / (last.0 - first.0)
    }

    #[test]
    fn a_skewed_microphone_of_another_rate_gives_48000_samples_a_second() {
        for (rate, period, skew_ppm) in [(44_100, 441, 300.0), (16_000, 160, -250.0)] {
            let off_ppm = (captured(rate, period, skew_ppm) / 48_000.0 - 1.0) * 1e6;
            assert!(off_ppm.abs() < 60.0, "{rate}: {off_ppm}");
        }
    }

    #[test]
    fn all_that_is_given_is_told_with_when_it_plays() {
        let (ring, _taken) = HeapRb::new(RING_SAMPLES).split();
        let (told, mut pieces) = HeapRb::new(16).split();
        let mut reference = ReferenceTap::new(told, Arc::new(AtomicBool::new(true)));
        let health = Arc::new(DeviceHealth::default());
        health.begin_callback(MediaTime::from_micros(1_000_000), 480);
        let mut edge = RenderEdge::new(ring, health, SAMPLE_RATE, true, true, None).unwrap();
        let key = Keys::new(1).take().unwrap();
        let said: Vec<f32> = (0..1140).map(|n| n as f32).collect();
        said.chunks(720).for_each(|tick| edge.give(key, tick, &mut reference));
        let mut heard = Vec::new();
        while let Some(piece) = pieces.try_pop() {
            assert_eq!(piece.number, heard.len() as u64);
            // After what the callback took, and what lies before it in the ring.
            let before = (480 + heard.len() as i64) * 1_000_000 / 48_000;
            assert_eq!(piece.plays_at.as_micros(), 1_000_000 + before);
            heard.extend_from_slice(piece.samples());
        }
        assert_eq!(heard, said);
    }

    #[test]
    fn a_microphone_of_our_rate_is_passed_on_as_it_is() {
        let off_ppm = (captured(48_000, 480, -300.0) / 48_000.0 - 1.0) * 1e6;
        assert!((off_ppm + 300.0).abs() < 60.0, "{off_ppm}");
    }
}
