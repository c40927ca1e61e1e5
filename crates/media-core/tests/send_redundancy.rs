//! What the send path adds to the sound, and that it is worth what it says.

#![expect(clippy::disallowed_methods, reason = "tests may allocate")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use offhook_media_core::codec::{DecoderConfig, EncoderConfig, MOST_SAMPLES, OpusDecoder, opus_toc, red};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{OutgoingPacket, Redundancy, SendConfig, SendPipeline};
use offhook_media_core::units::{BitsPerSecond, MediaTime, PacketTime};

const RED: u8 = 63;

/// A voice-like sound: a pulse train whose colour and pitch change.
fn sound(seconds: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..seconds * 48_000)
        .map(|n| {
            let t = n as f32 / 48_000.0;
            phase += (120.0 + 30.0 * (t * 5.0).sin()) / 48_000.0;
            let colour = 3.0 + 2.0 * (t * 11.0).sin();
            let harmonics = (1..20_u8).map(|k| {
                let k = f32::from(k);
                (phase * k * std::f32::consts::TAU).sin() / (1.0 + (k - colour * 2.0).powi(2))
            });
            0.15 * (1.0 + (t * 14.0).sin()) * harmonics.sum::<f32>()
        })
        .collect()
}

fn config(redundancy: Redundancy) -> SendConfig {
    SendConfig {
        packet_time: PacketTime::Ms20,
        red_payload_type: Some(RED),
        redundancy,
        ..SendConfig::default()
    }
}

fn sent(pipeline: &mut SendPipeline, sound: &[f32]) -> Vec<OutgoingPacket> {
    let mut packets = Vec::new();
    for (tick, block) in (0..).zip(sound.chunks(240)) {
        let mut cx = RtContext::new(MediaTime::from_micros(tick * 5000));
        pipeline.push(&mut cx, block, &mut |packet| packets.push(*packet));
    }
    packets
}

/// The newest payload of a packet, and the others with their distance in samples.
fn blocks(packet: &OutgoingPacket) -> (Vec<u8>, Vec<(u16, Vec<u8>)>) {
    if packet.payload_type != RED {
        return (packet.payload().to_vec(), Vec::new());
    }
    let mut all: Vec<(u16, Vec<u8>)> = red::parse(packet.payload())
        .unwrap()
        .map(|block| {
            assert_eq!(block.payload_type, 111);
            (block.offset, block.payload.to_vec())
        })
        .collect();
    let newest = all.pop().unwrap();
    assert_eq!(newest.0, 0);
    (newest.1, all)
}

#[test]
fn copies_are_the_payloads_that_were_sent_before() {
    let mut pipeline = SendPipeline::new(&config(Redundancy::Red)).unwrap();
    let packets = sent(&mut pipeline, &sound(2));
    assert_eq!(packets.len(), 100);
    assert_eq!(packets[0].payload_type, 111);
    for pair in packets.windows(2) {
        let (before, (_, copies)) = (blocks(&pair[0]).0, blocks(&pair[1]));
        assert_eq!(copies, [(960, before)]);
        assert_eq!(pair[1].timestamp - pair[0].timestamp, 960);
    }
    let stats = pipeline.stats();
    let copied: usize = packets.iter().map(|packet| packet.payload().len() - blocks(packet).0.len()).sum();
    assert_eq!((stats.red_bytes, stats.dred_bytes), (copied as u64, 0));
    assert_eq!(stats.payload_bytes, packets.iter().map(|packet| packet.payload().len() as u64).sum::<u64>());
}

#[test]
fn a_far_end_without_copies_gets_plain_opus() {
    for redundancy in [Redundancy::None, Redundancy::Fec, Redundancy::Red, Redundancy::Auto] {
        let config = SendConfig { red_payload_type: None, ..config(redundancy) };
        let packets = sent(&mut SendPipeline::new(&config).unwrap(), &sound(1));
        assert!(packets.iter().all(|packet| packet.payload_type == 111));
        assert!(packets.iter().all(|packet| opus_toc::samples(packet.payload()) == Some(960)));
        let copies = packets.iter().filter(|packet| opus_toc::has_fec(packet.payload())).count();
        assert_eq!(copies > 15, redundancy == Redundancy::Fec, "{redundancy:?}: {copies}");
    }
}

#[test]
fn deep_redundancy_rides_in_one_packet_of_a_few_and_is_counted() {
    let mut pipeline = SendPipeline::new(&config(Redundancy::Dred)).unwrap();
    let packets = sent(&mut pipeline, &sound(4));
    let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
    let spans: Vec<usize> = packets.iter().map(|packet| decoder.dred_span(packet.payload())).collect();
    let interval = usize::from(pipeline.stats().rung.dred_interval);
    let carriers: Vec<usize> = (60..200).filter(|n| spans[*n] > 45_000).collect();
    assert!(carriers.iter().all(|n| n % interval == carriers[0] % interval), "{carriers:?}");
    // Where the voice is silent for a moment, less is carried.
    assert!(carriers.len() * interval >= 100, "{carriers:?}");
    let stats = pipeline.stats();
    assert!(stats.dred_bytes > 30 * carriers.len() as u64 && stats.red_bytes == 0, "{stats:?}");
}

#[test]
fn copies_leave_deep_redundancy_out() {
    let mut pipeline = SendPipeline::new(&config(Redundancy::Dred)).unwrap();
    let packets = sent(&mut pipeline, &sound(2));
    // Plain packets here; what would be copied of them is what strip_padding leaves, and it decodes to the same sound.
    let mut decoders = [0, 0].map(|_| OpusDecoder::new(&DecoderConfig { complexity: 0 }).unwrap());
    let (mut one, mut other) = ([0.0; MOST_SAMPLES], [0.0; MOST_SAMPLES]);
    for packet in &packets {
        let mut bare = packet.payload().to_vec();
        let length = opus_toc::strip_padding(&mut bare);
        assert_eq!(length, opus_toc::bare_length(packet.payload()));
        decoders[0].decode(packet.payload(), &mut one).unwrap();
        decoders[1].decode(&bare[..length], &mut other).unwrap();
        assert_eq!(one, other);
    }
}

#[test]
fn the_rate_is_what_was_asked_for() {
    let spoken = sound(10);
    for redundancy in [Redundancy::None, Redundancy::Fec, Redundancy::Dred, Redundancy::Auto] {
        let encoder = EncoderConfig { bitrate: BitsPerSecond(32_000), ..EncoderConfig::default() };
        let mut pipeline = SendPipeline::new(&SendConfig { encoder, ..config(redundancy) }).unwrap();
        sent(&mut pipeline, &spoken);
        let rate = pipeline.stats().payload_bytes * 8 / 10;
        assert!(rate < 34_500, "{redundancy:?}: {rate} b/s");
    }
}
