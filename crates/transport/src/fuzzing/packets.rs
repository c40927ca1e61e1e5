//! Parsers of single datagrams: demultiplexer and STUN, RTP header, RTCP.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use webrtc_util::marshal::Unmarshal;

use super::start;
use crate::demux::{MAX_DATAGRAM, Protocol, classify};
use crate::event::FeedbackReport;
use crate::feedback::SentHistory;
use crate::path_report::{PathMeter, PathReport};
use crate::rtcp::{MAX_SHORT_REPORT, RtcpItem, StreamReception, parse, short_report};
use crate::rtp_header::RtpHeader;
use crate::stun_gather::StunGatherer;

const ONE_BYTE_EXTENSIONS: u16 = 0xBEDE;

/// Any bytes as a datagram: what is sorted is long enough and in the range of its protocol; STUN goes on to both of its
/// readers.
///
/// # Panics
/// When an invariant does not hold.
pub fn demux(data: &[u8]) {
    let Some(protocol) = classify(data) else { return };
    let (range, shortest) = match protocol {
        Protocol::Stun => (0..=3, 20),
        Protocol::Dtls => (20..=63, 14),
        Protocol::TurnChannel => (64..=79, 4),
        Protocol::Rtp => (128..=191, 12),
        Protocol::Rtcp => (128..=191, 8),
    };
    assert!(range.contains(&data[0]) && (shortest..=MAX_DATAGRAM).contains(&data.len()), "{protocol:?}");
    if protocol == Protocol::Stun {
        stun(data);
    }
}

/// The library's parser, and our own reader of a server's answer, made to belong to a request of ours.
fn stun(data: &[u8]) {
    let _any_outcome = is::stun::StunMessage::parse(data);
    let socket = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 4000));
    let server = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 3478));
    let mut gatherer = StunGatherer::new([7; 12]);
    gatherer.ask(start(), socket, server);
    let request = gatherer.poll(start()).remove(0);
    let mut answer = data.to_vec();
    answer[8..20].copy_from_slice(&request.contents[8..20]);
    let found = gatherer.handle(socket, server, &answer);
    assert!(matches!(found, Some((known, _)) if known == socket) && gatherer.is_done());
    if let Some((_, Some(outside))) = found {
        assert!(outside.port() != 0 && !outside.ip().is_unspecified() && !outside.ip().is_multicast());
    }
}

/// Any bytes as RTP: our view keeps to the packet, and the `rtp` crate reads the same where we accept.
///
/// # Panics
/// When an invariant does not hold.
pub fn rtp_header(data: &[u8]) {
    let Ok(header) = RtpHeader::parse(data) else { return };
    let block = header.extension_profile.map_or(0, |_| 4 + header.extension_block.len());
    assert_eq!(header.length, 12 + header.csrc.len() + block);
    assert!(header.length <= data.len());
    if let Ok(payload) = header.payload(data) {
        assert!(header.length + payload.len() <= data.len());
    }
    assert!(agrees_with_library(data));
}

/// Whether our view of a packet and the `rtp` crate's agree. Also for packets we refuse: those never reach the crate.
#[must_use]
pub fn agrees_with_library(packet: &[u8]) -> bool {
    let Ok(ours) = RtpHeader::parse(packet) else { return true };
    let Ok(theirs) = rtp::packet::Packet::unmarshal(&mut Bytes::copy_from_slice(packet)) else {
        // It refuses nothing that we accept but padding, which we refuse too.
        return ours.payload(packet).is_err();
    };
    let header = &theirs.header;
    let numbers = header.padding == ours.padding
        && header.marker == ours.marker
        && header.payload_type == ours.payload_type
        && header.sequence_number == ours.sequence
        && header.timestamp == ours.timestamp
        && header.ssrc == ours.ssrc;
    let sources = header.csrc.iter().flat_map(|source| source.to_be_bytes()).eq(ours.csrc.iter().copied());
    numbers && sources && extensions_agree(&ours, header) && payload_agrees(&ours, packet, &theirs.payload)
}

/// The crate takes a block of an unknown profile for one element with identifier 0, and so a two-byte block with application
/// bits too.
fn extensions_agree(ours: &RtpHeader<'_>, theirs: &rtp::header::Header) -> bool {
    let elements = theirs.extensions.iter().map(|extension| (extension.id, &extension.payload[..]));
    match ours.extension_profile {
        None => !theirs.extension && theirs.extensions.is_empty(),
        Some(profile) if profile == ONE_BYTE_EXTENSIONS || profile == 0x1000 => {
            elements.eq(ours.extensions())
        }
        Some(_) => elements.eq([(0, ours.extension_block)]),
    }
}

/// After an element 15 the crate counts the rest of the block as payload; and it lets a padding of zero bytes pass.
fn payload_agrees(ours: &RtpHeader<'_>, packet: &[u8], theirs: &[u8]) -> bool {
    let stops = ours.extension_profile == Some(ONE_BYTE_EXTENSIONS) && has_stop(ours.extension_block);
    match ours.payload(packet) {
        Ok(payload) if stops => theirs.ends_with(payload),
        Ok(payload) => payload == theirs,
        Err(_) => ours.padding && (packet.last() == Some(&0) || stops),
    }
}

fn has_stop(mut block: &[u8]) -> bool {
    while let Some((&first, rest)) = block.split_first() {
        match first {
            0 => block = rest,
            0xF0..=0xFF => return true,
            _ => block = rest.get(usize::from(first & 0x0F) + 1..).unwrap_or_default(),
        }
    }
    false
}

/// Any bytes as authenticated RTCP: items stay within what the packet can hold, and whoever uses them stands it.
///
/// # Panics
/// When an invariant does not hold.
pub fn rtcp(data: &[u8]) {
    let data = &data[..data.len().min(MAX_DATAGRAM)];
    let mut history = SentHistory::default();
    for count in 0..600 {
        history.record(start() + Duration::from_millis(20) * count, 100, 80);
    }
    let mut reception = StreamReception::new(1, 1);
    let mut meter = PathMeter::new(start());
    let mut items = 0;
    let _any_outcome = parse(data, |item| {
        items += 1;
        match item {
            RtcpItem::Sender(info) => reception.sender_report(start(), info.ntp_time),
            RtcpItem::Report(report) => assert!((-0x80_0000..=0x7F_FFFF).contains(&report.total_lost)),
            RtcpItem::Goodbye(sources) => assert!(sources.len() <= 31),
            RtcpItem::ShortReport(report) => {
                assert!((1..=MAX_SHORT_REPORT).contains(&report.as_bytes().len()));
                let mut again = None;
                let written = parse(&short_report(1, &report), |item| again = Some(item));
                assert_eq!((written, again), (Ok(()), Some(RtcpItem::ShortReport(report))));
            }
            RtcpItem::TransportWide(report) => {
                let fates = history.match_report(&report).packets;
                assert!(fates.len() <= usize::from(report.packet_status_count));
                assert!(fates.is_sorted_by_key(|fate| fate.sent));
                meter.feedback(&FeedbackReport { packets: fates });
                check_path(meter.report(start() + Duration::from_secs(items as u64)));
            }
        }
    });
    // A report block is the shortest of what gives an item, but for the headers of BYE.
    assert!(items <= data.len() / 4);
    let _block = reception.report(start());
}

fn check_path(report: Option<PathReport>) {
    let Some(report) = report else { return };
    assert!((0.0..=1.0).contains(&report.loss));
    assert!(report.queue_trend.is_none_or(f64::is_finite));
    assert!(report.received.is_none_or(|rate| rate.is_finite() && rate >= 0.0));
}
