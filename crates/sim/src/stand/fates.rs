//! Which fate of a trace a packet meets.

use crate::trace::Trace;

/// A fate of a trace belongs to so much sound: 20 ms, in samples.
pub(super) const SLOT: u64 = 960;
/// Fates of one packet at most: 120 ms and a beginning inside a slot.
const MOST_SLOTS: u64 = 8;

/// The fates of a trace, handed out to packets of any length by the time of their sound.
///
/// The k-th slot of 20 ms meets the k-th fate, as the k-th packet of 20 ms does. Shorter packets of one slot share its delay and its loss.
/// A longer packet meets the fates of all slots it covers: it is lost when one of them is lost, and arrives when the last of them would.
/// After its last fate the trace begins again.
#[derive(Debug)]
pub(super) struct Fates {
    /// Arrival minus sending in microseconds; `None` where lost.
    delays: Vec<Option<i64>>,
    /// The trace never lets a packet overtake another, so neither does its repetition.
    first_in_first_out: bool,
    last_arrival: i64,
}

impl Fates {
    /// The fates of `trace`; an empty one delivers everything at once.
    pub(super) fn new(trace: &Trace) -> Self {
        let micros = |time: std::time::Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4);
        let arrivals = || trace.packets.iter().filter_map(|packet| packet.arrived);
        Self {
            delays: trace
                .packets
                .iter()
                .map(|packet| packet.arrived.map(|arrived| micros(arrived) - micros(packet.sent)))
                .collect(),
            first_in_first_out: arrivals().is_sorted(),
            last_arrival: i64::MIN,
        }
    }

    /// Longest delay of the trace in microseconds, not below 0.
    pub(super) fn longest(&self) -> i64 {
        self.delays.iter().flatten().copied().max().unwrap_or(0).max(0)
    }

    /// By how much a packet may arrive before it was sent, because the receiver's clock reads less.
    pub(super) fn earliest(&self) -> i64 {
        -self.delays.iter().flatten().copied().min().unwrap_or(0).min(0)
    }

    /// When a packet arrives, on the receiver's clock in microseconds; `None` when it is lost. Its sound is `samples` long from sample
    /// `start` on, and it leaves at `left` microseconds on the sender's clock. Called in the order of sending.
    pub(super) fn arrival(&mut self, start: u64, samples: u64, left: i64) -> Option<i64> {
        let first = start / SLOT;
        let last = (start + samples.max(1) - 1) / SLOT;
        let mut arrival = i64::MIN;
        for slot in first..=last.min(first + MOST_SLOTS) {
            // The part of the packet in this slot would have left with its last sample.
            let part_left = left.min(micros_of((slot + 1) * SLOT));
            arrival = arrival.max(part_left + self.delay(slot)?);
        }
        if self.first_in_first_out {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        Some(arrival)
    }

    fn delay(&self, slot: u64) -> Option<i64> {
        if self.delays.is_empty() {
            return Some(0);
        }
        self.delays[(slot % self.delays.len() as u64) as usize]
    }
}

/// Microseconds that so many samples last, rounded down.
pub(super) const fn micros_of(samples: u64) -> i64 {
    (samples * 125 / 6) as i64
}
