//! Every way to make packets that fits, and the best of them.

use std::time::Duration;

use super::LadderConfig;
use super::loss::Path;
use super::price;
use crate::send::redundancy::{MOST_COPIES, Redundancy, Rung};
use crate::units::{BitsPerSecond, PacketTime};

/// A copy lies back at most so far: what the receiver would wait for longer, it plays too late for a conversation.
const FURTHEST: Duration = Duration::from_millis(120);
/// Sound is not made coarser than this for copies.
const LEAST_RATE_WITH_COPIES: f32 = 12_000.0;
/// And not coarser than this at all, in bits per second.
const LEAST_RATE: f32 = 8_000.0;
/// Deep redundancy for outages, so often: enough to bring back most of a second, at a tenth of the rate.
const DRED_EVERY: Duration = Duration::from_millis(160);
/// Half as often in short packets, whose sound needs more of the rate.
const DRED_IN_SHORT_PACKETS_EVERY: Duration = Duration::from_millis(320);
/// Below this rate of the sound that would be too much.
const LEAST_RATE_WITH_DRED: f32 = 14_000.0;

/// What bounds the choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) config: LadderConfig,
    /// Most payload in bits per second.
    pub(super) payload: u32,
    /// Most bits per second with headers, where the path is known to be narrow.
    pub(super) on_the_wire: Option<u32>,
}

impl Limits {
    /// Whether the rung keeps to them.
    pub(super) fn allow(&self, rung: &Rung) -> bool {
        let wire = self.on_the_wire.is_none_or(|most| price::wire_rate(rung) <= most as f32 * 1.001);
        let least = rung.bitrate.0 as f32 <= LEAST_RATE * 1.001;
        price::payload_rate(rung) <= self.payload as f32 * 1.001 && (wire || least)
    }

    /// The frame of a candidate with its sound at what is left of the rate; `None` when that is too little.
    fn filled(&self, candidate: Rung) -> Option<Rung> {
        let copies = candidate.copy_count() as f32;
        let bare = Rung { bitrate: BitsPerSecond(0), ..candidate };
        let mut left = self.payload as f32 - price::payload_rate(&bare);
        if let Some(wire) = self.on_the_wire {
            left = left.min(wire as f32 - price::wire_rate(&bare));
        }
        let rate = (left / (1.0 + copies)).min(self.config.bitrate.0 as f32);
        let least = if copies > 0.0 { LEAST_RATE_WITH_COPIES.min(self.config.bitrate.0 as f32) } else { 0.0 };
        if rate < least || (candidate.dred_interval > 0 && rate < LEAST_RATE_WITH_DRED) {
            return None;
        }
        // In steps, so that a change of nothing changes nothing.
        let rate = (rate.max(LEAST_RATE) / 500.0).floor() * 500.0;
        Some(Rung { bitrate: BitsPerSecond(rate as u32), ..candidate })
    }
}

/// The best rung within `limits` on `path`, and what it is worth.
pub(super) fn best(limits: &Limits, path: &Path) -> (Rung, f32) {
    let LadderConfig { bitrate, packet_time, .. } = limits.config;
    let mut best = (Rung::bare(bitrate, packet_time), f32::MIN);
    let mut consider = |candidate: Rung| {
        if let Some(rung) = limits.filled(candidate) {
            let worth = price::worth(&rung, path);
            if worth > best.1 {
                best = (rung, worth);
            }
        }
    };
    for packet_time in packet_times(limits) {
        let bare = Rung::bare(bitrate, packet_time);
        if uses_fec(&limits.config) {
            consider(Rung { in_band_loss: fec_loss(path), ..bare });
            if limits.config.redundancy == Redundancy::Fec {
                continue;
            }
        }
        for dred_interval in dred_intervals(&limits.config, packet_time) {
            let deep = Rung { dred_interval, ..bare };
            each_set_of_copies(&limits.config, packet_time, &mut |copies| {
                consider(Rung { copies, ..deep });
            });
        }
    }
    best
}

/// The configured packet time; longer ones where headers are what the path has no room for.
fn packet_times(limits: &Limits) -> impl Iterator<Item = PacketTime> {
    let configured = limits.config.packet_time;
    let longer = [PacketTime::Ms20, PacketTime::Ms40, PacketTime::Ms60];
    let narrow = limits.on_the_wire.is_some();
    std::iter::once(configured).chain(longer.into_iter().filter(move |time| narrow && *time > configured))
}

/// How often deep redundancy may ride along, in packets. It is always there where it may be: no one knows of an outage beforehand.
fn dred_intervals(config: &LadderConfig, packet_time: PacketTime) -> impl Iterator<Item = u8> {
    let usable = config.dred && packet_time >= PacketTime::Ms10;
    let every = if packet_time < PacketTime::Ms20 { DRED_IN_SHORT_PACKETS_EVERY } else { DRED_EVERY };
    let sparse = every.as_micros().div_ceil(packet_time.duration().as_micros()) as u8;
    let (always, none, dense) = match config.redundancy {
        Redundancy::Auto => (usable, true, usable && !config.red),
        Redundancy::Dred => (usable, !usable, usable),
        Redundancy::None | Redundancy::Fec | Redundancy::Red => (false, true, false),
    };
    let dense = [4, 3, 2, 1].into_iter().filter(move |interval| dense && *interval < sparse);
    // The sparse one comes first: of two that are worth the same it stays. Without any is for a rate too low for it.
    always.then_some(sparse).into_iter().chain(dense).chain(none.then_some(0))
}

fn uses_fec(config: &LadderConfig) -> bool {
    let may = match config.redundancy {
        Redundancy::Auto => !config.red,
        Redundancy::Fec => true,
        Redundancy::None | Redundancy::Red | Redundancy::Dred => false,
    };
    may && config.in_band_fec
}

/// In steps of five, so that the encoder is left alone; at least one.
fn fec_loss(path: &Path) -> u8 {
    ((path.loss * 20.0).ceil() as u8 * 5).clamp(10, 30)
}

/// None, then every set of up to three distances.
fn each_set_of_copies(
    config: &LadderConfig,
    packet_time: PacketTime,
    consider: &mut dyn FnMut([u8; MOST_COPIES]),
) {
    let may = matches!(config.redundancy, Redundancy::Auto | Redundancy::Red) && config.red;
    if config.redundancy != Redundancy::Red || !may {
        consider([0; MOST_COPIES]);
    }
    if !may {
        return;
    }
    let furthest = (FURTHEST.as_micros() / packet_time.duration().as_micros()).max(1) as u8;
    // Short packets are copied in steps of 10 ms.
    let step = (480 / packet_time.samples()).max(1);
    let distances = || (1..=furthest).step_by(step);
    for first in distances() {
        consider([first, 0, 0]);
        for second in distances().filter(|second| *second > first) {
            consider([first, second, 0]);
            for third in distances().filter(|third| *third > second) {
                consider([first, second, third]);
            }
        }
    }
}
