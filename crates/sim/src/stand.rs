//! The stand: the real send path and the real receive path, a recorded network between them, in virtual time.
//!
//! [`run`] takes what is spoken and gives what is heard. Sample 0 of both is the same instant, so every delay can be read off the two.
//! [`replay`] plays what arrived in a call that was recorded.
//!
//! What the model holds, and what it leaves out:
//! - The microphone hands over 5 ms at a time; a packet leaves when its last sample was captured. The speaker takes 5 ms at a time, and
//!   what it takes is heard at once. Sound devices add their own delay to this on a real machine.
//! - The network is a [`Trace`](crate::trace::Trace) for packets of 20 ms. Shorter packets share the fate of the 20 ms they lie in, longer
//!   ones are lost when one of the fates they cover is a loss, and arrive when the last of them would. Where the run is longer than the
//!   trace, the trace begins again: each packet is delayed as the trace's packet was, and none overtakes another where none did in the trace.
//! - A [`Bottleneck`] lets packets queue before that, and drops those that find the queue full. Only the way to the receiver has one.
//! - What the receiver reports to the sender is never lost, and comes [`StandConfig::rtt`] later.
//! - Sending times are on the sender's clock, arrivals and playout on the receiver's. A trace with drift drifts the two apart.

mod bottleneck;
mod fates;
mod outcome;
mod receiver;
mod replay;
mod run;
mod sender;
mod timeline;

pub use bottleneck::Bottleneck;
pub use offhook_media_core::send::Redundancy;
pub use outcome::{Delay, HEADER_BYTES, LadderStep, Outcome, SoundByKind, Spent};
pub use replay::{ReplayError, replay};
pub use run::{Run, StandConfig, StandError, run};
pub use timeline::{SentPacket, SoundKind, Step, Tick, timeline_csv};
