//! The short report as an application-defined packet (RFC 3550, section 6.7): name `OFHK`, subtype 1. How a side receives, in a few bytes
//! that this crate carries and does not read.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::parse::RtcpError;

/// Most bytes of one report.
pub const MAX_SHORT_REPORT: usize = 40;

/// Payload type of application-defined packets.
pub(super) const APPLICATION: u8 = 204;
const NAME: [u8; 4] = *b"OFHK";
const SUBTYPE: u8 = 1;
/// Header, source and name.
const BEFORE_DATA: usize = 12;

/// A report of at most [`MAX_SHORT_REPORT`] bytes, never empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortReport {
    length: u8,
    bytes: [u8; MAX_SHORT_REPORT],
}

impl ShortReport {
    /// Copies a report; `None` when it is empty or too long.
    #[must_use]
    pub fn new(report: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_SHORT_REPORT];
        bytes.get_mut(..report.len()).filter(|place| !place.is_empty())?.copy_from_slice(report);
        Some(Self { length: report.len() as u8, bytes })
    }

    /// The report.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for ShortReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ShortReport").field(&self.as_bytes()).finish()
    }
}

/// What a whole application-defined packet brings: `None` when it is another application's, or longer than this version knows.
pub(super) fn read(packet: &[u8]) -> Result<Option<ShortReport>, RtcpError> {
    let name = packet.get(8..BEFORE_DATA).ok_or(RtcpError)?;
    if name != NAME || packet[0] & 0x1F != SUBTYPE {
        return Ok(None);
    }
    let (length, data) = packet[BEFORE_DATA..].split_first().ok_or(RtcpError)?;
    let report = data.get(..usize::from(*length)).ok_or(RtcpError)?;
    Ok(ShortReport::new(report))
}

/// The packet: a byte that says how long the report is, the report, zeros up to a word.
pub(crate) fn short_report(ssrc: u32, report: &ShortReport) -> Bytes {
    let data = (1 + report.as_bytes().len()).next_multiple_of(4);
    let words = (BEFORE_DATA + data) / 4 - 1;
    let mut packet = BytesMut::with_capacity(BEFORE_DATA + data);
    packet.put_u8(0x80 | SUBTYPE);
    packet.put_u8(APPLICATION);
    packet.put_u16(words as u16);
    packet.put_u32(ssrc);
    packet.put_slice(&NAME);
    packet.put_u8(report.length);
    packet.put_slice(report.as_bytes());
    packet.put_bytes(0, BEFORE_DATA + data - packet.len());
    packet.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{RtcpItem, parse};

    fn items(bytes: &[u8]) -> (Vec<RtcpItem>, Result<(), RtcpError>) {
        let mut items = Vec::new();
        let result = parse(bytes, |item| items.push(item));
        (items, result)
    }

    #[test]
    fn a_report_of_any_length_comes_back_as_it_was() {
        for length in 1..=MAX_SHORT_REPORT {
            let bytes: Vec<u8> = (0..length as u8).map(|byte| !byte).collect();
            let report = ShortReport::new(&bytes).unwrap();
            let packet = short_report(7, &report);
            assert!(packet.len().is_multiple_of(4) && packet.len() <= 56, "{}", packet.len());
            assert_eq!(items(&packet), (vec![RtcpItem::ShortReport(report)], Ok(())));
        }
        assert_eq!(ShortReport::new(&[]), None);
        assert_eq!(ShortReport::new(&[0; MAX_SHORT_REPORT + 1]), None);
    }

    #[test]
    fn the_packet_is_as_rfc_3550_lays_it_out() {
        let report = ShortReport::new(&[9, 8, 7, 6]).unwrap();
        let packet = [0x81, 204, 0, 4, 0, 0, 0, 7, b'O', b'F', b'H', b'K', 4, 9, 8, 7, 6, 0, 0, 0];
        assert_eq!(short_report(7, &report)[..], packet);
    }

    #[test]
    fn packets_of_other_applications_are_passed_over() {
        let packet = |subtype: u8, name: &[u8; 4]| {
            let mut packet = vec![0x80 | subtype, 204, 0, 3, 0, 0, 0, 7];
            packet.extend_from_slice(name);
            packet.extend_from_slice(&[1, 2, 3, 4]);
            packet
        };
        for other in [packet(0, b"OFHK"), packet(2, b"OFHK"), packet(1, b"goog"), packet(1, b"ofhk")] {
            assert_eq!(items(&other), (Vec::new(), Ok(())), "{other:?}");
        }
        assert_eq!(items(&packet(1, b"OFHK")).0.len(), 1);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let whole = short_report(7, &ShortReport::new(&[1; 40]).unwrap());
        for length in [43, 44, 255] {
            let mut packet = whole.to_vec();
            packet[12] = length;
            let expected = if length <= 43 { Ok(()) } else { Err(RtcpError) };
            assert_eq!(items(&packet), (Vec::new(), expected), "{length} bytes are said to be in 43");
        }
        for words in 0..3 {
            let mut packet = vec![0x81, 204, 0, words, 0, 0, 0, 7, b'O', b'F', b'H', b'K'];
            packet.truncate(4 + 4 * usize::from(words));
            let expected = if words == 2 { "no length" } else { "no name" };
            assert_eq!(items(&packet), (Vec::new(), Err(RtcpError)), "{expected}");
        }
        let mut empty = vec![0x81, 204, 0, 3, 0, 0, 0, 7, b'O', b'F', b'H', b'K', 0, 0, 0, 0];
        assert_eq!(items(&empty), (Vec::new(), Ok(())), "a report of nothing is none");
        empty[12] = 4;
        assert_eq!(items(&empty).1, Err(RtcpError));
    }
}
