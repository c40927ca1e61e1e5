//! What the network did, as a histogram, and what playing at an offset would have cost on it.

use crate::units::MediaTime;

/// Offsets are counted in bins of this many microseconds.
pub(super) const BIN: i64 = 1000;
pub(super) const BINS: usize = 1000;
/// What a millisecond of made-up sound costs against one of silence, by how late the sound is that belongs there: what the codec makes up is
/// hardly noticed at first and worn out after a while.
const SHORT_HOLE: f32 = 0.35;
const LONG_HOLE: f32 = 0.52;
const WORN_OUT: f32 = 0.74;
/// Costs that differ by less are the same, in milliseconds: a delay that moves is heard too.
const NO_MATTER: f32 = 1.2;
/// Later than this it is the longer hole, in bins.
const SHORT_BINS: usize = 20;
const LONG_BINS: usize = 60;

/// What delay and made-up sound cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prices {
    /// Milliseconds of delay that one percent of lost sound is worth.
    pub(super) per_percent: f32,
    /// Bins that a packet's sound lasts: so much of it can be made up at most when it is late.
    pub(super) packet_bins: usize,
}

/// A histogram of offsets above an anchor that forgets exponentially. Instead of aging every bin, new counts weigh more.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    bins: Box<[f32; BINS]>,
    /// Bins from this one on hold nothing.
    end: usize,
    total: f32,
    weight: f32,
    seconds: f32,
    updated: Option<MediaTime>,
}

impl Picture {
    /// A picture whose counts fade to a third in so many seconds.
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    pub(super) fn new(seconds: f32) -> Self {
        Self { bins: Box::new([0.0; BINS]), end: 0, total: 0.0, weight: 1.0, seconds, updated: None }
    }

    /// Counts sound that could be played from this bin's offset on; `share` of 1 is a packet's own sound.
    pub(super) fn add(&mut self, now: MediaTime, bin: usize, share: f32) {
        let passed =
            self.updated.map_or(0, |updated| now.micros_since(updated)).clamp(0, 10_000_000) as f32 / 1e6;
        self.updated = Some(now);
        self.weight *= (passed / self.seconds).exp();
        self.bins[bin] += self.weight * share;
        self.end = self.end.max(bin + 1);
        self.total += self.weight * share;
        if self.weight > 1e20 {
            let scale = 1.0 / self.weight;
            self.bins[..self.end].iter_mut().for_each(|bin| *bin *= scale);
            self.total *= scale;
            self.weight = 1.0;
        }
    }

    /// Moves every count up by `bins`, for an anchor that moved down.
    pub(super) fn shift(&mut self, bins: usize) {
        let bins = bins.min(BINS);
        self.bins.copy_within(..BINS - bins, bins);
        self.bins[..bins].fill(0.0);
        self.end = (self.end + bins).min(BINS);
        self.total = self.used().iter().sum();
    }

    pub(super) fn clear(&mut self) {
        self.bins[..self.end].fill(0.0);
        self.end = 0;
        self.total = 0.0;
        self.weight = 1.0;
    }

    /// Counts what `other` holds.
    pub(super) fn absorb(&mut self, other: &Self) {
        let scale = self.weight / other.weight;
        for (own, other) in self.bins.iter_mut().zip(other.used()) {
            *own += other * scale;
        }
        self.end = self.end.max(other.end);
        self.total += other.total * scale;
    }

    /// The bins up to the highest that holds anything.
    fn used(&self) -> &[f32] {
        &self.bins[..self.end]
    }

    /// How much was counted, in packets of the present.
    pub(super) fn count(&self) -> f32 {
        self.total / self.weight
    }

    /// What share lies above `bin`.
    pub(super) fn share_above(&self, bin: usize) -> f32 {
        let above: f32 = self.used().iter().skip(bin + 1).sum();
        above / self.total.max(f32::MIN_POSITIVE)
    }

    /// The bin where delay plus the price of the sound that would be made up is least; `present` where that is hardly worse. A packet that is
    /// late by less than it lasts is missed for as long as it is late.
    pub(super) fn cheapest(&self, prices: &Prices, present: usize) -> usize {
        let percent = 100.0 * prices.per_percent / self.total.max(f32::MIN_POSITIVE);
        let mut late = Late::new(self, prices.packet_bins.clamp(1, BINS / 4));
        let mut best = (f32::INFINITY, 0);
        let mut at_present = f32::INFINITY;
        for bin in 0..BINS {
            late.advance(bin);
            let cost = bin as f32 + percent * late.missed().max(0.0);
            if cost < best.0 - 1e-3 {
                best = (cost, bin);
            }
            if bin == present {
                at_present = cost;
            }
            if bin >= present && late.above <= self.total * 1e-6 {
                break;
            }
        }
        if at_present <= best.0 + NO_MATTER { present } else { best.1 }
    }
}

/// What is late when sound is played at a bin, as the bin moves up.
struct Late<'a> {
    bins: &'a [f32],
    packet: usize,
    /// All of it.
    above: f32,
    /// What is late by more than a packet lasts, [`SHORT_BINS`], [`LONG_BINS`].
    above_packet: f32,
    above_short: f32,
    above_long: f32,
    /// The sum of how late each is, in bins, each at most a packet's length.
    lateness: f32,
}

impl<'a> Late<'a> {
    /// Before bin 0.
    fn new(picture: &'a Picture, packet: usize) -> Self {
        let bins = picture.used();
        let from = |first: usize| bins.iter().skip(first).sum::<f32>();
        let lateness = bins.iter().enumerate().map(|(bin, count)| count * (bin + 1).min(packet) as f32).sum();
        Self {
            bins,
            packet,
            above: picture.total,
            above_packet: from(packet),
            above_short: from(SHORT_BINS),
            above_long: from(LONG_BINS),
            lateness,
        }
    }

    /// On to `bin`, from the one before it.
    fn advance(&mut self, bin: usize) {
        let count = |bin: usize| self.bins.get(bin).copied().unwrap_or(0.0);
        // What was late by no more than a packet lasts is late by a bin less.
        self.lateness -= self.above - self.above_packet;
        self.above -= count(bin);
        self.above_packet -= count(bin + self.packet);
        self.above_short -= count(bin + SHORT_BINS);
        self.above_long -= count(bin + LONG_BINS);
    }

    /// Packets missed, weighed by how much that is heard.
    fn missed(&self) -> f32 {
        SHORT_HOLE * self.lateness / self.packet as f32
            + (LONG_HOLE - SHORT_HOLE) * self.above_short
            + (WORN_OUT - LONG_HOLE) * self.above_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(counts: &[(usize, f32)]) -> Picture {
        let mut picture = Picture::new(f32::INFINITY);
        for (bin, share) in counts {
            picture.add(MediaTime::ZERO, *bin, *share);
        }
        picture
    }

    /// The cost at a bin, straight from its definition.
    fn cost(counts: &[(usize, f32)], prices: &Prices, bin: usize) -> f32 {
        let total: f32 = counts.iter().map(|(_, share)| share).sum();
        let missed: f32 = counts
            .iter()
            .map(|(at, share)| (at.saturating_sub(bin), share))
            .map(|(late, share)| {
                let extra = match late {
                    0..=SHORT_BINS => 0.0,
                    late if late <= LONG_BINS => LONG_HOLE - SHORT_HOLE,
                    _ => WORN_OUT - SHORT_HOLE,
                };
                let part = late.min(prices.packet_bins) as f32 / prices.packet_bins as f32;
                share * (SHORT_HOLE * part + extra)
            })
            .sum();
        bin as f32 + 100.0 * prices.per_percent * missed / total
    }

    #[test]
    fn the_cheapest_bin_is_that_of_the_definition() {
        let mut counts: Vec<(usize, f32)> = (0_usize..60).map(|n| (n * n % 37, 1.0)).collect();
        counts.extend([(45, 0.6), (90, 1.0), (200, 0.3), (999, 0.1)]);
        for per_percent in [0.1, 1.0, 5.0, 20.0, 100.0] {
            for packet_bins in [5, 10, 20, 60] {
                let prices = Prices { per_percent, packet_bins };
                let least = (0..BINS).map(|bin| cost(&counts, &prices, bin)).fold(f32::INFINITY, f32::min);
                for present in [0, 10, 40, 999] {
                    let bin = picture(&counts).cheapest(&prices, present);
                    let found = cost(&counts, &prices, bin);
                    let most = least + if bin == present { NO_MATTER } else { 0.01 };
                    assert!(found <= most, "{prices:?}: {found} where {least} is possible");
                }
            }
        }
    }

    #[test]
    fn what_was_moved_cleared_and_joined_is_as_if_it_was_counted_so() {
        let prices = Prices { per_percent: 5.0, packet_bins: 20 };
        let counts: Vec<(usize, f32)> = (0_usize..60).map(|n| (n * n % 37, 1.0)).collect();
        let moved = |by: usize| counts.iter().map(|(bin, share)| (bin + by, *share)).collect::<Vec<_>>();
        let mut used = picture(&[(900, 1.0)]);
        used.clear();
        used.absorb(&picture(&counts));
        used.shift(40);
        assert_eq!(used.cheapest(&prices, 0), picture(&moved(40)).cheapest(&prices, 0));
        for bin in [0, 40, 60, 76, 77, 998, 999] {
            let all = picture(&moved(40));
            assert_eq!(used.share_above(bin), all.share_above(bin), "above {bin}");
        }
        used.shift(BINS);
        assert_eq!((used.count(), used.share_above(0)), (0.0, 0.0));
    }

    #[test]
    fn what_is_late_by_a_little_is_missed_by_a_little() {
        let counts: Vec<(usize, f32)> = (0..100).map(|n| (if n == 0 { 3 } else { 0 }, 1.0)).collect();
        let prices = |packet_bins| Prices { per_percent: 20.0, packet_bins };
        assert_eq!(picture(&counts).cheapest(&prices(60), 100), 0);
        assert_eq!(picture(&counts).cheapest(&prices(5), 100), 3);
    }
}
