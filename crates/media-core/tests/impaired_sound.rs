//! Made-up sound is told by the length of its gap.

#![expect(clippy::disallowed_methods, reason = "tests may allocate")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use offhook_media_core::codec::{EncoderConfig, OpusEncoder};
use offhook_media_core::jitter::ReceiveStats;
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::{MediaTime, PacketTime};

const PACKET: usize = 480;

/// Plays three seconds of a tone, of which the packets that are `lost` never come.
fn played(lost: impl Fn(usize) -> bool) -> ReceiveStats {
    let config = EncoderConfig { in_band_fec: false, ..EncoderConfig::default() };
    let mut encoder = OpusEncoder::new(&config).unwrap();
    let mut receiver = ReceivePipeline::new(&ReceiveConfig::default()).unwrap();
    for n in 0..300 {
        let now = MediaTime::from_micros(10_000 * n as i64);
        let mut cx = RtContext::new(now);
        let tone: Vec<f32> = (0..PACKET).map(|i| 0.3 * ((PACKET * n + i) as f32 * 0.03).sin()).collect();
        let mut bytes = [0; 1275];
        let length = encoder.encode(PacketTime::Ms10, &tone, &mut bytes).unwrap();
        if !lost(n) {
            let packet = IncomingPacket {
                arrival: now,
                payload_type: 111,
                marker: false,
                ssrc: 1,
                sequence: n as u16,
                timestamp: (n * PACKET) as u32,
                payload: &bytes[..length],
            };
            receiver.insert(&mut cx, &packet);
        }
        receiver.pull(&mut cx, &mut [0.0; PACKET]);
    }
    receiver.stats()
}

/// Samples made up in short, middle and long gaps.
fn by_length(stats: &ReceiveStats) -> [u64; 3] {
    let (short, long) = (stats.concealed_short, stats.concealed_long);
    [short, stats.concealed - short - long, long]
}

#[test]
fn single_packets_are_short_gaps() {
    let [short, middle, long] = by_length(&played(|n| n > 100 && n % 20 == 0));
    assert!(short > 5 * PACKET as u64 && middle == 0 && long == 0, "{short} {middle} {long}");
}

#[test]
fn six_packets_in_a_row_are_neither_short_nor_long() {
    let [short, middle, long] = by_length(&played(|n| (100..106).contains(&n)));
    assert!(middle >= 4 * PACKET as u64 && short == 0 && long == 0, "{short} {middle} {long}");
}

#[test]
fn twenty_packets_in_a_row_are_a_long_gap() {
    let [short, middle, long] = by_length(&played(|n| (100..120).contains(&n)));
    assert!(long > 12 * PACKET as u64 && short == 0 && middle == 0, "{short} {middle} {long}");
}
