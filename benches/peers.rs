//! The `neteq` crate on speech and packet traces, for `make peers`, and the packets that other receivers are fed there.
//!
//! ```text
//! peers packets SPEECH.wav PACKETS LOSS_PERCENT     Opus packets with in-band FEC against that loss: length (u16, little endian), payload
//! peers neteq SPEECH.wav OUT_FOLDER TRACE.csv...    OUT_FOLDER/NAME.wav and NAME.json for every trace, all at the same time
//! ```
//!
//! The crate takes arrivals by the wall clock, so a minute takes a minute. Sample 0 of what is heard is the instant at which sample 0 of
//! the speech was captured; a packet leaves when its last sample was captured.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use neteq::codec::AudioDecoder;
use neteq::{AudioPacket, NetEq, NetEqConfig, NetEqError, RtpHeader};
use offhook_media_core::codec::{DecoderConfig, EncoderConfig, MOST_SAMPLES, OpusDecoder, OpusEncoder};
use offhook_media_core::units::PacketTime;
use offhook_sim::sound::{load_wav, save_wav};
use offhook_sim::trace::Trace;
use serde_json::json;

const PACKET_SAMPLES: usize = 960;
const PACKET: Duration = Duration::from_millis(20);
/// What `get_audio` gives at once.
const TICK: Duration = Duration::from_millis(10);
/// Longer than any delay of a trace: the end of the speech is heard too.
const PATIENCE: Duration = Duration::from_secs(2);
const OPUS: u8 = 111;
/// Largest Opus frame.
const MOST_BYTES: usize = 1275;

/// libopus for the `neteq` crate, which knows neither concealment nor redundancy of a codec.
struct Libopus(OpusDecoder);

impl AudioDecoder for Libopus {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        let mut out = vec![0.0; MOST_SAMPLES];
        let samples =
            self.0.decode(encoded, &mut out).map_err(|error| NetEqError::DecoderError(error.to_string()))?;
        out.truncate(samples);
        Ok(out)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["packets", speech, packets, loss] => write_packets(speech, packets, loss.parse()?),
        ["neteq", speech, folder, ref traces @ ..] => run_neteq(speech, Path::new(folder), traces),
        [] => Ok(()),
        _ => Err("see the head of benches/peers.rs for the arguments".into()),
    }
}

fn write_packets(speech: &str, packets: &str, loss_percent: u8) -> Result<(), Box<dyn Error>> {
    let config =
        EncoderConfig { in_band_fec: true, expected_loss_percent: loss_percent, ..EncoderConfig::default() };
    let mut bytes = Vec::new();
    for packet in encode(&load_wav(Path::new(speech))?, &config)? {
        bytes.extend(u16::try_from(packet.len())?.to_le_bytes());
        bytes.extend(packet);
    }
    Ok(std::fs::write(packets, bytes)?)
}

/// Packets of 20 ms.
fn encode(speech: &[f32], config: &EncoderConfig) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut encoder = OpusEncoder::new(config)?;
    let mut packet = [0; MOST_BYTES];
    let mut encoded = Vec::new();
    for frame in speech.chunks_exact(PACKET_SAMPLES) {
        let length = encoder.encode(PacketTime::Ms20, frame, &mut packet)?;
        encoded.push(packet[..length].to_vec());
    }
    Ok(encoded)
}

fn run_neteq(speech: &str, folder: &Path, traces: &[&str]) -> Result<(), Box<dyn Error>> {
    // Copies of frames would cost rate that this receiver can make nothing of.
    let config = EncoderConfig { in_band_fec: false, expected_loss_percent: 0, ..EncoderConfig::default() };
    let packets = encode(&load_wav(Path::new(speech))?, &config)?;
    let traces: Vec<(PathBuf, Trace)> = traces
        .iter()
        .map(|path| Ok((PathBuf::from(path), Trace::load(Path::new(path))?)))
        .collect::<Result<_, Box<dyn Error>>>()?;
    // Each call has its own moment in the packet's time: no two of them wait for the same core.
    let moment = PACKET / u32::try_from(traces.len().max(1))?;
    let mut begin = Instant::now() + Duration::from_millis(200);
    let calls: Vec<Heard> = thread::scope(|scope| {
        let mut calls = Vec::new();
        for (_, trace) in &traces {
            begin += moment;
            let packets = &packets;
            calls.push(scope.spawn(move || receive(begin, packets, trace)));
        }
        calls.into_iter().map(|call| call.join().map_err(|_| "a call panicked")?).collect::<Result<_, _>>()
    })?;
    for ((path, _), heard) in traces.iter().zip(calls) {
        let name = path.file_stem().ok_or("a trace has no name")?;
        save_wav(&folder.join(name).with_extension("wav"), &heard.sound)?;
        std::fs::write(folder.join(name).with_extension("json"), heard.figures.to_string())?;
    }
    Ok(())
}

/// What came out of a call.
struct Heard {
    sound: Vec<f32>,
    figures: serde_json::Value,
}

/// One call in real time from `begin` on: packets in as the trace says, 10 ms out every 10 ms.
fn receive(begin: Instant, packets: &[Vec<u8>], trace: &Trace) -> Result<Heard, String> {
    let mut buffer = NetEq::new(NetEqConfig { sample_rate: 48_000, channels: 1, ..NetEqConfig::default() })
        .map_err(|error| error.to_string())?;
    let decoder = OpusDecoder::new(&DecoderConfig::default()).map_err(|error| error.to_string())?;
    buffer.register_decoder(OPUS, Box::new(Libopus(decoder)));
    let mut arrivals = arrivals(packets, trace).into_iter().peekable();
    let end = PACKET * u32::try_from(packets.len()).map_err(|error| error.to_string())? + PATIENCE;
    let mut sound = Vec::new();
    let (mut tick, mut latest) = (Duration::ZERO, Duration::ZERO);
    let mut concealed = 0;
    while tick < end {
        while let Some((at, k)) = arrivals.next_if(|(at, _)| *at <= tick) {
            latest = latest.max(wait_until(begin + at));
            let header = RtpHeader::new(k as u16, (k * PACKET_SAMPLES) as u32, 1, OPUS, false);
            // A packet that is not wanted is refused with an error, as a late one; it is lost.
            let _ = buffer.insert_packet(AudioPacket::new(header, packets[k].clone(), 48_000, 1, 20));
        }
        latest = latest.max(wait_until(begin + tick));
        sound.extend(buffer.get_audio().map_err(|error| error.to_string())?.samples);
        tick += TICK;
        if tick <= end - PATIENCE {
            concealed = buffer.get_statistics().lifetime.concealed_samples;
        }
    }
    let payload: usize = packets.iter().map(Vec::len).sum();
    let figures = json!({
        "payload_bps": payload as f64 * 8.0 / (PACKET * packets.len() as u32).as_secs_f64(),
        "worst_wake_up_ms": latest.as_secs_f64() * 1e3,
        "concealed_ms": concealed as f64 / 48.0,
    });
    Ok(Heard { sound, figures })
}

/// When which packet arrives, since the first sample was captured. The k-th packet meets the k-th fate.
fn arrivals(packets: &[Vec<u8>], trace: &Trace) -> Vec<(Duration, usize)> {
    let fates = trace.packets.iter().take(packets.len()).enumerate();
    let arrived = |(k, fate): (usize, &offhook_sim::trace::TracePacket)| {
        let travel = fate.arrived?.saturating_sub(fate.sent);
        Some((PACKET * (k as u32 + 1) + travel, k))
    };
    let mut arrivals: Vec<_> = fates.filter_map(arrived).collect();
    arrivals.sort();
    arrivals
}

/// Returns how late it woke up.
fn wait_until(time: Instant) -> Duration {
    thread::sleep(time.saturating_duration_since(Instant::now()));
    time.elapsed()
}
