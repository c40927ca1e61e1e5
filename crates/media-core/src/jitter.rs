//! When to play which packet: the buffer, the picture of the network, the wanted delay, and the ways to reach it.
//!
//! All times are absolute: the *offset* of a packet is its arrival on our clock minus its media time on the sender's. A playout offset
//! that is at or above a packet's offset plays the packet in time. Nothing here is relative to a moving minimum.

mod arrival;
mod availability;
mod drift;
mod media_clock;
mod packet_buffer;
mod picture;
mod runs;
mod stats;
mod target_delay;
mod time_stretch;

pub use arrival::{SeenWindow, Unwrapper};
pub use availability::{Availability, COARSE, DEEP, EXACT};
pub use drift::{DriftEstimator, DriftResampler};
pub use media_clock::{MediaClock, micros, samples_of};
pub use packet_buffer::{Inserted, MOST_PACKET_BYTES, PacketBuffer, Slot};
pub use stats::ReceiveStats;
pub use target_delay::TargetDelay;
pub use time_stretch::{ALIKE, LEAST_WINDOW, Stretched, TimeStretch, WINDOW as STRETCH_WINDOW};
