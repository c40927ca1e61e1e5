//! One run: capture, send, network, receive, playout, five milliseconds at a time.

use std::time::Duration;

use offhook_media_core::codec::{EncoderConfig, OpusEncoder, OpusError, opus_toc};
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceiveError, ReceivePipeline, ReceiveStats};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{OutgoingPacket, SendConfig, SendError, SendPipeline, SendStats};
use offhook_media_core::units::{BitsPerSecond, MediaTime, PacketTime};
use thiserror::Error;

use super::fates::{Fates, micros_of};
use crate::clock::EventQueue;
use crate::rng::Rng;
use crate::trace::Trace;

/// What is captured and pulled at once: 5 ms, in samples.
pub(super) const BLOCK: usize = 240;
/// The same in microseconds.
pub(super) const BLOCK_MICROS: i64 = 5000;
/// After the speech and the trace's longest delay, so long is waited for its end: 2 s, in microseconds.
const PATIENCE: i64 = 2_000_000;
const OPUS: u8 = 111;

/// What a run is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandConfig {
    /// Sound per packet.
    pub packet_time: PacketTime,
    /// Payload rate of the encoder.
    pub bitrate: BitsPerSecond,
    /// What is sent against loss.
    pub redundancy: Redundancy,
    /// Gives the numbers that are random in a call: source, first sequence number and timestamp.
    pub seed: u64,
}

impl Default for StandConfig {
    /// 20 ms packets at 32 kb/s, redundancy as the sender chooses.
    fn default() -> Self {
        Self {
            packet_time: PacketTime::Ms20,
            bitrate: BitsPerSecond(32_000),
            redundancy: Redundancy::Auto,
            seed: 1,
        }
    }
}

/// What is sent against loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redundancy {
    /// As the sender chooses.
    Auto,
    /// Nothing.
    None,
    /// Opus' in-band copy of the frame before.
    Fec,
}

/// Why a run could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StandError {
    /// There is no sample to speak.
    #[error("there is nothing to say: the speech has no samples")]
    NothingSpoken,
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
    /// What was heard, mono at 48 kHz. Sample 0 is the instant at which sample 0 of the speech was captured.
    pub heard: Vec<f32>,
    /// Every packet, in the order of sending.
    pub packets: Vec<SentPacket>,
    /// Every pull, in order.
    pub ticks: Vec<Tick>,
    /// Counters of the sender.
    pub sent: SendStats,
    /// Counters of the receiver.
    pub received: ReceiveStats,
    /// By how much the codec looks ahead.
    pub lookahead: Duration,
    /// Samples that were spoken.
    pub spoken: usize,
}

/// A packet on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentPacket {
    /// First sample of its sound, counted from the beginning of the speech.
    pub start: u64,
    /// Samples of sound.
    pub samples: u32,
    /// When it left, microseconds on the sender's clock.
    pub left: i64,
    /// When it arrived, microseconds on the receiver's clock; `None` when lost.
    pub arrival: Option<i64>,
    /// Bytes of RTP payload.
    pub bytes: u16,
}

/// One pull of 5 ms. Sounds are samples that were added to what is played since the pull before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// When its first sample is heard, microseconds on the receiver's clock.
    pub at: i64,
    /// Which captured sample is heard right after it; `None` while nothing is played.
    pub position: Option<i64>,
    /// Wanted delay over that of the fastest packets.
    pub target: Option<Duration>,
    /// Decoded from their own packet.
    pub decoded: u32,
    /// Restored from in-band copies.
    pub fec: u32,
    /// Made up.
    pub concealed: u32,
    /// Silence.
    pub silence: u32,
    /// Taken out to catch up.
    pub accelerated: u32,
    /// Put in to fall back.
    pub expanded: u32,
    /// Jumped over or dropped.
    pub skipped: u32,
}

impl Tick {
    /// Spoken to heard at the end of this pull, in microseconds.
    pub fn delay(&self) -> Option<f64> {
        Some((self.at + BLOCK_MICROS) as f64 - self.position? as f64 * 125.0 / 6.0)
    }
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
    let fates = Fates::new(trace);
    let ahead = fates.earliest();
    let spoken_micros = micros_of(speech.len() as u64);
    let last = spoken_micros + fates.longest() + PATIENCE;
    let mut sender = Sender::new(config, fates)?;
    let mut receiver = Receiver::new(&sender)?;
    let mut now = 0;
    loop {
        sender.capture_until(now + ahead, speech);
        receiver.pull(now, &mut sender.on_the_way);
        now += BLOCK_MICROS;
        let heard_all = receiver.position().is_some_and(|position| position >= speech.len() as i64);
        if now >= last || (heard_all && now >= spoken_micros) {
            break;
        }
    }
    Ok(Run {
        heard: receiver.heard,
        packets: sender.packets,
        ticks: receiver.ticks,
        sent: sender.pipeline.stats(),
        received: receiver.pipeline.stats(),
        lookahead: sender.lookahead,
        spoken: speech.len(),
    })
}

/// A packet between the two.
#[derive(Debug)]
struct OnTheWay {
    arrival: i64,
    sequence: u16,
    packet: Box<OutgoingPacket>,
}

/// Microphone, send path and the network behind it.
#[derive(Debug)]
struct Sender {
    pipeline: SendPipeline,
    lookahead: Duration,
    lookahead_samples: i64,
    fates: Fates,
    ssrc: u32,
    first_timestamp: u32,
    next_sequence: u16,
    /// Samples captured so far.
    captured: u64,
    packets: Vec<SentPacket>,
    on_the_way: EventQueue<OnTheWay>,
}

impl Sender {
    fn new(config: &StandConfig, fates: Fates) -> Result<Self, StandError> {
        let mut random = Rng::stream(config.seed, 1);
        let first_timestamp = random.next_u64() as u32;
        let encoder = EncoderConfig {
            bitrate: config.bitrate,
            in_band_fec: config.redundancy != Redundancy::None,
            ..EncoderConfig::default()
        };
        let send = SendConfig {
            packet_time: config.packet_time,
            encoder,
            opus_payload_type: OPUS,
            initial_timestamp: first_timestamp,
            ..SendConfig::default()
        };
        let lookahead = OpusEncoder::new(&encoder)?.lookahead();
        Ok(Self {
            pipeline: SendPipeline::new(&send)?,
            lookahead: lookahead.duration(),
            lookahead_samples: lookahead.0 as i64,
            fates,
            ssrc: random.next_u64() as u32,
            first_timestamp,
            next_sequence: random.next_u64() as u16,
            captured: 0,
            packets: Vec::new(),
            on_the_way: EventQueue::new(),
        })
    }

    /// Captures every block that is over at `now`; after the speech there is silence.
    fn capture_until(&mut self, now: i64, speech: &[f32]) {
        loop {
            let left = micros_of(self.captured + BLOCK as u64);
            if left > now {
                return;
            }
            let mut block = [0.0; BLOCK];
            let rest = speech.get(self.captured as usize..).unwrap_or_default();
            let count = rest.len().min(BLOCK);
            block[..count].copy_from_slice(&rest[..count]);
            self.captured += BLOCK as u64;
            self.send(&block, left);
        }
    }

    fn send(&mut self, block: &[f32], left: i64) {
        let mut cx = RtContext::new(MediaTime::from_micros(left));
        let mut emitted: Vec<Box<OutgoingPacket>> = Vec::new();
        self.pipeline.push(&mut cx, block, &mut |packet| emitted.push(Box::new(*packet)));
        for packet in emitted {
            let start = u64::from(packet.timestamp.wrapping_sub(self.first_timestamp));
            let samples = opus_toc::samples(packet.payload()).unwrap_or(0) as u32;
            let arrival = self.fates.arrival(start, u64::from(samples), left);
            self.packets.push(SentPacket {
                start,
                samples,
                left,
                arrival,
                bytes: packet.payload().len() as u16,
            });
            let sequence = self.next_sequence;
            self.next_sequence = sequence.wrapping_add(1);
            if let Some(arrival) = arrival {
                let due = Duration::from_micros(u64::try_from(arrival).unwrap_or(0));
                self.on_the_way.schedule(due, OnTheWay { arrival, sequence, packet });
            }
        }
    }
}

/// Receive path and loudspeaker.
#[derive(Debug)]
struct Receiver {
    pipeline: ReceivePipeline,
    ssrc: u32,
    first_timestamp: u32,
    lookahead: i64,
    heard: Vec<f32>,
    ticks: Vec<Tick>,
    before: ReceiveStats,
}

impl Receiver {
    fn new(sender: &Sender) -> Result<Self, StandError> {
        let config = ReceiveConfig { opus_payload_type: OPUS, ..ReceiveConfig::default() };
        Ok(Self {
            pipeline: ReceivePipeline::new(&config)?,
            ssrc: sender.ssrc,
            first_timestamp: sender.first_timestamp,
            lookahead: sender.lookahead_samples,
            heard: Vec::new(),
            ticks: Vec::new(),
            before: ReceiveStats::default(),
        })
    }

    /// Takes what has come by `now`, then plays 5 ms.
    fn pull(&mut self, now: i64, on_the_way: &mut EventQueue<OnTheWay>) {
        let mut cx = RtContext::new(MediaTime::from_micros(now));
        while let Some(arrived) = on_the_way.pop_due(Duration::from_micros(now.unsigned_abs())) {
            let packet = &arrived.packet;
            let incoming = IncomingPacket {
                arrival: MediaTime::from_micros(arrived.arrival),
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: self.ssrc,
                sequence: arrived.sequence,
                timestamp: packet.timestamp,
                payload: packet.payload(),
            };
            self.pipeline.insert(&mut cx, &incoming);
        }
        let start = self.heard.len();
        self.heard.resize(start + BLOCK, 0.0);
        self.pipeline.pull(&mut cx, &mut self.heard[start..]);
        self.note(now);
    }

    /// The captured sample that is heard next.
    fn position(&self) -> Option<i64> {
        let played = self.pipeline.position()?.wrapping_sub(self.first_timestamp) as i32;
        Some(i64::from(played) - self.lookahead)
    }

    fn note(&mut self, at: i64) {
        let stats = self.pipeline.stats();
        let before = std::mem::replace(&mut self.before, stats);
        let since = |count: fn(&ReceiveStats) -> u64| count(&stats).saturating_sub(count(&before)) as u32;
        self.ticks.push(Tick {
            at,
            position: self.position(),
            target: stats.target_delay,
            decoded: since(|stats| stats.decoded),
            fec: since(|stats| stats.fec),
            concealed: since(|stats| stats.concealed),
            silence: since(|stats| stats.silence),
            accelerated: since(|stats| stats.accelerated),
            expanded: since(|stats| stats.expanded),
            skipped: since(|stats| stats.skipped + stats.dropped),
        });
    }
}
