//! What is done to a microphone's sound so that others like to hear it: high-pass, echo cancellation, noise suppression, automatic gain, voice
//! activity.
//!
//! The chain is plain computing on blocks of 10 ms, without threads or clocks; but it allocates, so it runs neither on the media thread nor in a
//! device's callback. The `worker` runs it, on a thread of its own or, in a simulation, whenever it is told to. A `port` is the media
//! thread's end: raw blocks out, enhanced blocks in. What was put before the loudspeakers comes to the worker through the `link` too, and waits
//! in the `reference` until the microphone could have heard it.

mod align;
mod chain;
mod echo;
mod follower;
mod gain;
mod interpolation;
pub(crate) mod link;
mod noise;
pub(crate) mod port;
mod reference;
mod rumble;
mod settings;
mod stage;
pub(crate) mod worker;

pub use chain::{Enhanced, Enhancer};
pub use settings::AudioProcessing;
pub use stage::BLOCK;
