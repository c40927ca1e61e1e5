//! Opus by the packet: encode, decode, restore from the copy, make up.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use offhook_media_core::codec::{
    DecoderConfig, DredDetail, EncoderConfig, MOST_SAMPLES, OpusDecoder, OpusEncoder,
};
use offhook_media_core::units::PacketTime;
use offhook_sim::sound::synthetic_speech;

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

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

/// What the analysis for deep redundancy costs, and a packet that carries a second of it.
fn encode_deep(criterion: &mut Criterion) {
    let sound = spoken();
    let mut group = criterion.benchmark_group("opus encode with deep redundancy");
    for (name, interval) in [("analysis only", usize::MAX), ("one packet in 8", 8), ("every packet", 1)] {
        let mut encoder = OpusEncoder::new(&EncoderConfig { in_band_fec: false, ..EncoderConfig::default() })
            .expect("default settings are valid");
        encoder.set_dred(true).expect("the library is built with it");
        let mut frames = sound.chunks_exact(PacketTime::Ms20.samples()).cycle().enumerate();
        let mut packet = [0; 1275];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (n, frame) = frames.next().expect("a cycle does not end");
                if n % interval == interval - 1 {
                    black_box(encoder.encode_with_dred(
                        PacketTime::Ms20,
                        frame,
                        SECOND,
                        DredDetail::Coarse,
                        &mut packet,
                    ))
                } else {
                    black_box(encoder.encode(PacketTime::Ms20, frame, &mut packet))
                }
            });
        });
    }
    group.finish();
}

/// Reading the redundancy of a packet, and a gap of 200 ms restored from it or made up.
fn restore_deep(criterion: &mut Criterion) {
    let sound = spoken();
    let mut encoder = OpusEncoder::new(&EncoderConfig { in_band_fec: false, ..EncoderConfig::default() })
        .expect("default settings are valid");
    encoder.set_dred(true).expect("the library is built with it");
    let mut packet = [0; 1275];
    let packets: Vec<Vec<u8>> = sound
        .chunks_exact(PacketTime::Ms20.samples())
        .map(|frame| {
            let length =
                encoder.encode_with_dred(PacketTime::Ms20, frame, SECOND, DredDetail::Coarse, &mut packet);
            packet[..length.expect("a whole frame and room for it")].to_vec()
        })
        .collect();
    let mut group = criterion.benchmark_group("opus deep redundancy");
    let mut out = [0.0; MOST_SAMPLES];
    let mut decoder = OpusDecoder::new(&DecoderConfig::default()).expect("default settings are valid");
    let mut next = packets.iter().skip(60).cycle();
    group.bench_function("read", |bencher| {
        bencher.iter(|| black_box(decoder.dred_span(next.next().expect("a cycle does not end"))));
    });
    for (name, deep) in [("200 ms restored", true), ("200 ms made up", false)] {
        let mut next = packets.iter().skip(60).cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let packet = next.next().expect("a cycle does not end");
                let _ = decoder.decode(packet, &mut out);
                if deep {
                    decoder.dred_span(packet);
                }
                for piece in (1..=10).rev() {
                    let _ = match deep {
                        true => black_box(decoder.decode_dred(piece * 960, &mut out[..960])),
                        false => black_box(decoder.conceal(&mut out[..960])),
                    };
                }
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

criterion_group!(benches, encode, encode_deep, decode, restore_deep);
criterion_main!(benches);
