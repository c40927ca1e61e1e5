//! Payload formats hold for any input: what is written is read, and what is read is what libopus reads.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may allocate")]

use offhook_media_core::codec::opus_toc::Toc;
use offhook_media_core::codec::red::{self, RedBlock};
use offhook_media_core::codec::telephone_event::TelephoneEvent;
use offhook_media_core::codec::{EncoderConfig, OpusEncoder};
use offhook_media_core::fuzzing;
use offhook_media_core::units::{BitsPerSecond, PacketTime};
use proptest::collection::vec;
use proptest::prelude::*;
use webrtc_util::marshal::{Marshal, Unmarshal};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_come_back_as_they_were(
        redundant in vec((0_u8..128, 0_u16..=red::MOST_OFFSET, vec(any::<u8>(), 0..60)), 0..red::MOST_BLOCKS),
        newest in (0_u8..128, vec(any::<u8>(), 0..200)),
    ) {
        let mut blocks: Vec<RedBlock<'_>> = redundant
            .iter()
            .map(|(payload_type, offset, payload)| RedBlock { payload_type: *payload_type, offset: *offset, payload })
            .collect();
        blocks.push(RedBlock { payload_type: newest.0, offset: 0, payload: &newest.1 });
        let mut bytes = [0; 2048];
        let len = red::build(&blocks, &mut bytes).unwrap();
        prop_assert!(red::parse(&bytes[..len]).unwrap().eq(blocks));
        for shorter in 0..len {
            if let Ok(parsed) = red::parse(&bytes[..shorter]) {
                prop_assert!(parsed.map(|block| block.payload.len()).sum::<usize>() < shorter);
            }
        }
    }

    #[test]
    fn events_come_back_as_they_were(code: u8, end: bool, volume in 0_u8..64, duration: u16) {
        let event = TelephoneEvent { code, end, volume, duration };
        let mut bytes = [0; 4];
        event.marshal_to(&mut bytes).unwrap();
        prop_assert_eq!(TelephoneEvent::unmarshal(&mut &bytes[..]).unwrap(), event);
    }

    #[test]
    fn any_bytes_are_read_safely(data in vec(any::<u8>(), 0..400)) {
        fuzzing::opus_toc(&data);
        fuzzing::red(&data);
        fuzzing::telephone_event(&data);
    }

    #[test]
    fn framing_is_read_as_libopus_reads_it(
        toc: u8, count in 0_u8..=255, lengths in vec(0_u8..12, 0..60), tail in vec(any::<u8>(), 0..40),
    ) {
        let packet: Vec<u8> = [toc, count].into_iter().chain(lengths).chain(tail).collect();
        fuzzing::opus_toc(&packet);
    }
}

#[test]
fn the_encoder_says_what_it_was_told() {
    let sound: Vec<f32> = (0..5760).map(|n| (n as f32 * 0.03).sin() * 0.3).collect();
    for bitrate in [8_000, 16_000, 32_000, 64_000] {
        let config = EncoderConfig {
            bitrate: BitsPerSecond(bitrate),
            expected_loss_percent: 20,
            ..EncoderConfig::default()
        };
        let mut encoder = OpusEncoder::new(&config).unwrap();
        for packet_time in [PacketTime::Ms10, PacketTime::Ms20, PacketTime::Ms60, PacketTime::Ms120] {
            let mut packet = [0; 1275];
            let len = encoder.encode(packet_time, &sound[..packet_time.samples()], &mut packet).unwrap();
            fuzzing::opus_toc(&packet[..len]);
            assert_eq!(
                Toc::parse(&packet[..len]).unwrap().samples(),
                packet_time.samples(),
                "{bitrate} {packet_time:?}"
            );
        }
    }
}
