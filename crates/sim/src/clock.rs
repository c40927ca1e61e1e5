//! Virtual time: a clock that moves only when told, and the events that are due on it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A clock that moves only when told.
///
/// Sans-IO machines take an [`Instant`]; this clock gives them one without waiting. The origin is an opaque point:
/// only differences from it mean anything.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    origin: Instant,
    elapsed: Duration,
}

impl VirtualClock {
    /// A clock standing at its origin.
    pub fn new() -> Self {
        // The value is never looked at, only differences from it, so reading the real clock here keeps runs equal.
        Self { origin: Instant::now(), elapsed: Duration::ZERO }
    }

    /// The instant this clock started at.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        self.origin + self.elapsed
    }

    /// Time since the origin.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The instant `since_origin` after the origin.
    pub fn at(&self, since_origin: Duration) -> Instant {
        self.origin + since_origin
    }

    /// Moves forward by `step` and returns the new instant.
    pub fn advance(&mut self, step: Duration) -> Instant {
        self.elapsed += step;
        self.now()
    }

    /// Moves forward to `instant`; a clock never runs backwards, so an earlier instant changes nothing.
    pub fn advance_to(&mut self, instant: Instant) -> Instant {
        self.elapsed = self.elapsed.max(instant.saturating_duration_since(self.origin));
        self.now()
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Events in the order of (microsecond, insertion), so that equal times keep the order in which they were scheduled.
///
/// Holds as many events as are scheduled and not yet taken; there is no other bound.
#[derive(Debug, Clone)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    next_sequence: u64,
}

impl<E> EventQueue<E> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), next_sequence: 0 }
    }

    /// Adds `event`, due `at` after the origin (kept in whole microseconds, rounded down).
    pub fn schedule(&mut self, at: Duration, event: E) {
        let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        self.heap.push(Reverse(Entry { at_us, sequence: self.next_sequence, event }));
        self.next_sequence += 1;
    }

    /// When the first event is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(entry)| Duration::from_micros(entry.at_us))
    }

    /// Takes the first event and moves `clock` to its time.
    pub fn pop(&mut self, clock: &mut VirtualClock) -> Option<E> {
        let Reverse(entry) = self.heap.pop()?;
        clock.advance_to(clock.at(Duration::from_micros(entry.at_us)));
        Some(entry.event)
    }

    /// Takes the first event if it is due by `now` (time since the origin).
    pub fn pop_due(&mut self, now: Duration) -> Option<E> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.event)
    }

    /// Events not yet taken.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Clone)]
struct Entry<E> {
    at_us: u64,
    sequence: u64,
    event: E,
}

impl<E> Entry<E> {
    fn key(&self) -> (u64, u64) {
        (self.at_us, self.sequence)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_keep_their_order_and_move_the_clock() {
        let mut clock = VirtualClock::new();
        let mut queue = EventQueue::new();
        queue.schedule(Duration::from_millis(5), "late");
        queue.schedule(Duration::from_millis(2), "first");
        queue.schedule(Duration::from_millis(2), "second");
        assert_eq!(queue.next_at(), Some(Duration::from_millis(2)));
        assert_eq!(queue.pop(&mut clock), Some("first"));
        assert_eq!(queue.pop(&mut clock), Some("second"));
        assert_eq!(clock.elapsed(), Duration::from_millis(2));
        assert_eq!(queue.pop(&mut clock), Some("late"));
        assert_eq!(clock.now(), clock.at(Duration::from_millis(5)));
        assert!(queue.is_empty());
    }

    #[test]
    fn clock_never_runs_backwards() {
        let mut clock = VirtualClock::new();
        clock.advance(Duration::from_secs(1));
        clock.advance_to(clock.origin());
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
    }
}
