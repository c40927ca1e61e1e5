//! Which fate of a trace a packet meets.

use std::time::Duration;

use crate::trace::{Trace, TracePacket};

/// A fate of a trace belongs to so much sound: 20 ms, in samples.
pub(super) const SLOT: u64 = 960;
/// More than any network and any two clocks are apart: 60 s.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(60);
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
    /// The fates of `trace`; an empty one delivers everything at once. The number of a packet that is delayed by more than
    /// [`LONGEST_DELAY`] is an error.
    pub(super) fn new(trace: &Trace) -> Result<Self, usize> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4);
        let arrivals = || trace.packets.iter().filter_map(|packet| packet.arrived);
        let delay = |packet: &TracePacket| Some(micros(packet.arrived?) - micros(packet.sent));
        let delays: Vec<Option<i64>> = trace.packets.iter().map(delay).collect();
        let longest = micros(LONGEST_DELAY).unsigned_abs();
        if let Some(k) =
            delays.iter().position(|delay| delay.is_some_and(|delay| delay.unsigned_abs() > longest))
        {
            return Err(k);
        }
        Ok(Self { delays, first_in_first_out: arrivals().is_sorted(), last_arrival: i64::MIN })
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
    /// `start` on, and it leaves at `left` microseconds on the sender's clock, then waits for `wait` before a bottleneck. Called in the order
    /// of sending.
    pub(super) fn arrival(&mut self, start: u64, samples: u64, left: i64, wait: i64) -> Option<i64> {
        let first = start / SLOT;
        let last = (start + samples.max(1) - 1) / SLOT;
        let mut arrival = i64::MIN;
        for slot in first..=last.min(first + MOST_SLOTS) {
            // The part of the packet in this slot would have left with its last sample.
            let part_left = left.min(micros_of((slot + 1) * SLOT));
            arrival = arrival.max(part_left + self.delay(slot)?);
        }
        arrival += wait;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The fates of a trace of packets every 20 ms with these delays in milliseconds.
    fn fates_of(delays: &[Option<u64>]) -> Fates {
        let packet = |(k, delay): (usize, &Option<u64>)| {
            let sent = Duration::from_millis(20 * k as u64);
            TracePacket { sent, arrived: delay.map(|delay| sent + Duration::from_millis(delay)) }
        };
        Fates::new(&Trace { packets: delays.iter().enumerate().map(packet).collect() }).unwrap()
    }

    /// Delays in milliseconds that `count` packets of `samples` meet; each leaves with its last sample.
    fn delays(fates: &mut Fates, samples: u64, count: u64) -> Vec<Option<i64>> {
        let met = |n: u64| {
            let left = micros_of((n + 1) * samples);
            fates.arrival(n * samples, samples, left, 0).map(|arrival| (arrival - left) / 1000)
        };
        (0..count).map(met).collect()
    }

    #[test]
    fn the_kth_packet_of_20_ms_meets_the_kth_fate() {
        let mut fates = fates_of(&[Some(5), None, Some(50), Some(30)]);
        assert_eq!(delays(&mut fates, 960, 4), [Some(5), None, Some(50), Some(30)]);
        assert_eq!((fates.longest(), fates.earliest()), (50_000, 0));
    }

    #[test]
    fn shorter_packets_share_the_fate_of_their_20_ms() {
        let mut fates = fates_of(&[Some(5), None, Some(50)]);
        assert_eq!(delays(&mut fates, 480, 6), [Some(5), Some(5), None, None, Some(50), Some(50)]);
        let mut fates = fates_of(&[Some(5), Some(6)]);
        assert_eq!(delays(&mut fates, 240, 8), [5, 5, 5, 5, 6, 6, 6, 6].map(Some));
    }

    #[test]
    fn longer_packets_are_lost_with_any_and_arrive_with_the_last() {
        // The first 20 ms would arrive 20 ms after the packet leaves, the second 10 ms after it.
        let mut fates = fates_of(&[Some(40), Some(10), Some(0), None, Some(1), Some(2)]);
        assert_eq!(delays(&mut fates, 1920, 3), [Some(20), None, Some(2)]);
        let mut fates = fates_of(&[Some(90), Some(10), Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(delays(&mut fates, 2880, 2), [Some(50), Some(3)]);
        let mut fates = fates_of(&[Some(3); 6]);
        assert_eq!(delays(&mut fates, 5760, 1), [Some(3)]);
    }

    #[test]
    fn a_packet_that_begins_inside_20_ms_meets_both_fates() {
        let mut fates = fates_of(&[Some(5), Some(30), None]);
        assert_eq!(fates.arrival(480, 960, 30_000, 0), Some(60_000));
        assert_eq!(fates.arrival(1440, 960, 50_000, 0), None);
    }

    #[test]
    fn the_trace_begins_again_and_nothing_overtakes_where_nothing_did() {
        let mut fates = fates_of(&[Some(0), Some(100)]);
        // The third would arrive at 60 ms, but the second arrives at 140 ms.
        assert_eq!(delays(&mut fates, 960, 4), [Some(0), Some(100), Some(80), Some(100)]);
        let mut fates = fates_of(&[Some(90), Some(10)]);
        assert_eq!(delays(&mut fates, 960, 4), [Some(90), Some(10), Some(90), Some(10)]);
    }

    #[test]
    fn a_receiver_whose_clock_reads_less_gets_packets_before_they_are_sent() {
        let sent = Duration::from_millis(20);
        let early = TracePacket { sent, arrived: Some(Duration::from_millis(8)) };
        let mut fates = Fates::new(&Trace { packets: vec![early] }).unwrap();
        assert_eq!(fates.earliest(), 12_000);
        assert_eq!(delays(&mut fates, 960, 2), [Some(-12), Some(-12)]);
    }

    #[test]
    fn an_empty_trace_delivers_at_once() {
        assert_eq!(delays(&mut Fates::new(&Trace::default()).unwrap(), 960, 2), [Some(0), Some(0)]);
    }

    #[test]
    fn a_delay_that_no_network_has_is_refused() {
        let packet =
            |arrived: u64| TracePacket { sent: Duration::ZERO, arrived: Some(Duration::from_secs(arrived)) };
        assert_eq!(Fates::new(&Trace { packets: vec![packet(1), packet(61)] }).err(), Some(1));
        assert!(Fates::new(&Trace { packets: vec![packet(60)] }).is_ok());
    }
}
