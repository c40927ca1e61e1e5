//! What a receiver tells the sender four times a second, so that it can choose rate and redundancy: [`NetworkReport`]. On the wire it is the
//! application-defined part of an RTCP APP packet (RFC 3550 section 6.7, name `OFHK`, subtype 1).

mod wire;

use std::time::Duration;

pub use wire::{LENGTH, NetworkReportError};

use crate::units::Ppm;

/// How the path behaved since the report before, and what was made of it. Plain data. Shares are 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NetworkReport {
    /// Packets that were due in this time; 0 when nothing is known, as in an outage.
    pub expected: u16,
    /// Share of them that never came.
    pub loss: f32,
    /// How many runs of 1, 2, 3 to 4, 5 to 8 and more lost packets ended.
    pub bursts: [u8; 5],
    /// How much later than the fastest of the last seconds 95 % of the packets of the last second came at most.
    pub queue_delay: Option<Duration>,
    /// How much later than that even the fastest packet of the last second came: a queue that stands, where the other is jitter too.
    pub standing_delay: Option<Duration>,
    /// How much that delay grows, in seconds per second; negative: it shrinks.
    pub queue_trend: Option<f32>,
    /// Share of the packets that came after their sound was due.
    pub late: f32,
    /// Share of the sound restored from the codec's own copy in the next packet.
    pub recovered_fec: f32,
    /// Share of the sound played from exact copies.
    pub recovered_red: f32,
    /// Share of the sound restored from deep redundancy.
    pub recovered_dred: f32,
    /// Share of the sound that had to be made up.
    pub unrecovered: f32,
    /// From arrival to playout.
    pub playout_delay: Option<Duration>,
    /// How long the receiver waits above the fastest packets because packets themselves come late: not for copies.
    pub packet_wait: Option<Duration>,
    /// How much faster the sender's clock runs.
    pub drift: Option<Ppm>,
    /// Payload bits per second that came in the last second.
    pub received: u32,
}
