//! What happens to sound in Offhook: every function here may run on the real-time thread, unless it says otherwise under a `# Real-time`
//! heading. No thread, no clock, no I/O: time is an argument.
//!
//! Read [`send`] and [`recv`] for the path of the sound, [`jitter`] for the decisions on the way.

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may allocate")
)]

pub mod codec;
pub mod dsp;
pub mod feedback;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod jitter;
pub mod quality;
pub mod recording;
pub mod recv;
pub mod rt_context;
pub mod send;
pub mod units;
