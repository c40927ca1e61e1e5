//! Opus by the packet: encode, decode, restore from the copy, make up.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use offhook_media_core::codec::{DecoderConfig, EncoderConfig, MOST_SAMPLES, OpusDecoder, OpusEncoder};
use offhook_media_core::units::PacketTime;
use offhook_sim::sound::synthetic_speech;

fn spoken() -> Vec<f32> {
    synthetic_speech(std::time::Duration::from_secs(4), 1)
}

fn encode(criterion: &mut Criterion) {
    let sound = spoken();
    let mut group = criterion.benchmark_group("opus encode");
    for packet_time in [PacketTime::Ms10, PacketTime::Ms20] {
        let mut encoder = OpusEncoder::new(&EncoderConfig::default()).expect("default settings are valid");
        let mut frames = sound.chunks_exact(packet_time.samples()).cycle();
        let mut packet = [0; 1275];
        group.bench_function(format!("{packet_time:?} at 32 kb/s"), |bencher| {
            bencher.iter(|| {
                let frame = frames.next().expect("a cycle does not end");
                black_box(encoder.encode(packet_time, frame, &mut packet))
            });
        });
    }
    group.finish();
}

fn packets(packet_time: PacketTime) -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(&EncoderConfig::default()).expect("default settings are valid");
    let sound = spoken();
    let frames = sound.chunks_exact(packet_time.samples());
    frames
        .map(|frame| {
            let mut packet = [0; 1275];
            let len = encoder.encode(packet_time, frame, &mut packet).expect("a whole frame and room for it");
            packet[..len].to_vec()
        })
        .collect()
}

fn decode(criterion: &mut Criterion) {
    let packets = packets(PacketTime::Ms20);
    let mut group = criterion.benchmark_group("opus decode 20 ms");
    let mut out = [0.0; MOST_SAMPLES];
    for (name, complexity) in [("classic", 0), ("neural concealment", 5)] {
        let decoder =
            || OpusDecoder::new(&DecoderConfig { complexity }).expect("a decoder with a valid complexity");
        let (mut steady, mut next) = (decoder(), packets.iter().cycle());
        group.bench_function(format!("packet, {name}"), |bencher| {
            bencher.iter(|| black_box(steady.decode(next.next().expect("a cycle does not end"), &mut out)));
        });
        let (mut gaps, mut next) = (decoder(), packets.iter().cycle());
        group.bench_function(format!("copy in the successor, {name}"), |bencher| {
            bencher.iter(|| {
                let successor = next.next().expect("a cycle does not end");
                let _ = gaps.decode_fec(successor, &mut out[..960]);
                black_box(gaps.decode(successor, &mut out))
            });
        });
        let (mut lossy, mut next) = (decoder(), packets.iter().cycle());
        group.bench_function(format!("every other made up, {name}"), |bencher| {
            bencher.iter(|| {
                let _ = lossy.decode(next.next().expect("a cycle does not end"), &mut out);
                next.next();
                black_box(lossy.conceal(&mut out[..960]))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
