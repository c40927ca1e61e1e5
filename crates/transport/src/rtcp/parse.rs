//! The peer's RTCP, after SRTCP authenticated it: we walk the compound and check every length, then the `rtcp` crate reads
//! the few kinds we use, one at a time.

use rtcp::reception_report::ReceptionReport;
use rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use thiserror::Error;
use webrtc_util::marshal::Unmarshal;

use super::short_report::{self, ShortReport};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const TRANSPORT_WIDE: u8 = 15;
const HEADER: usize = 4;
const REPORT_BLOCK: usize = 24;
/// Packets one transport-wide report may tell of. The library's own count overflows near 65,536.
const MOST_STATUSES: u16 = 4096;
/// Packets in one compound; nobody sends more than a handful.
const MOST_PACKETS: usize = 32;

/// RTCP that breaks its own lengths. What came before the break was used.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("malformed RTCP")]
pub struct RtcpError;

/// Something we use of a peer's RTCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtcpItem {
    /// Clock and counts of the peer's stream.
    Sender(SenderInfo),
    /// How the peer receives one of the streams.
    Report(PeerReport),
    /// The sources that end.
    Goodbye(Vec<u32>),
    /// Transport-wide feedback.
    TransportWide(TransportLayerCc),
    /// How the peer receives, in its own words.
    ShortReport(ShortReport),
}

/// From a sender report (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The stream.
    pub ssrc: u32,
    /// 64-bit NTP time of the report.
    pub ntp_time: u64,
    /// The same instant in the stream's media clock.
    pub rtp_time: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub payload_bytes: u32,
}

/// A reception report block (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerReport {
    /// The stream it is about.
    pub ssrc: u32,
    /// Lost since the previous report, in 256ths.
    pub fraction_lost: u8,
    /// Lost since the beginning; negative when packets came twice.
    pub total_lost: i32,
    /// In ticks of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0: none came.
    pub last_sender_report: u32,
    /// From its arrival to this report, in 65,536ths of a second.
    pub delay: u32,
}

/// Reads a plain or compound packet of at least one RTCP header, and calls `found` for what we use.
///
/// # Errors
/// [`RtcpError`] when a length does not fit; what came before was handed out.
pub fn parse(mut compound: &[u8], mut found: impl FnMut(RtcpItem)) -> Result<(), RtcpError> {
    for _ in 0..MOST_PACKETS {
        if compound.is_empty() {
            return Ok(());
        }
        let (packet, rest) = split(compound)?;
        read(packet, &mut found)?;
        compound = rest;
    }
    if compound.is_empty() { Ok(()) } else { Err(RtcpError) }
}

/// The first packet of a compound by its length word.
fn split(compound: &[u8]) -> Result<(&[u8], &[u8]), RtcpError> {
    let header = compound.first_chunk::<HEADER>().ok_or(RtcpError)?;
    let length = HEADER + 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 6 != 2 {
        return Err(RtcpError);
    }
    compound.split_at_checked(length).ok_or(RtcpError)
}

fn read(packet: &[u8], found: &mut impl FnMut(RtcpItem)) -> Result<(), RtcpError> {
    let count = packet[0] & 0x1F;
    let has = |length: usize| if packet.len() >= length { Ok(()) } else { Err(RtcpError) };
    match packet[1] {
        SENDER_REPORT => {
            has(HEADER + REPORT_BLOCK + REPORT_BLOCK * usize::from(count))?;
            let report =
                rtcp::sender_report::SenderReport::unmarshal(&mut &packet[..]).map_err(|_| RtcpError)?;
            found(RtcpItem::Sender(SenderInfo {
                ssrc: report.ssrc,
                ntp_time: report.ntp_time,
                rtp_time: report.rtp_time,
                packets: report.packet_count,
                payload_bytes: report.octet_count,
            }));
            report.reports.iter().for_each(|block| found(RtcpItem::Report(block_of(block))));
        }
        RECEIVER_REPORT => {
            has(HEADER + 4 + REPORT_BLOCK * usize::from(count))?;
            let report =
                rtcp::receiver_report::ReceiverReport::unmarshal(&mut &packet[..]).map_err(|_| RtcpError)?;
            report.reports.iter().for_each(|block| found(RtcpItem::Report(block_of(block))));
        }
        GOODBYE => {
            has(HEADER + 4 * usize::from(count))?;
            let sources = packet[HEADER..].as_chunks::<4>().0.iter().take(count.into());
            found(RtcpItem::Goodbye(sources.map(|source| u32::from_be_bytes(*source)).collect()));
        }
        TRANSPORT_FEEDBACK if count == TRANSPORT_WIDE => {
            has(HEADER + 16)?;
            if u16::from_be_bytes([packet[14], packet[15]]) > MOST_STATUSES {
                return Err(RtcpError);
            }
            let report = TransportLayerCc::unmarshal(&mut &packet[..]).map_err(|_| RtcpError)?;
            found(RtcpItem::TransportWide(report));
        }
        short_report::APPLICATION => {
            short_report::read(packet)?.into_iter().for_each(|report| found(RtcpItem::ShortReport(report)));
        }
        _ => {}
    }
    Ok(())
}

fn block_of(block: &ReceptionReport) -> PeerReport {
    PeerReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        // 24 bits with sign.
        total_lost: (block.total_lost << 8).cast_signed() >> 8,
        jitter: block.jitter,
        last_sender_report: block.last_sender_report,
        delay: block.delay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(bytes: &[u8]) -> (Vec<RtcpItem>, Result<(), RtcpError>) {
        let mut items = Vec::new();
        let result = parse(bytes, |item| items.push(item));
        (items, result)
    }

    #[test]
    fn a_receiver_report_and_a_goodbye() {
        let mut bytes = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        bytes.extend_from_slice(&[
            0, 0, 0, 2, 64, 0xFF, 0xFF, 0xFE, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7,
        ]);
        bytes.extend_from_slice(&[0x81, 203, 0, 1, 0, 0, 0, 1]);
        let (items, result) = items(&bytes);
        assert_eq!(result, Ok(()));
        let report = PeerReport {
            ssrc: 2,
            fraction_lost: 64,
            total_lost: -2,
            jitter: 5,
            last_sender_report: 6,
            delay: 7,
        };
        assert_eq!(items, [RtcpItem::Report(report), RtcpItem::Goodbye(vec![1])]);
    }

    /// NACK and FIR: the library panics on some of these bodies.
    #[test]
    fn kinds_we_do_not_use_are_passed_over() {
        let (items, result) = items(&[0x81, 205, 0, 1, 0, 0, 0, 1, 0x84, 206, 0, 1, 0, 0, 0, 1]);
        assert_eq!((items, result), (Vec::new(), Ok(())));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for bytes in [
            &[0x81, 203, 0, 0][..],
            &[0x80, 200, 0, 1, 0, 0, 0, 1],
            &[0x80, 201, 0, 9],
            &[0x80],
            &[0x40, 201, 0, 0],
        ] {
            assert_eq!(items(bytes).1, Err(RtcpError), "{bytes:?}");
        }
    }

    /// A run to 65,535 and one vector more: the library's count overflows.
    #[test]
    fn a_report_about_too_many_packets_is_refused() {
        let mut bytes = vec![0x8F, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0];
        bytes.extend_from_slice(&[0x1F, 0xFF].repeat(8));
        bytes.extend_from_slice(&[0xC0, 0, 0, 0]);
        assert_eq!(items(&bytes).1, Err(RtcpError));
    }
}
