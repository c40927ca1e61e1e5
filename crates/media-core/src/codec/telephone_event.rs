//! DTMF as RTP events (RFC 4733).

use webrtc_util::Error;
use webrtc_util::marshal::{Marshal, MarshalSize, Unmarshal};

const SIZE: usize = 4;

/// One of the sixteen keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DtmfDigit(u8);

impl DtmfDigit {
    /// From `0-9`, `*`, `#`, `A-D` (either case).
    pub const fn from_char(key: char) -> Option<Self> {
        Some(Self(match key {
            '0'..='9' => key as u8 - b'0',
            '*' => 10,
            '#' => 11,
            'A'..='D' => key as u8 - b'A' + 12,
            'a'..='d' => key as u8 - b'a' + 12,
            _ => return None,
        }))
    }

    /// The key.
    pub const fn as_char(self) -> char {
        b"0123456789*#ABCD"[(self.0 & 15) as usize] as char
    }
}

/// The payload of one event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code; 0 to 15 are keys.
    pub code: u8,
    /// Last report of the event.
    pub end: bool,
    /// 0 (loudest) to 63, in -dBm0.
    pub volume: u8,
    /// Length so far, in units of the RTP clock.
    pub duration: u16,
}

impl TelephoneEvent {
    /// The event of a key.
    pub const fn of(digit: DtmfDigit, duration: u16, end: bool) -> Self {
        Self { code: digit.0, end, volume: 10, duration }
    }

    /// The key, when the event is one.
    pub const fn digit(self) -> Option<DtmfDigit> {
        if self.code < 16 { Some(DtmfDigit(self.code)) } else { None }
    }
}

impl MarshalSize for TelephoneEvent {
    fn marshal_size(&self) -> usize {
        SIZE
    }
}

impl Marshal for TelephoneEvent {
    fn marshal_to(&self, buf: &mut [u8]) -> Result<usize, Error> {
        let out = buf.get_mut(..SIZE).ok_or(Error::ErrBufferShort)?;
        let [high, low] = self.duration.to_be_bytes();
        out.copy_from_slice(&[self.code, u8::from(self.end) << 7 | self.volume & 0x3f, high, low]);
        Ok(SIZE)
    }
}

impl Unmarshal for TelephoneEvent {
    fn unmarshal<B: bytes::Buf>(buf: &mut B) -> Result<Self, Error> {
        if buf.remaining() < SIZE {
            return Err(Error::ErrBufferShort);
        }
        let (code, flags, duration) = (buf.get_u8(), buf.get_u8(), buf.get_u16());
        Ok(Self { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_round_trip() {
        for key in "0123456789*#ABCD".chars() {
            let digit = DtmfDigit::from_char(key).unwrap();
            assert_eq!(digit.as_char(), key);
            let event = TelephoneEvent::of(digit, 960, true);
            let mut bytes = [0; 4];
            assert_eq!(event.marshal_to(&mut bytes).unwrap(), 4);
            assert_eq!(TelephoneEvent::unmarshal(&mut &bytes[..]).unwrap(), event);
        }
        assert!(DtmfDigit::from_char('x').is_none());
        assert!(TelephoneEvent::unmarshal(&mut &[1, 2, 3][..]).is_err());
    }
}
