//! What an Opus packet says of itself before it is decoded (RFC 6716 section 3).

mod framing;

use opus::packet as helper;
pub use opus::{Bandwidth, Channels};
use thiserror::Error;

/// Samples per channel of the longest packet (RFC 6716 section 3.4, R5): 120 ms at 48 kHz.
const MOST_SAMPLES: usize = 5760;

/// Which of its layers a packet uses (RFC 6716 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Linear prediction only: speech at low rates.
    Silk,
    /// Both layers.
    Hybrid,
    /// Transform only: music, and low delay.
    Celt,
}

/// Why bytes are no Opus packet. Drop them and conceal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TocError {
    /// Not one byte (R1).
    #[error("the packet is empty")]
    Empty,
    /// Lengths that do not add up to the packet (R2 to R4, R6, R7).
    #[error("the frame lengths do not fit the packet")]
    Framing,
    /// No frame, or over 120 ms (R5).
    #[error("the packet is longer than 120 ms, or holds no frame")]
    Duration,
}

/// The facts in a packet's first bytes, checked against its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toc {
    /// Layers.
    pub mode: Mode,
    /// Audio bandwidth.
    pub bandwidth: Bandwidth,
    /// Whether there are two channels; the decoder mixes them down.
    pub stereo: bool,
    /// Frames, 1 to 48.
    pub frames: usize,
    /// Samples per channel at 48 kHz in each.
    pub frame_samples: usize,
    first_frame: Option<u8>,
    coded_bytes: usize,
}

impl Toc {
    /// Reads and checks the framing as section 3.4 demands; no byte of the frames themselves is judged.
    ///
    /// # Errors
    /// [`TocError`] for what a decoder must refuse.
    pub fn parse(packet: &[u8]) -> Result<Self, TocError> {
        let toc = *packet.first().ok_or(TocError::Empty)?;
        let bandwidth = helper::get_bandwidth(packet).map_err(|_| TocError::Framing)?;
        let channels = helper::get_nb_channels(packet).map_err(|_| TocError::Framing)?;
        let frame_samples = helper::get_samples_per_frame(packet, 48_000).map_err(|_| TocError::Framing)?;
        let framing = framing::parse(packet)?;
        if framing.frames == 0 || framing.frames * frame_samples > MOST_SAMPLES {
            return Err(TocError::Duration);
        }
        Ok(Self {
            mode: mode_of(toc),
            bandwidth,
            stereo: channels == Channels::Stereo,
            frames: framing.frames,
            frame_samples,
            first_frame: framing.first_frame,
            coded_bytes: framing.coded_bytes,
        })
    }

    /// Samples per channel at 48 kHz in the packet.
    pub const fn samples(&self) -> usize {
        self.frames * self.frame_samples
    }

    /// Whether the packet carries a copy of the frame before it (in-band FEC): the LBRR flags of the first frame's SILK part, which follow
    /// one voice activity flag per 20 ms (section 4.2.3). A stereo frame has a set of flags for each channel.
    pub fn has_fec(&self) -> bool {
        let Some(first) = self.first_frame.filter(|_| self.mode != Mode::Celt) else {
            return false;
        };
        let silk_frames = (self.frame_samples / 960).max(1);
        let mid = first & (0x80 >> silk_frames) != 0;
        let side = self.stereo && first & (0x80 >> (2 * silk_frames + 1)) != 0;
        mid || side
    }

    /// Whether the encoder heard somebody speak in the first frame: the voice activity flags of its SILK part (section 4.2.3); `None` where it
    /// has none.
    pub fn has_voice(&self) -> Option<bool> {
        let first = self.first_frame.filter(|_| self.mode != Mode::Celt)?;
        Some(first & !(0xff >> (self.frame_samples / 960).max(1)) != 0)
    }

    /// The bits of the first frame's first byte that are flags: voice activity and copies, for each channel.
    const fn flags(&self) -> u8 {
        let channels = if self.stereo { 2 } else { 1 };
        let silk_frames = if self.frame_samples < 960 { 1 } else { self.frame_samples / 960 };
        match self.mode {
            Mode::Celt => 0,
            Mode::Silk | Mode::Hybrid => !(0xff >> (channels * (silk_frames + 1))),
        }
    }

    /// Whether nobody speaks and the encoder left the sound out (DTX): no frame has more than one byte.
    pub const fn is_dtx(&self) -> bool {
        self.coded_bytes <= self.frames
    }
}

/// Samples per channel at 48 kHz in a packet; `None` when its framing is invalid.
pub fn samples(packet: &[u8]) -> Option<usize> {
    Toc::parse(packet).ok().map(|toc| toc.samples())
}

/// Whether the packet is valid and [carries a copy](Toc::has_fec) of the frame before it.
pub fn has_fec(packet: &[u8]) -> bool {
    Toc::parse(packet).is_ok_and(|toc| toc.has_fec())
}

/// Takes the padding off a packet in place, and with it what extensions carry (deep redundancy); returns the new length. The frames stay
/// as they are: every decoder makes the same sound of it. What is no valid packet, or has no padding, is left alone.
pub fn strip_padding(packet: &mut [u8]) -> usize {
    framing::strip_padding(packet)
}

/// Sets the sound in a packet to zero, in place, and with it what its padding carries: framing, length and the flags of the first frame
/// stay. What is no valid packet stays none, and keeps nothing but its length.
pub fn blank(packet: &mut [u8]) {
    let kept = Toc::parse(packet).ok().and_then(|toc| Some((toc.flags(), framing::first_frame(packet)?)));
    let Some((flags, frames)) = kept else {
        packet.fill(0);
        if let Some(toc) = packet.first_mut() {
            // A packet of no frame: of that every decoder makes nothing.
            *toc = 3;
        }
        return;
    };
    let frames = &mut packet[frames..];
    let first = frames.first().map_or(0, |first| first & flags);
    frames.fill(0);
    if let Some(byte) = frames.first_mut() {
        *byte = first;
    }
}

/// Bytes of a packet that [`strip_padding`] would leave.
pub fn bare_length(packet: &[u8]) -> usize {
    framing::bare(packet).map_or(packet.len(), |bare| bare.head.len() + bare.coded.len())
}

const fn mode_of(toc: u8) -> Mode {
    match toc >> 3 {
        0..=11 => Mode::Silk,
        12..=15 => Mode::Hybrid,
        _ => Mode::Celt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_rfc_table() {
        assert_eq!(samples(&[0 << 3, 0]), Some(480));
        assert_eq!(samples(&[1 << 3, 0]), Some(960));
        assert_eq!(samples(&[3 << 3, 0]), Some(2880));
        assert_eq!(samples(&[13 << 3, 0]), Some(960));
        assert_eq!(samples(&[16 << 3, 0]), Some(120));
        assert_eq!(samples(&[31 << 3, 0]), Some(960));
        assert_eq!(samples(&[31 << 3 | 1, 0, 0]), Some(1920));
        assert_eq!(samples(&[31 << 3 | 3, 6, 0, 0, 0, 0, 0, 0]), Some(5760));
    }

    #[test]
    fn invalid_framing_is_refused() {
        assert_eq!(Toc::parse(&[]), Err(TocError::Empty));
        assert_eq!(Toc::parse(&[31 << 3 | 1, 0]), Err(TocError::Framing));
        assert_eq!(Toc::parse(&[31 << 3 | 3]), Err(TocError::Framing));
        assert_eq!(Toc::parse(&[31 << 3 | 3, 0]), Err(TocError::Duration));
        assert_eq!(Toc::parse(&[31 << 3 | 3, 7]), Err(TocError::Duration));
    }

    #[test]
    fn modes_and_bandwidths_are_those_of_the_rfc_table() {
        let shape =
            |config: u8| Toc::parse(&[config << 3 | 4, 0]).map(|toc| (toc.mode, toc.bandwidth, toc.stereo));
        assert_eq!(shape(0), Ok((Mode::Silk, Bandwidth::Narrowband, true)));
        assert_eq!(shape(11), Ok((Mode::Silk, Bandwidth::Wideband, true)));
        assert_eq!(shape(15), Ok((Mode::Hybrid, Bandwidth::Fullband, true)));
        assert_eq!(shape(20), Ok((Mode::Celt, Bandwidth::Wideband, true)));
    }

    #[test]
    fn padding_comes_off_and_the_frames_stay() {
        let stripped = |bytes: &[u8]| {
            let mut packet = bytes.to_vec();
            let len = strip_padding(&mut packet);
            assert_eq!(bare_length(bytes), len);
            packet.truncate(len);
            packet
        };
        // One frame with two bytes of padding; two equal ones with one; two different ones with 254 and one.
        assert_eq!(stripped(&[0x7b, 0x41, 2, 1, 2, 3, 9, 9]), [0x78, 1, 2, 3]);
        assert_eq!(stripped(&[0x7b, 0x42, 1, 1, 2, 9]), [0x7b, 0x02, 1, 2]);
        let long = [&[0x7b, 0xc2, 255, 1, 1, 7, 8][..], &[9; 255]].concat();
        assert_eq!(stripped(&long), [0x7b, 0x82, 1, 7, 8]);
        for whole in [&[0x78, 1, 2][..], &[0x7b, 0x02, 1, 2], &[0x7b, 0x41, 9, 1], &[0x7b], &[]] {
            assert_eq!(stripped(whole), whole);
        }
    }

    #[test]
    fn a_blank_packet_has_framing_and_flags_and_nothing_that_was_said() {
        let blanked = |bytes: &[u8]| {
            let mut packet = bytes.to_vec();
            blank(&mut packet);
            packet
        };
        // One wideband frame of 20 ms whose first bits say voice and copy.
        assert_eq!(blanked(&[9 << 3, 0xff, 1, 2]), [9 << 3, 0xc0, 0, 0]);
        assert_eq!(blanked(&[31 << 3 | 1, 5, 6]), [31 << 3 | 1, 0, 0]);
        assert_eq!(blanked(&[31 << 3 | 2, 1, 6, 7]), [31 << 3 | 2, 1, 0, 0]);
        assert_eq!(blanked(&[0x7b, 0xc2, 2, 1, 7, 8, 9, 9]), [0x7b, 0xc2, 2, 1, 0, 0, 0, 0]);
        // Stereo has flags for each channel.
        assert_eq!(blanked(&[9 << 3 | 4, 0xff, 1]), [9 << 3 | 4, 0xf0, 0]);
        assert_eq!(blanked(&[9 << 3]), [9 << 3]);
        for invalid in [&[31 << 3 | 1, 9][..], &[0x7b], &[]] {
            assert_eq!(blanked(invalid).len(), invalid.len());
            assert!(Toc::parse(&blanked(invalid)).is_err());
        }
    }

    #[test]
    fn voice_is_told_by_the_speech_layer_only() {
        let voice = |packet: &[u8]| Toc::parse(packet).map(|toc| toc.has_voice());
        assert_eq!(voice(&[9 << 3, 0x80, 1]), Ok(Some(true)));
        assert_eq!(voice(&[9 << 3, 0x7f, 1]), Ok(Some(false)));
        // 60 ms have three flags.
        assert_eq!(voice(&[11 << 3, 0x20, 1]), Ok(Some(true)));
        assert_eq!(voice(&[31 << 3, 0x80, 1]), Ok(None));
        assert_eq!(voice(&[9 << 3]), Ok(None));
    }

    #[test]
    fn packets_without_sound_are_known() {
        assert!(Toc::parse(&[1 << 3]).unwrap().is_dtx());
        assert!(!Toc::parse(&[1 << 3, 1, 2, 3]).unwrap().is_dtx());
    }
}
