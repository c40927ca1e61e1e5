//! The jitter buffer beside the `neteq` crate, on the same packets in the same run: 20 ms of sound inserted once and pulled as two
//! times 10 ms. First with a decoder that does nothing, which leaves the buffer's own work; then with libopus in both.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use neteq::codec::AudioDecoder;
use neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader};
use offhook_media_core::codec::{
    DecoderConfig, EncoderConfig, MOST_SAMPLES, OpusDecoder, OpusEncoder, OpusError,
};
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline, SlotDecoder};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::{MediaTime, PacketTime};
use offhook_sim::sound::synthetic_speech;

const PACKET_SAMPLES: usize = 960;
const PULL_SAMPLES: usize = 480;
const PACKET_MICROS: i64 = 20_000;

/// Speech-like sound that costs nothing to decode: what is measured is the buffer.
#[derive(Debug)]
struct Free(Vec<f32>);

impl SlotDecoder for Free {
    fn decode(&mut self, _packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        out[..PACKET_SAMPLES].copy_from_slice(&self.0[..PACKET_SAMPLES]);
        Ok(PACKET_SAMPLES)
    }

    fn decode_fec(&mut self, _successor: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        self.conceal(out)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, OpusError> {
        let samples = out.len();
        out.copy_from_slice(&self.0[..samples]);
        Ok(samples)
    }
}

impl AudioDecoder for Free {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, _encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        Ok(self.0[..PACKET_SAMPLES].to_vec())
    }
}

/// libopus for the `neteq` crate, which knows no concealment by the codec.
struct Opus(OpusDecoder);

impl AudioDecoder for Opus {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        let mut out = vec![0.0; MOST_SAMPLES];
        let samples = self.0.decode(encoded, &mut out).unwrap_or(0);
        out.truncate(samples);
        Ok(out)
    }
}

/// Packets in order with their sequence numbers, one every 20 ms, some of them lost.
struct Stream {
    packets: Vec<Vec<u8>>,
    lose_every: usize,
    sent: u32,
}

impl Stream {
    fn new(lose_every: usize) -> Self {
        let sound = synthetic_speech(Duration::from_secs(4), 1);
        let mut encoder = OpusEncoder::new(&EncoderConfig::default()).expect("default settings are valid");
        let encode = |frame: &[f32]| {
            let mut packet = [0; 1275];
            let len = encoder.encode(PacketTime::Ms20, frame, &mut packet).expect("a whole frame, and room");
            packet[..len].to_vec()
        };
        Self { packets: sound.chunks_exact(PACKET_SAMPLES).map(encode).collect(), lose_every, sent: 0 }
    }

    /// The next number, and the packet unless it is lost.
    fn next(&mut self) -> (u32, Option<&[u8]>) {
        self.sent = self.sent.wrapping_add(1);
        let n = self.sent as usize;
        let lost = self.lose_every > 0 && n.is_multiple_of(self.lose_every);
        (self.sent, (!lost).then(|| &self.packets[n % self.packets.len()][..]))
    }
}

struct Ours<D> {
    receiver: ReceivePipeline<D>,
    stream: Stream,
    out: [f32; PULL_SAMPLES],
}

impl<D: SlotDecoder> Ours<D> {
    fn new(decoder: D, lose_every: usize) -> Self {
        let receiver = ReceivePipeline::with_decoder(&ReceiveConfig::default(), decoder);
        let mut ours = Self { receiver, stream: Stream::new(lose_every), out: [0.0; PULL_SAMPLES] };
        for _ in 0..100 {
            ours.step();
        }
        ours
    }

    fn step(&mut self) {
        let (n, packet) = self.stream.next();
        let now = i64::from(n) * PACKET_MICROS;
        if let Some(payload) = packet {
            let arrival = MediaTime::from_micros(now);
            let packet = IncomingPacket {
                arrival,
                payload_type: 111,
                marker: false,
                ssrc: 1,
                sequence: n as u16,
                timestamp: n.wrapping_mul(PACKET_SAMPLES as u32),
                payload,
            };
            self.receiver.insert(&mut RtContext::new(arrival), &packet);
        }
        for half in 0..2 {
            let mut cx = RtContext::new(MediaTime::from_micros(now + 5000 + half * PACKET_MICROS / 2));
            self.receiver.pull(&mut cx, &mut self.out);
        }
        black_box(&self.out);
    }
}

struct Theirs {
    buffer: NetEq,
    stream: Stream,
}

impl Theirs {
    fn new(decoder: Box<dyn AudioDecoder + Send>, lose_every: usize) -> Self {
        let config = NetEqConfig { sample_rate: 48_000, channels: 1, ..NetEqConfig::default() };
        let mut buffer = NetEq::new(config).expect("a valid configuration");
        buffer.register_decoder(111, decoder);
        let mut theirs = Self { buffer, stream: Stream::new(lose_every) };
        for _ in 0..100 {
            theirs.step();
        }
        theirs
    }

    fn step(&mut self) {
        let (n, packet) = self.stream.next();
        if let Some(payload) = packet {
            let header = RtpHeader::new(n as u16, n.wrapping_mul(PACKET_SAMPLES as u32), 1, 111, false);
            let _ = self.buffer.insert_packet(AudioPacket::new(header, payload.to_vec(), 48_000, 1, 20));
        }
        for _ in 0..2 {
            let _ = black_box(self.buffer.get_audio());
        }
    }
}

fn jitter(criterion: &mut Criterion) {
    let speech = synthetic_speech(Duration::from_secs(1), 2);
    for (network, lose_every) in [("no loss", 0), ("10 % loss", 10)] {
        let mut group = criterion.benchmark_group(format!("20 ms in and out, {network}"));
        let mut ours = Ours::new(Free(speech.clone()), lose_every);
        group.bench_function("offhook, free decoder", |bencher| bencher.iter(|| ours.step()));
        let mut theirs = Theirs::new(Box::new(Free(speech.clone())), lose_every);
        group.bench_function("neteq crate, free decoder", |bencher| bencher.iter(|| theirs.step()));
        let decoder = || OpusDecoder::new(&DecoderConfig::default()).expect("default settings are valid");
        let mut ours = Ours::new(decoder(), lose_every);
        group.bench_function("offhook, libopus", |bencher| bencher.iter(|| ours.step()));
        let mut theirs = Theirs::new(Box::new(Opus(decoder())), lose_every);
        group.bench_function("neteq crate, libopus", |bencher| bencher.iter(|| theirs.step()));
        group.finish();
    }
}

criterion_group!(benches, jitter);
criterion_main!(benches);
