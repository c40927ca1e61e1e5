//! The media thread's end of a microphone's way to the worker and back.

use std::sync::Arc;

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::units::{MediaTime, SampleCount};
use ringbuf::traits::{Consumer, Observer, Producer};
use ringbuf::{HeapCons, HeapProd};

use super::link::{CaptureBlock, EnhanceShared, EnhancedBlock};
use super::rumble::RumbleAhead;
use super::stage::BLOCK;

/// Raw samples that are remembered: for blocks that do not come back.
const REMEMBERED: u64 = 8192;
/// A block goes on as it is when so many after it are complete: it is 20 ms late then.
const PATIENCE: u64 = 2;
/// After it was switched off, so many blocks still go the way, until the chain has faded to what was captured: 60 ms.
const OFF_BLOCKS: u32 = 6;
/// A break of the waveform is bent together over this many samples: 5 ms.
const SPLICE: usize = 240;

/// Sends blocks of raw sound and gives out what comes back, in order and without a gap; what does not come back in time goes on as it was, as late as
/// the chain would have made it. Real-time safe.
pub(crate) struct EnhancePort {
    shared: Arc<EnhanceShared>,
    rumble: RumbleAhead,
    to_worker: HeapProd<CaptureBlock>,
    from_worker: HeapCons<EnhancedBlock>,
    block: CaptureBlock,
    filled: usize,
    remembered: Box<[f32]>,
    /// Blocks sent and blocks given out, ever.
    sent: u64,
    given: u64,
    /// Samples by which the chain delayed its last block.
    delay: usize,
    is_routed: bool,
    was_processed: bool,
    /// Blocks given out since it was switched off.
    off_for: u32,
    /// The sound goes over from late to present: the next late sample, and how many there were.
    leaving: Option<(u64, usize)>,
    last: f32,
}

impl EnhancePort {
    /// Not for the real-time thread.
    pub(super) fn new(
        shared: Arc<EnhanceShared>,
        to_worker: HeapProd<CaptureBlock>,
        from_worker: HeapCons<EnhancedBlock>,
    ) -> Self {
        let block = CaptureBlock {
            sequence: 0,
            restart: true,
            other_device: false,
            ends_at: None,
            samples: [0.0; BLOCK],
        };
        Self {
            shared,
            rumble: RumbleAhead::new(),
            to_worker,
            from_worker,
            block,
            filled: 0,
            remembered: vec![0.0; REMEMBERED as usize].into_boxed_slice(),
            sent: 0,
            given: 0,
            delay: 0,
            is_routed: false,
            was_processed: false,
            off_for: 0,
            leaving: None,
            last: 0.0,
        }
    }

    /// What is captured comes from another device now.
    pub(crate) fn device_changed(&mut self) {
        self.block.other_device = true;
    }

    /// Takes what was captured in this tick, the first `captured` samples of `sound`, whose last one is of `until`; puts into their place what is
    /// ready to be sent, and returns how much that is, with its level where the chain told one.
    pub(crate) fn exchange(
        &mut self,
        sound: &mut [f32],
        captured: usize,
        until: Option<MediaTime>,
    ) -> (usize, Option<AudioLevel>) {
        let settings = self.shared.settings();
        self.rumble.apply(settings.high_pass_filter, &mut sound[..captured]);
        if !self.is_on_its_way(settings.needs_worker()) {
            self.pass(&mut sound[..captured]);
            return (captured, None);
        }
        self.send(&sound[..captured], until);
        let (mut made, mut level) = (0, None);
        while self.given < self.sent && sound.len() - made >= BLOCK {
            let Some(told) = self.give_next(&mut sound[made..made + BLOCK]) else { break };
            made += BLOCK;
            level = told.or(level);
        }
        (made, level.filter(|_| settings.voice_detection))
    }

    /// Whether blocks are on their way to the worker and back.
    pub(crate) fn is_routed(&self) -> bool {
        self.is_routed
    }

    /// Whether sound goes to the worker: from when it is switched on until a little after it is switched off.
    fn is_on_its_way(&mut self, on: bool) -> bool {
        if on && !self.is_routed && self.leaving.is_none() {
            self.begin();
        }
        if on {
            self.off_for = 0;
        } else if self.is_routed && self.off_for >= OFF_BLOCKS {
            self.is_routed = false;
            self.leaving = Some((self.next_late(), 0));
        }
        self.is_routed
    }

    /// As it is; right after it went another way, faded over from there.
    fn pass(&mut self, sound: &mut [f32]) {
        for sample in sound.iter_mut() {
            let Some((late, done)) = &mut self.leaving else { break };
            self.remembered[slot(self.sent * BLOCK as u64 + self.filled as u64)] = *sample;
            self.filled += 1;
            let before = self.remembered[slot(*late)];
            *sample = before + (*sample - before) * ((*done as f32 + 0.5) / BLOCK as f32);
            (*late, *done) = (late.wrapping_add(1), *done + 1);
            if *done == BLOCK {
                self.leaving = None;
            }
        }
        self.last = sound.last().copied().unwrap_or(self.last);
    }

    /// What was under way before does not matter any more.
    fn begin(&mut self) {
        self.is_routed = true;
        self.block.restart = true;
        self.off_for = 0;
        self.filled = 0;
        self.given = self.sent;
        self.delay = 0;
        self.was_processed = false;
    }

    fn send(&mut self, mut raw: &[f32], until: Option<MediaTime>) {
        while !raw.is_empty() {
            let (now, later) = raw.split_at(raw.len().min(BLOCK - self.filled));
            raw = later;
            for (index, sample) in (self.sent * BLOCK as u64 + self.filled as u64..).zip(now) {
                self.remembered[slot(index)] = *sample;
            }
            self.block.samples[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            if self.filled < BLOCK {
                return;
            }
            self.filled = 0;
            let other = CaptureBlock { sequence: self.sent + 1, restart: false, ends_at: None, ..self.block };
            self.block.sequence = self.sent;
            self.block.ends_at = until.map(|until| until - SampleCount(later.len()).duration());
            self.sent += 1;
            // Without room it is not enhanced, and its marks go to the next.
            let refused = self.to_worker.try_push(std::mem::replace(&mut self.block, other));
            if let Err(refused) = refused {
                self.block.restart = refused.restart;
            } else {
                self.block.other_device = false;
            }
        }
    }

    /// Fills `out` with the next block, when there is one: enhanced, or as it was when it is too late for that.
    fn give_next(&mut self, out: &mut [f32]) -> Option<Option<AudioLevel>> {
        while self.from_worker.try_peek().is_some_and(|block| block.sequence < self.given) {
            self.from_worker.try_pop();
        }
        let is_there = self.from_worker.try_peek().is_some_and(|block| block.sequence == self.given);
        let enhanced = if is_there { self.from_worker.try_pop() } else { None };
        let level = match enhanced {
            Some(enhanced) => {
                if self.was_processed {
                    out.copy_from_slice(&enhanced.samples);
                } else {
                    // What was given out last ends where this begins.
                    self.recall(out);
                    fade(out, &enhanced.samples);
                }
                self.was_processed = true;
                self.delay = enhanced.delay;
                Some(enhanced.level)
            }
            None if self.sent - self.given > PATIENCE || self.has_later() => {
                self.recall(out);
                if self.was_processed {
                    self.splice(out);
                }
                self.was_processed = false;
                None
            }
            None => return None,
        };
        self.shared.count(self.was_processed);
        self.given += 1;
        self.off_for = self.off_for.saturating_add(1);
        self.last = out.last().copied().unwrap_or(0.0);
        Some(level)
    }

    /// The worker is past the next block: it was never sent.
    fn has_later(&self) -> bool {
        !self.from_worker.is_empty()
    }

    /// The next block as it was captured, as late as the chain made it before.
    fn recall(&self, out: &mut [f32]) {
        let first = self.next_late();
        for (n, sample) in (0..).zip(out) {
            *sample = self.remembered[slot(first.wrapping_add(n))];
        }
    }

    /// Number of the captured sample that is due next, as late as the chain made it before.
    fn next_late(&self) -> u64 {
        (self.given * BLOCK as u64).wrapping_sub(self.delay as u64)
    }

    /// Bends the beginning of `sound` to where the sound before it ended.
    fn splice(&self, sound: &mut [f32]) {
        let Some(first) = sound.first() else { return };
        let gap = self.last - first;
        for (n, sample) in sound.iter_mut().take(SPLICE).enumerate() {
            *sample += gap * (1.0 - n as f32 / SPLICE as f32);
        }
    }
}

/// Place of a captured sample in what is remembered.
fn slot(index: u64) -> usize {
    (index % REMEMBERED) as usize
}

impl Drop for EnhancePort {
    fn drop(&mut self) {
        self.shared.close();
    }
}

fn fade(from: &mut [f32], to: &[f32]) {
    let length = from.len() as f32;
    for (n, (sample, to)) in from.iter_mut().zip(to).enumerate() {
        *sample += (to - *sample) * ((n as f32 + 0.5) / length);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_sim::measure::clicks;
    use offhook_sim::sound::synthetic_speech;

    use super::*;
    use crate::enhance::AudioProcessing;
    use crate::enhance::worker::EnhanceWorker;

    const TICK: usize = 120;

    /// A microphone of 5 ms periods, ticks of 2.5 ms (shorter than usual), and a worker that runs when it is let.
    struct Way {
        port: EnhancePort,
        shared: Arc<EnhanceShared>,
        worker: EnhanceWorker,
        ticks: usize,
        /// What comes out, and after which tick each block came.
        out: Vec<f32>,
        came: Vec<usize>,
    }

    impl Way {
        fn new(settings: AudioProcessing) -> Self {
            let (worker, control, _tap) = EnhanceWorker::new();
            let (port, shared) = control.open_port(settings);
            Self { port, shared, worker, ticks: 0, out: Vec::new(), came: Vec::new() }
        }

        fn tick(&mut self, raw: &[f32], works: bool) {
            let mut block = [0.0; 1920];
            block[..raw.len()].copy_from_slice(raw);
            self.ticks += 1;
            let until = MediaTime::from_micros(self.ticks as i64 * 2500);
            let (made, _) = self.port.exchange(&mut block, raw.len(), Some(until));
            self.out.extend_from_slice(&block[..made]);
            self.came.resize(self.out.len(), self.ticks);
            if works {
                self.worker.work();
            }
        }
    }

    fn speech(seconds: u64) -> Vec<f32> {
        synthetic_speech(Duration::from_secs(seconds), 6)
    }

    #[test]
    fn off_every_sample_goes_on_as_it_is_in_the_tick_it_came() {
        let mut way = Way::new(AudioProcessing::OFF);
        for raw in speech(1).chunks(TICK) {
            way.tick(raw, true);
            assert!(way.out.ends_with(raw));
        }
        assert_eq!(way.out, speech(1));
        assert_eq!(way.shared.processed() + way.shared.unprocessed(), 0);
    }

    #[test]
    fn the_high_pass_alone_needs_no_worker_and_no_time() {
        let mut way = Way::new(AudioProcessing { high_pass_filter: true, ..AudioProcessing::OFF });
        for raw in speech(1).chunks(TICK) {
            let before = way.out.len();
            way.tick(raw, false);
            assert_eq!(way.out.len(), before + raw.len());
        }
        assert!(!way.port.is_routed() && way.out != speech(1));
        assert_eq!(way.shared.processed() + way.shared.unprocessed(), 0);
    }

    #[test]
    fn a_block_is_there_one_tick_after_its_last_sample() {
        let mut way = Way::new(AudioProcessing { auto_gain_control: true, ..AudioProcessing::OFF });
        speech(1).chunks(TICK).for_each(|raw| way.tick(raw, true));
        for block in 0..50 {
            assert_eq!(way.came[block * BLOCK], (block + 1) * 4 + 1, "{block}");
        }
        assert_eq!((way.shared.processed(), way.shared.unprocessed()), (99, 0));
    }

    #[test]
    fn without_the_worker_the_sound_goes_on_late_but_whole_and_without_a_click() {
        let spoken = speech(4);
        let before = clicks(&spoken).len();
        for settings in
            [AudioProcessing::ON, AudioProcessing { auto_gain_control: true, ..AudioProcessing::OFF }]
        {
            let mut way = Way::new(settings);
            for (n, raw) in spoken.chunks(TICK).enumerate() {
                // It gets no time for 100 ms, once in a second.
                way.tick(raw, n % 400 < 360);
            }
            assert!(clicks(&way.out).len() <= before, "{:?}", clicks(&way.out));
            assert!(way.out.len() + 4 * BLOCK >= spoken.len(), "{}", way.out.len());
            assert!(way.shared.unprocessed() >= 3 * 7, "{}", way.shared.unprocessed());
            assert!(way.shared.processed() > 300, "{}", way.shared.processed());
        }
    }

    #[test]
    fn switched_on_and_off_while_it_runs_it_makes_no_click() {
        let spoken = speech(6);
        let before = clicks(&spoken).len();
        let mut way = Way::new(AudioProcessing::OFF);
        for (n, raw) in spoken.chunks(TICK).enumerate() {
            way.shared.set(if n / 53 % 2 == 0 { AudioProcessing::OFF } else { AudioProcessing::ON });
            way.tick(raw, true);
        }
        assert!(clicks(&way.out).len() <= before, "{:?}", clicks(&way.out));
        assert_eq!(way.shared.unprocessed(), 0);
    }

    #[test]
    fn a_worker_that_is_gone_holds_up_nothing() {
        let Way { mut port, shared, worker, .. } = Way::new(AudioProcessing::ON);
        drop(worker);
        let mut made = 0;
        for raw in speech(1).chunks(TICK) {
            let mut block = [0.0; 1920];
            block[..TICK].copy_from_slice(raw);
            made += port.exchange(&mut block, TICK, None).0;
        }
        assert!(made + 4 * BLOCK >= 48_000, "{made}");
        assert_eq!(shared.processed(), 0);
    }
}
