//! A link that does to the k-th packet what the trace says.

use std::time::{Duration, Instant};

use super::Trace;
use crate::clock::EventQueue;
use crate::net::Sent;

/// Most packets on the way at once.
const MAX_IN_FLIGHT: usize = 65_536;

/// Replays a [`Trace`]: the k-th packet sent meets the k-th fate, whatever the time. After the last packet of the trace
/// it begins again with the first. An empty trace delivers everything at once.
#[derive(Debug, Clone)]
pub struct TraceLink<T> {
    trace: Trace,
    origin: Instant,
    next_packet: usize,
    in_flight: EventQueue<T>,
}

impl<T> TraceLink<T> {
    /// A link replaying `trace`; no packet may be sent before `origin`.
    pub fn new(trace: Trace, origin: Instant) -> Self {
        Self { trace, origin, next_packet: 0, in_flight: EventQueue::new() }
    }

    /// Sends the next packet. It travels as long as the trace's packet did; where the trace's receiver clock makes
    /// that negative, it arrives at once.
    pub fn send(&mut self, now: Instant, packet: T) -> Sent {
        let sent = now.saturating_duration_since(self.origin);
        let Some(travel) = self.next_travel() else {
            return Sent::Lost;
        };
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Sent::Dropped;
        }
        let due = Duration::from_micros((sent + travel).as_micros() as u64);
        self.in_flight.schedule(due, packet);
        Sent::Arrives(self.origin + due)
    }

    /// The next packet that has arrived by `now`; call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        self.in_flight.pop_due(now.checked_duration_since(self.origin)?)
    }

    /// When the next packet arrives.
    pub fn next_due(&self) -> Option<Instant> {
        self.in_flight.next_at().map(|due| self.origin + due)
    }

    fn next_travel(&mut self) -> Option<Duration> {
        if self.trace.packets.is_empty() {
            return Some(Duration::ZERO);
        }
        let fate = self.trace.packets[self.next_packet % self.trace.packets.len()];
        self.next_packet += 1;
        fate.arrived.map(|arrived| arrived.saturating_sub(fate.sent))
    }
}
