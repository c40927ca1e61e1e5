//! Test kit of Offhook: virtual time, network emulator, test sounds, measures and the call report.
//!
//! Everything here is deterministic: the same seed gives the same run, on every machine and in every release of this
//! crate. Nothing here opens a socket or reads a clock while it runs; time is an argument. Of the workspace it depends
//! on the media core alone, so every other crate can use it in tests.
//!
//! | module | what it holds |
//! |---|---|
//! | [`allocations`] | an allocator that counts what each thread asks of it |
//! | [`clock`] | [`clock::VirtualClock`] and a time-ordered [`clock::EventQueue`] |
//! | [`net`] | [`net::Link`]: loss, jitter, stalls, bottleneck, duplication, route steps |
//! | [`trace`] | recorded or generated packet fates as CSV, and a link that replays them |
//! | [`corpus`] | the committed inputs of the fuzz targets |
//! | [`device`] | sound devices whose clocks are off and whose callbacks have odd sizes |
//! | [`sound`] | WAV files, installed and synthetic speech, tones, resampling |
//! | [`measure`] | delay, correlation, silence gaps, levels and clicks of heard against spoken |
//! | [`stand`] | send path, recorded network and receive path in virtual time: spoken in, heard and figures out |
//! | [`report`] | a call told as one self-contained HTML page |
//! | [`room`] | loudspeaker, reflections, delay and clocks between what is played and what a microphone captures |
//!
//! Sound is always mono `f32` at [`SAMPLE_RATE`] unless a function says otherwise.

pub mod allocations;
pub mod clock;
pub mod corpus;
pub mod device;
#[doc(hidden)]
pub mod fuzzing;
pub mod measure;
pub mod net;
pub mod report;
pub mod rng;
pub mod room;
pub mod sound;
pub mod stand;
pub mod trace;

/// Samples per second of all sound in this crate.
pub const SAMPLE_RATE: u32 = 48_000;
