//! The receive path does not allocate, whatever the network does.

#![expect(clippy::disallowed_methods, reason = "the packets are made before the count starts")]

use offhook_media_core::codec::{EncoderConfig, OpusEncoder};
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::{MediaTime, PacketTime};
use offhook_sim::allocations::{Counting, of_this_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

#[test]
fn loss_pauses_reordering_long_pulls_and_another_stream_allocate_nothing() {
    let mut encoder = OpusEncoder::new(&EncoderConfig { dtx: true, ..EncoderConfig::default() }).unwrap();
    let packets: Vec<Vec<u8>> = (0..100)
        .map(|frame| {
            // A second of tone, then one of silence: its packets say only that nobody speaks.
            let loud = if frame < 50 { 0.3 } else { 0.0 };
            let sound: Vec<f32> = (0..960).map(|n| ((frame * 960 + n) as f32 * 0.02).sin() * loud).collect();
            let mut bytes = [0; 1275];
            let len = encoder.encode(PacketTime::Ms20, &sound, &mut bytes).unwrap();
            bytes[..len].to_vec()
        })
        .collect();
    let config = ReceiveConfig { dtmf_payload_types: [Some(110), None], ..ReceiveConfig::default() };
    let mut receiver = ReceivePipeline::new(&config).unwrap();
    assert!(packets.iter().filter(|packet| packet.len() <= 2).count() > 10);
    let mut out = [0.0; 4800];
    let before = of_this_thread();
    for tick in 0..12_000_u32 {
        let now = i64::from(tick) * 5000;
        let mut cx = RtContext::new(MediaTime::from_micros(now));
        let k = tick / 4;
        let is_lost = k % 11 == 3 || (k + 80) / 100 % 7 == 5;
        if tick % 4 == 0 && !is_lost {
            // Every fifth pair comes in the wrong order, and the peer changes half-way.
            let k = if k % 10 < 2 { k ^ 1 } else { k };
            let packet = IncomingPacket {
                arrival: MediaTime::from_micros(now - i64::from(tick % 7) * 300),
                payload_type: if k % 50 == 49 { 110 } else { 111 },
                marker: false,
                ssrc: k / 1500,
                sequence: k as u16,
                timestamp: k * 960,
                payload: &packets[k as usize % packets.len()],
            };
            receiver.insert(&mut cx, &packet);
        }
        // A device that wants much at once now and then, and a short or odd piece.
        match tick % 600 {
            0..=19 => {}
            20 => receiver.pull(&mut cx, &mut out),
            21 => receiver.pull(&mut cx, &mut out[..7]),
            _ => receiver.pull(&mut cx, &mut out[..240]),
        }
        let _ = receiver.poll_digit();
        let _ = receiver.stats();
    }
    assert_eq!(of_this_thread() - before, 0);
    let stats = receiver.stats();
    assert!(stats.decoded > 0 && stats.concealed > 0 && stats.packets_lost > 0, "{stats:?}");
    assert!(stats.fec > 0 && stats.stretches > 0 && stats.interruptions > 0, "{stats:?}");
}
