//! Microphone, send path and the network behind it.

use std::time::Duration;

use offhook_media_core::codec::{EncoderConfig, OpusEncoder, opus_toc};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{OutgoingPacket, SendConfig, SendPipeline};
use offhook_media_core::units::MediaTime;

use super::fates::{Fates, micros_of};
use super::receiver::{BLOCK, OnTheWay};
use super::run::{OPUS, Redundancy, StandConfig, StandError};
use super::timeline::SentPacket;
use crate::clock::EventQueue;
use crate::rng::Rng;

/// Speaks, encodes and sends.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) pipeline: SendPipeline,
    /// By how many samples the codec looks ahead.
    pub(super) lookahead: u32,
    fates: Fates,
    ssrc: u32,
    first_timestamp: u32,
    next_sequence: u16,
    /// Samples captured so far.
    captured: u64,
    pub(super) packets: Vec<SentPacket>,
    pub(super) on_the_way: EventQueue<OnTheWay>,
}

impl Sender {
    pub(super) fn new(config: &StandConfig, fates: Fates) -> Result<Self, StandError> {
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
        Ok(Self {
            pipeline: SendPipeline::new(&send)?,
            lookahead: OpusEncoder::new(&encoder)?.lookahead().0 as u32,
            fates,
            ssrc: random.next_u64() as u32,
            first_timestamp,
            next_sequence: random.next_u64() as u16,
            captured: 0,
            packets: Vec::new(),
            on_the_way: EventQueue::new(),
        })
    }

    /// RTP timestamp at which captured sample 0 is heard: the codec's look-ahead makes it later.
    pub(super) const fn timestamp_of_first_sample(&self) -> u32 {
        self.first_timestamp.wrapping_add(self.lookahead)
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
            self.send(&block, left);
        }
    }

    fn send(&mut self, block: &[f32], left: i64) {
        let mut cx = RtContext::new(MediaTime::from_micros(left));
        let mut emitted: Vec<OutgoingPacket> = Vec::new();
        self.pipeline.push(&mut cx, block, &mut |packet| emitted.push(*packet));
        for packet in &emitted {
            self.post(packet, left);
        }
    }

    fn post(&mut self, packet: &OutgoingPacket, left: i64) {
        let payload = packet.payload();
        // The packet holds sound that was captured before `left`: nearest to it, because timestamps wrap after a day.
        let back = (self.first_timestamp.wrapping_add(self.captured as u32)).wrapping_sub(packet.timestamp);
        let start = self.captured.saturating_sub(u64::from(back));
        let samples = opus_toc::samples(payload).unwrap_or(0) as u32;
        let arrival = self.fates.arrival(start, u64::from(samples), left);
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
