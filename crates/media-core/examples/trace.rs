//! Runs speech through the real encoder, a packet trace and the real receive path in virtual time, and prints what came of it.
//!
//! `cargo run -p offhook-media-core --example trace -- TRACE.csv SPEECH.wav [HEARD.wav] [PULL_SAMPLES]`
//!
//! The trace has lines `k,send_ms,arrival_ms` (or `lost`), one per packet; packets last as long as the first two are apart, 10 or 20 ms.
//! The speech is 16-bit mono PCM at 48 kHz and is repeated as often as the trace is long. Sample 0 of the heard file is the instant sample 0 of the speech was captured.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "a tool, not the real-time thread"
)]

use std::error::Error;

use offhook_media_core::codec::{EncoderConfig, OpusEncoder};
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::{MediaTime, PacketTime};

struct Packet {
    sequence: u16,
    timestamp: u32,
    arrival: i64,
    payload: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [trace, speech, ..] = &arguments[..] else {
        return Err("usage: trace TRACE.csv SPEECH.wav [HEARD.wav] [PULL]".into());
    };
    let pull: usize = arguments.get(3).map_or(Ok(240), |text| text.parse())?;
    let (packet_time, arrivals) = read_trace(&std::fs::read_to_string(trace)?)?;
    let packets = encode(packet_time, &arrivals, &read_wav(&std::fs::read(speech)?)?)?;
    let mut receiver = ReceivePipeline::new(&ReceiveConfig::default())?;
    let (heard, mut delays) = receive(&mut receiver, &packets, arrivals.len() * packet_time.samples(), pull);
    if let Some(path) = arguments.get(2) {
        std::fs::write(path, wav(&heard))?;
    }
    let stats = receiver.stats();
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    println!(
        "playout offset ms: mean {mean:.2} p50 {:.2} p95 {:.2} max {:.2}",
        at(0.5),
        at(0.95),
        at(0.9999)
    );
    println!(
        "ms: decoded {} fec {} concealed {} silence {} shortened {} lengthened {} skipped {}; stretches {}",
        stats.decoded / 48,
        stats.fec / 48,
        stats.concealed / 48,
        stats.silence / 48,
        stats.accelerated / 48,
        stats.expanded / 48,
        stats.skipped / 48,
        stats.stretches
    );
    println!(
        "packets: received {} lost {} late {}; interruptions {}; drift {:?}",
        stats.packets_received, stats.packets_lost, stats.packets_late, stats.interruptions, stats.drift
    );
    Ok(())
}

fn encode(
    packet_time: PacketTime,
    arrivals: &[Option<i64>],
    speech: &[f32],
) -> Result<Vec<Packet>, Box<dyn Error>> {
    let samples = packet_time.samples();
    let mut encoder = OpusEncoder::new(&EncoderConfig::default())?;
    let mut packets = Vec::new();
    for (k, arrival) in arrivals.iter().enumerate() {
        let start = k * samples;
        let frame: Vec<f32> = (start..start + samples).map(|n| speech[n % speech.len()]).collect();
        let mut bytes = [0; 1275];
        let len = encoder.encode(packet_time, &frame, &mut bytes)?;
        // The packet leaves when its last sample was captured.
        let arrival = arrival.map(|arrival| arrival + samples as i64 * 125 / 6);
        packets.extend(arrival.map(|arrival| Packet {
            sequence: k as u16,
            timestamp: start as u32,
            arrival,
            payload: bytes[..len].to_vec(),
        }));
    }
    packets.sort_by_key(|packet| packet.arrival);
    Ok(packets)
}

fn receive(
    receiver: &mut ReceivePipeline,
    packets: &[Packet],
    samples: usize,
    pull: usize,
) -> (Vec<f32>, Vec<f64>) {
    let (mut heard, mut delays, mut next) = (Vec::new(), Vec::new(), 0);
    let mut out = vec![0.0; pull];
    while heard.len() < samples {
        let now = MediaTime::from_micros(heard.len() as i64 * 125 / 6);
        let mut cx = RtContext::new(now);
        while let Some(packet) = packets.get(next).filter(|packet| packet.arrival <= now.as_micros()) {
            next += 1;
            receiver.insert(
                &mut cx,
                &IncomingPacket {
                    arrival: MediaTime::from_micros(packet.arrival),
                    payload_type: 111,
                    marker: false,
                    ssrc: 1,
                    sequence: packet.sequence,
                    timestamp: packet.timestamp,
                    payload: &packet.payload,
                },
            );
        }
        receiver.pull(&mut cx, &mut out);
        heard.extend_from_slice(&out);
        delays.extend(receiver.stats().playout_delay.map(|delay| delay.as_secs_f64() * 1000.0));
    }
    (heard, delays)
}

/// The packet time, and the arrival of each packet that arrived.
type Trace = (PacketTime, Vec<Option<i64>>);

fn read_trace(text: &str) -> Result<Trace, Box<dyn Error>> {
    let (mut arrivals, mut sent) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let fate = line.split(',').nth(2).ok_or("a line needs three fields")?;
        sent.push(line.split(',').nth(1).ok_or("a line needs three fields")?.parse::<f64>()?);
        arrivals.push(if fate == "lost" { None } else { Some((fate.parse::<f64>()? * 1000.0) as i64) });
    }
    let packet_time = match sent[..] {
        [first, second, ..] if second - first < 15.0 => PacketTime::Ms10,
        _ => PacketTime::Ms20,
    };
    Ok((packet_time, arrivals))
}

fn read_wav(bytes: &[u8]) -> Result<Vec<f32>, Box<dyn Error>> {
    let format = bytes.get(22..36).ok_or("not a WAV file")?;
    if format[..6] != [1, 0, 0x80, 0xbb, 0, 0] || format[12] != 16 {
        return Err("the speech has to be 16-bit mono PCM at 48 kHz".into());
    }
    let data = bytes.windows(4).position(|window| window == b"data").ok_or("no data chunk")? + 8;
    let samples = bytes[data..].chunks_exact(2);
    Ok(samples.map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect())
}

fn wav(samples: &[f32]) -> Vec<u8> {
    let len = samples.len() as u32 * 2;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(len + 36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data");
    bytes.extend_from_slice(&len.to_le_bytes());
    let scaled = samples.iter().map(|sample| (sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16);
    bytes.extend(scaled.flat_map(i16::to_le_bytes));
    bytes
}
