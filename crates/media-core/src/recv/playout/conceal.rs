//! Sound where none is: the copy of a lost frame, what the codec makes up, silence in the end.

use super::{FADE, PIECE, Playout, SlotDecoder, State, Tick};
use crate::jitter::samples_of;

/// The speech layer makes up 10 ms at a time, the transform layer 2.5 ms. A shorter piece of the former would lose sound between the pieces.
const SPEECH_UNIT: usize = 480;
const TRANSFORM_UNIT: usize = 120;
pub(super) const MOST_SPARE: usize = SPEECH_UNIT;
/// Sound that is late for less than this is given up, so that the delay stays; for longer it is waited for: 40 ms.
const GIVE_UP: i64 = 1920;
/// What is made up has faded to silence after this, from half of it on: half a second.
const SILENT_AFTER: i64 = 24_000;
/// Made-up sound of at most so many samples is hardly heard: 20 ms. From so many on nothing is left of what was said: over 120 ms.
const SHORT_HOLE: i64 = 960;
const LONG_HOLE: i64 = 5761;
/// Who says nothing for a second has nothing to say: what follows is silence, not concealment.
const ENDED_AFTER: i64 = 48_000;

impl<D: SlotDecoder> Playout<D> {
    /// Restores the `gap` samples before the waiting packet from the copy in it. The copy is a whole frame long; its end is what is
    /// missing.
    pub(super) fn restore(&mut self, gap: usize, frame: usize) -> bool {
        let Some(slot) = self.packets.first_after(self.next) else { return false };
        let returns = self.mark == Some(slot.timestamp - frame as i64);
        let continues = gap == frame && self.spare_len == 0;
        let fade = self.hole > 0 && !continues && self.fade_out();
        if returns {
            self.decoder.return_to_mark();
        }
        self.mark = None;
        let Some(slot) = self.packets.first_after(self.next) else { return false };
        let restored = self.decoder.decode_fec(slot.payload(), &mut self.scratch[..frame]);
        if restored != Ok(frame) {
            return false;
        }
        self.append_scratch(frame - gap..frame, fade);
        self.stats.fec += gap as u64;
        self.next += gap as i64;
        self.end_hole(false);
        true
    }

    /// Makes up sound while nothing is there. Media time stands still as long as the delay is too short, so that the hole lengthens it,
    /// and after [`GIVE_UP`].
    pub(super) fn bridge(&mut self, tick: &Tick) {
        let missing = samples_of(self.wanted(tick) - self.played_offset(tick));
        if self.hole >= GIVE_UP {
            self.state = State::Holding;
            self.conceal(PIECE, false);
        } else if missing > 0 {
            self.conceal((missing as usize).min(PIECE), false);
        } else {
            self.conceal(PIECE, true);
        }
    }

    /// Adds at most [`PIECE`] samples of made-up sound, and moves media time by as much where that is `moving`.
    pub(super) fn conceal(&mut self, samples: usize, moving: bool) {
        let is_silence = self.is_pause || self.hole >= ENDED_AFTER;
        self.make_up(samples);
        self.append_scratch(0..samples, false);
        if is_silence {
            self.stats.silence += samples as u64;
        } else {
            self.stats.concealed += samples as u64;
            if self.meter.last().voice {
                self.stats.concealed_speech += samples as u64;
            }
        }
        self.hole += samples as i64;
        if moving {
            self.next += samples as i64;
        }
    }

    /// Sorts the hole that ends here by its length, because a longer one hurts more.
    pub(super) fn note_hole(&mut self) {
        let length = u64::try_from(self.hole).unwrap_or(0);
        match self.hole {
            ..=SHORT_HOLE => self.stats.concealed_short += length,
            LONG_HOLE.. => self.stats.concealed_long += length.min(ENDED_AFTER as u64),
            _ => {}
        }
    }

    /// Leaves the continuation of made-up sound behind the decoded sound, for a fade.
    pub(super) fn fade_out(&mut self) -> bool {
        if self.len + FADE > self.sound.len() {
            return false;
        }
        self.make_up(FADE);
        self.sound[self.len..self.len + FADE].copy_from_slice(&self.scratch[..FADE]);
        true
    }

    /// The stream is over: its sound ends softly, and what comes next has nothing to do with it.
    pub(super) fn end_stream(&mut self) {
        if self.hole < SILENT_AFTER && self.fade_out() {
            for (n, sample) in self.sound[self.len..self.len + FADE].iter_mut().enumerate() {
                *sample *= 1.0 - (n as f32 + 0.5) / FADE as f32;
            }
            self.len += FADE;
            self.stats.concealed += FADE as u64;
        }
        self.decoder.reset();
        self.mark = None;
        self.spare_len = 0;
    }

    /// Before the decoder leaves what was said, it remembers where.
    pub(super) fn leave_mark(&mut self) {
        if self.mark.is_none() && self.hole == 0 && self.spare_len == 0 && !self.is_pause {
            self.decoder.mark();
            self.mark = Some(self.next);
        }
    }

    /// Makes up exactly `samples`, at most [`PIECE`], at the start of the scratch space.
    fn make_up(&mut self, samples: usize) {
        self.leave_mark();
        let out = &mut self.scratch[..];
        // Who pauses says so again two or three times a second; who does not any more is gone, or holds the call.
        let silent_after = if self.is_pause { ENDED_AFTER } else { SILENT_AFTER };
        if self.hole >= silent_after {
            out[..samples].fill(0.0);
            self.spare_len = 0;
            return;
        }
        let kept = self.spare_len.min(samples);
        out[..kept].copy_from_slice(&self.spare[..kept]);
        self.spare.copy_within(kept..self.spare_len, 0);
        self.spare_len -= kept;
        if kept < samples {
            let unit = if self.is_speech { SPEECH_UNIT } else { TRANSFORM_UNIT };
            let made = kept + (samples - kept).next_multiple_of(unit);
            if self.decoder.conceal(&mut out[kept..made]).is_err() {
                out[kept..made].fill(0.0);
            }
            self.spare_len = made - samples;
            self.spare[..self.spare_len].copy_from_slice(&out[samples..made]);
        }
        if self.hole > silent_after / 2 {
            for (at, sample) in (self.hole..).zip(&mut out[..samples]) {
                *sample *= ((silent_after - at) as f32 / (silent_after / 2) as f32).max(0.0);
            }
        }
    }
}
