//! RTP payloads to sound: depacketize, decode, conceal, mix, in this order. The decisions on the way are made in [`crate::jitter`].

mod decode;
mod depacketize;
mod mix;
mod pipeline;
mod playout;
mod report;

pub use crate::jitter::ReceiveStats;
pub use decode::SlotDecoder;
pub use depacketize::{IncomingPacket, Taken};
pub use mix::mix_into;
pub use pipeline::{ReceiveConfig, ReceiveError, ReceivePipeline};
pub use report::{Arrived, ReportBuilder};
