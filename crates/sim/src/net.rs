//! One direction of a network, emulated in whatever time the caller passes in.
//!
//! [`Link`] works in virtual time (tests) and on the real clock (the demo puts one between two live sockets): it never
//! reads a clock itself. A packet goes through these stages in this order: outage, bottleneck queue, loss, path delay
//! with jitter and stalls, ordering, duplication.

mod config;
mod link;
mod loss;
mod stalls;

pub use config::{Bottleneck, DelayStep, Jitter, LinkConfig, LinkConfigError, Loss, Order, Outage, Stalls};
pub use link::{Link, LinkStats, Sent};
pub(crate) use loss::loss_pattern;
