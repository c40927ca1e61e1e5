//! Opus packets to sound, and sound where packets are missing.

use opusic_sys as sys;

use super::opus_ffi::{OpusError, RawDecoder, RawDred};

/// Longest packet: 120 ms.
pub const MOST_SAMPLES: usize = 5760;

/// Deep redundancy is read so far back: 1 s.
const MOST_DRED: usize = 48_000;
/// From this complexity on the neural vocoder runs, which deep redundancy speaks through.
const NEURAL: u8 = 5;

/// How to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderConfig {
    /// 0 to 10; from 5 on missing sound is made up by a neural network (about ten times the cost of a decode). With the feature `lace`, from 6
    /// on speech at low rates is enhanced (LACE), from 7 on more so (NoLACE); without it these are as 5.
    pub complexity: u8,
}

impl Default for DecoderConfig {
    /// Neural concealment.
    fn default() -> Self {
        Self { complexity: NEURAL }
    }
}

/// A decoder to one channel at 48 kHz; stereo packets are mixed down.
#[derive(Debug)]
pub struct OpusDecoder {
    raw: RawDecoder,
    /// As `raw` was when it was marked, and has decoded since.
    mark: RawDecoder,
    dred: RawDred,
    dred_state: DredState,
    complexity: u8,
}

/// How far the deep redundancy of the packet last asked for is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DredState {
    Absent,
    Parsed,
    /// The network ran: sound can be made.
    Processed,
}

impl OpusDecoder {
    /// Makes a decoder.
    ///
    /// # Errors
    /// [`OpusError`] when libopus refuses the setting or has no memory.
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    pub fn new(config: &DecoderConfig) -> Result<Self, OpusError> {
        let mut decoder = Self {
            raw: RawDecoder::new()?,
            mark: RawDecoder::new()?,
            dred: RawDred::new()?,
            dred_state: DredState::Absent,
            complexity: 0,
        };
        decoder.set_complexity(config.complexity)?;
        Ok(decoder)
    }

    /// Changes the effort from the next packet on, see [`DecoderConfig::complexity`]; more than 10 counts as 10.
    ///
    /// # Errors
    /// Never in practice: the value is capped.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        self.complexity = complexity.min(10);
        self.raw.set(sys::OPUS_SET_COMPLEXITY_REQUEST, i32::from(self.complexity))
    }

    /// Decodes a packet; returns its samples. `out` has room for the longest packet, [`MOST_SAMPLES`].
    ///
    /// # Errors
    /// [`OpusError::InvalidPacket`] for damaged bytes; the decoder stays usable.
    pub fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        self.raw.decode(Some(packet), out, false)
    }

    /// Restores the frame before `successor` from the copy in it. `out` is exactly as long as what is missing.
    ///
    /// # Errors
    /// As [`Self::decode`]. Where the packet holds no copy, libopus conceals.
    pub fn decode_fec(&mut self, successor: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        self.raw.decode(Some(successor), out, true)
    }

    /// Makes up sound; the length of `out` is a multiple of 120 samples (2.5 ms), at most 60 ms.
    ///
    /// # Errors
    /// [`OpusError::BadArgument`] for another length.
    pub fn conceal(&mut self, out: &mut [f32]) -> Result<usize, OpusError> {
        self.raw.decode(None, out, false)
    }

    /// Remembers this point of the stream, before sound is made up that may turn out to be only late. Copies some ten kilobytes.
    pub fn mark(&mut self) {
        self.mark.copy_from(&self.raw);
    }

    /// Decodes the packet that follows the mark and moves the mark behind it; what was made up since goes on undisturbed.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_at_mark(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        self.mark.decode(Some(packet), out, false)
    }

    /// Goes on at the mark as if nothing had been made up since. The mark is used up.
    pub fn return_to_mark(&mut self) {
        std::mem::swap(&mut self.raw, &mut self.mark);
        // The effort may have been changed since; capped values are not refused.
        let _ = self.set_complexity(self.complexity);
    }

    /// Reads the deep redundancy in `packet` (draft-ietf-mlcodec-opus-dred) and keeps it; returns how many samples right before the packet's
    /// first one it reaches back, 0 when there is none. Where the sender was silent in between, the newest of them are that silence.
    /// Reading is cheap (microseconds); the network runs at the first [`Self::decode_dred`].
    ///
    /// Below complexity 5 the answer is 0: the vocoder has not followed the sound.
    pub fn dred_span(&mut self, packet: &[u8]) -> usize {
        self.dred_state = DredState::Absent;
        if self.complexity < NEURAL || packet.is_empty() {
            return 0;
        }
        let Ok(span) = self.dred.parse(packet, MOST_DRED as i32) else {
            return 0;
        };
        if span > 0 {
            self.dred_state = DredState::Parsed;
        }
        span.min(MOST_DRED)
    }

    /// Restores `out.len()` samples that begin `before` samples before the first one of the packet last given to [`Self::dred_span`]. The
    /// length is a multiple of 480 (10 ms: the step of the vocoder), at most 120 ms. Called for the oldest first, without a gap: each call
    /// moves the decoder on as [`Self::conceal`] does, which is also what fills places the redundancy does not reach.
    ///
    /// # Errors
    /// [`OpusError::BadArgument`] for another length, or when that packet had no redundancy.
    pub fn decode_dred(&mut self, before: usize, out: &mut [f32]) -> Result<usize, OpusError> {
        let length_fits = !out.is_empty() && out.len().is_multiple_of(480) && out.len() <= MOST_SAMPLES;
        if self.dred_state == DredState::Absent || !length_fits {
            return Err(OpusError::BadArgument);
        }
        if self.dred_state == DredState::Parsed {
            self.dred.process()?;
            self.dred_state = DredState::Processed;
        }
        self.raw.decode_dred(&self.dred, before, out)
    }

    /// Forgets the past, before another stream.
    pub fn reset(&mut self) {
        self.raw.reset();
        self.dred_state = DredState::Absent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{EncoderConfig, OpusEncoder, Profile};
    use crate::units::PacketTime;

    // Far above the edge of the encoder's own high-pass.
    fn voice(samples: usize) -> Vec<f32> {
        let phase = |n: usize| n as f32 / 48_000.0 * std::f32::consts::TAU;
        let syllable = |n: usize| 0.6 + 0.4 * (phase(n) * 4.0).sin();
        (0..samples)
            .map(|n| syllable(n) * (0.2 * (phase(n) * 400.0).sin() + 0.1 * (phase(n) * 1000.0).sin()))
            .collect()
    }

    fn energy(samples: &[f32]) -> f32 {
        samples.iter().map(|sample| sample * sample).sum()
    }

    fn error(wanted: &[f32], got: &[f32]) -> f32 {
        wanted.iter().zip(got).map(|(wanted, got)| (wanted - got).powi(2)).sum()
    }

    /// Sound that went through the codec, and by how much it lags by the encoder's own account.
    fn coded(profile: Profile, spoken: &[f32]) -> (Vec<f32>, usize) {
        let mut encoder = OpusEncoder::new(&EncoderConfig { profile, ..EncoderConfig::default() }).unwrap();
        let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
        let (mut packet, mut heard, mut out) = ([0; 1275], Vec::new(), [0.0; MOST_SAMPLES]);
        for frame in spoken.chunks_exact(480) {
            let len = encoder.encode(PacketTime::Ms10, frame, &mut packet).unwrap();
            let samples = decoder.decode(&packet[..len], &mut out).unwrap();
            heard.extend_from_slice(&out[..samples]);
        }
        (heard, encoder.lookahead().0)
    }

    #[test]
    fn sound_survives_the_codec() {
        let spoken = voice(48_000);
        // The speech layer's filters turn the phase: what lags 312 samples by its account lags a few less by ear.
        for (profile, around, most) in [(Profile::Voice, 8, 0.04), (Profile::LowDelay, 0, 0.005)] {
            let (heard, lag) = coded(profile, &spoken);
            assert_eq!(heard.len(), spoken.len());
            let wanted = &spoken[9600..38_400];
            let at = |lag: usize| &heard[9600 + lag..38_400 + lag];
            let lost =
                (lag - around..=lag + around).map(|lag| error(wanted, at(lag))).fold(f32::MAX, f32::min);
            assert!(lost < most * energy(wanted), "{profile:?}: {lost} of {}", energy(wanted));
            assert!((energy(at(lag)) / energy(wanted) - 1.0).abs() < 0.1, "{profile:?}");
        }
    }

    #[test]
    fn a_copy_restores_a_lost_frame_better_than_concealment() {
        // A glide: what comes next does not follow from what was.
        let glide =
            |n: usize| (n as f32 / 48_000.0 * (400.0 + n as f32 / 24.0) * std::f32::consts::TAU).sin() * 0.3;
        let spoken: Vec<f32> = (0..19_200).map(glide).collect();
        let config = EncoderConfig { expected_loss_percent: 25, ..EncoderConfig::default() };
        let mut encoder = OpusEncoder::new(&config).unwrap();
        let mut packet = [0; 1275];
        let mut encode =
            |frame| encoder.encode(PacketTime::Ms20, frame, &mut packet).map(|len| packet[..len].to_vec());
        let packets: Vec<Vec<u8>> = spoken.chunks_exact(960).map(|frame| encode(frame).unwrap()).collect();
        assert!(crate::codec::opus_toc::has_fec(&packets[13]));
        let after_eleven = || {
            let mut decoder = OpusDecoder::new(&DecoderConfig { complexity: 0 }).unwrap();
            for packet in &packets[..12] {
                decoder.decode(packet, &mut [0.0; MOST_SAMPLES]).unwrap();
            }
            decoder
        };
        let (mut received, mut restored, mut concealed) = ([0.0; 960], [0.0; 960], [0.0; 960]);
        assert_eq!(after_eleven().decode(&packets[12], &mut received), Ok(960));
        assert_eq!(after_eleven().decode_fec(&packets[13], &mut restored), Ok(960));
        assert_eq!(after_eleven().conceal(&mut concealed), Ok(960));
        let (copy, made_up) = (error(&received, &restored), error(&received, &concealed));
        assert!(copy < 0.5 * made_up, "{copy}, {made_up} of {}", energy(&received));
    }

    #[test]
    fn damaged_packets_are_an_error_and_do_not_stop_the_decoder() {
        let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
        let mut out = [0.0; MOST_SAMPLES];
        assert_eq!(decoder.decode(&[], &mut out), Err(OpusError::InvalidPacket));
        assert!(decoder.decode(&[0xff, 0xff, 0xff], &mut out).is_err());
        assert_eq!(decoder.conceal(&mut out[..480]), Ok(480));
    }
}
