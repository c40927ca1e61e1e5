//! WAV files in and out.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use thiserror::Error;

use super::resample;
use crate::SAMPLE_RATE;

const RATES: std::ops::RangeInclusive<u32> = 4000..=384_000;
/// Float samples may lie beyond full scale, but not so far that sums of them overflow.
const LOUDEST: f32 = 1e6;
const MOST_CHANNELS: u16 = 32;
/// Longest sound read.
const LONGEST_SECONDS: u64 = 2 * 3600;

/// Why a WAV file could not be read or written.
#[derive(Debug, Error)]
pub enum WavError {
    /// The file could not be opened, read or written. Check the path, its permissions and the disk.
    #[error("the file could not be read or written: {0}")]
    Io(#[from] io::Error),
    /// Not a WAV file, or one whose header or length is wrong. Use another file.
    #[error("not a valid WAV file: {0}")]
    Malformed(&'static str),
    /// A valid file of a kind that is not read: convert it to 16-bit PCM.
    #[error("this kind of WAV file is not read; convert it to 16-bit PCM")]
    Unsupported,
    /// A sample rate outside 4 kHz to 384 kHz.
    #[error("a sample rate of {0} Hz is not read; convert the file to 48000 Hz")]
    Rate(u32),
    /// More than 32 channels, or none.
    #[error("{0} channels are not read; convert the file to mono")]
    Channels(u16),
    /// Longer than two hours. Cut it.
    #[error("the sound is longer than two hours")]
    TooLong,
}

impl From<hound::Error> for WavError {
    fn from(error: hound::Error) -> Self {
        match error {
            hound::Error::IoError(error) => Self::Io(error),
            hound::Error::FormatError(what) => Self::Malformed(what),
            hound::Error::TooWide | hound::Error::Unsupported | hound::Error::InvalidSampleFormat => {
                Self::Unsupported
            }
            hound::Error::UnfinishedSample => Self::Malformed("the last sample is incomplete"),
        }
    }
}

/// Reads a WAV file as mono at [`SAMPLE_RATE`]: channels are averaged, other rates converted.
///
/// # Errors
/// Every [`WavError`].
pub fn load_wav(path: &Path) -> Result<Vec<f32>, WavError> {
    read_wav(BufReader::new(File::open(path)?))
}

/// Like [`load_wav`], from anything readable: 8 to 32 bit integer or 32 bit float samples.
///
/// # Errors
/// Every [`WavError`]. Samples that are not numbers are [`WavError::Malformed`].
pub fn read_wav(source: impl Read) -> Result<Vec<f32>, WavError> {
    let reader = WavReader::new(source)?;
    let spec = reader.spec();
    check(spec, u64::from(reader.len()))?;
    let mono = to_mono(&decode(reader, spec)?, usize::from(spec.channels));
    if mono.iter().any(|sample| sample.is_nan() || sample.abs() > LOUDEST) {
        return Err(WavError::Malformed("a sample is not a number, or far beyond full scale"));
    }
    Ok(resample(&mono, spec.sample_rate, SAMPLE_RATE))
}

/// Writes mono sound at [`SAMPLE_RATE`] as 16-bit PCM; what lies outside -1..=1 is clipped.
///
/// # Errors
/// [`WavError::Io`], or [`WavError::TooLong`] when it would not fit the format.
pub fn save_wav(path: &Path, samples: &[f32]) -> Result<(), WavError> {
    write_wav(BufWriter::new(File::create(path)?), samples)
}

/// Like [`save_wav`], to anything writable.
///
/// # Errors
/// As [`save_wav`].
pub fn write_wav(target: impl Write + Seek, samples: &[f32]) -> Result<(), WavError> {
    if samples.len() as u64 > LONGEST_SECONDS * u64::from(SAMPLE_RATE) {
        return Err(WavError::TooLong);
    }
    let spec = WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::new(target, spec)?;
    for sample in samples {
        writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16)?;
    }
    Ok(writer.finalize()?)
}

fn check(spec: WavSpec, samples: u64) -> Result<(), WavError> {
    if spec.channels == 0 || spec.channels > MOST_CHANNELS {
        return Err(WavError::Channels(spec.channels));
    }
    if !RATES.contains(&spec.sample_rate) {
        return Err(WavError::Rate(spec.sample_rate));
    }
    if samples > LONGEST_SECONDS * u64::from(spec.sample_rate) * u64::from(spec.channels) {
        return Err(WavError::TooLong);
    }
    let readable = match spec.sample_format {
        SampleFormat::Int => (8..=32).contains(&spec.bits_per_sample),
        SampleFormat::Float => spec.bits_per_sample == 32,
    };
    if readable { Ok(()) } else { Err(WavError::Unsupported) }
}

fn decode<R: Read>(reader: WavReader<R>, spec: WavSpec) -> Result<Vec<f32>, WavError> {
    // Collected sample by sample: memory grows with what the file holds, not with what its header claims.
    let mut sound = Vec::new();
    match spec.sample_format {
        SampleFormat::Float => {
            for sample in reader.into_samples::<f32>() {
                sound.push(sample?);
            }
        }
        SampleFormat::Int => {
            let full_scale = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
            for sample in reader.into_samples::<i32>() {
                sound.push(sample? as f32 / full_scale);
            }
        }
    }
    Ok(sound)
}

fn to_mono(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    interleaved.chunks_exact(channels).map(mean).collect()
}
