//! Microphone, send path and the network behind it.

use std::collections::VecDeque;
use std::time::Duration;

use offhook_media_core::codec::{EncoderConfig, OpusEncoder};
use offhook_media_core::feedback::{LENGTH, NetworkReport};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{OutgoingPacket, SendConfig, SendPipeline};
use offhook_media_core::units::MediaTime;

use super::bottleneck::Queue;
use super::fates::{Fates, micros_of};
use super::outcome::HEADER_BYTES;
use super::receiver::{BLOCK, OnTheWay};
use super::run::{OPUS, RED, StandConfig, StandError};
use super::timeline::{SentPacket, Step};
use crate::clock::EventQueue;
use crate::rng::Rng;

/// Speaks, encodes and sends.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) pipeline: SendPipeline,
    /// By how many samples the codec looks ahead.
    pub(super) lookahead: u32,
    bottleneck: Option<Queue>,
    fates: Fates,
    ssrc: u32,
    first_timestamp: u32,
    next_sequence: u16,
    /// Samples captured so far.
    captured: u64,
    pub(super) packets: Vec<SentPacket>,
    pub(super) ladder: Vec<Step>,
    pub(super) on_the_way: EventQueue<OnTheWay>,
    /// What the receiver told, with when it comes here, on the receiver's clock.
    reports: VecDeque<(i64, NetworkReport)>,
}

impl Sender {
    pub(super) fn new(config: &StandConfig, fates: Fates) -> Result<Self, StandError> {
        let mut random = Rng::stream(config.seed, 1);
        let first_timestamp = random.next_u64() as u32;
        let encoder = EncoderConfig { bitrate: config.bitrate, ..EncoderConfig::default() };
        let send = SendConfig {
            packet_time: config.packet_time,
            encoder,
            opus_payload_type: OPUS,
            red_payload_type: Some(RED),
            redundancy: config.redundancy,
            initial_timestamp: first_timestamp,
            ..SendConfig::default()
        };
        Ok(Self {
            pipeline: SendPipeline::new(&send)?,
            lookahead: OpusEncoder::new(&encoder)?.lookahead().0 as u32,
            bottleneck: config.bottleneck.map(Queue::new),
            fates,
            ssrc: random.next_u64() as u32,
            first_timestamp,
            next_sequence: random.next_u64() as u16,
            captured: 0,
            packets: Vec::new(),
            ladder: Vec::new(),
            on_the_way: EventQueue::new(),
            reports: VecDeque::new(),
        })
    }

    /// RTP timestamp at which captured sample 0 is heard: the codec's look-ahead makes it later.
    pub(super) const fn timestamp_of_first_sample(&self) -> u32 {
        self.first_timestamp.wrapping_add(self.lookahead)
    }

    /// Takes a report that comes at `due`, as what is left of it on the wire.
    pub(super) fn will_be_told(&mut self, due: i64, report: &NetworkReport) {
        let mut bytes = [0; LENGTH];
        let written = report.write(&mut bytes).ok();
        let read = written.and_then(|length| NetworkReport::parse(&bytes[..length]).ok());
        self.reports.extend(read.map(|report| (due, report)));
    }

    /// Hears every report that came by `now`.
    fn hear(&mut self, now: i64) {
        let cx = RtContext::new(MediaTime::from_micros(now));
        while self.reports.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, report)) = self.reports.pop_front() {
                self.pipeline.network_report(&cx, &report);
            }
        }
    }

    /// Captures every block that is over at `now`; after the speech there is silence.
    pub(super) fn capture_until(&mut self, now: i64, speech: &[f32]) {
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
            self.hear(left);
            self.send(&block, left);
        }
    }

    fn send(&mut self, block: &[f32], left: i64) {
        let mut cx = RtContext::new(MediaTime::from_micros(left));
        let mut emitted: Vec<OutgoingPacket> = Vec::new();
        self.pipeline.push(&mut cx, block, &mut |packet| emitted.push(*packet));
        // A packet ends where the next begins, the last one with the block.
        let mut end = self.captured;
        let ranges: Vec<(u64, u64)> = emitted
            .iter()
            .rev()
            .map(|packet| {
                let start = self.captured_sample(packet.timestamp);
                (start, std::mem::replace(&mut end, start))
            })
            .collect();
        for (packet, (start, end)) in emitted.iter().zip(ranges.into_iter().rev()) {
            self.post(packet, (start, end), left);
        }
        let rung = self.pipeline.stats().rung;
        if self.ladder.last().is_none_or(|step| step.rung != rung) {
            self.ladder.push(Step { at: left, rung });
        }
    }

    /// The captured sample of an RTP timestamp. It lies before now: timestamps wrap after a day.
    const fn captured_sample(&self, timestamp: u32) -> u64 {
        let back = self.first_timestamp.wrapping_add(self.captured as u32).wrapping_sub(timestamp);
        self.captured.saturating_sub(back as u64)
    }

    fn post(&mut self, packet: &OutgoingPacket, (start, end): (u64, u64), left: i64) {
        let payload = packet.payload();
        let samples = (end - start) as u32;
        let bytes = payload.len() as u64 + HEADER_BYTES;
        let wait = self.bottleneck.as_mut().map_or(Some(0), |queue| queue.wait(bytes, left));
        let arrival = wait.and_then(|wait| self.fates.arrival(start, u64::from(samples), left, wait));
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        if let Some(arrival) = arrival {
            let due = Duration::from_micros(u64::try_from(arrival).unwrap_or(0));
            self.on_the_way.schedule(
                due,
                OnTheWay {
                    index: self.packets.len(),
                    arrival,
                    ssrc: self.ssrc,
                    sequence,
                    timestamp: packet.timestamp,
                    payload_type: packet.payload_type,
                    marker: packet.marker,
                    payload: payload.into(),
                },
            );
        }
        let bytes = payload.len() as u16;
        self.packets.push(SentPacket { start: start as i64, samples, left, arrival, taken: None, bytes });
    }
}
