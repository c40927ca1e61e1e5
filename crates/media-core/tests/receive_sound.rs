//! What is heard through the real codec, at the settings a call starts with: copies work, rejoins do not click, noise holds no delay.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may allocate")]

use offhook_media_core::codec::opus_toc;
use offhook_media_core::codec::{EncoderConfig, OpusEncoder, OpusError};
use offhook_media_core::jitter::ReceiveStats;
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline, SlotDecoder};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::{MediaTime, PacketTime};

const PACKET: usize = 480;
const QUANTUM: usize = 240;

/// A voice: a pitch that glides from 110 to 220 Hz and back, thirty harmonics, three syllables per second.
fn voice(samples: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..samples)
        .map(|n| {
            let second = n as f32 / 48_000.0;
            let turn = |hertz: f32| (second * hertz * std::f32::consts::TAU).sin();
            phase = (phase + (165.0 + 55.0 * turn(0.7)) / 48_000.0).fract();
            let harmonic = |k: i32| (phase * k as f32 * std::f32::consts::TAU).sin() / k as f32;
            (0.55 + 0.45 * turn(3.0)) * 0.2 * (1..30).map(harmonic).sum::<f32>()
        })
        .collect()
}

fn packets(spoken: &[f32]) -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(&EncoderConfig::default()).expect("the default settings are taken");
    let mut packet = [0; 1275];
    let mut encode =
        |frame| encoder.encode(PacketTime::Ms10, frame, &mut packet).map(|len| packet[..len].to_vec());
    spoken.chunks_exact(PACKET).map(|frame| encode(frame).expect("a whole frame is encoded")).collect()
}

/// Plays `packets`, each 10 ms after its first sample was captured plus what `delay` says for it; `None`: lost.
fn played<D: SlotDecoder>(
    receiver: &mut ReceivePipeline<D>,
    packets: &[Vec<u8>],
    mut delay: impl FnMut(usize) -> Option<i64>,
) -> (Vec<f32>, ReceiveStats) {
    let mut on_the_way: Vec<(i64, usize)> = (0..packets.len())
        .filter_map(|k| delay(k).map(|delay| ((k as i64 + 1) * 10_000 + delay, k)))
        .collect();
    on_the_way.sort_unstable();
    let (mut heard, mut next) = (Vec::new(), 0);
    while heard.len() < packets.len() * PACKET {
        let now = MediaTime::from_micros(heard.len() as i64 * 125 / 6);
        let mut cx = RtContext::new(now);
        while let Some((arrival, k)) = on_the_way.get(next).filter(|(arrival, _)| *arrival <= now.as_micros())
        {
            next += 1;
            let packet = IncomingPacket {
                arrival: MediaTime::from_micros(*arrival),
                payload_type: 111,
                marker: false,
                ssrc: 1,
                sequence: *k as u16,
                timestamp: (k * PACKET) as u32,
                payload: &packets[*k],
            };
            receiver.insert(&mut cx, &packet);
        }
        let mut out = [0.0; QUANTUM];
        receiver.pull(&mut cx, &mut out);
        heard.extend_from_slice(&out);
    }
    (heard, receiver.stats())
}

fn steepest(samples: &[f32]) -> f32 {
    samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

fn dice(seed: &mut u64, end: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % end
}

#[test]
fn packets_of_ten_milliseconds_carry_copies_at_the_default_settings() {
    let packets = packets(&voice(10 * 48_000));
    let with_copy = packets.iter().filter(|packet| opus_toc::has_fec(packet)).count();
    assert!(with_copy * 10 >= packets.len() * 8, "{with_copy} of {}", packets.len());
}

#[test]
fn a_tenth_lost_and_twenty_milliseconds_of_jitter_leave_no_silence() {
    let spoken = voice(30 * 48_000);
    let packets = packets(&spoken);
    let mut receiver = ReceivePipeline::new(&ReceiveConfig::default()).unwrap();
    let mut seed = 7;
    let (heard, stats) = played(&mut receiver, &packets, |_| {
        (dice(&mut seed, 10) > 0).then(|| dice(&mut seed, 20_000) as i64)
    });
    assert!(stats.packets_lost > 200, "{stats:?}");
    assert!(stats.fec > 2 * stats.concealed, "{stats:?}");
    let spoken_rms = rms(&spoken);
    let mut silent = 0;
    for window in heard[48_000..].chunks_exact(QUANTUM) {
        silent = if rms(window) < 0.02 * spoken_rms { silent + 1 } else { 0 };
        assert!(silent * 5 <= 60, "more than 60 ms of silence");
    }
}

#[test]
fn a_packet_that_is_late_costs_only_what_it_is_late_by() {
    let packets = packets(&voice(6 * 48_000));
    let late = |k: usize| if k == 300 || k == 301 { 15_000 - (k as i64 - 300) * 10_000 } else { 0 };
    let receiver = || ReceivePipeline::new(&ReceiveConfig::default()).unwrap();
    let (clean, _) = played(&mut receiver(), &packets, |_| Some(0));
    let (heard, stats) = played(&mut receiver(), &packets, |k| Some(late(k)));
    assert!(stats.concealed > 0 && stats.concealed <= 1200 && stats.stretches == 0, "{stats:?}");
    // Made up from packet 300 on for at most 25 ms, with the fade; after it as if nothing had been missing.
    let after = 300 * PACKET + PACKET + 1200 + 480;
    let differs = |range: std::ops::Range<usize>| {
        range.clone().map(|n| (clean[n] - heard[n]).powi(2)).sum::<f32>()
            / clean[range].iter().map(|s| s * s).sum::<f32>()
    };
    assert!(differs(300 * PACKET..after) > 1e-4);
    assert!(differs(after..after + 4800) < 1e-6, "{}", differs(after..after + 4800));
}

#[test]
fn losses_late_packets_and_other_sources_make_no_click() {
    let spoken = voice(20 * 48_000);
    let packets = packets(&spoken);
    let mut receiver = ReceivePipeline::new(&ReceiveConfig::default()).unwrap();
    let clean = steepest(&played(&mut receiver, &packets, |_| Some(0)).0);
    for kind in 0..4 {
        let mut seed = kind;
        let mut receiver = ReceivePipeline::new(&ReceiveConfig::default()).unwrap();
        let (heard, stats) = played(&mut receiver, &packets, |k| match kind {
            0 => (dice(&mut seed, 20) > 0).then_some(0),
            1 => (k % 100 > 3).then_some(0),
            2 => Some(dice(&mut seed, 20) as i64 / 19 * dice(&mut seed, 60_000) as i64),
            _ => Some(if k % 500 > 400 { 150_000 } else { 0 }),
        });
        assert!(stats.concealed > 0, "kind {kind}: {stats:?}");
        assert!(steepest(&heard) <= 2.0 * clean, "kind {kind}: {} of {clean}", steepest(&heard));
    }
}

#[derive(Debug)]
struct Noise(u64);

impl Noise {
    fn make(&mut self, out: &mut [f32]) -> usize {
        out.iter_mut().for_each(|sample| *sample = 0.02 * (dice(&mut self.0, 1000) as f32 / 500.0 - 1.0));
        out.len()
    }
}

impl SlotDecoder for Noise {
    fn decode(&mut self, _: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        Ok(self.make(&mut out[..PACKET]))
    }

    fn decode_fec(&mut self, _: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        Ok(self.make(out))
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, OpusError> {
        Ok(self.make(out))
    }
}

#[test]
fn steady_noise_does_not_hold_the_delay() {
    let packets = vec![vec![18 << 3, 0, 0, 0]; 4000];
    let mut receiver = ReceivePipeline::with_decoder(&ReceiveConfig::default(), Noise(1));
    let (_, stats) =
        played(&mut receiver, &packets, |k| Some(if (1000..1100).contains(&k) { 80_000 } else { 0 }));
    assert!(stats.accelerated > 0, "{stats:?}");
    assert!(stats.playout_delay.is_some_and(|delay| delay.as_millis() <= 11), "{stats:?}");
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}
