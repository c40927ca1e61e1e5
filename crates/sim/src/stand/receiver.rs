//! Receive path and loudspeaker.

use std::time::Duration;

use offhook_media_core::feedback::NetworkReport;
use offhook_media_core::recv::{
    IncomingPacket, ReceiveConfig, ReceiveError, ReceivePipeline, ReceiveStats, Taken,
};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::MediaTime;

use super::timeline::Tick;
use crate::clock::EventQueue;

/// What is captured and pulled at once: 5 ms, in samples.
pub(super) const BLOCK: usize = 240;
/// The same in microseconds.
pub(super) const BLOCK_MICROS: i64 = 5000;

/// A packet between sender and receiver.
#[derive(Debug)]
pub(super) struct OnTheWay {
    /// Which packet of the run it is.
    pub(super) index: usize,
    /// When it arrives, on the receiver's clock in microseconds.
    pub(super) arrival: i64,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) payload: Box<[u8]>,
}

/// Plays what comes, 5 ms at a time, and notes what it does.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) pipeline: ReceivePipeline,
    /// RTP timestamp of captured sample 0.
    first_timestamp: u32,
    pub(super) heard: Vec<f32>,
    pub(super) ticks: Vec<Tick>,
    before: ReceiveStats,
    /// RTP timestamps have wrapped so many samples ago; the last position, to tell.
    last_position: i64,
}

impl Receiver {
    /// A receiver for a sender whose sample 0 has this RTP timestamp.
    pub(super) fn new(config: &ReceiveConfig, first_timestamp: u32) -> Result<Self, ReceiveError> {
        Ok(Self {
            pipeline: ReceivePipeline::new(config)?,
            first_timestamp,
            heard: Vec::new(),
            ticks: Vec::new(),
            before: ReceiveStats::default(),
            last_position: 0,
        })
    }

    /// Takes what has come by `now`, tells what became of it, then plays 5 ms. Returns what it has to tell the sender.
    pub(super) fn pull(
        &mut self,
        now: i64,
        on_the_way: &mut EventQueue<OnTheWay>,
        taken: &mut dyn FnMut(usize, Taken),
    ) -> Option<NetworkReport> {
        let mut cx = RtContext::new(MediaTime::from_micros(now));
        while let Some(packet) = on_the_way.pop_due(Duration::from_micros(now.unsigned_abs())) {
            let incoming = IncomingPacket {
                arrival: MediaTime::from_micros(packet.arrival),
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: packet.ssrc,
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                payload: &packet.payload,
            };
            taken(packet.index, self.pipeline.insert(&mut cx, &incoming));
        }
        let start = self.heard.len();
        self.heard.resize(start + BLOCK, 0.0);
        self.pipeline.pull(&mut cx, &mut self.heard[start..]);
        let stats = self.pipeline.stats();
        let position = self.position();
        let before = std::mem::replace(&mut self.before, stats);
        self.ticks.push(Tick::between(now, position, &before, &stats));
        self.pipeline.poll_report(&cx)
    }

    /// The captured sample that is heard next.
    fn position(&mut self) -> Option<i64> {
        let wire = self.pipeline.position()?.wrapping_sub(self.first_timestamp);
        // The nearest to the last one: the numbers on the wire wrap after a day.
        let moved = wire.wrapping_sub(self.last_position as u32) as i32;
        self.last_position += i64::from(moved);
        Some(self.last_position)
    }
}
