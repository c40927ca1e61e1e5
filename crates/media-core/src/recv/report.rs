//! Watches arrivals and outcome, and sums them up for the sender.

use std::time::Duration;

use crate::feedback::NetworkReport;
use crate::jitter::ReceiveStats;
use crate::units::MediaTime;

/// A report comes so often while packets do: 250 ms, in microseconds.
const INTERVAL: i64 = 250_000;
/// Delays and the rate are those of this time.
const RECENT: i64 = 1_000_000;
/// More arrivals than these of a second are not kept: a packet every 2.5 ms, and some that come at once.
const MOST_RECENT: usize = 512;
/// The fastest packet of so many seconds is what delay is counted from: an error of 3 ms where the clocks differ by 300 ppm.
const FASTEST_SECONDS: usize = 10;
/// A packet may be overtaken by so many before it counts as lost.
const OVERTAKEN: i64 = 2;
/// Numbers further apart are another stream.
const WINDOW: i64 = 1024;
/// A second that is long over.
const NEVER: i64 = i64::MIN / 2;
/// A trend takes so many arrivals.
const LEAST_FOR_TREND: usize = 5;

/// A packet that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Extended sequence number.
    pub sequence: i64,
    /// Extended RTP timestamp (48 kHz) of the end of its sound: it could not have been sent earlier.
    pub end: i64,
    /// When it came.
    pub arrival: MediaTime,
    /// Bytes of its payload.
    pub bytes: usize,
}

/// Makes a [`NetworkReport`] of what came in the last quarter of a second.
#[derive(Debug, Default)]
pub struct ReportBuilder {
    sequence: SequenceWatch,
    delay: DelayWatch,
    outcome: ReceiveStats,
    told: Option<MediaTime>,
    news: bool,
}

impl ReportBuilder {
    /// Takes note of a packet of sound.
    pub fn packet(&mut self, packet: &Arrived) {
        self.told.get_or_insert(packet.arrival);
        self.news = true;
        self.sequence.take(packet.sequence);
        self.delay.take(packet);
    }

    /// Takes note of a packet without sound, such as a key.
    pub fn other_packet(&mut self, sequence: i64) {
        self.sequence.take(sequence);
    }

    /// Forgets the stream that was, before another.
    pub fn restart(&mut self) {
        self.sequence = SequenceWatch::default();
        self.delay = DelayWatch::default();
    }

    /// The report, when it is due and something came since the last; `stats` are the receiver's counters so far.
    pub fn build(&mut self, now: MediaTime, stats: &ReceiveStats) -> Option<NetworkReport> {
        if !self.news || now.micros_since(self.told?) < INTERVAL {
            return None;
        }
        self.told = Some(now);
        self.news = false;
        let mut report = NetworkReport::default();
        self.sequence.tell(&mut report);
        self.delay.tell(now, &mut report);
        let before = std::mem::replace(&mut self.outcome, *stats);
        let share = |of: fn(&ReceiveStats) -> u64, all: u64| {
            of(stats).saturating_sub(of(&before)) as f32 / all.max(1) as f32
        };
        let sound =
            |stats: &ReceiveStats| stats.decoded + stats.red + stats.fec + stats.dred + stats.concealed;
        let all = sound(stats).saturating_sub(sound(&before));
        report.late =
            share(|stats| stats.packets_late, stats.packets_received.saturating_sub(before.packets_received));
        report.recovered_fec = share(|stats| stats.fec, all);
        report.recovered_red = share(|stats| stats.red, all);
        report.recovered_dred = share(|stats| stats.dred, all);
        report.unrecovered = share(|stats| stats.concealed, all);
        report.playout_delay = stats.playout_delay;
        report.drift = stats.drift;
        Some(report)
    }
}

/// Which packets came, and how long the runs of those that did not are.
#[derive(Debug)]
struct SequenceWatch {
    /// First and highest number, once there is one.
    highest: Option<i64>,
    /// The next to judge.
    next: i64,
    came: [u64; WINDOW as usize / 64],
    run: u32,
    expected: u16,
    lost: u16,
    bursts: [u8; 5],
}

impl Default for SequenceWatch {
    fn default() -> Self {
        Self {
            highest: None,
            next: 0,
            came: [0; WINDOW as usize / 64],
            run: 0,
            expected: 0,
            lost: 0,
            bursts: [0; 5],
        }
    }
}

impl SequenceWatch {
    fn take(&mut self, sequence: i64) {
        let highest = *self.highest.get_or_insert_with(|| {
            self.next = sequence;
            sequence
        });
        if sequence < self.next {
            return;
        }
        if sequence - self.next >= WINDOW {
            *self = Self { highest: Some(sequence), next: sequence, ..Self::default() };
        }
        let (word, bit) = Self::place(sequence);
        self.came[word] |= bit;
        self.highest = Some(highest.max(sequence));
        self.judge();
    }

    /// What was overtaken often enough is lost.
    fn judge(&mut self) {
        let last = self.highest.map_or(self.next, |highest| highest - OVERTAKEN);
        while self.next <= last {
            let (word, bit) = Self::place(self.next);
            let came = self.came[word] & bit != 0;
            self.came[word] &= !bit;
            self.next += 1;
            self.expected = self.expected.saturating_add(1);
            if !came {
                self.lost = self.lost.saturating_add(1);
                self.run += 1;
            } else if self.run > 0 {
                let class = match std::mem::take(&mut self.run) {
                    1 => 0,
                    2 => 1,
                    3..=4 => 2,
                    5..=8 => 3,
                    _ => 4,
                };
                self.bursts[class] = self.bursts[class].saturating_add(1);
            }
        }
    }

    fn tell(&mut self, report: &mut NetworkReport) {
        let (expected, lost) = (std::mem::take(&mut self.expected), std::mem::take(&mut self.lost));
        report.expected = expected;
        report.loss = f32::from(lost) / f32::from(expected.max(1));
        report.bursts = std::mem::take(&mut self.bursts);
    }

    const fn place(sequence: i64) -> (usize, u64) {
        let index = sequence.rem_euclid(WINDOW) as usize;
        (index / 64, 1 << (index % 64))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    arrival: i64,
    /// From the end of the sound to arrival in microseconds, but for an unknown constant.
    delay: i64,
    bytes: usize,
}

/// How long packets were on their way.
#[derive(Debug)]
struct DelayWatch {
    recent: [Recent; MOST_RECENT],
    count: usize,
    /// The least delay of each second, with the second.
    fastest: [(i64, i64); FASTEST_SECONDS],
}

impl Default for DelayWatch {
    fn default() -> Self {
        Self {
            recent: [Recent::default(); MOST_RECENT],
            count: 0,
            fastest: [(NEVER, i64::MAX); FASTEST_SECONDS],
        }
    }
}

impl DelayWatch {
    fn take(&mut self, packet: &Arrived) {
        let arrival = packet.arrival.as_micros();
        let delay = arrival - packet.end * 125 / 6;
        let place = self.count % MOST_RECENT;
        self.recent[place] = Recent { arrival, delay, bytes: packet.bytes };
        self.count += 1;
        let second = arrival.div_euclid(1_000_000);
        let (of, least) = &mut self.fastest[second.rem_euclid(FASTEST_SECONDS as i64) as usize];
        if *of != second {
            (*of, *least) = (second, delay);
        }
        *least = delay.min(*least);
    }

    fn tell(&self, now: MediaTime, report: &mut NetworkReport) {
        let now = now.as_micros();
        let second = now.div_euclid(1_000_000);
        let known = self.fastest.iter().filter(|(of, _)| second - of < FASTEST_SECONDS as i64);
        let Some(fastest) = known.map(|(_, least)| *least).min() else {
            return;
        };
        let mut delays = [0_i64; MOST_RECENT];
        let (mut count, mut bytes) = (0, 0);
        for recent in self.recent.iter().take(self.count).filter(|recent| now - recent.arrival < RECENT) {
            delays[count] = recent.delay - fastest;
            count += 1;
            bytes += recent.bytes;
        }
        report.received = u32::try_from(bytes * 8).unwrap_or(u32::MAX);
        if count == 0 {
            return;
        }
        let delay = |micros: i64| Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
        report.queue_trend = self.trend(now).filter(|_| count >= LEAST_FOR_TREND);
        let delays = &mut delays[..count];
        let (_, high, _) = delays.select_nth_unstable((count * 95).div_ceil(100) - 1);
        report.queue_delay = delay(*high);
        report.standing_delay = delays.iter().min().and_then(|least| delay(*least));
    }

    /// Slope of the line through the recent delays.
    fn trend(&self, now: i64) -> Option<f32> {
        let recent = || {
            let kept = self.recent.iter().take(self.count);
            kept.filter(move |recent| now - recent.arrival < RECENT)
                .map(move |recent| ((recent.arrival - now) as f64, recent.delay as f64))
        };
        let count = recent().count() as f64;
        let (times, delays) = recent().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (time, delay) = (times / count, delays / count);
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (at, value) in recent() {
            covariance += (at - time) * (value - delay);
            variance += (at - time) * (at - time);
        }
        (variance > 0.0).then(|| (covariance / variance) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 80;

    /// A packet of 20 ms that took so many microseconds.
    fn packet(n: i64, took: i64) -> Arrived {
        let arrival = MediaTime::from_micros((n + 1) * 20_000 + took);
        Arrived { sequence: n, end: (n + 1) * 960, arrival, bytes: BYTES }
    }

    fn built(builder: &mut ReportBuilder, millis: i64) -> Option<NetworkReport> {
        builder.build(MediaTime::from_micros(millis * 1000), &ReceiveStats::default())
    }

    #[test]
    fn a_report_comes_every_quarter_second_while_packets_do() {
        let mut builder = ReportBuilder::default();
        let mut reports = 0;
        for n in 0..100 {
            builder.packet(&packet(n, 3000));
            reports += u32::from(built(&mut builder, (n + 1) * 20 + 3).is_some());
        }
        assert_eq!(reports, 7);
        assert!(built(&mut builder, 2500).is_some());
        assert_eq!(built(&mut builder, 3000), None);
    }

    #[test]
    fn losses_and_their_runs_are_counted_once_and_order_does_not_matter() {
        let mut builder = ReportBuilder::default();
        let lost = |n: i64| matches!(n, 5 | 8 | 9 | 12..=14 | 20..=24 | 30..=40);
        let mut all = NetworkReport::default();
        let (mut expected, mut missing) = (0, 0.0);
        for n in 0..60 {
            // Pairs come in the wrong order.
            let n = n ^ 1;
            if !lost(n) {
                builder.packet(&packet(n, 0));
            }
            if let Some(report) = built(&mut builder, (n + 1) * 20) {
                expected += report.expected;
                missing += report.loss * f32::from(report.expected);
                for (sum, count) in all.bursts.iter_mut().zip(report.bursts) {
                    *sum += count;
                }
            }
        }
        let rest = builder.build(MediaTime::from_micros(2_000_000), &ReceiveStats::default());
        let rest = rest.unwrap_or_default();
        expected += rest.expected;
        missing += rest.loss * f32::from(rest.expected);
        assert_eq!((expected, missing.round()), (57, 22.0));
        assert_eq!(all.bursts, [1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_queue_that_builds_up_is_told_from_jitter() {
        let mut jittery = ReportBuilder::default();
        let mut filling = ReportBuilder::default();
        let (mut jitter, mut queue) = (None, None);
        for n in 0..200 {
            jittery.packet(&packet(n, n * 7919 % 20_000));
            // From the second second on a tenth more is sent than fits.
            filling.packet(&packet(n, (n - 100).max(0) * 2000));
            jitter = built(&mut jittery, (n + 1) * 20 + 20).or(jitter);
            queue = built(&mut filling, (n + 1) * 20 + 200).or(queue);
        }
        let (jitter, queue) = (jitter.unwrap(), queue.unwrap());
        assert!(jitter.queue_delay.unwrap() > Duration::from_millis(15), "{jitter:?}");
        assert!(jitter.standing_delay.unwrap() < Duration::from_millis(3), "{jitter:?}");
        assert!(jitter.queue_trend.unwrap().abs() < 0.01, "{jitter:?}");
        assert!(queue.standing_delay.unwrap() > Duration::from_millis(90), "{queue:?}");
        assert!((queue.queue_trend.unwrap() - 0.091).abs() < 0.01, "{queue:?}");
        assert!((28_000..=33_000).contains(&jitter.received), "{jitter:?}");
    }

    #[test]
    fn what_became_of_the_sound_is_told_in_shares() {
        let mut builder = ReportBuilder::default();
        builder.packet(&packet(0, 0));
        builder.packet(&packet(20, 0));
        let stats = ReceiveStats {
            decoded: 600,
            red: 200,
            dred: 100,
            concealed: 100,
            packets_received: 10,
            packets_late: 1,
            ..ReceiveStats::default()
        };
        let report = builder.build(MediaTime::from_micros(500_000), &stats).unwrap();
        assert!((report.recovered_red - 0.2).abs() < 1e-6 && (report.unrecovered - 0.1).abs() < 1e-6);
        assert!((report.recovered_dred - 0.1).abs() < 1e-6 && (report.late - 0.1).abs() < 1e-6);
        builder.packet(&packet(21, 0));
        let report = builder.build(MediaTime::from_micros(900_000), &stats).unwrap();
        assert_eq!((report.recovered_red, report.unrecovered, report.late), (0.0, 0.0, 0.0));
    }

    #[test]
    fn numbers_that_leap_begin_anew() {
        let mut builder = ReportBuilder::default();
        for n in [0, 1, 2, i64::from(i32::MAX), i64::from(i32::MAX) + 1, 3] {
            builder.packet(&packet(n, 0));
        }
        let report = builder.build(MediaTime::from_micros(i64::MAX / 4), &ReceiveStats::default());
        assert!(report.is_some_and(|report| report.loss == 0.0));
    }
}
