//! What a peer without short reports tells of the path all the same: by transport-wide feedback, else by receiver reports.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::{FeedbackReport, PacketFate};

/// No more often than this: feedback that comes four times a second, and now and then a little early, is told each time.
const INTERVAL: Duration = Duration::from_millis(225);
/// Delay, its trend and the rate are those of the packets sent in this time.
const RECENT: Duration = Duration::from_secs(1);
/// More are not kept: a packet every 2 ms.
const MOST_RECENT: usize = 512;
/// Packets of a shorter time make neither a trend nor a rate.
const SHORTEST: Duration = Duration::from_millis(150);
/// The fastest packet of this many seconds is what delay is counted from: an error of 3 ms where the clocks differ by 300 ppm.
const FASTEST_SECONDS: usize = 10;
/// A gap in the feedback longer than this says nothing about runs of losses.
const LONGEST_RUN: u64 = 1000;

/// How the peer receives, as far as its reports say. Of the time since the previous one, but for what says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct PathReport {
    /// How many of our packets it tells of.
    pub expected: u64,
    /// Share of them that was lost, 0 to 1.
    pub loss: f64,
    /// How many runs of 1, 2, 3 to 4, 5 to 8 and more lost packets; `None` where only a share is known.
    pub bursts: Option<[u32; 5]>,
    /// How much later than the fastest of the last ten seconds 95 % of the packets of the last second arrived at most.
    pub queue_delay: Option<Duration>,
    /// How much later than that fastest one even the fastest of the last second arrived: a queue that stands.
    pub standing_delay: Option<Duration>,
    /// How much the delay grows, in seconds per second; negative: it shrinks.
    pub queue_trend: Option<f64>,
    /// Bits of payload per second that arrived in the last second.
    pub received: Option<f64>,
    /// Interarrival jitter of the newest receiver report.
    pub jitter: Option<Duration>,
}

/// Collects what comes until a report is due.
#[derive(Debug)]
pub(crate) struct PathMeter {
    start: Instant,
    /// Sorted by when they were sent.
    recent: VecDeque<Arrival>,
    /// The least delay of each second, with the second.
    fastest: [(u64, i64); FASTEST_SECONDS],
    runs: Runs,
    receiver: Option<ReceiverReport>,
    /// The newest receiver report has not been told.
    fresh: bool,
    told: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// Since the start.
    sent: Duration,
    /// From sending to arrival in microseconds, but for an unknown constant.
    delay: i64,
    bits: f64,
}

#[derive(Debug, Clone, Copy)]
struct ReceiverReport {
    expected: u64,
    loss: f64,
    jitter: Duration,
}

/// What is known of the packets since the last report.
struct Counted {
    expected: u64,
    loss: f64,
    bursts: Option<[u32; 5]>,
}

/// Losses in a row, and all together.
#[derive(Debug, Default)]
struct Runs {
    next: u64,
    current: u64,
    expected: u32,
    lost: u32,
    bursts: [u32; 5],
}

impl PathMeter {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            recent: VecDeque::new(),
            fastest: [(0, i64::MAX); FASTEST_SECONDS],
            runs: Runs::default(),
            receiver: None,
            fresh: false,
            told: None,
        }
    }

    pub(crate) fn feedback(&mut self, report: &FeedbackReport) {
        for fate in &report.packets {
            // Told before: the first word counts.
            if !self.runs.take(fate) {
                continue;
            }
            if let Some(arrived) = fate.arrived {
                self.note_arrival(fate, arrived);
            }
        }
    }

    /// A report block about `expected` packets.
    pub(crate) fn receiver_report(&mut self, expected: u64, loss: f64, jitter: Duration) {
        self.receiver = Some(ReceiverReport { expected, loss, jitter });
        self.fresh = true;
    }

    /// A report, when one is due and there is something to tell.
    pub(crate) fn report(&mut self, now: Instant) -> Option<PathReport> {
        let due = self.told.is_none_or(|told| now >= told + INTERVAL);
        if !due || (self.runs.expected == 0 && !self.fresh) {
            return None;
        }
        self.told = Some(now);
        self.fresh = false;
        let counted = self.runs.tell();
        let told = self.receiver.map(|ReceiverReport { expected, loss, .. }| Counted {
            expected,
            loss,
            bursts: None,
        });
        let Counted { expected, loss, bursts } = counted.or(told)?;
        self.forget(now);
        Some(PathReport {
            expected,
            loss,
            bursts,
            queue_delay: self.queue_delay(),
            standing_delay: self.standing_delay(),
            queue_trend: self.queue_trend(),
            received: self.received(),
            jitter: self.receiver.map(|report| report.jitter),
        })
    }

    fn note_arrival(&mut self, fate: &PacketFate, arrived: Duration) {
        let sent = fate.sent.saturating_duration_since(self.start);
        let delay = micros(arrived).saturating_sub(micros(sent));
        let second = sent.as_secs();
        let slot = &mut self.fastest[(second % FASTEST_SECONDS as u64) as usize];
        *slot = if slot.0 == second { (second, slot.1.min(delay)) } else { (second, delay) };
        if self.recent.len() >= MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arrival { sent, delay, bits: 8.0 * fate.payload as f64 });
    }

    /// What was sent more than a second before the newest that is known, or is no news at all any more.
    fn forget(&mut self, now: Instant) {
        let newest = self.recent.back().map_or(Duration::ZERO, |arrival| arrival.sent);
        if now.saturating_duration_since(self.start) > newest + 4 * RECENT {
            self.recent.clear();
        }
        while self.recent.front().is_some_and(|arrival| arrival.sent + RECENT < newest) {
            self.recent.pop_front();
        }
    }

    fn queue_delay(&self) -> Option<Duration> {
        let mut delays: Vec<i64> = self.recent.iter().map(|arrival| arrival.delay).collect();
        let place = (delays.len() * 95).div_ceil(100).checked_sub(1)?;
        let (_, delay, _) = delays.select_nth_unstable(place);
        self.over_fastest(*delay)
    }

    fn standing_delay(&self) -> Option<Duration> {
        self.over_fastest(self.recent.iter().map(|arrival| arrival.delay).min()?)
    }

    fn over_fastest(&self, delay: i64) -> Option<Duration> {
        let newest = self.recent.back()?.sent.as_secs();
        let live = self.fastest.iter().filter(|(second, _)| second + FASTEST_SECONDS as u64 > newest);
        let fastest = live.map(|(_, delay)| *delay).min()?;
        Some(Duration::from_micros(delay.saturating_sub(fastest).try_into().unwrap_or(0)))
    }

    /// The slope of the line of least squares.
    fn queue_trend(&self) -> Option<f64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        if last.sent - first.sent < SHORTEST {
            return None;
        }
        let count = self.recent.len() as f64;
        let point = |arrival: &Arrival| {
            let late = arrival.delay.saturating_sub(first.delay) as f64 / 1e6;
            ((arrival.sent - first.sent).as_secs_f64(), late)
        };
        let (times, delays) = self
            .recent
            .iter()
            .map(point)
            .fold((0.0, 0.0), |sum, (time, delay)| (sum.0 + time / count, sum.1 + delay / count));
        let (both, spread) = self.recent.iter().map(point).fold((0.0, 0.0), |sum, (time, delay)| {
            (sum.0 + (time - times) * (delay - delays), sum.1 + (time - times) * (time - times))
        });
        (spread > 0.0).then(|| both / spread)
    }

    /// The first packet begins the time that is counted, so that its bits are not in it.
    fn received(&self) -> Option<f64> {
        let at = |arrival: &Arrival| arrival.delay.saturating_add(micros(arrival.sent));
        let first = self.recent.iter().map(at).min()?;
        let last = self.recent.iter().map(at).max()?;
        let time = last.saturating_sub(first) as f64 / 1e6;
        let bits: f64 =
            self.recent.iter().filter(|arrival| at(arrival) > first).map(|arrival| arrival.bits).sum();
        (time >= SHORTEST.as_secs_f64()).then(|| bits / time)
    }
}

impl Runs {
    /// Counts a packet; `false` when it, or a later one, was counted before.
    fn take(&mut self, fate: &PacketFate) -> bool {
        if fate.number < self.next {
            return false;
        }
        if fate.number > self.next {
            // Feedback was lost: what became of those in between is not known.
            self.close();
        }
        self.next = fate.number + 1;
        self.expected = self.expected.saturating_add(1);
        if fate.arrived.is_some() {
            self.close();
        } else {
            self.lost = self.lost.saturating_add(1);
            self.current = (self.current + 1).min(LONGEST_RUN);
        }
        true
    }

    fn close(&mut self) {
        let place = match std::mem::take(&mut self.current) {
            0 => return,
            1 => 0,
            2 => 1,
            3..=4 => 2,
            5..=8 => 3,
            _ => 4,
        };
        self.bursts[place] += 1;
    }

    /// Since the last call.
    fn tell(&mut self) -> Option<Counted> {
        let expected = std::mem::take(&mut self.expected);
        let lost = std::mem::take(&mut self.lost);
        let bursts = Some(std::mem::take(&mut self.bursts));
        let loss = f64::from(lost) / f64::from(expected.max(1));
        (expected > 0).then(|| Counted { expected: expected.into(), loss, bursts })
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::start;

    const PACKET: Duration = Duration::from_millis(20);

    /// Packets `numbers`, each with its delay; `None`: lost.
    fn feed(meter: &mut PathMeter, numbers: std::ops::Range<u64>, delay: impl Fn(u64) -> Option<Duration>) {
        let packets = numbers.map(|number| {
            let sent = PACKET * number as u32;
            let arrived = delay(number).map(|delay| Duration::from_secs(77) + sent + delay);
            PacketFate { number, sent: start() + sent, size: 130, payload: 100, arrived }
        });
        meter.feedback(&FeedbackReport { packets: packets.collect() });
    }

    fn at(number: u32) -> Instant {
        start() + PACKET * number
    }

    fn close_to(value: Option<f64>, wanted: f64, error: f64) {
        assert!(
            value.is_some_and(|value| (value - wanted).abs() <= error),
            "{value:?} is not about {wanted}"
        );
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_steady_path_has_neither_queue_nor_trend() {
        let mut meter = PathMeter::new(start());
        feed(&mut meter, 0..100, |_| Some(MS(40)));
        let report = meter.report(at(100)).unwrap();
        assert_eq!(
            (report.loss, report.bursts, report.queue_delay),
            (0.0, Some([0; 5]), Some(Duration::ZERO))
        );
        close_to(report.queue_trend, 0.0, 1e-9);
        close_to(report.received, 40_000.0, 400.0);
        assert_eq!(report.jitter, None);
    }

    #[test]
    fn a_queue_that_grows_is_seen_and_one_that_stands_is_over_the_fastest() {
        let mut meter = PathMeter::new(start());
        feed(&mut meter, 0..50, |_| Some(MS(40)));
        feed(&mut meter, 50..100, |number| Some(MS(40 + 4 * (number - 50))));
        let grown = meter.report(at(100)).unwrap();
        close_to(grown.queue_trend, 0.2, 0.01);
        let delay = grown.queue_delay.unwrap();
        assert!((MS(180)..=MS(196)).contains(&delay), "{delay:?}");
        assert_eq!((grown.standing_delay, grown.expected), (Some(Duration::ZERO), 100));
        close_to(grown.received, 33_333.0, 500.0);
        feed(&mut meter, 100..150, |_| Some(MS(240)));
        let standing = meter.report(at(150)).unwrap();
        assert_eq!((standing.queue_delay, standing.standing_delay), (Some(MS(200)), Some(MS(196))));
        close_to(standing.queue_trend, 0.0, 0.01);
        feed(&mut meter, 150..700, |_| Some(MS(240)));
        assert_eq!(
            meter.report(at(700)).unwrap().queue_delay,
            Some(Duration::ZERO),
            "after ten seconds it is the path"
        );
    }

    #[test]
    fn the_clocks_may_be_anything() {
        let mut meter = PathMeter::new(start());
        let packets = (0..100).map(|number| {
            let sent = start() + PACKET * number;
            let arrived = (PACKET * number).mul_f64(1.0003);
            PacketFate { number: number.into(), sent, size: 130, payload: 100, arrived: Some(arrived) }
        });
        meter.feedback(&FeedbackReport { packets: packets.collect() });
        let report = meter.report(at(100)).unwrap();
        assert!(report.queue_delay.unwrap() < MS(1), "{report:?}");
        close_to(report.queue_trend, 0.0003, 1e-4);
    }

    #[test]
    fn losses_are_counted_in_runs_across_reports() {
        let mut meter = PathMeter::new(start());
        let lost = [2, 5, 6, 10, 11, 12, 20, 21, 22, 23, 24, 25, 30, 31, 32, 33, 34, 35, 36, 37, 38];
        let delay = |number: u64| (!lost.contains(&number)).then_some(MS(10));
        feed(&mut meter, 0..23, delay);
        let first = meter.report(at(23)).unwrap();
        assert_eq!((first.loss, first.bursts), (9.0 / 23.0, Some([1, 1, 1, 0, 0])));
        feed(&mut meter, 15..42, delay);
        let second = meter.report(at(42)).unwrap();
        assert_eq!(second.loss, 12.0 / 19.0, "what was told before is not counted again");
        assert_eq!(second.bursts, Some([0, 0, 0, 1, 1]));
    }

    #[test]
    fn a_hole_in_the_feedback_is_no_loss() {
        let mut meter = PathMeter::new(start());
        feed(&mut meter, 0..10, |number| (number != 9).then_some(MS(10)));
        feed(&mut meter, 30..40, |number| (number != 30).then_some(MS(10)));
        let report = meter.report(at(40)).unwrap();
        assert_eq!((report.loss, report.bursts), (0.1, Some([2, 0, 0, 0, 0])));
    }

    #[test]
    fn receiver_reports_alone_give_a_share() {
        let mut meter = PathMeter::new(start());
        assert_eq!(meter.report(at(0)), None);
        meter.receiver_report(50, 0.25, MS(7));
        let report = meter.report(at(1)).unwrap();
        assert_eq!(
            report,
            PathReport { expected: 50, loss: 0.25, jitter: Some(MS(7)), ..PathReport::default() }
        );
        assert_eq!(meter.report(at(100)), None, "nothing new");
        feed(&mut meter, 0..10, |_| Some(MS(10)));
        assert_eq!(meter.report(at(101)).unwrap().loss, 0.0, "feedback is newer");
    }

    #[test]
    fn reports_keep_their_distance() {
        let mut meter = PathMeter::new(start());
        let mut told = Vec::new();
        for number in (0..100).step_by(5) {
            feed(&mut meter, number..number + 5, |_| Some(MS(10)));
            told.extend(meter.report(at(number as u32 + 5)).map(|_| number));
        }
        assert_eq!(told, [0, 15, 30, 45, 60, 75, 90]);
    }

    #[test]
    fn old_packets_say_nothing_of_now() {
        let mut meter = PathMeter::new(start());
        feed(&mut meter, 0..100, |_| Some(MS(10)));
        meter.report(at(100)).unwrap();
        meter.receiver_report(10, 0.5, MS(7));
        let report = meter.report(at(400)).unwrap();
        assert_eq!((report.queue_delay, report.queue_trend, report.received), (None, None, None));
    }
}
