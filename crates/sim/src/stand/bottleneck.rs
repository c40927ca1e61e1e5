//! A link that is slower than what is sent: packets queue before it.

use std::time::Duration;

/// The slowest link of the path, before the delays of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bottleneck {
    /// Bits per second it carries, headers included; at least 1000.
    pub bits_per_second: u32,
    /// A packet that would wait longer is dropped.
    pub queue: Duration,
}

/// The queue before a bottleneck.
#[derive(Debug)]
pub(super) struct Queue {
    link: Bottleneck,
    /// When the link is done with everything it was given, in microseconds.
    free_at: i64,
}

impl Queue {
    pub(super) const fn new(link: Bottleneck) -> Self {
        Self { link, free_at: i64::MIN }
    }

    /// By how much a packet of so many bytes on the wire leaves later than it was sent, in microseconds; `None` when it is dropped. Called
    /// in the order of sending.
    pub(super) fn wait(&mut self, bytes: u64, sent: i64) -> Option<i64> {
        let begins = self.free_at.max(sent);
        if begins - sent > i64::try_from(self.link.queue.as_micros()).unwrap_or(i64::MAX) {
            return None;
        }
        let lasts = bytes * 8_000_000 / u64::from(self.link.bits_per_second.max(1000));
        self.free_at = begins + lasts as i64;
        Some(self.free_at - sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_wait_for_those_before_them_until_the_queue_is_full() {
        let link = Bottleneck { bits_per_second: 40_000, queue: Duration::from_millis(50) };
        let mut queue = Queue::new(link);
        // 100 bytes take 20 ms.
        let waits: Vec<Option<i64>> = (0..5).map(|_| queue.wait(100, 1_000_000)).collect();
        assert_eq!(waits, [Some(20_000), Some(40_000), Some(60_000), None, None]);
        assert_eq!(queue.wait(100, 1_030_000), Some(50_000));
        assert_eq!(queue.wait(50, 5_000_000), Some(10_000));
    }

    #[test]
    fn a_link_that_carries_all_adds_what_a_packet_takes() {
        let link = Bottleneck { bits_per_second: 80_000, queue: Duration::ZERO };
        let mut queue = Queue::new(link);
        assert!((0..50).all(|n| queue.wait(150, n * 20_000) == Some(15_000)));
    }
}
