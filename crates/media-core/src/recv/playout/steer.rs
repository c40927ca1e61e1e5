//! Keeps the delay where it is wanted: by the clock's speed, by whole pitch periods, by a jump when all else would take too long.

use std::time::Duration;

use super::{CatchUp, FADE, PIECE, Playout, SlotDecoder, State, TOO_SHORT, Tick};
use crate::jitter::{ALIKE, LEAST_WINDOW, STRETCH_WINDOW, Stretched, micros, samples_of};
use crate::units::Ppm;

/// Sound later than this is not played any more: 1.25 s, in microseconds. A second that was lost can still be replayed.
const LIVE_EDGE: i64 = 1_250_000;
/// The delay may be longer than wanted by this before sound is stretched, in microseconds.
const TOO_LONG: i64 = 4000;
/// Further off than this is corrected twice as fast.
const FAR_OFF: i64 = 40_000;
/// After so many refusals in a row (1 s; far off 200 ms) periods need to be less alike, after twice as many hardly at all: steady noise or
/// music must not hold the delay for ever.
const PATIENCE: u32 = 200;
const FAR_OFF_PATIENCE: u32 = 40;
const LESS_ALIKE: f32 = 0.5;
/// Where nobody speaks, noise may be cut anywhere.
const NOISE_ALIKE: f32 = 0.0;
/// So much of the sound that is next tells whether it is a pause: 20 ms.
const PAUSE: usize = 960;
/// Drift below this is not followed.
const LEAST_DRIFT: f64 = 5.0;
/// A delay that is too long is led to its target by so many ppm per millisecond, from the first millisecond on: at most by 0.2 %, a thirtieth of a
/// semitone. One that is too short slower: what it is too short for seldom comes at once.
const PPM_PER_MS_DOWN: f64 = 1000.0;
const PPM_PER_MS_UP: f64 = 250.0;
const MOST_LEAD_PPM: f64 = 2000.0;
const LEAST_LEAD_MS: f64 = 1.0;
/// Closer than that the clock is followed anyway, and what it is not known by is made up for: 50 ppm at most.
const PPM_PER_MS_NEAR: f64 = 50.0;

impl<D: SlotDecoder> Playout<D> {
    /// Whether the last pull was about as long ago as one lasts. A device that stopped and now catches up says nothing of the delay.
    pub(super) fn is_in_time(&mut self, tick: &Tick) -> bool {
        if !tick.is_first {
            return false;
        }
        let passed = tick.now.micros_since(std::mem::replace(&mut self.last_pull, tick.now));
        passed > LIVE_EDGE || (tick.quantum / 2..=4 * tick.quantum + TOO_LONG).contains(&passed)
    }

    /// Takes note of what this pull plays at.
    pub(super) fn note_offset(&mut self, tick: &Tick) {
        // What is made up adds to the delay, until it is known whether what it stands for still comes.
        if self.hole > 0 {
            self.steady.forget();
        }
        if tick.is_first {
            self.steady.pulled(self.played_offset(tick));
        }
    }

    /// Plays at the speed of the sender's clock, and leads the delay to its target by a speed that is not heard.
    pub(super) fn follow_clock(&mut self, tick: &Tick) {
        let drift = self.drift.drift().map_or(0.0, |drift| drift.0);
        let drift = if drift.abs() >= LEAST_DRIFT { drift } else { 0.0 };
        let off_ms = self.off(tick) as f64 / 1000.0;
        let far_ms = 2.0 * TOO_LONG as f64 / 1000.0;
        let lead = match off_ms.abs() {
            off if off < LEAST_LEAD_MS && drift == 0.0 => 0.0,
            off if off < LEAST_LEAD_MS => off_ms * PPM_PER_MS_NEAR,
            off if off < far_ms => {
                let per_ms = if off_ms > 0.0 { PPM_PER_MS_DOWN } else { PPM_PER_MS_UP };
                (off_ms * per_ms).clamp(-MOST_LEAD_PPM, MOST_LEAD_PPM)
            }
            _ => 0.0,
        };
        self.resampler.set_speed(Ppm(drift + lead));
    }

    /// How much longer than wanted the delay is, in microseconds, whenever this pull came.
    fn off(&self, tick: &Tick) -> i64 {
        self.steady.get().unwrap_or_else(|| self.played_offset(tick)) - self.wanted(tick)
    }

    pub(super) fn correct_delay(&mut self, tick: &Tick) {
        let off = self.played_offset(tick) - self.wanted(tick);
        self.stats.target_delay = self
            .target
            .spread()
            .map(|spread| Duration::from_micros(u64::try_from(spread + tick.quantum).unwrap_or(0)));
        if off > LIVE_EDGE && self.state == State::Playing {
            return self.jump_to_live(off);
        }
        // While something is missing no one can say how late what comes after it will be.
        self.catch_up = if self.hole > 0 { None } else { CatchUp::next(self.catch_up, tick.now, off) };
        let off = if self.catch_up.is_some() { off } else { self.off(tick) };
        if (-TOO_SHORT..=TOO_LONG).contains(&off) {
            self.refusals = 0;
            return;
        }
        if self.rest > 0 || self.hole > 0 {
            return;
        }
        if off > 0 {
            self.decode_ahead(tick);
        }
        if self.len < LEAST_WINDOW {
            return;
        }
        let Some(alike) = self.needed_likeness(tick, off) else { return };
        // Never cut more than is too much. Where nobody speaks, the length is free to be what is wanted.
        let wanted = samples_of(off.abs()) as usize;
        let done = if off > 0 {
            self.stretch.shorten(&mut self.sound[..], self.len, alike, wanted)
        } else {
            let longest = if self.meter.last().voice { STRETCH_WINDOW } else { wanted.max(LEAST_WINDOW / 4) };
            self.stretch.lengthen(&mut self.sound[..], self.len, alike, longest)
        };
        self.account(done, off);
    }

    /// How alike two periods must be; `None` when nothing is to be cut now.
    fn needed_likeness(&self, tick: &Tick, off: i64) -> Option<f32> {
        let patience = if off.abs() > FAR_OFF { FAR_OFF_PATIENCE } else { PATIENCE };
        if let Some(catch_up) = &self.catch_up {
            let is_pause = self.meter.is_noise(&self.sound[..self.len.min(PAUSE)]);
            return if is_pause { Some(NOISE_ALIKE) } else { catch_up.likeness(tick.now, off) };
        }
        Some(match self.refusals {
            _ if !self.meter.last().voice => NOISE_ALIKE,
            refusals if refusals >= 2 * patience => NOISE_ALIKE,
            refusals if refusals >= patience => LESS_ALIKE,
            _ => ALIKE,
        })
    }

    fn account(&mut self, done: Stretched, off: i64) {
        // Samples left alone per two that are cut.
        let left_alone = match self.meter.last().voice {
            _ if self.catch_up.is_some() => 0,
            false => 4,
            true if off.abs() > FAR_OFF => 8,
            true => 16,
        };
        match done {
            Stretched::Shortened(samples) => {
                self.len -= samples;
                self.steady.moved(-micros(samples as i64));
                self.stats.accelerated += samples as u64;
                self.rest = (samples * left_alone / 2) as i64;
            }
            Stretched::Lengthened(samples) => {
                self.len += samples;
                self.steady.moved(micros(samples as i64));
                self.stats.expanded += samples as u64;
                self.rest = (samples * left_alone / 2) as i64;
            }
            Stretched::Refused => {
                self.rest = PIECE as i64;
                self.refusals = self.refusals.saturating_add(1);
                return;
            }
        }
        self.refusals = 0;
        self.stats.stretches += 1;
    }

    /// Decodes packets that follow without a gap until a stretch can look at enough sound; after an outage also what is replayed of it.
    fn decode_ahead(&mut self, tick: &Tick) {
        while self.len < STRETCH_WINDOW {
            match self.due() {
                Some(due) if due.timestamp <= self.next => self.play(tick, &due, due.timestamp < self.next),
                Some(due)
                    if self.catch_up.is_some() && self.patch(due.timestamp - self.next - due.fec_samples) => {
                }
                _ => return,
            }
        }
    }

    /// Gives up what is too late, but nothing of the newest packet: there is nothing later to be live with.
    fn jump_to_live(&mut self, off: i64) {
        let Some(newest) = self.packets.newest_start() else { return };
        let most = newest.max(self.next) - (self.next - self.len as i64);
        let leap = samples_of(off).min(most).max(0);
        // What is kept of the decoded sound begins where the old one fades out.
        let dropped = self.len.min(leap as usize);
        let over = FADE.min(self.len - dropped);
        for n in 0..over {
            let share = (n as f32 + 0.5) / over as f32;
            self.sound[dropped + n] = self.sound[n] * (1.0 - share) + self.sound[dropped + n] * share;
        }
        self.sound.copy_within(dropped..self.len, 0);
        self.len -= dropped;
        self.steady.forget();
        self.stats.dropped += dropped as u64;
        let skipped = leap - dropped as i64;
        if skipped > 0 {
            self.stats.skipped += skipped as u64;
            self.next += skipped;
            self.mark = None;
            self.hole = self.hole.max(FADE as i64);
        }
        self.stats.packets_flushed += self.packets.drop_until(self.next);
    }
}
