//! Whether a queue stands in the path because of what is sent, and how much passes through.

use std::time::Duration;

use super::price;
use crate::feedback::NetworkReport;
use crate::send::redundancy::Rung;
use crate::units::MediaTime;

/// A queue that stands for longer than this is too long.
const MOST_STANDING: Duration = Duration::from_millis(25);
/// It is not one of ours while it shrinks faster than this, in seconds per second.
const DRAINS: f32 = -0.02;
/// A queue that grows faster than this for so many reports will stand.
const GROWS: f32 = 0.06;
const GROWING_REPORTS: u8 = 3;
const GROWN: Duration = Duration::from_millis(50);
/// A queue that was full before the first packet shows no growth, only that so much of what is sent does not fit, report after report.
const OVERFLOWS: f32 = 0.4;
const OVERFLOWING_REPORTS: u8 = 6;
/// Of what passes through, so much is used while the queue drains, and at most afterwards.
const WHILE_DRAINING: f32 = 0.8;
const AT_MOST: f32 = 0.9;
/// The next step down waits for this one to be seen: 1.25 s, in microseconds.
const SETTLES: i64 = 1_250_000;
/// The path is given more after so long without a queue: 5 s.
const CLEAN: i64 = 5_000_000;
const MORE: f32 = 1.06;
/// What was measured to pass through is believed for so long: a minute.
const BELIEVED: i64 = 60_000_000;
/// Below this nothing is gained by sending less.
const LEAST: f32 = 16_000.0;
/// More room than this is room enough for anything.
const ENOUGH: f32 = 160_000.0;

/// The machine: reports in, room out.
#[derive(Debug, Clone, Default)]
pub(super) struct Congestion {
    /// Most bits per second with headers, when the path is narrow.
    room: Option<f32>,
    /// What was measured to pass through, and when.
    capacity: Option<(f32, MediaTime)>,
    /// When the room last shrank or grew, and the standing delay then.
    changed: Option<(MediaTime, Duration)>,
    clear_since: Option<MediaTime>,
    growing: u8,
    overflowing: u8,
    /// Delay that stays when less is sent: the path is longer, not full.
    excused: Duration,
}

impl Congestion {
    /// Most bits per second with headers; `None` while nothing says that the path is narrow.
    pub(super) fn room(&self) -> Option<u32> {
        self.room.map(|room| room as u32)
    }

    /// Takes a report on what `rung` did.
    pub(super) fn take(&mut self, now: MediaTime, report: &NetworkReport, rung: &Rung) {
        self.overflowing = if report.loss >= OVERFLOWS { self.overflowing.saturating_add(1) } else { 0 };
        let (Some(trend), Some(high)) = (report.queue_trend, report.queue_delay) else {
            return;
        };
        let standing = report.standing_delay.unwrap_or(Duration::ZERO);
        self.excused = self.excused.min(standing);
        let own = standing - self.excused;
        self.growing = if trend > GROWS { self.growing.saturating_add(1) } else { 0 };
        let stands = own > MOST_STANDING && trend > DRAINS;
        let will_stand = self.growing >= GROWING_REPORTS && high > self.excused + GROWN;
        if stands || will_stand || self.overflowing >= OVERFLOWING_REPORTS {
            self.clear_since = None;
            self.shrink(now, report, rung, standing);
        } else if own <= MOST_STANDING {
            self.grow(now);
        }
    }

    fn shrink(&mut self, now: MediaTime, report: &NetworkReport, rung: &Rung, standing: Duration) {
        if let Some((at, then)) = self.changed {
            if now.micros_since(at) < SETTLES {
                return;
            }
            // Less was sent, all of it came, and the delay is the same: it is the path's.
            let flat = report.queue_trend.is_some_and(|trend| trend.abs() < 0.01);
            let same = standing.abs_diff(then) < Duration::from_millis(10);
            if self.room.is_some() && flat && same && report.loss < 0.02 {
                *self = Self { excused: standing, ..Self::default() };
                return;
            }
        }
        // A full path passes what it can; one that was only measured while little was sent passes at least that.
        let passes = report.received as f32
            + price::PACKET_OVERHEAD * 8.0 * price::packets_per_second(rung.packet_time);
        let passes = if self.room.is_some() { passes.min(price::wire_rate(rung)) } else { passes };
        self.capacity = Some((passes, now));
        let before = self.room.unwrap_or(f32::MAX);
        self.room = Some((passes * WHILE_DRAINING).min(before * AT_MOST).max(LEAST));
        self.changed = Some((now, standing));
    }

    fn grow(&mut self, now: MediaTime) {
        let Some(room) = self.room else {
            return;
        };
        let since = *self.clear_since.get_or_insert(now);
        let changed = self.changed.map_or(since, |(at, _)| at.max(since));
        if now.micros_since(changed) < CLEAN {
            return;
        }
        let believed = self.capacity.filter(|(_, at)| now.micros_since(*at) < BELIEVED);
        let most = believed.map_or(f32::MAX, |(capacity, _)| capacity * AT_MOST);
        let more = (room * MORE).min(most.max(room));
        if more > room {
            self.room = Some(more).filter(|room| *room < ENOUGH);
            self.changed = Some((now, Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{BitsPerSecond, PacketTime};

    fn report(standing: u64, trend: f32) -> NetworkReport {
        NetworkReport {
            expected: 12,
            queue_delay: Some(Duration::from_millis(standing + 5)),
            standing_delay: Some(Duration::from_millis(standing)),
            queue_trend: Some(trend),
            received: 20_000,
            ..NetworkReport::default()
        }
    }

    fn rung() -> Rung {
        Rung::bare(BitsPerSecond(32_000), PacketTime::Ms20)
    }

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_micros(millis * 1000)
    }

    #[test]
    fn jitter_without_a_queue_leaves_the_room_open() {
        let mut congestion = Congestion::default();
        for n in 0..100 {
            let jitter = NetworkReport {
                queue_delay: Some(Duration::from_millis(150)),
                ..report(3, if n % 4 < 2 { 0.2 } else { -0.2 })
            };
            congestion.take(at(n * 250), &jitter, &rung());
        }
        assert_eq!(congestion.room(), None);
    }

    #[test]
    fn a_standing_queue_takes_room_and_its_end_gives_it_back_slowly() {
        let mut congestion = Congestion::default();
        congestion.take(at(0), &report(80, 0.2), &rung());
        let first = congestion.room().unwrap();
        assert!(first < 40_000, "{first}");
        // The step is waited for.
        congestion.take(at(250), &report(120, 0.2), &rung());
        assert_eq!(congestion.room(), Some(first));
        for n in 2..30 {
            congestion.take(at(n * 250), &report(2, 0.0), &rung());
        }
        let later = congestion.room().unwrap();
        assert!(later > first && later < 44_000, "{first}, {later}");
    }

    #[test]
    fn a_queue_that_was_full_from_the_beginning_takes_room_too() {
        let mut congestion = Congestion::default();
        let full = NetworkReport { loss: 0.58, ..report(3, 0.0) };
        for n in 0..OVERFLOWING_REPORTS - 1 {
            congestion.take(at(i64::from(n) * 250), &full, &rung());
        }
        assert_eq!(congestion.room(), None);
        congestion.take(at(1500), &full, &rung());
        assert!(congestion.room().is_some_and(|room| room < 40_000), "{congestion:?}");
    }

    #[test]
    fn a_longer_path_is_no_queue() {
        let mut congestion = Congestion::default();
        for n in 0..20 {
            congestion.take(at(n * 250), &report(80, 0.0), &rung());
        }
        assert_eq!(congestion.room(), None);
    }
}
