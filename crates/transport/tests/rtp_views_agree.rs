//! Our view of an RTP packet and the `rtp` crate's are the same on everything the crate can write and on every valid packet.

use bytes::Bytes;
use offhook_transport::fuzzing::agrees_with_library;
use offhook_transport::rtp_header::RtpHeader;
use proptest::prelude::*;
use rtp::header::{Extension, Header};
use rtp::packet::Packet;
use webrtc_util::marshal::Marshal;

/// Elements of one block, the form they need, and padding in front of each.
#[derive(Debug, Clone)]
enum Block {
    None,
    OneByte(Vec<(u8, Vec<u8>, usize)>),
    TwoByte(Vec<(u8, Vec<u8>, usize)>),
    Other(u16, usize),
}

fn block() -> impl Strategy<Value = Block> {
    let one = (1..=14_u8, prop::collection::vec(any::<u8>(), 1..=16), 0..4_usize);
    let two = (1..=255_u8, prop::collection::vec(any::<u8>(), 0..=40), 0..4_usize);
    prop_oneof![
        Just(Block::None),
        prop::collection::vec(one, 0..6).prop_map(Block::OneByte),
        prop::collection::vec(two, 0..6).prop_map(Block::TwoByte),
        (0..0x1000_u16, 0..6_usize).prop_map(|(profile, words)| Block::Other(profile, words)),
    ]
}

fn bytes_of(block: &Block) -> Vec<u8> {
    let (profile, mut content) = match block {
        Block::None => return Vec::new(),
        Block::OneByte(elements) => (0xBEDE, elements_of(elements, false)),
        Block::TwoByte(elements) => (0x1000, elements_of(elements, true)),
        Block::Other(profile, words) => (*profile, vec![0x5A; 4 * words]),
    };
    content.resize(content.len().next_multiple_of(4), 0);
    let words = u16::try_from(content.len() / 4).expect("short");
    [&profile.to_be_bytes()[..], &words.to_be_bytes(), &content].concat()
}

fn elements_of(elements: &[(u8, Vec<u8>, usize)], two_bytes: bool) -> Vec<u8> {
    let element = |(id, value, padding): &(u8, Vec<u8>, usize)| {
        let mut bytes = vec![0; *padding];
        let length = u8::try_from(value.len()).expect("short");
        if two_bytes {
            bytes.extend([*id, length]);
        } else {
            bytes.push(id << 4 | (length - 1));
        }
        bytes.extend(value);
        bytes
    };
    elements.iter().flat_map(element).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_every_valid_packet(
        fixed in any::<[u8; 11]>(),
        sources in prop::collection::vec(any::<u32>(), 0..=15),
        block in block(),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        padding in 0..8_u8,
    ) {
        let flags = u8::from(padding > 0) << 5 | u8::from(!matches!(block, Block::None)) << 4;
        let mut packet = vec![0x80 | flags | u8::try_from(sources.len()).expect("fifteen")];
        packet.extend(fixed);
        packet.extend(sources.iter().flat_map(|source| source.to_be_bytes()));
        packet.extend(bytes_of(&block));
        packet.extend(&payload);
        packet.extend(std::iter::repeat_n(padding, padding.into()));
        let view = RtpHeader::parse(&packet).expect("valid");
        prop_assert_eq!(view.payload(&packet), Ok(&payload[..]));
        if let Block::OneByte(elements) | Block::TwoByte(elements) = &block {
            let expected = elements.iter().map(|(id, value, _)| (*id, &value[..]));
            prop_assert!(view.extensions().eq(expected));
        }
        prop_assert!(agrees_with_library(&packet));
    }

    #[test]
    fn on_what_the_crate_writes(
        numbers in any::<(bool, u16, u32, u32)>(),
        payload_type in 0..=127_u8,
        csrc in prop::collection::vec(any::<u32>(), 0..=15),
        extensions in prop::collection::btree_map(1..=14_u8, prop::collection::vec(any::<u8>(), 1..=16), 0..5),
        payload in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let (marker, sequence_number, timestamp, ssrc) = numbers;
        let header = Header {
            version: 2,
            marker,
            payload_type,
            sequence_number,
            timestamp,
            ssrc,
            csrc,
            extension: !extensions.is_empty(),
            extension_profile: 0xBEDE,
            extensions: extensions
                .iter()
                .map(|(id, value)| Extension { id: *id, payload: Bytes::copy_from_slice(value) })
                .collect(),
            ..Header::default()
        };
        let packet = Packet { header, payload: Bytes::from(payload.clone()) }.marshal().expect("fits");
        let view = RtpHeader::parse(&packet).expect("valid");
        prop_assert_eq!((view.marker, view.payload_type, view.sequence), (marker, payload_type, sequence_number));
        prop_assert_eq!((view.timestamp, view.ssrc), (timestamp, ssrc));
        for (id, value) in &extensions {
            prop_assert_eq!(view.extension(*id), Some(&value[..]));
        }
        prop_assert_eq!(view.payload(&packet), Ok(&payload[..]));
        prop_assert!(agrees_with_library(&packet));
    }

    #[test]
    fn on_anything_we_accept(packet in prop::collection::vec(any::<u8>(), 12..80), first in 0x80..0xC0_u8) {
        let mut packet = packet;
        packet[0] = first;
        prop_assert!(agrees_with_library(&packet));
    }
}
