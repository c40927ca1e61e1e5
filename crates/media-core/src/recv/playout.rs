//! From waiting packets to sound at the right moment.

mod catch_up;
mod conceal;
mod deep;
mod steady;
mod steer;
mod succession;
mod tick;

use std::time::Duration;

use self::catch_up::CatchUp;
use self::steady::SteadyOffset;
use self::succession::Succession;
pub(super) use self::tick::Tick;
use self::tick::{Due, State};
use super::{SlotDecoder, Taken};
use crate::codec::MOST_SAMPLES;
use crate::codec::opus_toc;
use crate::dsp::LevelMeter;
use crate::jitter::{
    Availability, COARSE, DriftEstimator, DriftResampler, EXACT, Inserted, MediaClock, PacketBuffer,
    ReceiveStats, TargetDelay, TimeStretch, micros, samples_of,
};
use crate::rt_context::RtContext;
use crate::units::MediaTime;

/// Most samples of one part of a pull: 20 ms.
pub(super) const MOST_PULLED: usize = 960;
const SOUND: usize = 16_384;
/// A rejoin that is not continuous is faded over this: 5 ms.
const FADE: usize = 240;
/// Concealment is added in such pieces: 5 ms.
const PIECE: usize = 240;
/// From this length on a hole is over: what was lost in it is replayed late if it can be restored, else jumped over: 300 ms.
const DEEP_HOLE: i64 = 14_400;
/// The delay may be shorter than wanted by this before sound is stretched, in microseconds.
const TOO_SHORT: i64 = 2000;
/// Gaps from this length on are interruptions: 150 ms.
const INTERRUPTION: i64 = 7200;

/// The machine.
#[derive(Debug)]
pub(super) struct Playout<D> {
    decoder: D,
    packets: PacketBuffer,
    deep: deep::DeepRedundancy,
    availability: Availability,
    target: TargetDelay,
    clock: MediaClock,
    drift: DriftEstimator,
    resampler: DriftResampler,
    stretch: TimeStretch,
    meter: LevelMeter,
    state: State,
    /// Decoded sound that is not played yet.
    sound: Box<[f32; SOUND]>,
    len: usize,
    /// Media time after the last of it, in samples.
    next: i64,
    scratch: Box<[f32; MOST_SAMPLES]>,
    /// Media time of the decoder's mark: up to there it has decoded everything. `None` while it goes on from there.
    mark: Option<i64>,
    /// Made-up sound that is not used yet: the codec makes it in pieces of its own length.
    spare: Box<[f32; conceal::MOST_SPARE]>,
    spare_len: usize,
    /// Whether the codec makes up sound in pieces of 10 ms, as its speech layer does; else of 2.5 ms.
    is_speech: bool,
    /// Whether the last packet said that nobody speaks: what is made up now is comfort noise.
    is_pause: bool,
    /// Samples made up since the last packet.
    hole: i64,
    /// Samples to play before the next stretch.
    rest: i64,
    /// Stretches refused in a row.
    refusals: u32,
    /// Since sound is so late that all else gives way to being live again.
    catch_up: Option<CatchUp>,
    steady: SteadyOffset,
    last_pull: MediaTime,
    first_sequence: i64,
    highest_sequence: i64,
    succession: Succession,
    stream_received: u64,
    delay_sum_us: f64,
    stats: ReceiveStats,
}

impl<D: SlotDecoder> Playout<D> {
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    pub(super) fn new(price_per_percent: f32, decoder: D) -> Self {
        Self {
            decoder,
            packets: PacketBuffer::default(),
            deep: deep::DeepRedundancy::default(),
            availability: Availability::default(),
            target: TargetDelay::new(price_per_percent),
            clock: MediaClock::default(),
            drift: DriftEstimator::default(),
            resampler: DriftResampler::default(),
            stretch: TimeStretch::default(),
            meter: LevelMeter::default(),
            state: State::Idle,
            sound: Box::new([0.0; SOUND]),
            len: 0,
            next: 0,
            scratch: Box::new([0.0; MOST_SAMPLES]),
            mark: None,
            spare: Box::new([0.0; conceal::MOST_SPARE]),
            spare_len: 0,
            is_speech: false,
            is_pause: false,
            hole: 0,
            rest: 0,
            refusals: 0,
            catch_up: None,
            steady: SteadyOffset::default(),
            last_pull: MediaTime::ZERO,
            first_sequence: 0,
            highest_sequence: -1,
            succession: Succession::before(0),
            stream_received: 0,
            delay_sum_us: 0.0,
            stats: ReceiveStats::default(),
        }
    }

    pub(super) fn set_decoder_complexity(&mut self, complexity: u8) {
        self.decoder.set_complexity(complexity);
    }

    /// Another stream begins with this packet. Sound that was decoded is still played.
    pub(super) fn restart(&mut self, sequence: i64, timestamp: i64) {
        if matches!(self.state, State::Playing | State::Holding) {
            self.end_stream();
        }
        self.stats.packets_lost = self.lost();
        self.stats.packets_flushed += self.packets.len() as u64;
        self.stream_received = 0;
        self.first_sequence = sequence;
        self.highest_sequence = sequence - 1;
        self.succession = Succession::before(sequence);
        self.packets.clear();
        self.deep = deep::DeepRedundancy::default();
        self.availability = Availability::default();
        self.target.reset();
        self.clock = MediaClock::default();
        self.drift = DriftEstimator::default();
        self.next = timestamp;
        self.mark = None;
        self.hole = 0;
        self.is_pause = false;
        self.refusals = 0;
        self.catch_up = None;
        self.steady.forget();
        self.state = State::Starting;
    }

    pub(super) fn insert(
        &mut self,
        cx: &RtContext,
        sequence: i64,
        timestamp: i64,
        arrival: MediaTime,
        payload: &[u8],
    ) -> Taken {
        let overwritten = self.packets.overwritten();
        let taken = match self.packets.insert(sequence, timestamp, arrival, payload) {
            Inserted::Duplicate => Taken::Duplicate,
            Inserted::Invalid => Taken::Discarded,
            Inserted::Old => {
                self.learn(cx.now(), sequence, timestamp, arrival, payload);
                Taken::Late
            }
            Inserted::Waiting => {
                self.stats.packets_flushed += self.packets.overwritten() - overwritten;
                self.learn(cx.now(), sequence, timestamp, arrival, payload);
                let is_late = self.packets.get(sequence).is_some_and(|slot| slot.end() <= self.next);
                if is_late {
                    self.catch_up_mark(sequence);
                    self.packets.release(sequence);
                }
                if is_late { Taken::Late } else { Taken::Waiting }
            }
        };
        match taken {
            Taken::Duplicate => self.stats.packets_duplicate += 1,
            Taken::Discarded => self.stats.packets_discarded += 1,
            _ => {
                self.stream_received += 1;
                self.stats.packets_received += 1;
            }
        }
        self.stats.packets_late += u64::from(taken == Taken::Late);
        taken
    }

    /// Takes in a copy of a packet that came in a later one, where the packet itself has not come.
    pub(super) fn insert_copy(
        &mut self,
        cx: &RtContext,
        sequence: i64,
        timestamp: i64,
        arrival: MediaTime,
        payload: &[u8],
    ) {
        let Some(samples) = opus_toc::samples(payload) else { return };
        if sequence < self.first_sequence {
            return;
        }
        let gain = self.availability.improve(sequence, EXACT);
        if gain == 0.0 {
            return;
        }
        let offset = self.clock.offset(arrival, timestamp);
        self.target.restored(sequence);
        self.target.available(cx.now(), offset, micros(samples as i64), gain);
        let overwritten = self.packets.overwritten();
        self.packets.insert_copy(sequence, timestamp, arrival, payload);
        self.stats.packets_flushed += self.packets.overwritten() - overwritten;
        if timestamp + samples as i64 <= self.next
            && self.packets.get(sequence).is_some_and(|slot| slot.is_copy)
        {
            self.packets.release(sequence);
        }
    }

    /// How long is waited for packets alone, above the fastest: without what came again in others.
    pub(super) fn packet_wait(&self) -> Option<Duration> {
        self.target.spread_of_packets().map(|spread| Duration::from_micros(spread.unsigned_abs()))
    }

    /// A packet of the stream that is not sound came.
    pub(super) fn count_soundless(&mut self, sequence: i64) {
        self.stream_received += u64::from(sequence >= self.first_sequence);
        self.highest_sequence = self.highest_sequence.max(sequence);
        // There is nothing to wait for, nor to restore.
        self.availability.improve(sequence, EXACT);
        self.succession.soundless(sequence);
    }

    pub(super) fn count_discarded(&mut self) {
        self.stats.packets_discarded += 1;
    }

    pub(super) fn count_duplicate(&mut self) {
        self.stats.packets_duplicate += 1;
    }

    pub(super) fn stats(&self) -> ReceiveStats {
        let played = self.stats.packets_played;
        let mean = self.delay_sum_us / played.max(1) as f64;
        ReceiveStats {
            packets_lost: self.lost(),
            packets_waiting: self.packets.len() as u64,
            mean_playout_delay: (played > 0).then(|| Duration::from_nanos((mean * 1000.0).max(0.0) as u64)),
            drift: self.drift.drift(),
            buffered: self.len as u64,
            ..self.stats
        }
    }

    /// Media time of the sound that the next pull begins with, in samples.
    pub(super) fn position(&self) -> Option<i64> {
        let is_playing = matches!(self.state, State::Playing | State::Holding);
        is_playing.then(|| self.next - self.len as i64 - DriftResampler::DELAY)
    }

    /// Fills `out`, at most [`MOST_PULLED`] long.
    pub(super) fn pull(&mut self, tick: &Tick, out: &mut [f32]) {
        self.stats.pulled += out.len() as u64;
        let silent = self.lead_in(tick, out.len());
        let (lead, sounding) = out.split_at_mut(silent);
        lead.fill(0.0);
        self.stats.silence += silent as u64;
        if !sounding.is_empty() {
            let tick = &Tick { is_first: tick.is_first, ..tick.after(silent) };
            self.note_offset(tick);
            self.follow_clock(tick);
            let needed = self.resampler.inputs_for(sounding.len());
            self.produce_until(needed, tick);
            if self.is_in_time(tick) {
                self.correct_delay(tick);
            }
            self.produce_until(needed, tick);
            self.resampler.process(&self.sound[..needed], sounding);
            self.stats.resampled += needed as i64 - sounding.len() as i64;
            self.consume(needed);
        }
        let level = self.meter.measure(out);
        self.stats.level = level.level;
        self.stats.voice = level.voice;
    }

    /// How many samples of silence come before the first sound of a stream.
    fn lead_in(&mut self, tick: &Tick, samples: usize) -> usize {
        match self.state {
            State::Idle => samples,
            State::Playing | State::Holding => 0,
            State::Starting if self.len > 0 => 0,
            State::Starting => {
                let missing = self.wanted(tick) - self.clock.offset(tick.now, self.next);
                let missing = usize::try_from(samples_of(missing)).unwrap_or(0);
                if missing < samples {
                    self.state = State::Playing;
                    self.stats.first_sound.get_or_insert(tick.now);
                }
                missing.min(samples)
            }
        }
    }

    /// A packet that is too late to be heard still tells the decoder what comes after it.
    fn catch_up_mark(&mut self, sequence: i64) {
        let slot = self.packets.get(sequence).filter(|slot| self.mark == Some(slot.timestamp));
        let Some(slot) = slot else { return };
        let decoded = self.decoder.decode_at_mark(slot.payload(), &mut self.scratch[..]);
        self.mark = decoded.is_ok().then_some(slot.end());
    }

    fn learn(&mut self, now: MediaTime, sequence: i64, timestamp: i64, arrival: MediaTime, payload: &[u8]) {
        self.drift.arrived(now, arrival.as_micros() - micros(timestamp));
        if let Some(drift) = self.drift.drift() {
            self.clock.set_drift(timestamp, drift);
        }
        let offset = self.clock.offset(arrival, timestamp);
        // By when they came: packets that come at once are taken in at two times when a pull lies between them.
        self.target.arrived(arrival, offset);
        let Ok(toc) = opus_toc::Toc::parse(payload) else { return };
        let gain = self.availability.improve(sequence, EXACT);
        if gain > 0.0 {
            self.target.available(now, offset, micros(toc.samples() as i64), gain);
        }
        self.target.came(now, offset);
        if sequence > self.highest_sequence + 1 && toc.has_fec() {
            let before = micros(toc.frame_samples as i64);
            let gain = self.availability.improve(sequence - 1, COARSE);
            self.target.available(now, offset + before, before, gain);
        }
        self.highest_sequence = self.highest_sequence.max(sequence);
        self.note_deep(now, sequence, toc.samples() as i64, offset, payload);
    }

    /// The wanted playout offset with what a pull needs.
    fn wanted(&self, tick: &Tick) -> i64 {
        self.target.wanted().map_or(0, |wanted| wanted + tick.quantum)
    }

    /// The offset at which sound is played now.
    fn played_offset(&self, tick: &Tick) -> i64 {
        self.clock.offset(tick.now, self.next - self.len as i64)
    }

    fn produce_until(&mut self, needed: usize, tick: &Tick) {
        while self.len < needed {
            self.produce(tick);
        }
    }

    /// Adds a piece of sound: the packet that is due, a copy of it, or sound made up.
    fn produce(&mut self, tick: &Tick) {
        let Some(due) = self.due() else {
            return self.bridge(tick);
        };
        if self.state == State::Starting {
            // Sound of the stream before this one comes first.
            let missing = samples_of(self.wanted(tick) - self.played_offset(tick));
            if missing > 0 {
                return self.wait((missing as usize).min(PIECE));
            }
            self.stats.first_sound.get_or_insert(tick.now);
        }
        let gap = due.timestamp - self.next;
        if gap <= 0 {
            return self.play(tick, &due, gap < 0);
        }
        if self.state == State::Holding {
            let after_pause = self.succession.is_next(due.sequence);
            // In a pause nothing was said.
            let was_said = !self.is_pause && !after_pause;
            if was_said && self.deep_is_coming(tick, &due) {
                return self.bridge(tick);
            }
            if was_said && self.hole >= DEEP_HOLE && self.patch(gap) {
                return;
            }
            // What lies between is over: go on with what came as soon as that is not too early.
            if self.clock.offset(tick.now, due.timestamp) >= self.wanted(tick) - TOO_SHORT {
                self.stats.skipped += if was_said { gap as u64 } else { 0 };
                self.next = due.timestamp;
                return self.play(tick, &Due { after_pause, ..due }, true);
            }
            return self.bridge(tick);
        }
        if gap <= due.fec_samples && self.restore(gap as usize, due.fec_samples as usize) {
            return;
        }
        let until_copy = if gap > due.fec_samples { gap - due.fec_samples } else { gap };
        if self.patch(until_copy) {
            return;
        }
        self.conceal(until_copy.min(PIECE as i64) as usize, true);
    }

    fn wait(&mut self, samples: usize) {
        self.scratch[..samples].fill(0.0);
        self.append_scratch(0..samples, false);
        self.stats.silence += samples as u64;
    }

    /// The first packet that ends after what is decoded.
    fn due(&mut self) -> Option<Due> {
        self.stats.packets_flushed += self.packets.drop_until(self.next);
        self.packets.first_after(self.next).map(Due::from)
    }

    /// Decodes the packet that covers the next sample. A rejoin that does not continue what was made up is faded.
    fn play(&mut self, tick: &Tick, due: &Due, rejoins: bool) {
        let wanted = (due.end - self.next).max(0) as usize;
        let returns = self.mark == Some(due.timestamp);
        let fade = (self.hole > 0 && (rejoins || returns) || self.spare_len > 0) && self.fade_out();
        if returns {
            self.decoder.return_to_mark();
        }
        self.mark = None;
        let Some(slot) = self.packets.get(due.sequence) else { return };
        let (arrival, is_speech, is_dtx, is_copy) = (slot.arrival, slot.is_speech, slot.is_dtx, slot.is_copy);
        let decoded = self.decoder.decode(slot.payload(), &mut self.scratch[..]);
        self.packets.release(due.sequence);
        let Ok(decoded) = decoded else {
            self.stats.packets_flushed += u64::from(!is_copy);
            return self.conceal(wanted.clamp(1, PIECE), true);
        };
        let covered = decoded - wanted.min(decoded);
        if is_copy {
            self.stats.red += (decoded - covered) as u64;
        } else {
            self.note_played(tick, arrival, due.timestamp);
            self.stats.decoded += (decoded - covered) as u64;
        }
        self.append_scratch(covered..decoded, fade);
        self.next = due.end;
        self.state = State::Playing;
        self.succession.played(due.sequence);
        self.is_speech = is_speech;
        self.end_hole(due.after_pause);
        self.is_pause = is_dtx;
    }

    fn append_scratch(&mut self, range: std::ops::Range<usize>, fade: bool) {
        debug_assert!(range.len() <= SOUND - self.len);
        let count = range.len().min(SOUND - self.len);
        let source = &self.scratch[range.start..range.start + count];
        let target = &mut self.sound[self.len..self.len + count];
        if fade {
            let over = FADE.min(count);
            for (n, (old, new)) in target.iter_mut().zip(source).enumerate() {
                let share = (n as f32 + 0.5) / over as f32;
                *old = if n < over { *old * (1.0 - share) + new * share } else { *new };
            }
        } else {
            target.copy_from_slice(source);
        }
        self.len += count;
    }

    fn consume(&mut self, samples: usize) {
        self.sound.copy_within(samples..self.len, 0);
        self.len -= samples;
        self.rest -= samples as i64;
    }

    /// A gap ends; a pause of the far end is none.
    fn end_hole(&mut self, after_pause: bool) {
        let is_pause = self.is_pause || after_pause;
        if !self.is_pause {
            self.note_hole();
        }
        self.stats.interruptions += u64::from(self.hole >= INTERRUPTION && !is_pause);
        self.hole = 0;
        self.spare_len = 0;
    }

    fn note_played(&mut self, tick: &Tick, arrival: MediaTime, timestamp: i64) {
        // Its first sample is played once what is decoded before it has passed the resampler.
        let ahead = self.len as i64 + (timestamp - self.next).max(0) + DriftResampler::DELAY;
        let delay = tick.now.micros_since(arrival) + micros(ahead);
        self.delay_sum_us += delay as f64;
        self.stats.packets_played += 1;
        self.stats.playout_delay = Some(Duration::from_micros(u64::try_from(delay).unwrap_or(0)));
    }

    fn lost(&self) -> u64 {
        let expected = u64::try_from(self.highest_sequence - self.first_sequence + 1).unwrap_or(0);
        self.stats.packets_lost + expected.saturating_sub(self.stream_received)
    }
}
