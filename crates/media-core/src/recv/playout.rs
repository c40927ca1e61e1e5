//! From waiting packets to sound at the right moment.

use std::time::Duration;

use super::{SlotDecoder, Taken};
use crate::codec::{MOST_SAMPLES, OpusError};
use crate::dsp::LevelMeter;
use crate::jitter::{
    DriftEstimator, DriftResampler, Inserted, MediaClock, PacketBuffer, ReceiveStats, STRETCH_WINDOW,
    Stretched, TargetDelay, TimeStretch, micros, samples_of,
};
use crate::rt_context::RtContext;
use crate::units::{MediaTime, Ppm};

/// Most samples of one pull: 20 ms.
pub(super) const MOST_PULLED: usize = 960;
const SOUND: usize = 16_384;
/// A rejoin that is not continuous is faded over this: 5 ms.
const FADE: usize = 240;
/// Concealment is made in such pieces: 5 ms.
const PIECE: usize = 240;
/// Sound that is late for less than this is given up, so that the delay stays; for longer it is waited for: 40 ms.
const GIVE_UP: i64 = 1920;
/// Sound later than this is not played any more: 1 s, in microseconds.
const LIVE_EDGE: i64 = 1_000_000;
/// The delay may be off by this before sound is stretched, in microseconds.
const TOO_LONG: i64 = 4000;
const TOO_SHORT: i64 = 2000;
/// Further off than this is corrected twice as fast.
const FAR_OFF: i64 = 40_000;
/// A restored frame is worth this share of one that came in time.
const RESTORED_SHARE: f32 = 0.6;
/// Drift below this is not followed.
const LEAST_DRIFT: f64 = 5.0;
/// While the clock is followed, the delay is led to its target by so many ppm per millisecond.
const PPM_PER_MS: f64 = 40.0;
const MOST_LEAD_PPM: f64 = 200.0;
const INTERRUPTION: u64 = 7200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No packet has come.
    Idle,
    /// The first packet waits until the wanted delay is reached.
    Starting,
    /// Sound is played.
    Playing,
    /// Nothing has come for longer than is given up: media time stands still.
    Holding,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Playout<D> {
    decoder: D,
    packets: PacketBuffer,
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
    /// Samples made up since the last packet.
    hole: i64,
    /// Samples to play before the next stretch.
    rest: i64,
    last_pull: MediaTime,
    first_sequence: i64,
    highest_sequence: i64,
    stream_received: u64,
    delay_sum_us: f64,
    packets_played: u64,
    stats: ReceiveStats,
}

impl<D: SlotDecoder> Playout<D> {
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    pub(super) fn new(price_per_percent: f32, decoder: D) -> Self {
        Self {
            decoder,
            packets: PacketBuffer::default(),
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
            hole: 0,
            rest: 0,
            last_pull: MediaTime::ZERO,
            first_sequence: 0,
            highest_sequence: -1,
            stream_received: 0,
            delay_sum_us: 0.0,
            packets_played: 0,
            stats: ReceiveStats::default(),
        }
    }

    /// Another stream begins with this packet. Sound that was decoded is still played.
    pub(super) fn restart(&mut self, sequence: i64, timestamp: i64) {
        self.stats.packets_lost = self.lost();
        self.stream_received = 0;
        self.first_sequence = sequence;
        self.highest_sequence = sequence - 1;
        self.packets.clear();
        self.target.reset();
        self.clock = MediaClock::default();
        self.drift = DriftEstimator::default();
        self.next = timestamp;
        self.hole = 0;
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
        let taken = match self.packets.insert(sequence, timestamp, arrival, payload) {
            Inserted::Duplicate => Taken::Duplicate,
            Inserted::Invalid => Taken::Discarded,
            Inserted::Waiting => {
                self.stream_received += 1;
                self.learn(cx.now(), sequence, timestamp, arrival);
                if self.packets.drop_until(self.next) > 0 { Taken::Late } else { Taken::Waiting }
            }
        };
        match taken {
            Taken::Duplicate => self.stats.packets_duplicate += 1,
            Taken::Discarded => self.stats.packets_discarded += 1,
            _ => self.stats.packets_received += 1,
        }
        self.stats.packets_late += u64::from(taken == Taken::Late);
        taken
    }

    pub(super) fn count_discarded(&mut self) {
        self.stats.packets_discarded += 1;
    }

    pub(super) fn count_duplicate(&mut self) {
        self.stats.packets_duplicate += 1;
    }

    pub(super) fn stats(&self) -> ReceiveStats {
        let mean = self.delay_sum_us / self.packets_played.max(1) as f64;
        ReceiveStats {
            packets_lost: self.lost(),
            mean_playout_delay: (self.packets_played > 0)
                .then(|| Duration::from_nanos((mean * 1000.0).max(0.0) as u64)),
            drift: self.drift.drift(),
            buffered: self.len as u64,
            ..self.stats
        }
    }

    /// Fills `out`, at most [`MOST_PULLED`] long.
    pub(super) fn pull(&mut self, cx: &RtContext, out: &mut [f32]) {
        self.stats.pulled += out.len() as u64;
        let quantum = micros(out.len() as i64);
        let silent = self.lead_in(cx.now(), quantum, out.len());
        let (lead, sounding) = out.split_at_mut(silent);
        lead.fill(0.0);
        self.stats.silence += silent as u64;
        if !sounding.is_empty() {
            self.follow_clock(cx.now(), quantum);
            let needed = self.resampler.inputs_for(sounding.len());
            self.produce_until(needed, cx.now(), quantum);
            if self.pulled_in_time(cx.now(), quantum) {
                self.correct_delay(cx.now(), quantum);
            }
            self.produce_until(needed, cx.now(), quantum);
            self.resampler.process(&self.sound[..needed], sounding);
            self.consume(needed);
        }
        let level = self.meter.measure(out);
        self.stats.level = level.level;
        self.stats.voice = level.voice;
    }

    /// Whether the last pull was about as long ago as one lasts. A device that stopped and now catches up says nothing of the delay.
    fn pulled_in_time(&mut self, now: MediaTime, quantum: i64) -> bool {
        let passed = now.micros_since(std::mem::replace(&mut self.last_pull, now));
        passed > LIVE_EDGE || (quantum / 2..=4 * quantum + TOO_LONG).contains(&passed)
    }

    /// How many samples of silence come before the first sound of a stream.
    fn lead_in(&mut self, now: MediaTime, quantum: i64, samples: usize) -> usize {
        match self.state {
            State::Idle => samples,
            State::Playing | State::Holding => 0,
            State::Starting if self.len > 0 => 0,
            State::Starting => {
                let missing = self.wanted(quantum) - self.clock.offset(now, self.next);
                let missing = usize::try_from(samples_of(missing)).unwrap_or(0);
                if missing < samples {
                    self.state = State::Playing;
                    self.stats.first_sound.get_or_insert(now);
                }
                missing.min(samples)
            }
        }
    }

    fn learn(&mut self, now: MediaTime, sequence: i64, timestamp: i64, arrival: MediaTime) {
        self.drift.arrived(now, arrival.as_micros() - micros(timestamp));
        if let Some(drift) = self.drift.drift() {
            self.clock.set_drift(timestamp, drift);
        }
        let offset = self.clock.offset(arrival, timestamp);
        self.target.arrived(now, offset);
        let gap = sequence > self.highest_sequence + 1;
        if let Some(slot) = self.packets.get(sequence)
            && gap
            && slot.has_fec
        {
            self.target.restorable(now, offset + micros(slot.samples), RESTORED_SHARE);
        }
        self.highest_sequence = self.highest_sequence.max(sequence);
    }

    /// The wanted playout offset with what a pull of `quantum` needs.
    fn wanted(&self, quantum: i64) -> i64 {
        self.target.wanted().map_or(0, |wanted| wanted + quantum)
    }

    /// The offset at which sound is played now.
    fn played_offset(&self, now: MediaTime) -> i64 {
        self.clock.offset(now, self.next - self.len as i64)
    }

    fn produce_until(&mut self, needed: usize, now: MediaTime, quantum: i64) {
        while self.len < needed {
            self.produce(now, quantum);
        }
    }

    /// Adds a piece of sound: the packet that is due, a copy of it, or sound made up.
    fn produce(&mut self, now: MediaTime, quantum: i64) {
        let Some((slot_time, slot_end, slot_samples, has_fec)) = self.due() else {
            return self.bridge(now, quantum);
        };
        let gap = slot_time - self.next;
        if gap <= 0 {
            return self.play(now, slot_end, gap < 0);
        }
        if self.state == State::Holding {
            // What lies between is lost: go on with what came as soon as that is not too early.
            if self.clock.offset(now, slot_time) >= self.wanted(quantum) - TOO_SHORT {
                self.stats.skipped += gap as u64;
                self.next = slot_time;
                return self.play(now, slot_end, true);
            }
            return self.bridge(now, quantum);
        }
        if has_fec && gap <= slot_samples && self.restore(gap) {
            return;
        }
        let until = if has_fec { (gap - slot_samples).max(gap.min(PIECE as i64)) } else { gap };
        self.conceal(until.min(PIECE as i64) as usize, true);
    }

    /// The first packet that ends after what is decoded.
    fn due(&mut self) -> Option<(i64, i64, i64, bool)> {
        self.packets.drop_until(self.next);
        self.packets
            .first_after(self.next)
            .map(|slot| (slot.timestamp, slot.end(), slot.samples, slot.has_fec))
    }

    /// Decodes the packet that covers the next sample. A rejoin that does not continue what was made up is faded.
    fn play(&mut self, now: MediaTime, end: i64, rejoins: bool) {
        let wanted = (end - self.next).max(0) as usize;
        let fade = rejoins && self.hole > 0 && self.fade_out();
        let Some(slot) = self.packets.first_after(self.next) else { return };
        let (sequence, samples, arrival, timestamp) =
            (slot.sequence, slot.samples as usize, slot.arrival, slot.timestamp);
        let decoded = self.decoder.decode(slot.payload(), &mut self.scratch[..]);
        self.packets.release(sequence);
        let Ok(decoded) = decoded else {
            self.stats.packets_discarded += 1;
            return self.conceal(samples.min(wanted).max(1), true);
        };
        let covered = decoded - wanted.min(decoded);
        self.note_played(now, arrival, timestamp);
        self.append_scratch(covered..decoded, fade);
        self.stats.decoded += (decoded - covered) as u64;
        self.next = end;
        self.state = State::Playing;
        self.end_hole();
    }

    /// Decodes the copy of what lies before the waiting packet.
    fn restore(&mut self, gap: i64) -> bool {
        let whole = (gap as usize).next_multiple_of(120);
        let Some(slot) = self.packets.first_after(self.next) else { return false };
        let restored = self.decoder.decode_fec(slot.payload(), &mut self.scratch[..whole]);
        if !matches!(restored, Ok(made) if made >= gap as usize) {
            return false;
        }
        self.append_scratch(0..gap as usize, false);
        self.stats.fec += gap as u64;
        self.next += gap;
        self.end_hole();
        true
    }

    /// Makes up sound while nothing is there. Media time stands still as long as the delay is too short, so that the hole lengthens it,
    /// and after [`GIVE_UP`].
    fn bridge(&mut self, now: MediaTime, quantum: i64) {
        let missing = samples_of(self.wanted(quantum) - self.played_offset(now));
        if self.hole >= GIVE_UP {
            self.state = State::Holding;
            self.conceal(PIECE, false);
        } else if missing > 0 {
            self.conceal((missing as usize).min(PIECE), false);
        } else {
            self.conceal(PIECE, true);
        }
    }

    fn conceal(&mut self, samples: usize, moving: bool) {
        let whole = samples.next_multiple_of(120);
        if self.make_up(whole).is_err() {
            self.scratch[..whole].fill(0.0);
        }
        self.append_scratch(0..samples, false);
        self.stats.concealed += samples as u64;
        if self.meter.last().voice {
            self.stats.concealed_speech += samples as u64;
        }
        self.hole += samples as i64;
        if moving {
            self.next += samples as i64;
        }
    }

    fn make_up(&mut self, samples: usize) -> Result<usize, OpusError> {
        self.decoder.conceal(&mut self.scratch[..samples])
    }

    /// Leaves the continuation of made-up sound behind the decoded sound, for a fade.
    fn fade_out(&mut self) -> bool {
        if self.len + FADE > SOUND || self.make_up(FADE).is_err() {
            return false;
        }
        self.sound[self.len..self.len + FADE].copy_from_slice(&self.scratch[..FADE]);
        true
    }

    fn append_scratch(&mut self, range: std::ops::Range<usize>, fade: bool) {
        let count = range.len().min(SOUND - self.len);
        let source = &self.scratch[range.start..range.start + count];
        let target = &mut self.sound[self.len..self.len + count];
        if fade {
            for (n, (old, new)) in target.iter_mut().zip(source).enumerate() {
                let share = ((n as f32 + 0.5) / FADE as f32).min(1.0);
                *old = if n < FADE { *old * (1.0 - share) + new * share } else { *new };
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

    fn end_hole(&mut self) {
        self.stats.interruptions += u64::from(self.hole as u64 >= INTERRUPTION);
        self.hole = 0;
    }

    fn note_played(&mut self, now: MediaTime, arrival: MediaTime, timestamp: i64) {
        // Its first sample is played once what is decoded before it is.
        let ahead = micros(self.len as i64 + (timestamp - self.next).max(0));
        let delay = now.micros_since(arrival) + ahead;
        self.delay_sum_us += delay as f64;
        self.packets_played += 1;
        self.stats.playout_delay = Some(Duration::from_micros(u64::try_from(delay).unwrap_or(0)));
    }

    /// Plays at the speed of the sender's clock, and leads the delay to its target by a speed that is not heard.
    fn follow_clock(&mut self, now: MediaTime, quantum: i64) {
        let Some(drift) = self.drift.drift().filter(|drift| drift.0.abs() >= LEAST_DRIFT) else {
            return self.resampler.set_speed(Ppm(0.0));
        };
        let off_ms = (self.played_offset(now) - self.wanted(quantum)) as f64 / 1000.0;
        let lead = if off_ms.abs() < 2.0 * TOO_LONG as f64 / 1000.0 {
            (off_ms * PPM_PER_MS).clamp(-MOST_LEAD_PPM, MOST_LEAD_PPM)
        } else {
            0.0
        };
        self.resampler.set_speed(Ppm(drift.0 + lead));
    }

    fn correct_delay(&mut self, now: MediaTime, quantum: i64) {
        let off = self.played_offset(now) - self.wanted(quantum);
        self.stats.target_delay = self
            .target
            .spread()
            .map(|spread| Duration::from_micros(u64::try_from(spread + quantum).unwrap_or(0)));
        if off > LIVE_EDGE {
            return self.jump_to_live(off);
        }
        if self.rest > 0 || self.hole > 0 || (-TOO_SHORT..=TOO_LONG).contains(&off) {
            return;
        }
        if off > 0 {
            self.decode_ahead(now);
        }
        if self.len < STRETCH_WINDOW {
            return;
        }
        let done = if off > 0 {
            self.stretch.shorten(&mut self.sound[..], self.len)
        } else {
            self.stretch.lengthen(&mut self.sound[..], self.len)
        };
        self.account(done, off);
    }

    fn account(&mut self, done: Stretched, off: i64) {
        let quiet = !self.meter.last().voice;
        let slower = if quiet {
            2
        } else if off.abs() > FAR_OFF {
            4
        } else {
            8
        };
        match done {
            Stretched::Shortened(samples) => {
                self.len -= samples;
                self.stats.accelerated += samples as u64;
                self.rest = (samples * slower) as i64;
            }
            Stretched::Lengthened(samples) => {
                self.len += samples;
                self.stats.expanded += samples as u64;
                self.rest = (samples * slower) as i64;
            }
            Stretched::Refused => {
                self.rest = PIECE as i64;
                return;
            }
        }
        self.stats.stretches += 1;
    }

    /// Decodes packets that follow without a gap until a stretch can look at enough sound.
    fn decode_ahead(&mut self, now: MediaTime) {
        while self.len < STRETCH_WINDOW {
            match self.due() {
                Some((time, end, ..)) if time <= self.next => self.play(now, end, time < self.next),
                _ => return,
            }
        }
    }

    fn jump_to_live(&mut self, off: i64) {
        let leap = samples_of(off);
        let dropped = self.len.min(leap as usize);
        self.sound.copy_within(dropped..self.len, 0);
        self.len -= dropped;
        self.stats.dropped += dropped as u64;
        self.stats.skipped += leap as u64 - dropped as u64;
        self.next += leap - dropped as i64;
        self.hole = FADE as i64;
        self.packets.drop_until(self.next);
    }

    fn lost(&self) -> u64 {
        let expected = u64::try_from(self.highest_sequence - self.first_sequence + 1).unwrap_or(0);
        self.stats.packets_lost + expected.saturating_sub(self.stream_received)
    }
}
