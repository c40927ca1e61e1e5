//! What a run shows, in numbers.

use std::time::Duration;

use offhook_media_core::codec::DredDetail;
use offhook_media_core::quality::Heard;
use offhook_media_core::recv::ReceiveStats;
use serde::Serialize;

use super::receiver::BLOCK;
use super::run::Run;
use super::timeline::{SoundKind, Step, Tick};
use crate::SAMPLE_RATE;

/// Bytes around every payload: IPv4 20, UDP 8, RTP 12, SRTP's authentication 10, header extensions 8.
pub const HEADER_BYTES: u64 = 58;
/// Speech is where half a second holds at most so much less energy than all of it: 12 dB.
const ACTIVE: f64 = 0.063;
/// Half of what is looked at to tell whether somebody speaks: 200 ms, in samples.
const AROUND: usize = 9600;

/// The figures of a run. What was not measured is `None`. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Length of the speech, in seconds; `None` in a replay.
    pub spoken_s: Option<f64>,
    /// Length of what was heard, in seconds.
    pub heard_s: f64,
    /// Spoken to heard, while somebody speaks and sound goes on: what can be read off the two files. In a replay over that of the fastest
    /// packet, the codec's look-ahead not counted, whether somebody speaks or not.
    pub delay_ms: Option<Delay>,
    /// Of it: sound per packet, as a mean over all packets.
    pub packet_ms: Option<f64>,
    /// Of it: how far the codec looks ahead.
    pub lookahead_ms: Option<f64>,
    /// Of it: sending to arrival, mean over the packets that came; in a replay over that of the fastest.
    pub network_ms: Option<f64>,
    /// Of it: arrival to playout, mean over the packets that were played.
    pub buffer_ms: Option<f64>,
    /// What was heard, by how it came about.
    pub time_ms: SoundByKind,
    /// Packets sent, as far as is known.
    pub packets_sent: u64,
    /// Packets the network lost.
    pub packets_lost: u64,
    /// Packets that came after all of their sound was due.
    pub packets_late: u64,
    /// Packets whose sound was played.
    pub packets_played: u64,
    /// Gaps of 150 ms and more.
    pub interruptions: u64,
    /// Rate of the payload, bits per second of speech; in a replay of what came.
    pub payload_bps: f64,
    /// Rate with the headers of RTP, SRTP, UDP and IPv4.
    pub wire_bps: f64,
    /// What the payload was spent on; `None` in a replay.
    pub spent_bps: Option<Spent>,
    /// How packets were made, every time that changed.
    pub ladder: Vec<LadderStep>,
    /// Drift of the sender's clock as the receiver knows it at the end, parts per million.
    pub drift_ppm: Option<f64>,
    /// R factor on the fullband scale (0 to 148), with the delay above as mouth to ear; `None` in a replay, whose delay is not known.
    pub r_factor: Option<f64>,
    /// Mean opinion score, 1 to 4.5.
    pub mos: Option<f64>,
    /// Processor time of the run, in seconds; the caller's to fill.
    pub cpu_s: Option<f64>,
}

/// Rates in bits per second that add up to the payload's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spent {
    /// The sound itself; with in-band copies, those are in it: the codec does not tell them apart.
    pub sound: f64,
    /// Exact copies of earlier payloads (RFC 2198) with their headers.
    pub red: f64,
    /// Deep redundancy.
    pub dred: f64,
}

/// How packets are made from a moment on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LadderStep {
    /// Seconds since the first sample was captured.
    pub at_s: f64,
    /// Rate of the sound itself.
    pub bitrate_bps: u32,
    /// Sound per packet.
    pub packet_ms: f64,
    /// Loss in percent that the in-band copy is made for; 0: there is none.
    pub in_band_loss_percent: u8,
    /// How many packets back the copied ones lie.
    pub red_distances: Vec<u8>,
    /// Every so many packets one carries deep redundancy; 0: none does.
    pub dred_interval: u8,
    /// Whether that is as fine as the codec makes it, as after an outage.
    pub dred_fine: bool,
}

impl LadderStep {
    fn of(step: &Step) -> Self {
        let rung = &step.rung;
        Self {
            at_s: step.at as f64 / 1e6,
            bitrate_bps: rung.bitrate.0,
            packet_ms: rung.packet_time.duration().as_secs_f64() * 1e3,
            in_band_loss_percent: rung.in_band_loss,
            red_distances: rung.copies.into_iter().filter(|distance| *distance > 0).collect(),
            dred_interval: rung.dred_interval,
            dred_fine: rung.dred_detail == DredDetail::Fine,
        }
    }
}

/// Delay in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// What was heard by how it came about, in milliseconds: see [`SoundKind`](super::SoundKind).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the kinds are documented where they are counted")]
pub struct SoundByKind {
    pub decoded: f64,
    pub red: f64,
    pub fec: f64,
    pub dred: f64,
    pub concealed: f64,
    /// Of it while somebody spoke.
    pub concealed_speech: f64,
    pub comfort_noise: f64,
    pub lead_in: f64,
    pub accelerated: f64,
    pub expanded: f64,
    pub skipped: f64,
}

impl Outcome {
    /// The figures of `run`, which played `speech` (mono, 48 kHz), or of a replay.
    pub fn of(run: &Run, speech: Option<&[f32]>) -> Self {
        let received = &run.received;
        let bytes: u64 = run.packets.iter().map(|packet| u64::from(packet.bytes)).sum();
        let sent = run.packets.len() as u64;
        let sent_s =
            run.packets.iter().map(|packet| f64::from(packet.samples)).sum::<f64>() / f64::from(SAMPLE_RATE);
        let rate = |bytes: u64| if sent_s > 0.0 { bytes as f64 * 8.0 / sent_s } else { 0.0 };
        let arrived =
            run.packets.iter().filter_map(|packet| Some((packet.arrival? - packet.left) as f64 / 1e3));
        let delay_ms = Delay::of(run, speech);
        let latency = delay_ms.filter(|_| speech.is_some());
        let latency = latency.map(|delay| Duration::from_secs_f64(delay.mean.max(0.0) / 1e3));
        let score = Heard { before: &ReceiveStats::default(), after: received }.score(latency);
        Self {
            spoken_s: speech.map(|speech| speech.len() as f64 / f64::from(SAMPLE_RATE)),
            heard_s: run.heard.len() as f64 / f64::from(SAMPLE_RATE),
            delay_ms,
            packet_ms: mean(run.packets.iter().map(|packet| f64::from(packet.samples) / 48.0)),
            lookahead_ms: run.lookahead.map(|lookahead| lookahead.as_secs_f64() * 1e3),
            network_ms: mean(arrived),
            buffer_ms: received.mean_playout_delay.map(|delay| delay.as_secs_f64() * 1e3),
            time_ms: SoundByKind::of(run),
            packets_sent: sent,
            packets_lost: run.packets.iter().filter(|packet| packet.arrival.is_none()).count() as u64,
            packets_late: received.packets_late,
            packets_played: received.packets_played,
            interruptions: received.interruptions,
            payload_bps: rate(bytes),
            wire_bps: rate(bytes + HEADER_BYTES * sent),
            spent_bps: run.sent.map(|sent| Spent {
                sound: rate(bytes.saturating_sub(sent.red_bytes + sent.dred_bytes)),
                red: rate(sent.red_bytes),
                dred: rate(sent.dred_bytes),
            }),
            ladder: run.ladder.iter().map(LadderStep::of).collect(),
            drift_ppm: received.drift.map(|drift| drift.0),
            r_factor: score.map(|score| score.r_factor),
            mos: score.map(|score| score.mos),
            cpu_s: None,
        }
    }
}

impl SoundByKind {
    fn of(run: &Run) -> Self {
        let milliseconds = |kind| samples_of(run, kind) as f64 / 48.0;
        Self {
            decoded: milliseconds(SoundKind::Decoded),
            red: milliseconds(SoundKind::Red),
            fec: milliseconds(SoundKind::Fec),
            dred: milliseconds(SoundKind::Dred),
            concealed: milliseconds(SoundKind::Concealed),
            concealed_speech: run.received.concealed_speech as f64 / 48.0,
            comfort_noise: milliseconds(SoundKind::ComfortNoise),
            lead_in: milliseconds(SoundKind::LeadIn),
            accelerated: milliseconds(SoundKind::Accelerated),
            expanded: milliseconds(SoundKind::Expanded),
            skipped: milliseconds(SoundKind::Skipped),
        }
    }
}

fn samples_of(run: &Run, kind: SoundKind) -> u64 {
    run.ticks.iter().map(|tick| u64::from(tick.samples(kind))).sum()
}

impl Delay {
    fn of(run: &Run, speech: Option<&[f32]>) -> Option<Self> {
        let activity = speech.map(Activity::of);
        let mut delays: Vec<f64> = heard_ticks(run)
            .filter(|(position, _)| activity.as_ref().is_none_or(|activity| activity.at(*position)))
            .filter_map(|(_, tick)| tick.delay_ms())
            .collect();
        let mean = mean(delays.iter().copied())?;
        delays.sort_by(f64::total_cmp);
        let percentile = |share: f64| delays[((share * delays.len() as f64).ceil() as usize).max(1) - 1];
        Some(Self { mean, p50: percentile(0.5), p95: percentile(0.95) })
    }
}

/// The pulls in which sound went on, with the captured sample that was reached.
fn heard_ticks(run: &Run) -> impl Iterator<Item = (usize, &Tick)> {
    run.ticks.windows(2).filter_map(|pair| {
        let (before, position) = (pair[0].position?, pair[1].position?);
        let position = (position > before).then(|| usize::try_from(position).ok())??;
        Some((position, &pair[1]))
    })
}

/// Where somebody speaks.
struct Activity {
    /// Energy of the first n blocks.
    energy: Vec<f64>,
    least: f64,
}

impl Activity {
    fn of(speech: &[f32]) -> Self {
        let mut energy = vec![0.0];
        let mut sum = 0.0;
        for block in speech.chunks(BLOCK) {
            sum += block.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
            energy.push(sum);
        }
        Self { energy, least: (ACTIVE * sum / speech.len().max(1) as f64).max(1e-9) }
    }

    fn at(&self, sample: usize) -> bool {
        let last = self.energy.len() - 1;
        if sample / BLOCK >= last {
            return false;
        }
        let (from, to) = (sample.saturating_sub(AROUND) / BLOCK, ((sample + AROUND) / BLOCK).min(last));
        self.energy[to] - self.energy[from] > self.least * ((to - from) * BLOCK) as f64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}
