//! A validated view of an RTP header: every length is checked before any byte is read.

use thiserror::Error;

use crate::event::AudioLevel;

/// Length of the header without sources and extensions.
pub const FIXED_LENGTH: usize = 12;
const ONE_BYTE: u16 = 0xBEDE;
/// Its lowest four bits are free for applications (RFC 8285, section 4.3).
const TWO_BYTE: u16 = 0x1000;

/// What is wrong with a packet that claims to be RTP.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum RtpHeaderError {
    /// Ends before its own header does.
    #[error("the packet ends inside its header")]
    Short,
    /// Not version 2.
    #[error("not RTP version 2")]
    Version,
    /// An extension element reaches beyond its block.
    #[error("a header extension reaches beyond its block")]
    Extension,
    /// The padding is longer than the payload, or zero.
    #[error("impossible padding")]
    Padding,
}

/// An RTP header (RFC 3550, section 5.1) with its extensions (RFC 8285), borrowed from the packet. Copies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader<'a> {
    /// Whether the payload ends in padding.
    pub padding: bool,
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
    /// Contributing sources, four bytes each.
    pub csrc: &'a [u8],
    /// Profile of the extension block, where there is one.
    pub extension_profile: Option<u16>,
    /// The extension block without its own four bytes of header.
    pub extension_block: &'a [u8],
    /// Where the payload begins.
    pub length: usize,
}

impl<'a> RtpHeader<'a> {
    /// Reads the header of a packet, protected or not.
    ///
    /// # Errors
    /// [`RtpHeaderError`] when the packet breaks its own lengths.
    pub fn parse(packet: &'a [u8]) -> Result<Self, RtpHeaderError> {
        let fixed = packet.first_chunk::<FIXED_LENGTH>().ok_or(RtpHeaderError::Short)?;
        if fixed[0] >> 6 != 2 {
            return Err(RtpHeaderError::Version);
        }
        let csrc_end = FIXED_LENGTH + 4 * usize::from(fixed[0] & 0x0F);
        let csrc = packet.get(FIXED_LENGTH..csrc_end).ok_or(RtpHeaderError::Short)?;
        let mut header = Self {
            padding: fixed[0] & 0x20 != 0,
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            csrc,
            extension_profile: None,
            extension_block: &[],
            length: csrc_end,
        };
        if fixed[0] & 0x10 != 0 {
            header.read_extension_block(packet)?;
        }
        Ok(header)
    }

    fn read_extension_block(&mut self, packet: &'a [u8]) -> Result<(), RtpHeaderError> {
        let rest = packet.get(self.length..).ok_or(RtpHeaderError::Short)?;
        let (head, rest) = rest.split_first_chunk::<4>().ok_or(RtpHeaderError::Short)?;
        let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        self.extension_block = rest.get(..length).ok_or(RtpHeaderError::Short)?;
        self.extension_profile = Some(u16::from_be_bytes([head[0], head[1]]));
        self.length += 4 + length;
        let mut elements = self.extensions();
        elements.by_ref().for_each(drop);
        if elements.broken { Err(RtpHeaderError::Extension) } else { Ok(()) }
    }

    /// The extension elements in order. Empty for a profile that is neither of RFC 8285's.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        let form = match self.extension_profile {
            Some(ONE_BYTE) => Form::OneByte,
            Some(profile) if profile & 0xFFF0 == TWO_BYTE => Form::TwoByte,
            _ => return Extensions { rest: &[], form: Form::OneByte, broken: false },
        };
        Extensions { rest: self.extension_block, form, broken: false }
    }

    /// The element with this identifier.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|(found, _)| *found == id).map(|(_, value)| value)
    }

    /// The audio level (RFC 6464) carried under this identifier.
    #[must_use]
    pub fn audio_level(&self, id: u8) -> Option<AudioLevel> {
        let byte = *self.extension(id)?.first()?;
        Some(AudioLevel { below_full_scale: byte & 0x7F, voice: byte & 0x80 != 0 })
    }

    /// The transport-wide sequence number carried under this identifier.
    #[must_use]
    pub fn transport_sequence(&self, id: u8) -> Option<u16> {
        self.extension(id)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The payload of the packet this header was read from, once decrypted, without padding.
    ///
    /// # Errors
    /// [`RtpHeaderError::Padding`] when the padding does not fit, [`RtpHeaderError::Short`] for another packet.
    pub fn payload<'p>(&self, packet: &'p [u8]) -> Result<&'p [u8], RtpHeaderError> {
        let payload = packet.get(self.length..).ok_or(RtpHeaderError::Short)?;
        if !self.padding {
            return Ok(payload);
        }
        let padding = usize::from(*payload.last().ok_or(RtpHeaderError::Padding)?);
        let length =
            payload.len().checked_sub(padding).filter(|_| padding != 0).ok_or(RtpHeaderError::Padding)?;
        Ok(&payload[..length])
    }
}

#[derive(Debug, Clone, Copy)]
enum Form {
    OneByte,
    TwoByte,
}

/// Iterator over extension elements: identifier and value.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    form: Form,
    broken: bool,
}

impl<'a> Extensions<'a> {
    /// Identifier, value length and length of the element's own header; `None` ends the block.
    fn head(&self) -> Option<(u8, usize, usize)> {
        let first = *self.rest.first()?;
        match self.form {
            Form::OneByte if first >> 4 == 15 => None,
            Form::OneByte => Some((first >> 4, usize::from(first & 0x0F) + 1, 1)),
            Form::TwoByte => Some((first, usize::from(*self.rest.get(1)?), 2)),
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((0, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        let Some((id, length, head)) = self.head() else {
            self.broken |= matches!(self.form, Form::TwoByte) && !self.rest.is_empty();
            self.rest = &[];
            return None;
        };
        let Some(value) = self.rest.get(head..head + length) else {
            self.broken = true;
            self.rest = &[];
            return None;
        };
        self.rest = &self.rest[head + length..];
        Some((id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 0xEF, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 9];
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn reads_one_byte_extensions_and_payload() {
        let bytes = packet(0x90, &[0xBE, 0xDE, 0, 2, 0x10, 0x9E, 0x31, 0x01, 0x02, 0, 0, 0, 42, 43]);
        let header = RtpHeader::parse(&bytes).unwrap();
        assert!(header.marker);
        assert_eq!(
            (header.payload_type, header.sequence, header.timestamp, header.ssrc),
            (111, 0x1234, 5, 9)
        );
        assert_eq!(header.audio_level(1), Some(AudioLevel { below_full_scale: 30, voice: true }));
        assert_eq!(header.transport_sequence(3), Some(0x0102));
        assert_eq!(header.extension(7), None);
        assert_eq!(header.payload(&bytes), Ok(&[42, 43][..]));
    }

    /// The `rtp` crate panics on this one.
    #[test]
    fn an_element_longer_than_its_block_is_refused() {
        let bytes = packet(0x90, &[0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3]);
        assert_eq!(RtpHeader::parse(&bytes), Err(RtpHeaderError::Extension));
        let bytes = packet(0x90, &[0x10, 0x00, 0, 1, 1, 3, 2, 3]);
        assert_eq!(RtpHeader::parse(&bytes), Err(RtpHeaderError::Extension));
        let bytes = packet(0x90, &[0xBE, 0xDE, 0, 9, 0, 0, 0, 0]);
        assert_eq!(RtpHeader::parse(&bytes), Err(RtpHeaderError::Short));
    }

    #[test]
    fn impossible_headers_are_refused() {
        assert_eq!(RtpHeader::parse(&packet(0x40, &[])), Err(RtpHeaderError::Version));
        assert_eq!(RtpHeader::parse(&packet(0x82, &[0; 7])), Err(RtpHeaderError::Short));
        assert_eq!(RtpHeader::parse(&[0x80; 11]), Err(RtpHeaderError::Short));
    }

    #[test]
    fn padding_is_taken_off_and_checked() {
        let bytes = packet(0xA0, &[7, 8, 0, 2]);
        assert_eq!(RtpHeader::parse(&bytes).unwrap().payload(&bytes), Ok(&[7, 8][..]));
        for bytes in [packet(0xA0, &[7, 3]), packet(0xA0, &[7, 0]), packet(0xA0, &[])] {
            assert_eq!(RtpHeader::parse(&bytes).unwrap().payload(&bytes), Err(RtpHeaderError::Padding));
        }
    }
}
