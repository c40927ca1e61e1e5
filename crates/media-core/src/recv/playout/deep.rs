//! Sound out of the codec's deep redundancy (DRED): a packet in a few says coarsely what was said for up to a second before it.

use super::{Due, Playout, SlotDecoder, State, Tick};
use crate::jitter::{DEEP, micros};
use crate::units::MediaTime;

/// The vocoder's step: 10 ms.
const STEP: usize = 480;
/// Packets further apart than this carry no regular redundancy.
const MOST_APART: i64 = 32;
/// Longer holes say nothing of the delay that would be right.
const MOST_LEARNED: i64 = 10;
/// Redundancy in packets further apart than this is for outages: to wait for it all the time would cost more than it gives.
const DENSE: i64 = 2;
/// So much later than regular the packet with the redundancy may come, in microseconds.
const LATENESS: i64 = 20_000;

/// What is known of the far end's deep redundancy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DeepRedundancy {
    /// The packet whose redundancy the decoder holds.
    held: Option<i64>,
    /// The last packet that had any, and how many packets after the one before.
    last: Option<i64>,
    apart: i64,
}

impl<D: SlotDecoder> Playout<D> {
    /// Looks for redundancy in a packet that came, and learns from when on the lost sound before it can be played.
    pub(super) fn note_deep(
        &mut self,
        now: MediaTime,
        sequence: i64,
        samples: i64,
        offset: i64,
        payload: &[u8],
    ) {
        let span = self.decoder.dred_span(payload) as i64;
        self.deep.held = (span > 0).then_some(sequence);
        if span == 0 {
            return;
        }
        self.deep.apart = self.deep.last.map_or(i64::MAX, |last| (sequence - last).abs());
        self.deep.last = Some(sequence);
        self.packets.set_deep(sequence, span);
        let learned = if self.deep.apart <= DENSE { (span / samples).min(MOST_LEARNED) } else { 0 };
        for back in 1..=learned {
            let gain = match sequence - back >= self.first_sequence {
                true => self.availability.improve(sequence - back, DEEP),
                false => 0.0,
            };
            if gain > 0.0 {
                let later = micros(back * samples);
                self.target.available(now, offset + later, micros(samples), gain);
            }
        }
    }

    /// Whether it is worth to wait a little longer: what was lost before `due` is likely to be in a packet that comes soon.
    pub(super) fn deep_is_coming(&self, tick: &Tick, due: &Due) -> bool {
        let is_regular = self.deep.apart <= MOST_APART && self.hole >= super::DEEP_HOLE;
        if !is_regular || self.packets.deepest_after(self.next).is_some() {
            return false;
        }
        let wait = self.deep.apart * micros(due.end - due.timestamp) + LATENESS;
        let due = self.packets.get(due.sequence);
        due.is_some_and(|slot| tick.now.micros_since(slot.arrival) < wait)
    }

    /// Restores up to 10 ms of the `gap` before the waiting packets from the redundancy of one of them; false where none reaches it.
    pub(super) fn patch(&mut self, gap: i64) -> bool {
        let Some(slot) = self.packets.deepest_after(self.next) else { return false };
        let (sequence, timestamp, reach) =
            (slot.sequence, slot.timestamp, slot.timestamp - slot.deep_samples);
        let missing = reach - self.next;
        if missing >= gap || (missing > 0 && self.state != State::Holding) {
            return false;
        }
        if self.spare_len > 0 {
            // The decoder is so much further: the vocoder goes on where it stands.
            self.conceal((self.spare_len as i64).min(gap) as usize, true);
            return true;
        }
        if missing > 0 {
            self.stats.skipped += missing as u64;
            self.next = reach;
        }
        let gap = gap - missing.max(0);
        if self.deep.held != Some(sequence) {
            self.deep.held = None;
            let Some(slot) = self.packets.get(sequence) else { return false };
            if self.decoder.dred_span(slot.payload()) == 0 {
                return false;
            }
            self.deep.held = Some(sequence);
        }
        self.leave_mark();
        let before = usize::try_from(timestamp - self.next).unwrap_or(0);
        if self.decoder.decode_dred(before, &mut self.scratch[..STEP]) != Ok(STEP) {
            self.packets.set_deep(sequence, 0);
            return false;
        }
        let used = gap.min(STEP as i64) as usize;
        self.append_scratch(0..used, false);
        self.spare_len = STEP - used;
        self.spare[..self.spare_len].copy_from_slice(&self.scratch[used..STEP]);
        self.stats.dred += used as u64;
        self.next += used as i64;
        self.state = State::Playing;
        self.stats.interruptions += u64::from(self.hole >= super::INTERRUPTION && !self.is_pause);
        if !self.is_pause {
            self.note_hole();
        }
        self.hole = 0;
        true
    }
}
