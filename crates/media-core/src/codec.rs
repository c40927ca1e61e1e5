//! Opus, and the small payload formats beside it.

mod dred_rate;
mod opus_decoder;
mod opus_encoder;
mod opus_ffi;
pub mod opus_toc;
pub mod red;
pub mod telephone_event;

pub use opus_decoder::{DecoderConfig, MOST_SAMPLES, OpusDecoder};
pub use opus_encoder::{DredDetail, EncoderConfig, OpusEncoder, Profile};
pub use opus_ffi::OpusError;
