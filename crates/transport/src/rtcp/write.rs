//! Our RTCP as bytes.

use bytes::Bytes;
use rtcp::compound_packet::CompoundPacket;
use rtcp::goodbye::Goodbye;
use rtcp::packet::Packet;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use webrtc_util::marshal::Marshal;

use super::parse::SenderInfo;

/// With this many characters the description needs no padding: the library writes padding that is not the null octets of RFC
/// 3550, section 6.5, and aiortc then drops the whole report.
pub(crate) const CNAME_LENGTH: usize = 17;

type Boxed = Box<dyn Packet + Send + Sync>;

/// What a report says.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) ssrc: u32,
    pub(crate) cname: &'a str,
    /// `None` when nothing was sent since the last report.
    pub(crate) sender: Option<SenderInfo>,
    pub(crate) blocks: Vec<ReceptionReport>,
}

/// Sender or receiver report with CNAME (RFC 3550, section 6.1). `None` only for a CNAME over 255 bytes.
pub(crate) fn report(report: Report<'_>, more: Option<Boxed>) -> Option<Bytes> {
    let mut packets = vec![first(&report), source_description(&report)];
    packets.extend(more);
    CompoundPacket(packets).marshal().ok()
}

/// A report with BYE.
pub(crate) fn goodbye(last: Report<'_>) -> Option<Bytes> {
    let goodbye = Goodbye { sources: vec![last.ssrc], reason: Bytes::new() };
    report(last, Some(Box::new(goodbye)))
}

fn first(report: &Report<'_>) -> Boxed {
    let reports = report.blocks.clone();
    match report.sender {
        Some(info) => Box::new(SenderReport {
            ssrc: report.ssrc,
            ntp_time: info.ntp_time,
            rtp_time: info.rtp_time,
            packet_count: info.packets,
            octet_count: info.payload_bytes,
            reports,
            profile_extensions: Bytes::new(),
        }),
        None => Box::new(ReceiverReport { ssrc: report.ssrc, reports, profile_extensions: Bytes::new() }),
    }
}

fn source_description(report: &Report<'_>) -> Boxed {
    let cname = Bytes::copy_from_slice(report.cname.as_bytes());
    let item = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: cname };
    Box::new(SourceDescription {
        chunks: vec![SourceDescriptionChunk { source: report.ssrc, items: vec![item] }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{RtcpItem, parse};

    /// Found with aiortc.
    #[test]
    fn a_description_ends_in_null_octets_only() {
        let cname = "a".repeat(CNAME_LENGTH);
        let bytes =
            report(Report { ssrc: 7, cname: &cname, sender: None, blocks: Vec::new() }, None).unwrap();
        let (end, before) = bytes.split_last().unwrap();
        assert_eq!((*end, before.last()), (0, Some(&b'a')));
        assert!(bytes.len().is_multiple_of(4));
    }

    #[test]
    fn what_we_write_we_read() {
        let sender = SenderInfo { ssrc: 7, ntp_time: 1 << 40, rtp_time: 960, packets: 3, payload_bytes: 300 };
        let block =
            ReceptionReport { ssrc: 8, fraction_lost: 26, total_lost: 5, ..ReceptionReport::default() };
        let bytes =
            goodbye(Report { ssrc: 7, cname: "name", sender: Some(sender), blocks: vec![block] }).unwrap();
        let mut items = Vec::new();
        assert_eq!(parse(&bytes, |item| items.push(item)), Ok(()));
        assert_eq!(items[0], RtcpItem::Sender(sender));
        assert!(matches!(items[1], RtcpItem::Report(report) if report.total_lost == 5));
        assert_eq!(items[2], RtcpItem::Goodbye(vec![7]));
    }
}
