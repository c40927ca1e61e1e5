//! The wanted playout offset: the one that costs least, in delay and in concealed sound, on what the network did of late.

use super::picture::{BIN, BINS, Picture, Prices};
use super::runs::Runs;
use crate::units::MediaTime;

/// The recent picture holds the last one to two of these, in microseconds; then it has forgotten.
const RECENT_SPAN: i64 = 1_000_000;
/// The long picture forgets this slowly.
const LONG_SECONDS: f32 = 40.0;
/// The network is better than the long picture remembers once that asks for so much more than the recent one.
const BETTER_RATIO: usize = 5;
const BETTER_BINS: usize = 10;
/// And so many packets later than the recent one asks for would have come meanwhile, had nothing changed: those that are lost in a run are one.
const EVIDENCE: f32 = 8.0;
/// When hardly any of them came, little better is enough, in bins: copies that are needed no more, or come sooner.
const LITTLE_BETTER: usize = 8;
/// So many offsets in a row outside of what is known are a new route.
const STEP_PACKETS: u32 = 25;
/// An arrival this much above the wanted offset is a stall.
const STALL: i64 = 40_000;
/// Stalls are expected to come back while the last few came at most this far apart.
const STALL_MEMORY: i64 = 12_000_000;
/// Late packets closer together than this belong to one stall.
const STALL_APART: i64 = 1_000_000;
/// So many stalls make a link that stalls.
const STALLS_TO_HOLD: usize = 3;
/// So many packets that are late, each at another moment, within the recent span raise the delay at once.
const LATES_TO_RAISE: usize = 4;
const LATES_APART: i64 = 4000;
/// And so many with none in time between them.
const LATES_IN_A_ROW: u32 = 2;
/// Offsets of the latest packets, for the step detector.
const RECENT: usize = STEP_PACKETS as usize;
/// Least time between two searches for the cheapest offset.
const SEARCH_EVERY: i64 = 20_000;

/// Watches arrivals and says which offset to play at.
#[derive(Debug, Clone)]
pub struct TargetDelay {
    prices: Prices,
    long: Picture,
    /// As `long`, of packets alone: without what came in others.
    own: Picture,
    newer: Picture,
    older: Picture,
    both: Picture,
    rotated: Option<MediaTime>,
    /// Offset of bin 0, in microseconds.
    anchor: Option<i64>,
    wanted: i64,
    searched: Option<MediaTime>,
    recent: [i64; RECENT],
    recent_count: u32,
    outside: u32,
    /// Anchor and wanted offset before the packets that are now outside of them.
    known: Option<(i64, i64)>,
    stalls: [MediaTime; STALLS_TO_HOLD],
    stall_count: u32,
    last_stalled: Option<MediaTime>,
    lates: [MediaTime; LATES_TO_RAISE],
    late_count: u32,
    lates_in_a_row: u32,
    restored: Runs,
}

impl TargetDelay {
    /// `price_per_percent`: milliseconds of delay that one percent of concealed sound is worth.
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    pub fn new(price_per_percent: f32) -> Self {
        Self {
            prices: Prices { per_percent: price_per_percent, packet_bins: 20 },
            long: Picture::new(LONG_SECONDS),
            own: Picture::new(LONG_SECONDS),
            newer: Picture::new(f32::INFINITY),
            older: Picture::new(f32::INFINITY),
            both: Picture::new(f32::INFINITY),
            rotated: None,
            anchor: None,
            wanted: 0,
            searched: None,
            recent: [0; RECENT],
            recent_count: 0,
            outside: 0,
            known: None,
            stalls: [MediaTime::ZERO; STALLS_TO_HOLD],
            stall_count: 0,
            last_stalled: None,
            lates: [MediaTime::ZERO; LATES_TO_RAISE],
            late_count: 0,
            lates_in_a_row: 0,
            restored: Runs::default(),
        }
    }

    /// A packet with this offset (microseconds) came.
    pub fn arrived(&mut self, now: MediaTime, offset: i64) {
        self.detect_step(now, offset);
        self.note_stall(now, offset);
        self.note_late(now, offset);
    }

    /// A packet's sound of so many microseconds can be played from this offset (microseconds) on. `share` is 1 for the sound as it was sent; for
    /// sound restored from less, how much better that is than what would be made up.
    pub fn available(&mut self, now: MediaTime, offset: i64, length: i64, share: f32) {
        self.prices.packet_bins = usize::try_from(length / BIN).unwrap_or(0).max(1);
        self.count(now, offset, share);
    }

    /// The packet of this number was lost, and came again in another one.
    pub fn restored(&mut self, sequence: i64) {
        self.restored.take(sequence);
    }

    /// The wanted offset in microseconds, without what the pull itself needs; `None` before the first packet.
    pub const fn wanted(&self) -> Option<i64> {
        match self.anchor {
            Some(_) => Some(self.wanted),
            None => None,
        }
    }

    /// How far the wanted offset lies above that of the fastest packets, in microseconds.
    pub fn spread(&self) -> Option<i64> {
        self.anchor.map(|anchor| self.wanted - anchor)
    }

    /// A packet itself came, with this offset (microseconds); after [`Self::available`].
    pub fn came(&mut self, now: MediaTime, offset: i64) {
        if let Some(anchor) = self.anchor {
            let bin = usize::try_from((offset - anchor + BIN - 1) / BIN).unwrap_or(0).min(BINS - 1);
            self.own.add(now, bin, 1.0);
        }
    }

    /// How far above the offset of the fastest packets the wanted one would lie if nothing came again in other packets, in microseconds: what is
    /// waited for anyway. Of what was seen in the last minute; `None` before the first packet.
    pub fn spread_of_packets(&self) -> Option<i64> {
        self.anchor.map(|_| self.own.cheapest(&self.prices, 0) as i64 * BIN)
    }

    /// Forgets everything, before another stream.
    pub fn reset(&mut self) {
        self.clear_pictures();
        self.anchor = None;
        self.outside = 0;
        self.known = None;
        self.recent_count = 0;
        self.stall_count = 0;
        self.last_stalled = None;
        self.late_count = 0;
        self.lates_in_a_row = 0;
        self.restored = Runs::default();
    }

    fn count(&mut self, now: MediaTime, offset: i64, share: f32) {
        let anchor = match self.anchor {
            None => {
                self.anchor = Some(offset);
                self.wanted = offset;
                offset
            }
            Some(anchor) if offset < anchor => self.lower_anchor(anchor, offset),
            Some(anchor) => anchor,
        };
        let bin = usize::try_from((offset - anchor + BIN - 1) / BIN).unwrap_or(0).min(BINS - 1);
        self.rotate(now);
        self.newer.add(now, bin, share);
        self.long.add(now, bin, share);
        if self.searched.is_none_or(|searched| now.micros_since(searched) >= SEARCH_EVERY)
            || offset > self.wanted
        {
            self.searched = Some(now);
            self.search(now, anchor);
        }
    }

    fn lower_anchor(&mut self, anchor: i64, offset: i64) -> i64 {
        let bins = (anchor - offset + BIN - 1) / BIN;
        let shift = usize::try_from(bins).unwrap_or(BINS);
        for picture in [&mut self.long, &mut self.own, &mut self.newer, &mut self.older] {
            picture.shift(shift);
        }
        let lowered = anchor - bins * BIN;
        self.anchor = Some(lowered);
        lowered
    }

    fn rotate(&mut self, now: MediaTime) {
        let rotated = *self.rotated.get_or_insert(now);
        if now.micros_since(rotated) >= RECENT_SPAN {
            self.rotated = Some(now);
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
    }

    fn clear_pictures(&mut self) {
        for picture in [&mut self.long, &mut self.own, &mut self.newer, &mut self.older] {
            picture.clear();
        }
    }

    /// The long picture is trusted until the recent one shows that the network has become much better; a link that stalls again and again
    /// is given no such credit.
    fn search(&mut self, now: MediaTime, anchor: i64) {
        self.both.clear();
        self.both.absorb(&self.newer);
        self.both.absorb(&self.older);
        let present = usize::try_from((self.wanted - anchor) / BIN).unwrap_or(0);
        let recent = self.both.cheapest(&self.prices, present);
        let long = self.long.cheapest(&self.prices, present);
        let bin = if self.is_better(recent, long) && !self.stalls_often(now) {
            // What was before is over: it must not come back when the recent picture holds less evidence.
            self.long.clear();
            self.own.clear();
            self.long.absorb(&self.both);
            recent
        } else if self.late_of_late(now) {
            long.max(recent)
        } else {
            long
        };
        self.wanted = anchor + bin as i64 * BIN;
    }

    /// Whether the recent picture, which asks for bin `recent`, is of a better network than the long one, which asks for `long`.
    fn is_better(&self, recent: usize, long: usize) -> bool {
        let above = |picture: &Picture| picture.share_above(recent.min(BINS - 1)) * self.both.count();
        let (missed, seen) = (above(&self.long), above(&self.both));
        let late = missed.min(above(&self.own));
        let evidence = late + (missed - late) / self.restored.length();
        let much_better = 2 * long > BETTER_RATIO * recent + 2 * BETTER_BINS;
        let little_better = long >= recent + LITTLE_BETTER && 4.0 * seen <= missed;
        evidence >= EVIDENCE && (much_better || little_better)
    }

    fn stalls_often(&self, now: MediaTime) -> bool {
        let first = self.stalls[self.stall_count as usize % STALLS_TO_HOLD];
        self.stall_count as usize >= STALLS_TO_HOLD
            && now.micros_since(first) < STALL_MEMORY * STALLS_TO_HOLD as i64
    }

    fn note_stall(&mut self, now: MediaTime, offset: i64) {
        if self.anchor.is_none_or(|anchor| offset <= anchor + STALL) {
            return;
        }
        if self.last_stalled.is_none_or(|last| now.micros_since(last) > STALL_APART) {
            self.stalls[self.stall_count as usize % STALLS_TO_HOLD] = now;
            self.stall_count = self.stall_count.wrapping_add(1).max(1);
        }
        self.last_stalled = Some(now);
    }

    /// What comes at once is late for one reason.
    fn note_late(&mut self, now: MediaTime, offset: i64) {
        if self.anchor.is_none() || offset <= self.wanted {
            self.lates_in_a_row = 0;
            return;
        }
        let last = self.lates[(self.late_count as usize).wrapping_sub(1) % LATES_TO_RAISE];
        if self.late_count > 0 && now.micros_since(last) < LATES_APART {
            return;
        }
        // One of which nothing could be heard counts twice.
        let is_missed = (offset - self.wanted) / BIN >= self.prices.packet_bins as i64;
        for _ in 0..=u32::from(is_missed) {
            self.lates[self.late_count as usize % LATES_TO_RAISE] = now;
            self.late_count = self.late_count.wrapping_add(1).max(1);
        }
        self.lates_in_a_row += 1;
    }

    /// Whether the recent picture may ask for more: one packet that is late tells nothing.
    fn late_of_late(&self, now: MediaTime) -> bool {
        let first = self.lates[self.late_count as usize % LATES_TO_RAISE];
        let many = self.late_count as usize >= LATES_TO_RAISE && now.micros_since(first) < RECENT_SPAN;
        many || self.lates_in_a_row >= LATES_IN_A_ROW
    }

    /// A route that changed shows as a run of packets that all lie outside of what is known.
    fn detect_step(&mut self, now: MediaTime, offset: i64) {
        let Some(anchor) = self.anchor else { return };
        let slot = self.recent_count as usize % RECENT;
        self.recent[slot] = offset;
        self.recent_count = self.recent_count.wrapping_add(1);
        // What is wanted follows at once; what was known before the run does not.
        let (floor, ceiling) = self.known.unwrap_or((anchor, self.wanted));
        let is_outside = offset > ceiling + 3 * BIN || offset < floor - 3 * BIN;
        self.known = is_outside.then_some((floor, ceiling));
        self.outside = if is_outside { self.outside + 1 } else { 0 };
        if self.outside >= STEP_PACKETS {
            self.outside = 0;
            self.known = None;
            self.clear_pictures();
            self.stall_count = 0;
            let lowest = self.recent.iter().copied().min().unwrap_or(offset);
            self.anchor = Some(lowest);
            let recent = self.recent;
            for offset in recent {
                let bin = usize::try_from((offset - lowest) / BIN).unwrap_or(0).min(BINS - 1);
                self.newer.add(now, bin, 1.0);
                self.long.add(now, bin, 1.0);
                self.own.add(now, bin, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(target: &mut TargetDelay, from_ms: i64, to_ms: i64, offset: impl Fn(i64) -> i64) {
        for ms in (from_ms..to_ms).step_by(20) {
            let now = MediaTime::from_micros(ms * 1000);
            target.arrived(now, offset(ms));
            target.available(now, offset(ms), 20_000, 1.0);
        }
    }

    // A fixed mixing of the time, so that runs are equal.
    fn noise(ms: i64, span: i64) -> i64 {
        (ms.wrapping_mul(2_654_435_761) >> 7).rem_euclid(span)
    }

    #[test]
    fn a_quiet_network_wants_no_delay() {
        let mut target = TargetDelay::new(40.0);
        feed(&mut target, 0, 10_000, |ms| 5000 + noise(ms, 300));
        assert!((5000..=6500).contains(&target.wanted().unwrap()), "{:?}", target.wanted());
    }

    #[test]
    fn a_while_without_losses_says_little_where_they_come_in_runs() {
        // Of sixty packets ten in a row are lost and come again 120 ms later.
        let runs = |target: &mut TargetDelay, from_ms: i64, to_ms: i64, ends_ms: i64, run: i64| {
            for ms in (from_ms..to_ms).step_by(20) {
                let now = MediaTime::from_micros(ms * 1000);
                let lost = ms < ends_ms && (ms / 20) % (6 * run) < run;
                target.arrived(now, 5000);
                if lost {
                    target.restored(ms / 20);
                } else {
                    target.came(now, 5000);
                }
                target.available(now, if lost { 125_000 } else { 5000 }, 20_000, 1.0);
            }
        };
        let wanted_after = |run| {
            let mut target = TargetDelay::new(46.0);
            runs(&mut target, 0, 31_200, 30_000, run);
            target.wanted().unwrap()
        };
        assert!(wanted_after(10) >= 125_000, "{}", wanted_after(10));
        // Single ones would have come: they are over.
        assert!(wanted_after(1) < 20_000, "{}", wanted_after(1));
    }

    #[test]
    fn uniform_jitter_wants_its_span() {
        let mut target = TargetDelay::new(40.0);
        feed(&mut target, 0, 20_000, |ms| 50_000 + noise(ms, 20_000));
        let wanted = target.wanted().unwrap();
        assert!((68_000..=71_000).contains(&wanted), "{wanted}");
    }

    #[test]
    fn a_route_step_moves_the_target_in_half_a_second_and_does_not_overshoot() {
        let mut target = TargetDelay::new(40.0);
        feed(&mut target, 0, 10_000, |ms| 20_000 + noise(ms, 2000));
        feed(&mut target, 10_000, 10_600, |ms| 100_000 + noise(ms, 2000));
        let wanted = target.wanted().unwrap();
        assert!((100_000..=103_500).contains(&wanted), "{wanted}");
        feed(&mut target, 10_600, 11_300, |ms| 20_000 + noise(ms, 2000));
        let wanted = target.wanted().unwrap();
        assert!(wanted <= 23_500, "{wanted}");
    }

    #[test]
    fn a_bad_patch_is_forgotten_in_seconds() {
        let mut target = TargetDelay::new(40.0);
        feed(&mut target, 0, 5000, |ms| noise(ms, 1000));
        feed(&mut target, 5000, 10_000, |ms| noise(ms, 80_000));
        assert!(target.wanted().unwrap() > 60_000);
        feed(&mut target, 10_000, 12_100, |ms| noise(ms, 1000));
        assert!(target.wanted().unwrap() < 6000, "{:?}", target.wanted());
    }

    #[test]
    fn copies_are_waited_for_though_none_was_needed_of_late() {
        let mut target = TargetDelay::new(40.0);
        for packet in 0..3000_i64 {
            let now = MediaTime::from_micros(packet * 20_000);
            target.arrived(now, 0);
            target.available(now, 0, 20_000, 1.0);
            // One in forty is lost, and its copy comes 20 ms later; never for three seconds in a row.
            if packet % 250 < 100 && packet % 16 == 0 {
                target.available(now, 20_000, 20_000, super::super::COARSE);
            }
            if packet > 500 {
                assert_eq!(target.wanted(), Some(20_000), "after {packet}");
            }
        }
    }

    #[test]
    fn what_is_waited_for_packets_holds_no_copies() {
        let mut target = TargetDelay::new(40.0);
        for packet in 0..3000_i64 {
            let now = MediaTime::from_micros(packet * 20_000);
            target.arrived(now, 0);
            // One in ten is lost, and its copy comes 60 ms later.
            if packet % 10 == 7 {
                target.available(now, 60_000, 20_000, 1.0);
            } else {
                target.available(now, noise(packet, 10_000), 20_000, 1.0);
                target.came(now, noise(packet, 10_000));
            }
        }
        assert_eq!(target.spread(), Some(60_000));
        assert!(
            (7000..=10_000).contains(&target.spread_of_packets().unwrap()),
            "{:?}",
            target.spread_of_packets()
        );
        target.reset();
        assert_eq!(target.spread_of_packets(), None);
    }

    #[test]
    fn adding_a_constant_to_every_offset_changes_nothing_else() {
        let mut here = TargetDelay::new(40.0);
        let mut there = TargetDelay::new(40.0);
        feed(&mut here, 0, 3000, |ms| noise(ms, 30_000));
        feed(&mut there, 0, 3000, |ms| noise(ms, 30_000) - 7_000_000_000);
        assert_eq!(here.wanted().unwrap() - 7_000_000_000, there.wanted().unwrap());
    }
}
