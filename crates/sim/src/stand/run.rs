//! One run: capture, send, network, receive, playout, five milliseconds at a time.

use std::time::Duration;

use offhook_media_core::codec::OpusError;
use offhook_media_core::recv::{ReceiveConfig, ReceiveError, ReceiveStats};
use offhook_media_core::send::{Redundancy, SendError, SendStats};
use offhook_media_core::units::{BitsPerSecond, PacketTime, SampleCount};
use thiserror::Error;

use super::bottleneck::Bottleneck;
use super::fates::{Fates, LONGEST_DELAY, micros_of};
use super::receiver::{BLOCK_MICROS, Receiver};
use super::sender::Sender;
use super::timeline::{SentPacket, Step, Tick};
use crate::trace::Trace;

/// After the speech and the trace's longest delay, so long is waited for its end: 2 s, in microseconds.
const PATIENCE: i64 = 2_000_000;
/// Payload type of Opus, and of redundant audio (RFC 2198).
pub(super) const OPUS: u8 = 111;
pub(super) const RED: u8 = 63;

/// What a run is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StandConfig {
    /// Sound per packet.
    pub packet_time: PacketTime,
    /// Payload rate of the encoder.
    pub bitrate: BitsPerSecond,
    /// What is sent against loss.
    pub redundancy: Redundancy,
    /// So long after the receiver made a report the sender hears it.
    pub rtt: Duration,
    /// What one percent of concealed sound is worth to the receiver, in milliseconds of delay.
    pub price_per_percent: f32,
    /// A slow link before the trace.
    pub bottleneck: Option<Bottleneck>,
    /// Gives the numbers that are random in a call: source, first sequence number and timestamp.
    pub seed: u64,
}

impl Default for StandConfig {
    /// 20 ms packets at 32 kb/s, redundancy as the sender chooses by reports that take 100 ms, a receiver's usual price of delay.
    fn default() -> Self {
        Self {
            packet_time: PacketTime::Ms20,
            bitrate: BitsPerSecond(32_000),
            redundancy: Redundancy::Auto,
            rtt: Duration::from_millis(100),
            price_per_percent: ReceiveConfig::default().price_per_percent,
            bottleneck: None,
            seed: 1,
        }
    }
}

/// Why a run could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StandError {
    /// There is no sample to speak.
    #[error("there is nothing to say: the speech has no samples")]
    NothingSpoken,
    /// A packet of the trace arrives more than a minute after it was sent, or before: too far for a call. Correct it.
    #[error("packet {0} of the trace arrives more than 60 s after it was sent, or before")]
    Delay(usize),
    /// The send path refused its settings.
    #[error("the send path could not be made: {0}")]
    Send(#[from] SendError),
    /// The encoder refused its settings.
    #[error("the Opus encoder could not be made: {0}")]
    Encoder(#[from] OpusError),
    /// The receive path refused its settings.
    #[error("the receive path could not be made: {0}")]
    Receive(#[from] ReceiveError),
}

/// What happened in a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was heard, mono at 48 kHz. Sample 0 is the instant at which sample 0 of the speech was captured; in a replay, would have been
    /// if the fastest packet had taken no time.
    pub heard: Vec<f32>,
    /// Every packet, in the order of sending.
    pub packets: Vec<SentPacket>,
    /// Every pull, in order.
    pub ticks: Vec<Tick>,
    /// How packets were made, every time that changed.
    pub ladder: Vec<Step>,
    /// Counters of the sender; `None` in a replay.
    pub sent: Option<SendStats>,
    /// Counters of the receiver.
    pub received: ReceiveStats,
    /// By how much the codec looks ahead; `None` in a replay.
    pub lookahead: Option<Duration>,
}

/// Plays `speech` (mono, 48 kHz) through sender, network and receiver. The same input gives the same run.
///
/// What is heard is as long as the speech and what it takes to hear its end, at most the longest delay of the trace and 2 s more.
///
/// # Errors
/// [`StandError`].
pub fn run(trace: &Trace, speech: &[f32], config: &StandConfig) -> Result<Run, StandError> {
    if speech.is_empty() {
        return Err(StandError::NothingSpoken);
    }
    let fates = Fates::new(trace).map_err(StandError::Delay)?;
    let ahead = fates.earliest();
    let spoken = micros_of(speech.len() as u64);
    let queue = config.bottleneck.map_or(Duration::ZERO, |bottleneck| bottleneck.queue.min(LONGEST_DELAY));
    let last = spoken + fates.longest() + queue.as_micros() as i64 + PATIENCE;
    let mut sender = Sender::new(config, fates)?;
    let receive = ReceiveConfig {
        opus_payload_type: OPUS,
        red_payload_type: Some(RED),
        price_per_percent: config.price_per_percent,
        ..ReceiveConfig::default()
    };
    let mut receiver = Receiver::new(&receive, sender.timestamp_of_first_sample())?;
    let rtt = i64::try_from(config.rtt.as_micros()).unwrap_or(i64::MAX);
    let mut now = 0;
    loop {
        sender.capture_until(now + ahead, speech);
        let packets = &mut sender.packets;
        let taken = &mut |index: usize, taken| packets[index].taken = Some(taken);
        if let Some(report) = receiver.pull(now, &mut sender.on_the_way, taken) {
            sender.will_be_told(now.saturating_add(rtt), &report);
        }
        now += BLOCK_MICROS;
        let position = receiver.ticks.last().and_then(|tick| tick.position);
        let heard_all = position.is_some_and(|position| position >= speech.len() as i64);
        if now >= last || (heard_all && now >= spoken) {
            break;
        }
    }
    Ok(Run {
        heard: receiver.heard,
        packets: sender.packets,
        ticks: receiver.ticks,
        ladder: sender.ladder,
        sent: Some(sender.pipeline.stats()),
        received: receiver.pipeline.stats(),
        lookahead: Some(SampleCount(sender.lookahead as usize).duration()),
    })
}
