//! What a network did to every packet: the CSV format `k,send_ms,arrival_ms|lost`, generators, and replay.
//!
//! A trace says nothing about what the packets hold: the k-th packet sent meets the k-th fate.

mod csv;
mod generate;
mod link;

use std::time::Duration;

pub use csv::{RowProblem, TraceError};
pub use generate::TraceKind;
pub use link::TraceLink;

/// Most packets in a trace (5.5 hours at 50 packets/s).
pub const MAX_PACKETS: usize = 1_000_000;

/// The fate of every packet of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// In order of sending.
    pub packets: Vec<TracePacket>,
}

/// One packet: when it was sent, when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracePacket {
    /// Time since the trace began.
    pub sent: Duration,
    /// Time since the trace began; `None` when lost. The receiver's clock may be off, so this may lie before `sent`.
    pub arrived: Option<Duration>,
}

impl Trace {
    /// Share of packets lost, 0..=1; 0 for an empty trace.
    pub fn loss(&self) -> f64 {
        let lost = self.packets.iter().filter(|packet| packet.arrived.is_none()).count();
        lost as f64 / self.packets.len().max(1) as f64
    }
}
