//! Traces of the usual kinds of network, from a seed.

use std::time::Duration;

use super::{Trace, TracePacket};
use crate::net::{Loss, loss_pattern};
use crate::rng::Rng;

/// Packets per trace: 60 s at 50 packets/s.
const PACKETS: usize = 3000;
const INTERVAL_MS: f64 = 20.0;

/// A kind of network condition. Each gives 60 s of one packet per 20 ms, first in first out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceKind {
    /// No delay, no loss.
    Clean,
    /// Delay exponential, mean 0.3 ms.
    Lan,
    /// Delay exponential, mean 4 ms.
    JitterMild,
    /// Delay uniform in 0..20 ms.
    JitterUniform20,
    /// Clean but for 5 s of 0..80 ms jitter.
    BadPatch5s,
    /// 60..200 ms stalls about every 3 s, 5 % loss in bursts of 3.
    WifiStalls,
    /// Gamma delay of mean 12 ms, 60..300 ms stalls about every 9 s, 1 % loss.
    MobileStalls,
    /// 5 % random loss.
    Loss5,
    /// 10 % random loss.
    Loss10,
    /// 20 % random loss.
    Loss20,
    /// 10 % random loss and 0..20 ms jitter.
    Loss10Jitter20,
    /// 10 % loss in bursts of 4.
    Loss10Bursty,
    /// 30 % loss in bursts of 4.
    Loss30Bursty,
    /// The path is 80 ms longer from 20 s to 40 s.
    RouteStep80,
    /// 400 ms without a packet at 20 s, and 100 ms longer from there to 40 s.
    HandoverOutage400,
    /// 1 s without a packet at 25 s.
    Outage1s,
    /// The receiver's clock gains 200 ppm.
    DriftPlus200Ppm,
    /// The receiver's clock loses 200 ppm.
    DriftMinus200Ppm,
}

impl TraceKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::Clean,
        Self::Lan,
        Self::JitterMild,
        Self::JitterUniform20,
        Self::BadPatch5s,
        Self::WifiStalls,
        Self::MobileStalls,
        Self::Loss5,
        Self::Loss10,
        Self::Loss20,
        Self::Loss10Jitter20,
        Self::Loss10Bursty,
        Self::Loss30Bursty,
        Self::RouteStep80,
        Self::HandoverOutage400,
        Self::Outage1s,
        Self::DriftPlus200Ppm,
        Self::DriftMinus200Ppm,
    ];

    /// The name used for files, e.g. `wifi_stalls`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Lan => "lan",
            Self::JitterMild => "jitter_mild",
            Self::JitterUniform20 => "jitter_uniform_20",
            Self::BadPatch5s => "bad_patch_5s",
            Self::WifiStalls => "wifi_stalls",
            Self::MobileStalls => "mobile_stalls",
            Self::Loss5 => "loss_5",
            Self::Loss10 => "loss_10",
            Self::Loss20 => "loss_20",
            Self::Loss10Jitter20 => "loss_10_jitter_20",
            Self::Loss10Bursty => "loss_10_bursty",
            Self::Loss30Bursty => "loss_30_bursty",
            Self::RouteStep80 => "route_step_80",
            Self::HandoverOutage400 => "handover_outage_400",
            Self::Outage1s => "outage_1s",
            Self::DriftPlus200Ppm => "drift_plus_200ppm",
            Self::DriftMinus200Ppm => "drift_minus_200ppm",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// A trace of this kind; equal seeds give equal traces.
    pub fn generate(self, seed: u64) -> Trace {
        let mut dice = Dice { seed, stream: 1000 * self as u64 };
        let (delay_ms, lost) = self.fates(&mut dice);
        into_trace(&delay_ms, &lost)
    }

    /// Delay in milliseconds and loss of every packet.
    fn fates(self, dice: &mut Dice) -> (Vec<f64>, Vec<bool>) {
        let during =
            |from: f64, to: f64, ms: f64| move |sent: f64| if sent >= from && sent < to { ms } else { 0.0 };
        let whole = |delay: Vec<f64>| (delay, vec![false; PACKETS]);
        match self {
            Self::Clean => whole(vec![0.0; PACKETS]),
            Self::Lan => whole(dice.exponential(0.3, 3.0)),
            Self::JitterMild => whole(dice.exponential(4.0, 30.0)),
            Self::JitterUniform20 => whole(dice.uniform(20.0)),
            Self::BadPatch5s => {
                let patch = dice.uniform(80.0).into_iter().zip(shape(during(15e3, 20e3, 1.0)));
                let patch: Vec<f64> = patch.map(|(delay, inside)| delay * inside).collect();
                whole(sum(dice.exponential(1.0, 8.0), patch))
            }
            Self::WifiStalls => {
                let base = dice.exponential(3.0, 15.0);
                (dice.stalls(base, 2500.0, 60.0, 200.0), dice.bursts(0.05, 3.0))
            }
            Self::MobileStalls => {
                let base = dice.gamma(2.0, 6.0);
                (dice.stalls(base, 9000.0, 60.0, 300.0), dice.random_loss(0.01))
            }
            Self::Loss5 => (vec![0.0; PACKETS], dice.random_loss(0.05)),
            Self::Loss10 => (vec![0.0; PACKETS], dice.random_loss(0.10)),
            Self::Loss20 => (vec![0.0; PACKETS], dice.random_loss(0.20)),
            Self::Loss10Jitter20 => (dice.uniform(20.0), dice.random_loss(0.10)),
            Self::Loss10Bursty => (dice.exponential(2.0, 10.0), dice.bursts(0.10, 4.0)),
            Self::Loss30Bursty => (vec![0.0; PACKETS], dice.bursts(0.30, 4.0)),
            Self::RouteStep80 => {
                let path = shape(|sent| 20.0 + during(20e3, 40e3, 80.0)(sent));
                whole(sum(dice.exponential(2.0, 10.0), path))
            }
            Self::HandoverOutage400 => {
                let path = shape(|sent| 60.0 + during(20e3, 40e3, 100.0)(sent));
                (sum(dice.exponential(5.0, 30.0), path), outage(20_000.0, 400.0))
            }
            Self::Outage1s => (dice.exponential(2.0, 10.0), outage(25_000.0, 1000.0)),
            Self::DriftPlus200Ppm => whole(shape(|sent| sent * 200e-6)),
            Self::DriftMinus200Ppm => whole(shape(|sent| 12.0 - sent * 200e-6)),
        }
    }
}

/// Draws one series after another, each from its own random stream.
#[derive(Debug)]
struct Dice {
    seed: u64,
    stream: u64,
}

impl Dice {
    fn next_stream(&mut self) -> Rng {
        self.stream += 1;
        Rng::stream(self.seed, self.stream)
    }

    fn series(&mut self, mut draw: impl FnMut(&mut Rng) -> f64) -> Vec<f64> {
        let mut rng = self.next_stream();
        (0..PACKETS).map(|_| draw(&mut rng)).collect()
    }

    fn exponential(&mut self, mean: f64, cap: f64) -> Vec<f64> {
        self.series(|rng| rng.exponential(mean).min(cap))
    }

    fn uniform(&mut self, max: f64) -> Vec<f64> {
        self.series(|rng| rng.range(0.0, max))
    }

    fn gamma(&mut self, shape: f64, scale: f64) -> Vec<f64> {
        self.series(|rng| rng.gamma(shape, scale))
    }

    fn random_loss(&mut self, probability: f64) -> Vec<bool> {
        loss_pattern(Loss::Random { probability }, self.next_stream(), PACKETS)
    }

    fn bursts(&mut self, loss: f64, mean_burst: f64) -> Vec<bool> {
        loss_pattern(Loss::GilbertElliott { loss, mean_burst }, self.next_stream(), PACKETS)
    }

    /// `base` with link stalls: what is sent during a stall arrives at its end.
    fn stalls(&mut self, base: Vec<f64>, mean_gap: f64, shortest: f64, longest: f64) -> Vec<f64> {
        let mut rng = self.next_stream();
        let mut delay = base;
        let mut start = 1000.0;
        while start < 59_000.0 {
            let end = start + rng.range(shortest, longest);
            for (k, delay) in delay.iter_mut().enumerate() {
                let sent = send_ms(k);
                if sent >= start && sent < end {
                    *delay = delay.max(end - sent);
                }
            }
            start += rng.exponential(mean_gap) + 300.0;
        }
        delay
    }
}

fn send_ms(k: usize) -> f64 {
    k as f64 * INTERVAL_MS
}

fn shape(delay_at: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..PACKETS).map(|k| delay_at(send_ms(k))).collect()
}

fn sum(a: Vec<f64>, b: Vec<f64>) -> Vec<f64> {
    a.into_iter().zip(b).map(|(a, b)| a + b).collect()
}

fn outage(start: f64, length: f64) -> Vec<bool> {
    (0..PACKETS).map(|k| send_ms(k) >= start && send_ms(k) < start + length).collect()
}

/// First in, first out: nothing arrives before what was sent earlier.
fn into_trace(delay_ms: &[f64], lost: &[bool]) -> Trace {
    let mut latest = Duration::ZERO;
    let packets = delay_ms.iter().zip(lost).enumerate().map(|(k, (delay, lost))| {
        let arrival = Duration::from_micros(((send_ms(k) + delay) * 1e3).round() as u64);
        let arrived = (!lost).then(|| {
            latest = latest.max(arrival);
            latest
        });
        TracePacket { sent: Duration::from_micros((send_ms(k) * 1e3) as u64), arrived }
    });
    Trace { packets: packets.collect() }
}
