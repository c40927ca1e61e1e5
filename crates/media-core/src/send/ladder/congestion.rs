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
/// A queue that grows faster than this for so many reports will stand: not even the fastest packets pass it by, as they do in jitter.
const GROWS: f32 = 0.06;
const GROWING_REPORTS: u8 = 3;
const GROWN: Duration = Duration::from_millis(50);
const FASTEST_GROWS: Duration = Duration::from_millis(4);
/// A delay that came in one step and keeps still for so many reports is the path's: queues grow.
const STILL_REPORTS: u8 = 2;
const STILL: f32 = 0.02;
const SAME: Duration = Duration::from_millis(10);
/// Unless it loses more than this, as a full queue does that was empty half a second ago.
const LOSES: f32 = 0.1;
const LOSING_REPORTS: u8 = 2;
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
    /// The queue grew for several reports, and has not been gone since.
    grown: bool,
    still: u8,
    losing: u8,
    /// The standing delay of the last report.
    standing: Duration,
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
        self.watch(trend, standing);
        self.excused = self.excused.min(standing);
        let own = standing - self.excused;
        self.losing = if report.loss > LOSES { self.losing.saturating_add(1) } else { 0 };
        let is_ours = self.grown || self.losing >= LOSING_REPORTS || self.room.is_some();
        if own > MOST_STANDING && !is_ours && self.losing == 0 && self.still >= STILL_REPORTS {
            self.excused = standing;
            return;
        }
        let stands = own > MOST_STANDING && trend > DRAINS && is_ours;
        let will_stand = self.growing >= GROWING_REPORTS && high > self.excused + GROWN;
        if stands || will_stand || self.overflowing >= OVERFLOWING_REPORTS {
            self.clear_since = None;
            self.shrink(now, report, rung, standing);
        } else if own <= MOST_STANDING {
            self.grown = false;
            self.grow(now);
        }
    }

    /// Whether the delay grows or keeps still, report after report.
    fn watch(&mut self, trend: f32, standing: Duration) {
        let grows = trend > GROWS && standing > self.standing + FASTEST_GROWS;
        self.growing = if grows { self.growing.saturating_add(1) } else { 0 };
        self.grown |= self.growing >= GROWING_REPORTS - 1;
        let still = trend.abs() < STILL && standing.abs_diff(self.standing) < SAME;
        self.still = if still { self.still.saturating_add(1) } else { 0 };
        self.standing = standing;
    }

    fn shrink(&mut self, now: MediaTime, report: &NetworkReport, rung: &Rung, standing: Duration) {
        if let Some((at, then)) = self.changed {
            if now.micros_since(at) < SETTLES {
                return;
            }
            // Less was sent, all of it came, and the delay is the same: it is the path's.
            let flat = report.queue_trend.is_some_and(|trend| trend.abs() < 0.01);
            let same = standing.abs_diff(then) < SAME;
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
        for n in 0..2 {
            assert_eq!(congestion.room(), None, "after {n}");
            congestion.take(at(n * 250), &report(20 + 40 * n as u64, 0.2), &rung());
        }
        let first = congestion.room().unwrap();
        assert!(first < 40_000, "{first}");
        // The step is waited for.
        congestion.take(at(500), &report(100, 0.2), &rung());
        assert_eq!(congestion.room(), Some(first));
        for n in 3..31 {
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
    fn a_queue_that_fills_between_two_reports_is_known_by_what_it_loses() {
        let mut congestion = Congestion::default();
        congestion.take(at(0), &report(3, 0.0), &rung());
        let full = NetworkReport { loss: 0.35, ..report(480, 0.0) };
        for n in 1..4 {
            congestion.take(at(n * 250), &full, &rung());
        }
        assert!(congestion.room().is_some(), "{congestion:?}");
    }

    #[test]
    fn a_longer_path_is_no_queue() {
        let mut congestion = Congestion::default();
        for n in 0..20 {
            let (standing, trend) = match n {
                0..5 => (3, 0.0),
                5 => (3, 0.4),
                6 => (83, 0.2),
                _ => (83, 0.0),
            };
            congestion.take(at(n * 250), &report(standing, trend), &rung());
            assert_eq!(congestion.room(), None, "after {n}");
        }
    }

    #[test]
    fn heavy_jitter_with_trends_of_its_own_is_no_queue() {
        let mut congestion = Congestion::default();
        for n in 0..40_u64 {
            let high = Some(Duration::from_millis(120));
            let jitter = NetworkReport { queue_delay: high, ..report(3 + n % 3, 0.1) };
            congestion.take(at(n as i64 * 250), &jitter, &rung());
            assert_eq!(congestion.room(), None, "after {n}");
        }
    }
}
