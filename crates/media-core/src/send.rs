//! Microphone sound to RTP payloads: enhance, level, encode, packetize, in this order.

mod config;
mod copies;
mod dtmf;
mod enhance;
mod ladder;
mod packet;
mod pause;
mod pipeline;
mod protection;
mod redundancy;
mod stats;

pub use config::SendConfig;
pub use dtmf::QueueDtmfError;
pub use ladder::{Ladder, LadderConfig};
pub use packet::{MOST_PAYLOAD, OutgoingPacket};
pub use pipeline::{SendError, SendPipeline};
pub use redundancy::{MOST_COPIES, Redundancy, Rung};
pub use stats::SendStats;
