//! Microphone sound to RTP payloads: enhance, level, encode, packetize, in this order.

mod copies;
mod dtmf;
mod enhance;
mod ladder;
mod packet;
mod pause;
mod pipeline;
mod protection;
mod redundancy;

pub use dtmf::QueueDtmfError;
pub use ladder::{Ladder, LadderConfig};
pub use packet::{MOST_PAYLOAD, OutgoingPacket};
pub use pipeline::{SendConfig, SendError, SendPipeline, SendStats};
pub use redundancy::{MOST_COPIES, Redundancy, Rung};
