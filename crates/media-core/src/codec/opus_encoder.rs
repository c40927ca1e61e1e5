//! Sound to Opus packets.

use std::time::Duration;

use opusic_sys as sys;

use super::dred_rate;
use super::opus_ffi::{OpusError, RawEncoder};
use crate::units::{BitsPerSecond, PacketTime, SampleCount};

/// What the encoder is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Speech: SILK and hybrid modes, in-band FEC; 6.5 ms of look-ahead.
    Voice,
    /// Least latency: CELT only, no FEC; 2.5 ms of look-ahead.
    LowDelay,
}

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Voice or least latency.
    pub profile: Profile,
    /// Wanted rate of the payload.
    pub bitrate: BitsPerSecond,
    /// 0 (cheap) to 10 (best).
    pub complexity: u8,
    /// Carry a copy of the previous frame where loss is expected.
    pub in_band_fec: bool,
    /// Loss to be ready for, 0..=100.
    pub expected_loss_percent: u8,
    /// Send nothing while nobody speaks.
    pub dtx: bool,
}

impl Default for EncoderConfig {
    /// Voice at 32 kb/s, complexity 6, FEC against 10 % loss, no DTX.
    fn default() -> Self {
        Self {
            profile: Profile::Voice,
            bitrate: BitsPerSecond(32_000),
            complexity: 6,
            in_band_fec: true,
            expected_loss_percent: 10,
            dtx: false,
        }
    }
}

/// How finely deep redundancy is coded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DredDetail {
    /// A second in 60 to 75 bytes: what is older is very coarse.
    #[default]
    Coarse,
    /// As fine as libopus makes it: a second in 110 to 140 bytes.
    Fine,
}

/// While only the analysis for deep redundancy runs: as short as libopus keeps its memory for.
const ANALYSIS_ONLY: i32 = 1;
/// Most deep redundancy of a packet, in units of 10 ms.
const MOST_DRED: i32 = 104;

/// An encoder of one channel at 48 kHz.
#[derive(Debug)]
pub struct OpusEncoder {
    raw: RawEncoder,
    lookahead: SampleCount,
    bitrate: BitsPerSecond,
    in_band_fec: bool,
    expected_loss: u8,
    dred: bool,
}

impl OpusEncoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// [`OpusError`] when libopus refuses a setting or has no memory.
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    pub fn new(config: &EncoderConfig) -> Result<Self, OpusError> {
        let application = match config.profile {
            Profile::Voice => sys::OPUS_APPLICATION_VOIP,
            Profile::LowDelay => sys::OPUS_APPLICATION_RESTRICTED_LOWDELAY,
        };
        let mut raw = RawEncoder::new(application)?;
        let lookahead = usize::try_from(raw.get(sys::OPUS_GET_LOOKAHEAD_REQUEST)?).unwrap_or(0);
        let mut encoder = Self {
            raw,
            lookahead: SampleCount(lookahead),
            bitrate: config.bitrate,
            in_band_fec: config.in_band_fec,
            expected_loss: config.expected_loss_percent,
            dred: false,
        };
        encoder.set_bitrate(config.bitrate)?;
        encoder.set_complexity(config.complexity)?;
        encoder.set_fec(config.in_band_fec)?;
        encoder.set_expected_loss(config.expected_loss_percent)?;
        encoder.set_dtx(config.dtx)?;
        if config.profile == Profile::Voice {
            encoder.raw.set(sys::OPUS_SET_SIGNAL_REQUEST, sys::OPUS_SIGNAL_VOICE)?;
        }
        Ok(encoder)
    }

    /// Changes the rate.
    ///
    /// # Errors
    /// [`OpusError::BadArgument`] outside 500 b/s to 512 kb/s.
    pub fn set_bitrate(&mut self, bitrate: BitsPerSecond) -> Result<(), OpusError> {
        let bps = i32::try_from(bitrate.0).map_err(|_| OpusError::BadArgument)?;
        self.raw.set(sys::OPUS_SET_BITRATE_REQUEST, bps)?;
        self.bitrate = bitrate;
        Ok(())
    }

    /// Changes the effort, 0 (cheap) to 10 (best); more counts as 10.
    ///
    /// # Errors
    /// Never in practice: the value is capped.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        self.raw.set(sys::OPUS_SET_COMPLEXITY_REQUEST, i32::from(complexity.min(10)))
    }

    /// Turns the copy of the previous frame on or off; how much it may cost follows from the expected loss.
    ///
    /// # Errors
    /// Never in practice.
    pub fn set_fec(&mut self, in_band_fec: bool) -> Result<(), OpusError> {
        self.in_band_fec = in_band_fec;
        self.raw.set(sys::OPUS_SET_INBAND_FEC_REQUEST, i32::from(in_band_fec))?;
        self.apply_expected_loss()
    }

    /// Turns silence suppression on or off.
    ///
    /// # Errors
    /// Never in practice.
    pub fn set_dtx(&mut self, dtx: bool) -> Result<(), OpusError> {
        self.raw.set(sys::OPUS_SET_DTX_REQUEST, i32::from(dtx))
    }

    /// Changes the loss to be ready for.
    ///
    /// # Errors
    /// Never in practice: the value is capped at 100.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        self.expected_loss = percent.min(100);
        self.apply_expected_loss()
    }

    /// Keeps the analysis for deep redundancy (DRED) running, or stops it and forgets the past: only what was analysed can ride along with
    /// [`Self::encode_with_dred`]. It costs about a fifth of an encode.
    ///
    /// # Errors
    /// Never in practice.
    pub fn set_dred(&mut self, on: bool) -> Result<(), OpusError> {
        self.dred = on;
        self.raw.set(sys::OPUS_SET_DRED_DURATION_REQUEST, if on { ANALYSIS_ONLY } else { 0 })?;
        self.apply_expected_loss()
    }

    /// Without copies a loss would let libopus put redundancy into every packet.
    fn apply_expected_loss(&mut self) -> Result<(), OpusError> {
        let percent = if self.dred && !self.in_band_fec { 0 } else { self.expected_loss };
        self.raw.set(sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, i32::from(percent))
    }

    /// By how much the decoded sound lags behind what was encoded.
    pub const fn lookahead(&self) -> SampleCount {
        self.lookahead
    }

    /// Whether the last packet was one of silence suppression.
    ///
    /// # Errors
    /// Never in practice.
    pub fn in_dtx(&mut self) -> Result<bool, OpusError> {
        self.raw.get(sys::OPUS_GET_IN_DTX_REQUEST).map(|in_dtx| in_dtx != 0)
    }

    /// Forgets the past, before sound that does not follow what was encoded; settings stay.
    pub fn reset(&mut self) {
        self.raw.reset();
    }

    /// Encodes exactly one packet's worth of mono samples at 48 kHz; returns the packet's length in bytes.
    ///
    /// # Errors
    /// [`OpusError::BadArgument`] when `samples` is not `packet_time` long, [`OpusError::BufferTooSmall`].
    pub fn encode(
        &mut self,
        packet_time: PacketTime,
        samples: &[f32],
        packet: &mut [u8],
    ) -> Result<usize, OpusError> {
        if samples.len() != packet_time.samples() {
            return Err(OpusError::BadArgument);
        }
        self.raw.encode(samples, packet)
    }

    /// As [`Self::encode`], with up to `span` of what was said before it as deep redundancy beside the sound, which keeps its rate: the packet
    /// is larger by what `detail` takes. Silence costs nothing and carries nothing. Nothing is added before [`Self::set_dred`].
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_with_dred(
        &mut self,
        packet_time: PacketTime,
        samples: &[f32],
        span: Duration,
        detail: DredDetail,
        packet: &mut [u8],
    ) -> Result<usize, OpusError> {
        if !self.dred {
            return self.encode(packet_time, samples, packet);
        }
        let units = i32::try_from(span.as_millis() / 10).unwrap_or(MOST_DRED).clamp(1, MOST_DRED);
        let total = dred_rate::total_rate(self.bitrate.0, units as u8, packet_time, detail);
        self.raw.set(sys::OPUS_SET_INBAND_FEC_REQUEST, 0)?;
        self.raw.set(sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, i32::from(dred_rate::EXPECTED_LOSS))?;
        self.raw.set(sys::OPUS_SET_BITRATE_REQUEST, total as i32)?;
        self.raw.set(sys::OPUS_SET_DRED_DURATION_REQUEST, units)?;
        let encoded = self.encode(packet_time, samples, packet);
        self.raw.set(sys::OPUS_SET_DRED_DURATION_REQUEST, ANALYSIS_ONLY)?;
        self.raw.set(sys::OPUS_SET_BITRATE_REQUEST, self.bitrate.0 as i32)?;
        self.raw.set(sys::OPUS_SET_INBAND_FEC_REQUEST, i32::from(self.in_band_fec))?;
        self.apply_expected_loss()?;
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::opus_toc::{Mode, Toc};

    fn encoded(encoder: &mut OpusEncoder, packet_time: PacketTime, sound: &[f32]) -> Vec<Vec<u8>> {
        let mut packet = [0; 1275];
        let frames = sound.chunks_exact(packet_time.samples());
        frames
            .map(|frame| {
                encoder.encode(packet_time, frame, &mut packet).map(|len| packet[..len].to_vec()).unwrap()
            })
            .collect()
    }

    #[test]
    fn every_packet_time_is_what_the_packet_says() {
        let mut encoder = OpusEncoder::new(&EncoderConfig::default()).unwrap();
        use PacketTime::*;
        for packet_time in [Ms2_5, Ms5, Ms10, Ms20, Ms40, Ms60, Ms120] {
            let sound = vec![0.1; packet_time.samples()];
            let toc = Toc::parse(&encoded(&mut encoder, packet_time, &sound)[0]).unwrap();
            assert_eq!(toc.samples(), packet_time.samples());
        }
        assert_eq!(encoder.encode(Ms10, &[0.0; 479], &mut [0; 1275]), Err(OpusError::BadArgument));
    }

    #[test]
    fn low_delay_looks_less_far_ahead() {
        let lookahead = |profile| {
            OpusEncoder::new(&EncoderConfig { profile, ..EncoderConfig::default() }).unwrap().lookahead()
        };
        assert_eq!(
            (lookahead(Profile::Voice), lookahead(Profile::LowDelay)),
            (SampleCount(312), SampleCount(120))
        );
        let config = EncoderConfig { profile: Profile::LowDelay, ..EncoderConfig::default() };
        let packets = encoded(&mut OpusEncoder::new(&config).unwrap(), PacketTime::Ms5, &[0.1; 2400]);
        assert!(packets.iter().all(|packet| Toc::parse(packet).unwrap().mode == Mode::Celt));
    }

    #[test]
    fn silence_suppression_is_seen_in_state_and_packets() {
        let mut encoder = OpusEncoder::new(&EncoderConfig { dtx: true, ..EncoderConfig::default() }).unwrap();
        let packets = encoded(&mut encoder, PacketTime::Ms20, &vec![0.0; 48_000]);
        assert_eq!(encoder.in_dtx(), Ok(true));
        assert!(packets.iter().filter(|packet| Toc::parse(packet).unwrap().is_dtx()).count() > 25);
        encoder.set_dtx(false).unwrap();
        let packets = encoded(&mut encoder, PacketTime::Ms20, &[0.0; 9600]);
        assert!(!Toc::parse(packets.last().unwrap()).unwrap().is_dtx());
    }

    #[test]
    fn a_refused_rate_changes_nothing() {
        let mut encoder = OpusEncoder::new(&EncoderConfig::default()).unwrap();
        assert_eq!(encoder.set_bitrate(BitsPerSecond(u32::MAX)), Err(OpusError::BadArgument));
        assert_eq!(encoder.encode(PacketTime::Ms10, &[0.0; 480], &mut []), Err(OpusError::BadArgument));
    }
}
