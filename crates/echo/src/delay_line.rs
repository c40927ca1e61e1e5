//! Packets on their way back. Time stamps say when each is due, so what the network shook up leaves in order and evenly.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use offhook_transport::{AudioLevel, ReceivedRtp};

/// A second of the shortest packets, and keys among them.
const MOST_PACKETS: usize = 512;
/// Time stamps that are further off than this have jumped.
const MOST_OFF: Duration = Duration::from_secs(1);
const CLOCK: u64 = 48_000;

/// A packet that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) payload: Box<[u8]>,
}

#[derive(Debug)]
pub(crate) struct DelayLine {
    delay: Duration,
    stream: Option<Stream>,
    /// By the time each is due, then as they came.
    held: BTreeMap<(Instant, u64), Held>,
    count: u64,
}

/// What the times of one source mean.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// The packet that came with the least delay: its time stamp, and when it came.
    timestamp: u32,
    arrived: Instant,
    /// Added to the source's time stamps to get ours.
    offset: u32,
}

impl DelayLine {
    pub(crate) const fn new(delay: Duration) -> Self {
        Self { delay, stream: None, held: BTreeMap::new(), count: 0 }
    }

    /// Takes a packet. Those with a time stamp of the sound's clock (`paced`) are due by it, others by when they came. Beyond the limit
    /// it is dropped.
    pub(crate) fn insert(&mut self, rtp: &ReceivedRtp<'_>, paced: bool) {
        if self.held.len() >= MOST_PACKETS {
            return;
        }
        let stream = match &mut self.stream {
            Some(stream) if stream.ssrc == rtp.ssrc => stream,
            other => other.insert(Stream::new(rtp, other.as_ref())),
        };
        let due = if paced { stream.expected(rtp) } else { rtp.arrival } + self.delay;
        let held = Held {
            payload_type: rtp.payload_type,
            marker: rtp.marker,
            timestamp: rtp.timestamp.wrapping_add(stream.offset),
            audio_level: rtp.audio_level,
            payload: rtp.payload.into(),
        };
        self.count += 1;
        self.held.insert((due.max(rtp.arrival), self.count), held);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next packet whose time has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Held> {
        let entry = self.held.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}

impl Stream {
    /// A stream that begins with this packet; our time goes on from the stream before.
    fn new(rtp: &ReceivedRtp<'_>, before: Option<&Self>) -> Self {
        let offset = before.map_or(0, |before| {
            let since = ticks(rtp.arrival.saturating_duration_since(before.arrived));
            let ours = before.timestamp.wrapping_add(before.offset).wrapping_add(since);
            ours.wrapping_sub(rtp.timestamp)
        });
        Self { ssrc: rtp.ssrc, timestamp: rtp.timestamp, arrived: rtp.arrival, offset }
    }

    /// When the packet would have come with the least delay seen.
    fn expected(&mut self, rtp: &ReceivedRtp<'_>) -> Instant {
        let ahead = rtp.timestamp.wrapping_sub(self.timestamp).cast_signed();
        let distance = duration(ahead.unsigned_abs());
        let expected = if ahead < 0 {
            self.arrived.checked_sub(distance).unwrap_or(self.arrived)
        } else {
            self.arrived + distance
        };
        let jumped = expected.max(rtp.arrival) - expected.min(rtp.arrival) > MOST_OFF;
        if jumped || rtp.arrival < expected {
            (self.timestamp, self.arrived) = (rtp.timestamp, rtp.arrival);
            return rtp.arrival;
        }
        expected
    }
}

fn duration(ticks: u32) -> Duration {
    Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / CLOCK)
}

/// Wraps as time stamps do.
fn ticks(time: Duration) -> u32 {
    (time.as_micros() * u128::from(CLOCK) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(300);

    fn rtp(arrival: Instant, ssrc: u32, timestamp: u32, payload: &[u8]) -> ReceivedRtp<'_> {
        ReceivedRtp {
            arrival,
            payload_type: 111,
            marker: false,
            sequence: 0,
            timestamp,
            ssrc,
            audio_level: None,
            payload,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the zero of virtual time: only differences count")]
    fn zero() -> Instant {
        Instant::now()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_came_late_and_out_of_order_leaves_evenly() {
        let (zero, mut line) = (zero(), DelayLine::new(DELAY));
        for (arrived, number) in [(0, 0), (55, 2), (70, 1), (95, 3), (400, 4)] {
            line.insert(&rtp(zero + ms(arrived), 7, number * 960, &[number as u8]), true);
        }
        let mut left = Vec::new();
        for now in 0..500 {
            while let Some(held) = line.take_due(zero + ms(now)) {
                left.push((now, held.payload[0], held.timestamp));
            }
        }
        // The last came after its time: it leaves at once.
        assert_eq!(left, [(300, 0, 0), (320, 1, 960), (340, 2, 1920), (360, 3, 2880), (400, 4, 3840)]);
    }

    #[test]
    fn another_source_goes_on_in_time_and_a_jump_of_time_stamps_is_not_waited_for() {
        let (zero, mut line) = (zero(), DelayLine::new(DELAY));
        line.insert(&rtp(zero, 7, u32::MAX - 100, b"a"), true);
        line.insert(&rtp(zero + ms(1000), 8, 5_000_000, b"b"), true);
        line.insert(&rtp(zero + ms(1020), 8, 3_000_000_000, b"c"), true);
        let first = line.take_due(zero + DELAY).unwrap();
        let second = line.take_due(zero + ms(1000) + DELAY).unwrap();
        assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 48_000);
        assert!(line.take_due(zero + ms(1019) + DELAY).is_none());
        assert_eq!(&*line.take_due(zero + ms(1020) + DELAY).unwrap().payload, b"c");
    }

    #[test]
    fn memory_has_a_bound_however_much_comes() {
        let (zero, mut line) = (zero(), DelayLine::new(DELAY));
        for number in 0..10_000 {
            line.insert(&rtp(zero, number, 0, b"x"), number % 2 == 0);
        }
        assert_eq!(line.held.len(), MOST_PACKETS);
    }
}
