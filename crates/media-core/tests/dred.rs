//! Deep redundancy: what one packet in a few carries brings back what the packets before it held.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may allocate")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::f32::consts::TAU;
use std::time::Duration;

use offhook_media_core::codec::{
    DecoderConfig, DredDetail, EncoderConfig, MOST_SAMPLES, OpusDecoder, OpusEncoder, OpusError, opus_toc,
};
use offhook_media_core::units::{BitsPerSecond, PacketTime};

const PACKET: usize = PacketTime::Ms20.samples();
const SECOND: Duration = Duration::from_secs(1);

/// A voice that says one vowel after the other, 150 ms each, while its pitch rises and falls.
fn voice(packets: usize) -> Vec<f32> {
    const VOWELS: [[f32; 3]; 5] = [
        [730.0, 1090.0, 2440.0],
        [270.0, 2290.0, 3010.0],
        [570.0, 840.0, 2410.0],
        [530.0, 1840.0, 2480.0],
        [300.0, 870.0, 2240.0],
    ];
    let mut phase = 0.0_f32;
    (0..packets * PACKET)
        .map(|n| {
            let t = n as f32 / 48_000.0;
            let pitch = 140.0 + 40.0 * (t * 2.3 * TAU / 2.0).sin();
            phase = (phase + pitch / 48_000.0).fract();
            let (vowel, within) = ((t / 0.15) as usize, (t / 0.15).fract());
            let formants = VOWELS[vowel % VOWELS.len()];
            let strength = |frequency: f32| -> f32 {
                formants.iter().map(|formant| 1.0 / (1.0 + ((frequency - formant) / 90.0).powi(2))).sum()
            };
            let harmonic = |k: u16| strength(pitch * f32::from(k)) * (phase * f32::from(k) * TAU).sin();
            0.2 * (within * std::f32::consts::PI).sin().sqrt() * (1..=24).map(harmonic).sum::<f32>()
        })
        .collect()
}

fn encoder() -> OpusEncoder {
    let config =
        EncoderConfig { bitrate: BitsPerSecond(24_000), in_band_fec: false, ..EncoderConfig::default() };
    let mut encoder = OpusEncoder::new(&config).unwrap();
    encoder.set_dred(true).unwrap();
    encoder
}

/// Packets of the voice, every `interval`-th with a second of redundancy.
fn encoded(sound: &[f32], interval: usize) -> Vec<Vec<u8>> {
    let mut encoder = encoder();
    let mut bytes = [0; 1275];
    let frames = sound.chunks_exact(PACKET).enumerate();
    frames
        .map(|(n, frame)| {
            let len = if n % interval == interval - 1 {
                encoder
                    .encode_with_dred(PacketTime::Ms20, frame, SECOND, DredDetail::Coarse, &mut bytes)
                    .unwrap()
            } else {
                encoder.encode(PacketTime::Ms20, frame, &mut bytes).unwrap()
            };
            bytes[..len].to_vec()
        })
        .collect()
}

/// Mean distance in dB between the levels of third-octave-like bands, over pieces of 20 ms.
fn log_spectral_distance(wanted: &[f32], got: &[f32]) -> f32 {
    let level = |piece: &[f32], frequency: f32| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in piece.iter().enumerate() {
            let angle = frequency * n as f32 / 48_000.0 * TAU;
            let window = (n as f32 / piece.len() as f32 * std::f32::consts::PI).sin();
            real += sample * window * angle.cos();
            imaginary += sample * window * angle.sin();
        }
        real * real + imaginary * imaginary
    };
    let band = |piece: &[f32], band: usize| {
        let low = 200.0 * 1.26_f32.powi(band as i32);
        let points = (0..6).map(|n| level(piece, low * (1.0 + 0.26 * n as f32 / 6.0)));
        10.0 * (points.sum::<f32>() + 1e-3).log10()
    };
    let pieces = wanted.chunks_exact(PACKET).zip(got.chunks_exact(PACKET));
    let distances = pieces.map(|(wanted, got)| {
        let squares = (0..12).map(|n| (band(wanted, n) - band(got, n)).powi(2));
        (squares.sum::<f32>() / 12.0).sqrt()
    });
    let all: Vec<f32> = distances.collect();
    all.iter().sum::<f32>() / all.len() as f32
}

#[test]
fn a_lost_fifth_of_a_second_comes_back_better_than_it_can_be_made_up() {
    const LOST: usize = 10;
    let packets = encoded(&voice(120), 5);
    let (mut distance, mut made_up, mut out) = (0.0, 0.0, [0.0; MOST_SAMPLES]);
    // Gaps that end at a packet with redundancy, at several places of the voice.
    for carrier in [54, 64, 74, 84, 94, 104] {
        let mut whole = OpusDecoder::new(&DecoderConfig::default()).unwrap();
        let mut wanted = Vec::new();
        for packet in &packets[..carrier] {
            let samples = whole.decode(packet, &mut out).unwrap();
            wanted.extend_from_slice(&out[..samples]);
        }
        let wanted = &wanted[(carrier - LOST) * PACKET..];
        let before_the_gap = || {
            let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
            for packet in &packets[..carrier - LOST] {
                decoder.decode(packet, &mut [0.0; MOST_SAMPLES]).unwrap();
            }
            decoder
        };
        let (mut restored, mut concealed) = (vec![0.0; LOST * PACKET], vec![0.0; LOST * PACKET]);
        let mut decoder = before_the_gap();
        assert!(decoder.dred_span(&packets[carrier]) >= LOST * PACKET);
        for (n, piece) in restored.chunks_exact_mut(PACKET).enumerate() {
            assert_eq!(decoder.decode_dred((LOST - n) * PACKET, piece), Ok(PACKET));
        }
        let mut decoder = before_the_gap();
        for piece in concealed.chunks_exact_mut(PACKET) {
            assert_eq!(decoder.conceal(piece), Ok(PACKET));
        }
        distance += log_spectral_distance(wanted, &restored) / 6.0;
        made_up += log_spectral_distance(wanted, &concealed) / 6.0;
    }
    println!("redundancy {distance:.1} dB, concealment {made_up:.1} dB");
    assert!(distance < 0.6 * made_up, "{distance} dB, concealment {made_up} dB");
}

#[test]
fn one_packet_in_five_carries_a_second_and_the_others_nothing() {
    let sound = voice(200);
    let packets = encoded(&sound, 5);
    let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
    let spans: Vec<usize> = packets.iter().map(|packet| decoder.dred_span(packet)).collect();
    for (n, span) in spans.iter().enumerate().skip(60) {
        assert_eq!(*span >= 45_600, n % 5 == 4, "{span} samples in packet {n}");
    }
    let bytes = |carry: bool| {
        let chosen = packets.iter().enumerate().skip(60).filter(|(n, _)| (n % 5 == 4) == carry);
        let (count, sum) = chosen.fold((0, 0), |(count, sum), (_, packet)| (count + 1, sum + packet.len()));
        sum / count
    };
    println!("{} bytes with, {} without", bytes(true), bytes(false));
    assert!((40..120).contains(&(bytes(true) - bytes(false))));
    assert!(packets.iter().all(|packet| opus_toc::samples(packet) == Some(PACKET)));
}

#[test]
fn who_knows_no_redundancy_hears_the_same() {
    let packets = encoded(&voice(60), 2);
    // The padding it rides in is what a decoder before DRED skips: a repacketized copy without it decodes to the same sound.
    let mut decoders = [0, 0].map(|_| OpusDecoder::new(&DecoderConfig { complexity: 0 }).unwrap());
    let (mut with, mut without) = ([0.0; MOST_SAMPLES], [0.0; MOST_SAMPLES]);
    for packet in &packets {
        let mut bare = packet.clone();
        let len = opus_toc::strip_padding(&mut bare);
        assert!(len <= packet.len());
        decoders[0].decode(packet, &mut with).unwrap();
        decoders[1].decode(&bare[..len], &mut without).unwrap();
        assert_eq!(with, without);
    }
}

#[test]
fn without_redundancy_or_vocoder_nothing_is_offered() {
    let packets = encoded(&voice(60), 60);
    let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
    let mut out = [0.0; 960];
    assert_eq!(decoder.dred_span(&packets[58]), 0);
    assert_eq!(decoder.decode_dred(960, &mut out), Err(OpusError::BadArgument));
    assert!(decoder.dred_span(&packets[59]) > 0);
    assert_eq!(decoder.decode_dred(960, &mut out[..470]), Err(OpusError::BadArgument));
    assert_eq!(decoder.decode_dred(960, &mut out), Ok(960));
    for damaged in [&[][..], &[0xff, 0xff, 0xff], &packets[59][..packets[59].len() / 2]] {
        assert_eq!(decoder.dred_span(damaged), 0);
    }
    decoder.set_complexity(0).unwrap();
    assert_eq!(decoder.dred_span(&packets[59]), 0);
}

#[test]
fn analysis_that_was_off_has_nothing_to_carry() {
    let sound = voice(60);
    let mut encoder = encoder();
    let mut bytes = [0; 1275];
    let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
    for (n, frame) in sound.chunks_exact(PACKET).enumerate() {
        if n == 40 {
            encoder.set_dred(false).unwrap();
        }
        let len = encoder
            .encode_with_dred(PacketTime::Ms20, frame, SECOND, DredDetail::Coarse, &mut bytes)
            .unwrap();
        let expected = (2..40).contains(&n);
        if n > 4 {
            assert_eq!(decoder.dred_span(&bytes[..len]) > 0, expected, "packet {n}");
        }
    }
}
