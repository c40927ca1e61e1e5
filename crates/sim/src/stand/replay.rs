//! A recorded call played again: the same arrivals through the receive path of today.

use std::time::Duration;

use offhook_media_core::codec::{opus_toc, red};
use offhook_media_core::jitter::Unwrapper;
use offhook_media_core::recording::{MOST_PAYLOAD, RecordedPacket, Recording, Settings};
use offhook_media_core::recv::{ReceiveConfig, ReceiveError};
use thiserror::Error;

use super::receiver::{BLOCK_MICROS, OnTheWay, Receiver};
use super::run::Run;
use super::timeline::SentPacket;
use crate::clock::EventQueue;

/// Longer recordings are not played: 2 h, in microseconds.
const LONGEST: i64 = 2 * 3600 * 1_000_000;
/// So long is waited for the end of the last packet: 1 s, in microseconds.
const PATIENCE: i64 = 1_000_000;
/// More than any network and any two clocks are apart: 60 s, in microseconds.
const STRAY: i64 = 60_000_000;
/// Sequence numbers may leap by so much; further is another stream.
const MOST_LOST: i64 = 3000;

/// Why a recording could not be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// No packet of sound was recorded: there is nothing to play.
    #[error("the recording holds no packet of sound")]
    NoSound,
    /// The recording spans too long a time.
    #[error("the recording spans more than two hours")]
    TooLong,
    /// The receive path refused its settings.
    #[error("the receive path could not be made: {0}")]
    Receive(#[from] ReceiveError),
}

/// Plays what arrived in a call, 5 ms at a time. The same recording gives the same run.
///
/// When the packets were sent is not recorded. Times count from when the first sample would have been captured if the fastest packet had
/// taken no time, so delays are over that of the fastest packet. Where only arrivals were recorded, all sound is silence, and what
/// depends on the sound (where to stretch it) may be done elsewhere than in the call.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(recording: &Recording<'_>) -> Result<Run, ReplayError> {
    let stream = Stream::of(recording).ok_or(ReplayError::NoSound)?;
    let arrivals = || recording.packets().map(|packet| packet.arrival.as_micros());
    let (first, last) = (arrivals().min().unwrap_or(0), arrivals().max().unwrap_or(0));
    if last - first > LONGEST {
        return Err(ReplayError::TooLong);
    }
    let (mut on_the_way, mut packets) = (EventQueue::new(), stream.packets);
    let mut buffer = [0; MOST_PAYLOAD];
    for (packet, index) in recording.packets().zip(stream.indexes) {
        let arrival = packet.arrival.as_micros() - stream.origin;
        let Some(payload) = packet.payload(&mut buffer) else { continue };
        let due = Duration::from_micros(u64::try_from(arrival).unwrap_or(0));
        on_the_way.schedule(
            due,
            OnTheWay {
                index,
                arrival,
                ssrc: packet.ssrc,
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                payload_type: packet.payload_type,
                marker: packet.marker,
                payload: payload.into(),
            },
        );
    }
    let mut receiver = Receiver::new(&config_of(recording.settings()), stream.first_timestamp)?;
    let mut now = 0;
    while now <= last - stream.origin + PATIENCE {
        receiver.pull(now, &mut on_the_way, &mut |index, taken| {
            if let Some(packet) = packets.get_mut(index) {
                packet.taken = Some(taken);
            }
        });
        now += BLOCK_MICROS;
    }
    Ok(Run {
        heard: receiver.heard,
        packets,
        ticks: receiver.ticks,
        ladder: Vec::new(),
        sent: None,
        received: receiver.pipeline.stats(),
        lookahead: None,
    })
}

fn config_of(settings: &Settings) -> ReceiveConfig {
    ReceiveConfig {
        opus_payload_type: settings.opus_payload_type,
        red_payload_type: settings.red_payload_type,
        dtmf_payload_types: settings.dtmf_payload_types,
        price_per_percent: settings.price_per_percent,
        ..ReceiveConfig::default()
    }
}

/// The packets of sound of the source that sent most.
struct Stream {
    /// RTP timestamp of its first sample.
    first_timestamp: u32,
    /// Time 0 of the run on the recording's clock, in microseconds.
    origin: i64,
    /// In the order of their numbers, those that never came among them.
    packets: Vec<SentPacket>,
    /// Where each packet of the recording stands among them; past the end for one that does not.
    indexes: Vec<usize>,
}

/// A packet of sound that came.
struct Came {
    /// Its place in the recording.
    index: usize,
    sequence: i64,
    timestamp: i64,
    samples: u32,
    arrival: i64,
    bytes: u16,
}

impl Came {
    /// From the end of its sound on the sender's clock to arrival on ours, but for a constant, in microseconds.
    fn offset(&self) -> i64 {
        self.arrival - (self.timestamp + i64::from(self.samples)) * 125 / 6
    }
}

impl Stream {
    fn of(recording: &Recording<'_>) -> Option<Self> {
        let settings = recording.settings();
        let ssrc = main_source(recording)?;
        let (mut sequences, mut timestamps) = (Unwrapper::<16>::default(), Unwrapper::<32>::default());
        let mut buffer = [0; MOST_PAYLOAD];
        let mut came: Vec<Came> = Vec::new();
        // Packets of the source that are no sound, keys and padding, have numbers of their own.
        let mut soundless: Vec<i64> = Vec::new();
        let mut count = 0;
        for (index, packet) in recording.packets().enumerate() {
            count = index + 1;
            if packet.ssrc != ssrc {
                continue;
            }
            let Some(samples) = samples_of(&packet, settings, &mut buffer) else {
                let is_event = settings.dtmf_payload_types.contains(&Some(packet.payload_type));
                if !came.is_empty() && (is_event || packet.payload_bytes == 0) {
                    soundless.push(sequences.peek(packet.sequence.into()));
                }
                continue;
            };
            came.push(Came {
                index,
                sequence: sequences.accept(packet.sequence.into()),
                timestamp: timestamps.accept(packet.timestamp),
                samples,
                arrival: packet.arrival.as_micros(),
                bytes: packet.payload_bytes as u16,
            });
        }
        came.sort_by_key(|packet| packet.sequence);
        came.dedup_by_key(|packet| packet.sequence);
        soundless.sort_unstable();
        soundless.dedup();
        // Time stamps that lie far from the others say nothing of the network.
        let mut offsets: Vec<i64> = came.iter().map(Came::offset).collect();
        offsets.sort_unstable();
        let least = offsets.get(offsets.len() / 2)? - STRAY;
        let fastest = offsets.into_iter().find(|offset| *offset >= least)?;
        let near = came.iter().filter(|packet| packet.offset().abs_diff(fastest) <= 2 * STRAY as u64);
        let first = near.map(|packet| packet.timestamp).min()?;
        let end = |packet: &Came| (packet.timestamp - first + i64::from(packet.samples)) * 125 / 6;
        let origin = fastest + first * 125 / 6;
        let mut indexes = vec![usize::MAX; count];
        let mut packets: Vec<SentPacket> = Vec::new();
        for (n, packet) in came.iter().enumerate() {
            if let Some(before) = n.checked_sub(1).map(|before| &came[before]) {
                let up_to = |number: i64| soundless.partition_point(|soundless| *soundless < number);
                let others = up_to(packet.sequence) - up_to(before.sequence);
                packets.extend(missing_between(before, packet, others as i64, first));
            }
            indexes[packet.index] = packets.len();
            packets.push(SentPacket {
                start: packet.timestamp - first,
                samples: packet.samples,
                left: end(packet),
                arrival: Some(packet.arrival - origin),
                taken: None,
                bytes: packet.bytes,
            });
        }
        Some(Self { first_timestamp: first as u32, origin, packets, indexes })
    }
}

/// What never came between two packets that did, evenly spread; `soundless` of the numbers between them are of packets without sound.
fn missing_between(
    before: &Came,
    after: &Came,
    soundless: i64,
    first: i64,
) -> impl Iterator<Item = SentPacket> {
    let steps = after.sequence - before.sequence - soundless;
    let (from, length) = (before.timestamp - first, after.timestamp - before.timestamp);
    let lost = if steps <= MOST_LOST { 1..steps } else { 1..1 };
    lost.map(move |step| {
        let start = from + length * step / steps;
        let samples = (length / steps).clamp(0, 5760) as u32;
        let left = (start + i64::from(samples)) * 125 / 6;
        SentPacket { start, samples, left, arrival: None, taken: None, bytes: 0 }
    })
}

/// The source of most packets of sound.
fn main_source(recording: &Recording<'_>) -> Option<u32> {
    let mut buffer = [0; MOST_PAYLOAD];
    let is_sound =
        |packet: &RecordedPacket<'_>| samples_of(packet, recording.settings(), &mut buffer).is_some();
    let mut sources: Vec<u32> = recording.packets().filter(is_sound).map(|packet| packet.ssrc).collect();
    sources.sort_unstable();
    sources.chunk_by(|a, b| a == b).max_by_key(|same| same.len()).map(|same| same[0])
}

/// Samples of a packet of sound; `None` for any other.
fn samples_of(
    packet: &RecordedPacket<'_>,
    settings: &Settings,
    buffer: &mut [u8; MOST_PAYLOAD],
) -> Option<u32> {
    let payload = packet.payload(buffer)?;
    let own = if settings.red_payload_type == Some(packet.payload_type) {
        let newest = red::parse(payload).ok()?.last()?;
        (newest.payload_type == settings.opus_payload_type).then_some(newest.payload)?
    } else {
        (packet.payload_type == settings.opus_payload_type).then_some(payload)?
    };
    opus_toc::samples(own).map(|samples| samples as u32)
}
