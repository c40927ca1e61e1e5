//! Chooses how packets are made from what the far end reports: rate, packet time, copies, deep redundancy.
//!
//! Loss by radio and loss by a full queue want the opposite. While a queue stands, everything that is sent is kept below what passes through;
//! otherwise redundancy is added before the sound gets worse. Of all that fits, the candidate with the best price is taken: how good the sound
//! is at its rate, less what stays lost, less what waiting for copies costs in delay beyond what the far end waits
//! anyway. More protection comes at once, less after five seconds.

mod candidates;
mod congestion;
mod loss;
mod outage;
mod price;

use self::candidates::Limits;
use self::congestion::Congestion;
use self::loss::LossEstimate;
use self::outage::Outage;
use super::redundancy::{Redundancy, Rung};
use crate::feedback::NetworkReport;
use crate::units::{BitsPerSecond, MediaTime, PacketTime};

/// Of the rate that is set speech uses a tenth less, because its pauses cost little: sparse redundancy fits in beside it. Short packets use
/// it all.
const BUDGET: f32 = 1.1;
const BUDGET_OF_SHORT_PACKETS: f32 = 1.0;
/// With loss, redundancy may bring the payload to so many times the configured rate.
const BUDGET_WITH_LOSS: f32 = 1.5;
/// Loss from which on that is spent.
const LOSS_TO_SPEND: f32 = 0.004;
/// Less protection must have been enough for so long: 5 s, in microseconds.
const CLEAN: i64 = 5_000_000;
/// A change must be worth this much.
const WORTH: f32 = 0.05;

/// What the ladder may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LadderConfig {
    /// Rate of the payload while nothing is lost, redundancy included.
    pub bitrate: BitsPerSecond,
    /// Media time per packet while the path has room for it.
    pub packet_time: PacketTime,
    /// Which protection may be used.
    pub redundancy: Redundancy,
    /// Whether the far end takes the codec's own copies.
    pub in_band_fec: bool,
    /// Whether the far end takes redundant audio (RFC 2198).
    pub red: bool,
    /// Whether the encoder makes deep redundancy.
    pub dred: bool,
}

/// The machine: reports in, the rung out.
#[derive(Debug, Clone)]
pub struct Ladder {
    config: LadderConfig,
    loss: LossEstimate,
    congestion: Congestion,
    outage: Outage,
    rung: Rung,
    /// Since when less protection would do.
    clean_since: Option<MediaTime>,
}

impl Ladder {
    /// Before any report: as if nothing were lost.
    pub fn new(config: LadderConfig) -> Self {
        let mut ladder = Self {
            config,
            loss: LossEstimate::default(),
            congestion: Congestion::default(),
            outage: Outage::default(),
            rung: Rung::bare(config.bitrate, config.packet_time),
            clean_since: None,
        };
        ladder.rung = candidates::best(&ladder.limits(), &ladder.loss.path()).0;
        ladder
    }

    /// How packets are made.
    pub fn rung(&self) -> Rung {
        let may = matches!(self.config.redundancy, Redundancy::Auto | Redundancy::Dred);
        let guards = may && self.rung.dred_interval > 0 && self.congestion.room().is_none();
        if guards && self.outage.is_on() { Outage::guarded(self.rung) } else { self.rung }
    }

    /// Takes a report that the far end makes four times a second, and chooses anew.
    pub fn report(&mut self, now: MediaTime, report: &NetworkReport) -> Rung {
        self.outage.answered();
        self.loss_report(now, report)
    }

    /// Takes what is known from other reports, which come when they like.
    pub fn loss_report(&mut self, now: MediaTime, report: &NetworkReport) -> Rung {
        self.loss.take(report);
        self.congestion.take(now, report, &self.rung);
        self.choose(now);
        self.rung()
    }

    /// A packet was sent: without any answer for a while, the next are made for the end of an outage.
    pub fn sent(&mut self, packet_time: PacketTime) -> Rung {
        self.outage.sent(packet_time);
        self.rung()
    }

    /// Changes rate, packet time or loss to be ready for; what was learned of the path stays.
    pub fn set_config(&mut self, config: LadderConfig) -> Rung {
        self.config = config;
        self.rung = candidates::best(&self.limits(), &self.loss.path()).0;
        self.rung()
    }

    /// What the ladder may use.
    pub const fn config(&self) -> LadderConfig {
        self.config
    }

    fn choose(&mut self, now: MediaTime) {
        let (limits, path) = (self.limits(), self.loss.path());
        let (best, worth) = candidates::best(&limits, &path);
        let fits = limits.allow(&self.rung);
        let today = price::worth(&self.rung, &path);
        let safer = price::unrepaired(&best, &path) < price::unrepaired(&self.rung, &path) - 1e-4;
        if best == self.rung || (fits && worth < today + WORTH) {
            self.clean_since = None;
            return;
        }
        let since = *self.clean_since.get_or_insert(now);
        if !fits || safer || now.micros_since(since) >= CLEAN {
            self.rung = best;
            self.clean_since = None;
        }
    }

    fn limits(&self) -> Limits {
        let lossy = self.loss.path().loss >= LOSS_TO_SPEND;
        let factor = match lossy {
            true => BUDGET_WITH_LOSS,
            false if self.config.packet_time < PacketTime::Ms20 => BUDGET_OF_SHORT_PACKETS,
            false => BUDGET,
        };
        Limits {
            config: self.config,
            payload: (self.config.bitrate.0 as f32 * factor) as u32,
            on_the_wire: self.congestion.room(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config() -> LadderConfig {
        LadderConfig {
            bitrate: BitsPerSecond(32_000),
            packet_time: PacketTime::Ms20,
            redundancy: Redundancy::Auto,
            in_band_fec: true,
            red: true,
            dred: true,
        }
    }

    /// Four reports a second of a path that loses `loss` in runs of `burst`.
    fn told(ladder: &mut Ladder, from: i64, seconds: i64, loss: f32, burst: f32) -> Rung {
        let (mut runs, mut rung) = (0.0, ladder.rung());
        for quarter in 0..seconds * 4 {
            runs += 12.5 * loss / burst;
            let ended = runs as u8;
            runs -= f32::from(ended);
            let class =
                [1.0, 2.0, 4.0, 8.0, f32::MAX].iter().position(|most| burst <= 1.3 * *most).unwrap_or(4);
            let mut report =
                NetworkReport { expected: 12, loss, received: 32_000, ..NetworkReport::default() };
            report.bursts[class] = ended;
            rung = ladder.report(MediaTime::from_micros(from * 1_000_000 + quarter * 250_000), &report);
        }
        rung
    }

    #[test]
    fn without_loss_there_is_nothing_but_sparse_deep_redundancy() {
        let mut ladder = Ladder::new(config());
        let first = ladder.rung();
        assert_eq!(told(&mut ladder, 0, 10, 0.0, 1.0), first);
        assert!(first.copy_count() == 0 && first.in_band_loss == 0 && first.bitrate.0 > 26_000);
        assert!((4..=10).contains(&first.dred_interval), "{first:?}");
    }

    #[test]
    fn a_tenth_lost_is_copied_once_and_a_fifth_twice() {
        let mut ladder = Ladder::new(config());
        let tenth = told(&mut ladder, 0, 20, 0.1, 1.1);
        assert_eq!((tenth.copies, tenth.packet_time), ([1, 0, 0], PacketTime::Ms20));
        assert!(tenth.bitrate.0 > 20_000, "{tenth:?}");
        let fifth = told(&mut ladder, 20, 20, 0.2, 1.25);
        assert_eq!(fifth.copy_count(), 2, "{fifth:?}");
        assert!(fifth.copies.iter().all(|distance| *distance <= 3), "{fifth:?}");
    }

    #[test]
    fn copies_lie_as_far_apart_as_bursts_are_long() {
        let rung = told(&mut Ladder::new(config()), 0, 20, 0.3, 4.0);
        assert!(rung.copies.iter().max().is_some_and(|distance| *distance >= 4), "{rung:?}");
    }

    #[test]
    fn where_packets_are_waited_for_anyway_copies_lie_further_back() {
        let distance = |wait: Option<Duration>| {
            let mut ladder = Ladder::new(config());
            let report = NetworkReport {
                expected: 12,
                loss: 0.06,
                bursts: [0, 0, 1, 0, 0],
                packet_wait: wait,
                ..NetworkReport::default()
            };
            let chosen = (0..60).map(|n| ladder.report(MediaTime::from_micros(n * 250_000), &report));
            chosen.last().unwrap().copies.into_iter().max().unwrap()
        };
        let (short, long) = (distance(None), distance(Some(Duration::from_millis(100))));
        assert!(short >= 1 && long > short, "{short}, {long}");
    }

    #[test]
    fn protection_comes_at_once_and_goes_after_five_seconds() {
        let mut ladder = Ladder::new(config());
        told(&mut ladder, 0, 10, 0.0, 1.0);
        assert!(told(&mut ladder, 10, 1, 0.15, 1.0).copy_count() > 0);
        told(&mut ladder, 11, 10, 0.15, 1.0);
        assert!(told(&mut ladder, 21, 4, 0.0, 1.0).copy_count() > 0);
        assert_eq!(told(&mut ladder, 25, 60, 0.0, 1.0).copy_count(), 0);
    }

    #[test]
    fn a_setting_uses_nothing_else() {
        for (redundancy, red) in [
            (Redundancy::None, true),
            (Redundancy::Fec, true),
            (Redundancy::Dred, true),
            (Redundancy::Red, true),
            (Redundancy::Auto, false),
        ] {
            let mut ladder = Ladder::new(LadderConfig { redundancy, red, ..config() });
            let rung = told(&mut ladder, 0, 20, 0.1, 1.1);
            assert_eq!(rung.copy_count() > 0, redundancy == Redundancy::Red, "{rung:?}");
            let fec = rung.in_band_loss > 0;
            match redundancy {
                Redundancy::Fec => assert!(fec && rung.dred_interval == 0, "{rung:?}"),
                Redundancy::Dred => assert!(!fec && rung.dred_interval > 0, "{rung:?}"),
                Redundancy::None | Redundancy::Red => {
                    assert!(!fec && rung.dred_interval == 0, "{rung:?}");
                }
                Redundancy::Auto => assert!(fec || rung.dred_interval > 0, "{rung:?}"),
            }
        }
    }

    #[test]
    fn what_redundancy_costs_stays_within_its_budget() {
        for (loss, burst) in [(0.0, 1.0), (0.02, 1.0), (0.1, 1.1), (0.2, 1.25), (0.3, 4.0), (0.6, 2.5)] {
            let rung = told(&mut Ladder::new(config()), 0, 20, loss, burst);
            let spent = price::payload_rate(&rung);
            let most = if loss > 0.0 { 48_500.0 } else { 35_500.0 };
            assert!(spent <= most, "{loss}: {rung:?} spends {spent}");
        }
    }
}
