//! WAV files in and out: whatever a file says, reading is bounded and fails with a reason.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use offhook_media_core::dsp::Resampler;
use offhook_media_core::units::SAMPLE_RATE;
use thiserror::Error;

/// Rates that are read.
const RATES: std::ops::RangeInclusive<u32> = 4000..=384_000;
const MOST_CHANNELS: u16 = 32;
/// Longest sound that is read, in seconds.
const LONGEST: u64 = 3600;
/// Half the resampler's filter, in input samples.
const FILTER_DELAY: usize = 32;
/// A float sample further beyond full scale is no sound.
const LOUDEST: f32 = 1000.0;

/// Why a WAV file could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WavError {
    /// The system did not let the file be opened, read or written: check path, permission and disk.
    #[error("the file could not be opened, read or written: {0}")]
    Io(String),
    /// Not a WAV file, or a damaged one: use another.
    #[error("not a valid WAV file: {0}")]
    Malformed(&'static str),
    /// A valid file of a kind that is not read: convert it to 16-bit PCM.
    #[error("this kind of WAV file is not read; convert it to 16-bit PCM")]
    Unsupported,
    /// A sample rate outside 4 kHz to 384 kHz.
    #[error("a sample rate of {0} Hz is not read; convert the file to 48000 Hz")]
    Rate(u32),
    /// No channel, or more than 32.
    #[error("{0} channels are not read; convert the file to mono")]
    Channels(u16),
    /// Longer than an hour: cut it.
    #[error("the sound is longer than an hour")]
    TooLong,
}

impl From<io::Error> for WavError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Malformed("it ends before its sound does"),
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<hound::Error> for WavError {
    fn from(error: hound::Error) -> Self {
        match error {
            // What hound says of a file that is too short.
            hound::Error::IoError(error) if error.kind() == io::ErrorKind::Other => {
                Self::Malformed("it ends before its sound does")
            }
            hound::Error::IoError(error) => error.into(),
            hound::Error::FormatError(what) => Self::Malformed(what),
            hound::Error::UnfinishedSample => Self::Malformed("the last sample is incomplete"),
            hound::Error::TooWide | hound::Error::Unsupported | hound::Error::InvalidSampleFormat => {
                Self::Unsupported
            }
        }
    }
}

/// Reads a file as mono at 48 kHz in -1..=1: channels are averaged, other rates converted.
///
/// # Errors
/// Every [`WavError`].
pub fn load_wav(path: &Path) -> Result<Vec<f32>, WavError> {
    read_wav(BufReader::new(File::open(path)?))
}

/// Like [`load_wav`], from anything readable.
///
/// # Errors
/// Every [`WavError`].
pub fn read_wav(source: impl Read) -> Result<Vec<f32>, WavError> {
    let reader = WavReader::new(source)?;
    let spec = reader.spec();
    check(spec, u64::from(reader.len()))?;
    let mono = read_mono(reader, spec)?;
    Ok(to_engine_rate(mono, spec.sample_rate))
}

fn check(spec: WavSpec, samples: u64) -> Result<(), WavError> {
    if spec.channels == 0 || spec.channels > MOST_CHANNELS {
        return Err(WavError::Channels(spec.channels));
    }
    if !RATES.contains(&spec.sample_rate) {
        return Err(WavError::Rate(spec.sample_rate));
    }
    if samples > LONGEST * u64::from(spec.sample_rate) * u64::from(spec.channels) {
        return Err(WavError::TooLong);
    }
    let is_read = match spec.sample_format {
        SampleFormat::Int => (8..=32).contains(&spec.bits_per_sample),
        SampleFormat::Float => spec.bits_per_sample == 32,
    };
    if is_read { Ok(()) } else { Err(WavError::Unsupported) }
}

fn read_mono<R: Read>(mut reader: WavReader<R>, spec: WavSpec) -> Result<Vec<f32>, WavError> {
    match spec.sample_format {
        SampleFormat::Float => {
            let checked = reader.samples::<f32>().map(|sample| match sample? {
                sample if sample.abs() <= LOUDEST => Ok(sample),
                _ => Err(WavError::Malformed("a sample is not a number, or far beyond full scale")),
            });
            average(checked, spec.channels)
        }
        SampleFormat::Int => {
            let full_scale = 2.0_f32.powi(i32::from(spec.bits_per_sample) - 1);
            average(reader.samples::<i32>().map(|sample| Ok(sample? as f32 / full_scale)), spec.channels)
        }
    }
}

/// Collected sample by sample: memory grows with what the file holds, not with what its header claims.
fn average(
    samples: impl Iterator<Item = Result<f32, WavError>>,
    channels: u16,
) -> Result<Vec<f32>, WavError> {
    let mut mono = Vec::new();
    let (mut sum, mut count) = (0.0, 0);
    for sample in samples {
        sum += sample?;
        count += 1;
        if count == channels {
            mono.push((sum / f32::from(channels)).clamp(-1.0, 1.0));
            (sum, count) = (0.0, 0);
        }
    }
    Ok(mono)
}

/// The first sample of the result is the first of the sound: the filter's delay is taken out.
fn to_engine_rate(mut sound: Vec<f32>, rate: u32) -> Vec<f32> {
    if rate == SAMPLE_RATE || sound.is_empty() {
        return sound;
    }
    let Ok(mut resampler) = Resampler::new(rate, SAMPLE_RATE) else {
        return Vec::new();
    };
    let scale = |samples: usize| (samples as u64 * u64::from(SAMPLE_RATE) / u64::from(rate)) as usize;
    let (skip, length) = (scale(FILTER_DELAY), scale(sound.len()));
    // Silence behind the sound pushes its end out of the filter and of the last step.
    sound.resize(sound.len() + 4 * FILTER_DELAY + 480, 0.0);
    let mut made = Vec::with_capacity(skip + length + 480);
    resampler.process(&sound, |block| made.extend_from_slice(block));
    made.drain(..skip.min(made.len()));
    made.truncate(length);
    made.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
    made
}

/// A 48 kHz mono 16-bit file that grows. After each [`flush`](Self::flush), and when dropped, it is a valid file.
pub struct WavFile(Option<WavWriter<BufWriter<File>>>);

impl WavFile {
    /// Creates or replaces a file.
    ///
    /// # Errors
    /// [`WavError::Io`].
    pub fn create(path: &Path) -> Result<Self, WavError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(path, spec)?;
        writer.flush()?;
        Ok(Self(Some(writer)))
    }

    /// Appends; what is outside -1..=1 is clipped.
    ///
    /// # Errors
    /// [`WavError::Io`]; [`WavError::TooLong`] when the format holds no more.
    pub fn write(&mut self, samples: &[f32]) -> Result<(), WavError> {
        let Some(writer) = &mut self.0 else { return Ok(()) };
        if u64::from(writer.len()) + samples.len() as u64 > u64::from(u32::MAX / 2 - 64) {
            return Err(WavError::TooLong);
        }
        for sample in samples {
            writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16)?;
        }
        Ok(())
    }

    /// Makes what was written readable by others.
    ///
    /// # Errors
    /// [`WavError::Io`].
    pub fn flush(&mut self) -> Result<(), WavError> {
        match &mut self.0 {
            Some(writer) => Ok(writer.flush()?),
            None => Ok(()),
        }
    }
}

impl Drop for WavFile {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            // Who needs to know calls flush().
            let _ = writer.finalize();
        }
    }
}

impl std::fmt::Debug for WavFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WavFile")
            .field("samples", &self.0.as_ref().map(WavWriter::len))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn file(spec: WavSpec, samples: &[f32]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for sample in samples {
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(*sample).unwrap(),
                SampleFormat::Int => {
                    let full = 2.0_f64.powi(i32::from(spec.bits_per_sample) - 1) - 1.0;
                    writer.write_sample((f64::from(*sample) * full) as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate, bits_per_sample, sample_format }
    }

    #[test]
    fn every_kind_reads_as_the_same_sound() {
        let sound: Vec<f32> = (0..480).map(|n| (n as f32 * 0.05).sin() * 0.5).collect();
        for (bits, format) in [
            (16, SampleFormat::Int),
            (24, SampleFormat::Int),
            (32, SampleFormat::Int),
            (32, SampleFormat::Float),
        ] {
            let read = read_wav(&file(spec(1, 48_000, bits, format), &sound)[..]).unwrap();
            assert_eq!(read.len(), sound.len());
            assert!(read.iter().zip(&sound).all(|(a, b)| (a - b).abs() < 1e-4), "{bits} {format:?}");
        }
    }

    #[test]
    fn channels_are_averaged_and_half_a_frame_is_left_out() {
        let bytes = file(spec(2, 48_000, 32, SampleFormat::Float), &[0.5, 0.1, 0.2, 0.2]);
        let read = read_wav(&bytes[..]).unwrap();
        assert!(read.iter().zip([0.3, 0.2]).all(|(a, b)| (a - b).abs() < 1e-6), "{read:?}");
    }

    #[test]
    fn other_rates_keep_length_pitch_and_place() {
        for rate in [8000, 16_000, 44_100, 96_000_u32] {
            let mut sound = vec![0.0; rate as usize];
            sound[rate as usize / 2] = 0.9;
            let read = read_wav(&file(spec(1, rate, 16, SampleFormat::Int), &sound)[..]).unwrap();
            assert_eq!(read.len(), 48_000, "{rate}");
            let peak = (0..read.len()).max_by(|a, b| read[*a].abs().total_cmp(&read[*b].abs())).unwrap();
            assert!(peak.abs_diff(24_000) <= 6, "{rate}: {peak}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert!(matches!(read_wav(&b"RIFF"[..]), Err(WavError::Malformed(_))));
        let good = file(spec(1, 48_000, 16, SampleFormat::Int), &[0.5; 100]);
        assert!(matches!(read_wav(&good[..150]), Err(WavError::Malformed(_))));
        let slow = file(spec(1, 1000, 16, SampleFormat::Int), &[0.5; 100]);
        assert_eq!(read_wav(&slow[..]), Err(WavError::Rate(1000)));
        let nan = file(spec(1, 48_000, 32, SampleFormat::Float), &[f32::NAN]);
        assert!(matches!(read_wav(&nan[..]), Err(WavError::Malformed(_))));
        assert!(matches!(load_wav(Path::new("/nonexistent/x.wav")), Err(WavError::Io(_))));
    }

    #[test]
    fn a_file_that_was_never_closed_is_readable_to_its_last_flush() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heard.wav");
        let mut file = WavFile::create(&path).unwrap();
        assert_eq!(load_wav(&path), Ok(Vec::new()));
        file.write(&[0.25; 480]).unwrap();
        file.flush().unwrap();
        // A killed process does not run destructors.
        std::mem::forget(file);
        assert_eq!(load_wav(&path).unwrap().len(), 480);
    }
}
