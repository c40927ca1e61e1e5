//! Test sounds: WAV files, speech installed on the machine, synthetic speech, tones and chirps.
//!
//! Everything is mono `f32` in -1..=1 at [`SAMPLE_RATE`](crate::SAMPLE_RATE).

mod installed;
mod resample;
mod synth;
mod tone;
mod wav;

pub use installed::{SpeechError, Voice, speech_for_demo, speech_for_demo_under};
pub use resample::resample;
pub use synth::synthetic_speech;
pub use tone::{chirp, chirp_train, noise, silence, tone};
pub use wav::{WavError, load_wav, read_wav, save_wav, write_wav};
