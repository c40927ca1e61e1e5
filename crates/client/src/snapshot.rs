//! How a call stands, second by second.

use std::time::{Duration, Instant};

use offhook_media::StreamStats;
use offhook_media_core::jitter::ReceiveStats;
use offhook_media_core::quality::{DelayDistribution, DelayPercentiles, Heard, Score};
use offhook_media_core::recording::Second;
use offhook_media_core::units::{Dbov, MediaTime, SampleCount};
use offhook_transport::PathEnd;

use crate::stats::{CallReport, DriverStats, latency};

/// "The last seconds" of a judgement.
const RECENT: usize = 10;

/// What a call measures of itself, for who [asks](crate::Call::measures).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallMeasure {
    /// How it stands; once a second while it is established.
    Second(Box<CallSnapshot>),
    /// How it was; once, when it is over, before the end of the stream.
    Report(Box<CallReport>),
}

/// One second of a call. What was not measured is `None`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CallSnapshot {
    /// Since media was connected.
    pub elapsed: Duration,
    /// This end and the far end of the path in use, with their kinds and how a relay of ours is spoken to.
    pub path: Option<(PathEnd, PathEnd)>,
    /// Round trip, newest.
    pub round_trip: Option<Duration>,
    /// Interarrival jitter (RFC 3550).
    pub jitter: Option<Duration>,
    /// Share of this second's packets that was lost, 0 to 1.
    pub loss: Option<f64>,
    /// Share of our packets that the far end lost lately, 0 to 1.
    pub remote_loss: Option<f64>,
    /// From arrival to playout, mean of this second.
    pub playout_delay: Option<Duration>,
    /// Wanted playout delay over that of the fastest packets.
    pub target_delay: Option<Duration>,
    /// The far end's mouth to this ear in this second, without what the sound devices add.
    pub latency: Option<Duration>,
    /// How much faster the far end's clock runs, in parts per million.
    pub drift_ppm: Option<f64>,
    /// What was heard in this second, by how it came about.
    pub heard: TimeByKind,
    /// What was sent in this second.
    pub sent: SentRates,
    /// Payload that was received, in bits per second.
    pub received_bps: f64,
    /// Loudness of this end, in dB of full scale (0 is the loudest); `None` while muted or on hold.
    pub outbound_level_db: Option<f64>,
    /// Loudness of the far end; `None` while on hold.
    pub inbound_level_db: Option<f64>,
    /// E-model of the last ten seconds.
    pub recent_quality: Option<Score>,
    /// E-model of the call so far.
    pub quality: Option<Score>,
}

/// Sound of one second by how it came about. `decoded` to `silence` is what was heard, the rest is what was changed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TimeByKind {
    /// Decoded from its own packet.
    pub decoded: Duration,
    /// Decoded from an exact copy in a later packet (RFC 2198).
    pub red: Duration,
    /// Restored from the coarse copy in the packet that followed.
    pub fec: Duration,
    /// Restored from deep redundancy.
    pub dred: Duration,
    /// Made up.
    pub concealed: Duration,
    /// Silence: before the first packet and in pauses.
    pub silence: Duration,
    /// Taken out to catch up.
    pub accelerated: Duration,
    /// Put in to fall back.
    pub expanded: Duration,
    /// Never heard: jumped over, or dropped after decoding.
    pub skipped: Duration,
}

/// Bits per second of payload, and what they are spent on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct SentRates {
    /// All of it.
    pub payload_bps: f64,
    /// Of it copies of earlier packets.
    pub red_bps: f64,
    /// Of it deep redundancy.
    pub dred_bps: f64,
    /// Packets per second.
    pub packets: f64,
}

/// What a look at a call sees.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    pub(crate) driver: DriverStats,
    pub(crate) stream: StreamStats,
    /// Share lost since the look before.
    pub(crate) loss: Option<f64>,
    /// Whether this end's sound is sent, and the far end's expected.
    pub(crate) speaks: bool,
    pub(crate) listens: bool,
}

/// Compares looks a second apart.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    before: Option<Look>,
    /// Receive counters of the last seconds, oldest first.
    recent: [Option<ReceiveStats>; RECENT],
    delays: DelayDistribution,
    played: u64,
}

impl Meter {
    /// Notes the delay of the last packet, when it is another than the last time.
    pub(crate) fn note_delay(&mut self, driver: &DriverStats, receive: &ReceiveStats) {
        let is_news = receive.packets_played != std::mem::replace(&mut self.played, receive.packets_played);
        if is_news && let Some(latency) = latency(driver, receive.playout_delay) {
            self.delays.add(latency);
        }
    }

    pub(crate) fn latency_percentiles(&self) -> Option<DelayPercentiles> {
        self.delays.percentiles()
    }

    /// The snapshot of the time since the look before; of the first look there is none.
    pub(crate) fn second(&mut self, look: Look) -> Option<CallSnapshot> {
        let receive = look.stream.receive;
        let oldest = self.recent.iter().flatten().next().copied().unwrap_or_default();
        self.recent.rotate_left(1);
        self.recent[RECENT - 1] = Some(receive);
        let before = self.before.replace(look.clone())?;
        let judge = |heard: &Heard<'_>| heard.score(latency(&look.driver, heard.playout_delay()));
        let heard = Heard { before: &before.stream.receive, after: &receive };
        let transport = &look.driver.transport;
        let elapsed = look.at.saturating_duration_since(before.at).as_secs_f64().max(1e-3);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed;
        let (send, sent) = (&look.stream.send, &before.stream.send);
        let received = before.driver.transport.received.payload_bytes;
        Some(CallSnapshot {
            elapsed: look.driver.connected.map_or(Duration::ZERO, |at| look.at.saturating_duration_since(at)),
            path: transport.path,
            round_trip: transport.rtt.or(transport.ice_rtt),
            jitter: transport.jitter,
            loss: look.loss,
            remote_loss: transport.remote_loss,
            playout_delay: heard.playout_delay(),
            target_delay: receive.target_delay,
            latency: latency(&look.driver, heard.playout_delay()),
            drift_ppm: receive.drift.map(|drift| drift.0),
            heard: TimeByKind::between(&heard),
            sent: SentRates {
                payload_bps: 8.0 * rate(send.payload_bytes, sent.payload_bytes),
                red_bps: 8.0 * rate(send.red_bytes, sent.red_bytes),
                dred_bps: 8.0 * rate(send.dred_bytes, sent.dred_bytes),
                packets: rate(send.packets, sent.packets),
            },
            received_bps: 8.0 * rate(transport.received.payload_bytes, received),
            outbound_level_db: look.speaks.then(|| decibels(send.level.level)),
            inbound_level_db: look.listens.then(|| decibels(receive.level)),
            recent_quality: judge(&Heard { before: &oldest, after: &receive }),
            quality: judge(&Heard { before: &ReceiveStats::default(), after: &receive }),
        })
    }
}

impl TimeByKind {
    pub(crate) fn between(heard: &Heard<'_>) -> Self {
        let since = |of: fn(&ReceiveStats) -> u64| {
            let samples = of(heard.after).saturating_sub(of(heard.before));
            SampleCount(usize::try_from(samples).unwrap_or(usize::MAX / 200)).duration()
        };
        Self {
            decoded: since(|stats| stats.decoded),
            red: since(|stats| stats.red),
            fec: since(|stats| stats.fec),
            dred: since(|stats| stats.dred),
            concealed: since(|stats| stats.concealed),
            silence: since(|stats| stats.silence),
            accelerated: since(|stats| stats.accelerated),
            expanded: since(|stats| stats.expanded),
            skipped: since(|stats| stats.skipped + stats.dropped),
        }
    }
}

impl CallSnapshot {
    /// As the flight recorder keeps it.
    pub(crate) fn recorded(&self, at: MediaTime) -> Second {
        let ms = |time: Duration| Some((time.as_secs_f64() * 1e3) as f32);
        let number = |value: Option<f64>| value.map(|value| value as f32);
        Second {
            at,
            round_trip_ms: self.round_trip.and_then(ms),
            jitter_ms: self.jitter.and_then(ms),
            loss: number(self.loss),
            playout_delay_ms: self.playout_delay.and_then(ms),
            target_delay_ms: self.target_delay.and_then(ms),
            drift_ppm: number(self.drift_ppm),
            r_factor: number(self.recent_quality.map(|quality| quality.r_factor)),
            outbound_level_db: number(self.outbound_level_db),
            inbound_level_db: number(self.inbound_level_db),
            sent_bps: number(Some(self.sent.payload_bps)),
            sent_red_bps: number(Some(self.sent.red_bps)),
            sent_dred_bps: number(Some(self.sent.dred_bps)),
            received_bps: number(Some(self.received_bps)),
            decoded_ms: ms(self.heard.decoded),
            red_ms: ms(self.heard.red),
            fec_ms: ms(self.heard.fec),
            dred_ms: ms(self.heard.dred),
            concealed_ms: ms(self.heard.concealed),
            silence_ms: ms(self.heard.silence),
            stretched_ms: ms(self.heard.accelerated + self.heard.expanded),
            skipped_ms: ms(self.heard.skipped),
        }
    }
}

/// Of full scale; silence is 127 below it.
fn decibels(level: Dbov) -> f64 {
    -f64::from(level.get())
}
