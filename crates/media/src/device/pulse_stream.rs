//! Sound of a PulseAudio server, or of PipeWire in its place: each stream has a connection of its own, and no thread. The media thread reads what a
//! microphone's has brought right before its tick, or before the next where no packet waits for it, and writes what a speaker's wants right after
//! each.
//!
//! The client in `cpal` asks for a stream's latency after each block. A server whose devices are run by a timer hands out what little came
//! since whenever it is asked something, and so a stream is woken thousands of times a second. Nobody here wants to know that latency: the
//! engine measures its own. And a thread that waits for such a stream is one more wake for each block, only to fill a ring for the next.

use std::ffi::CString;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use offhook_media_core::units::SAMPLE_RATE;
use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CreatePlaybackStreamReply, CreateRecordStreamReply, DEFAULT_SINK, DEFAULT_SOURCE,
    DESCRIPTOR_SIZE, Descriptor, DescriptorFlags, MAX_MEMBLOCKQ_LENGTH, PlaybackStreamParams, Prop, Props,
    ProtocolError, PulseError, RecordStreamParams, SampleFormat, SampleSpec, encode_descriptor,
};

use super::pulse_link::{Broken, Link, Message, SAMPLE_BYTES};
use super::pulse_server::{AskError, Connection};
use super::{Device, DeviceHealth, ErrorSeverity, OpenDevice, OpenDeviceError, Pump, Standing};
use crate::latency::LatencyMode;
use crate::threads::{CaptureCallback, RenderCallback};

/// Samples per block that are asked for; what comes is another matter.
const PERIOD: u32 = 480;
/// Samples handed on at once at most.
const PIECE: usize = 960;
/// A server that says that it keeps more than 200 ms is not believed.
const MOST_KEPT: usize = 9600;
/// Pieces that a speaker is given in a row; one that wants more gets it after the next tick.
const MOST_PIECES: usize = 4;

/// A stream that runs; dropping it ends it.
pub(super) struct PulseStream {
    socket: UnixStream,
    ending: Arc<AtomicBool>,
    pump: Option<Box<dyn Pump>>,
}

impl PulseStream {
    /// Opens a microphone: of this name, or the default.
    pub(super) fn capture(
        mut connection: Connection,
        device: &Device,
        name: Option<&str>,
        latency: LatencyMode,
        callback: CaptureCallback,
    ) -> Result<Self, OpenDeviceError> {
        let params = RecordStreamParams {
            sample_spec: sample_spec(),
            channel_map: ChannelMap::mono(),
            source_name: Some(named(device, name, DEFAULT_SOURCE)?),
            buffer_attr: BufferAttr { fragment_size: block_bytes(latency), ..BufferAttr::default() },
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            props: properties(),
            ..RecordStreamParams::default()
        };
        let question = Command::CreateRecordStream(params);
        let reply: CreateRecordStreamReply =
            connection.ask(&question).map_err(|error| refused(error, device))?;
        let health = callback.health();
        Self::start(connection, health, |line| Recorder {
            line,
            channel: reply.channel,
            callback,
            samples: [0.0; PIECE],
        })
    }

    /// Opens a speaker: of this name, or the default.
    pub(super) fn render(
        mut connection: Connection,
        device: &Device,
        name: Option<&str>,
        latency: LatencyMode,
        callback: RenderCallback,
    ) -> Result<Self, OpenDeviceError> {
        let block = block_bytes(latency);
        let params = PlaybackStreamParams {
            sample_spec: sample_spec(),
            channel_map: ChannelMap::mono(),
            sink_name: Some(named(device, name, DEFAULT_SINK)?),
            // One block plays while the next is asked for, in halves. Of what two requests leave of the target, the server makes its device's own
            // buffer: with nothing left it wakes each half millisecond.
            buffer_attr: BufferAttr {
                max_length: block * 2,
                target_length: block * 2,
                minimum_request_length: block / 2,
                ..BufferAttr::default()
            },
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            props: properties(),
            ..PlaybackStreamParams::default()
        };
        let question = Command::CreatePlaybackStream(params);
        let reply: CreatePlaybackStreamReply =
            connection.ask(&question).map_err(|error| refused(error, device))?;
        let health = callback.health();
        Self::start(connection, health, |line| Player {
            line,
            channel: reply.channel,
            callback,
            wanted: reply.requested_bytes as usize,
            kept: (reply.buffer_attr.target_length as usize / SAMPLE_BYTES).min(MOST_KEPT),
            samples: [0.0; PIECE],
            message: [0; DESCRIPTOR_SIZE + PIECE * SAMPLE_BYTES],
            unsent: 0..0,
        })
    }

    fn start<P: Pump + 'static>(
        connection: Connection,
        health: Arc<DeviceHealth>,
        make: impl FnOnce(Line) -> P,
    ) -> Result<Self, OpenDeviceError> {
        let unusable = |error: std::io::Error| OpenDeviceError::Unusable(error.to_string());
        let link = Link::new(connection).map_err(unusable)?;
        let socket = link.socket().map_err(unusable)?;
        let ending = Arc::new(AtomicBool::new(false));
        let line = Line { link, ending: Arc::clone(&ending), health, is_over: false };
        Ok(Self { socket, ending, pump: Some(Box::new(make(line))) })
    }
}

impl OpenDevice for PulseStream {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn follows_engine_clock(&self) -> bool {
        false
    }

    fn take_pump(&mut self) -> Option<Box<dyn Pump>> {
        self.pump.take()
    }
}

impl Drop for PulseStream {
    fn drop(&mut self) {
        self.ending.store(true, Relaxed);
        // Whoever pumps it sees the end; a connection that is broken already has told.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl std::fmt::Debug for PulseStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PulseStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A stream's connection, and what is told when it ends.
struct Line {
    link: Link,
    ending: Arc<AtomicBool>,
    health: Arc<DeviceHealth>,
    is_over: bool,
}

impl Line {
    /// However it ended: a stream that nobody ended is gone.
    fn note(&mut self, moved: Result<(), Broken>) {
        if moved.is_err() && !self.is_over {
            self.is_over = true;
            if !self.ending.load(Relaxed) {
                self.health.count_error(ErrorSeverity::Gone);
            }
        }
    }
}

/// Hands on what a microphone hears.
struct Recorder {
    line: Line,
    channel: u32,
    callback: CaptureCallback,
    samples: [f32; PIECE],
}

impl Recorder {
    fn take(&mut self) -> Result<(), Broken> {
        let Self { line, channel, callback, samples } = self;
        let (mut killed, mut filled) = (false, 0);
        let moved = line.link.receive(&mut |message| match message {
            Message::Sound { channel: of, bytes } if of == *channel => {
                let mut left = bytes;
                while left.len() >= SAMPLE_BYTES {
                    let now = left.len().min((PIECE - filled) * SAMPLE_BYTES);
                    filled += decode(&left[..now], &mut samples[filled..]);
                    left = &left[now..];
                    if filled == PIECE {
                        callback.deliver(samples);
                        filled = 0;
                    }
                }
            }
            Message::Killed => killed = true,
            Message::Sound { .. } | Message::Wanted { .. } => {}
        });
        // A server hands out crumbs: all that came by now is one block.
        if filled > 0 {
            callback.deliver(&samples[..filled]);
        }
        if killed { Err(Broken) } else { moved }
    }
}

impl Pump for Recorder {
    fn pump(&mut self) {
        if !self.line.is_over {
            let moved = self.take();
            self.line.note(moved);
        }
    }
}

/// Gives a speaker what it asks for, as it is made: at a steady pace, whatever the pace of the questions.
struct Player {
    line: Line,
    channel: u32,
    callback: RenderCallback,
    /// Bytes.
    wanted: usize,
    /// Samples that the server keeps when it was given all it wants.
    kept: usize,
    samples: [f32; PIECE],
    message: [u8; DESCRIPTOR_SIZE + PIECE * SAMPLE_BYTES],
    /// What of the message found no room yet.
    unsent: std::ops::Range<usize>,
}

impl Player {
    fn give(&mut self) -> Result<(), Broken> {
        let Self { line, channel, wanted, .. } = self;
        let mut killed = false;
        line.link.receive(&mut |message| match message {
            Message::Wanted { channel: of, bytes } if of == *channel => {
                *wanted = wanted.saturating_add(bytes).min(MAX_MEMBLOCKQ_LENGTH);
            }
            Message::Killed => killed = true,
            Message::Sound { .. } | Message::Wanted { .. } => {}
        })?;
        for _ in 0..MOST_PIECES {
            self.unsent.start += self.line.link.send(&self.message[self.unsent.clone()])?;
            // A server that takes nothing any more is not waited for.
            if !self.unsent.is_empty() || self.wanted < SAMPLE_BYTES {
                break;
            }
            let count = self.callback.due(self.wanted / SAMPLE_BYTES, self.kept * 3 / 4).min(PIECE);
            if count == 0 {
                break;
            }
            self.callback.fill(&mut self.samples[..count]);
            self.unsent = 0..encode(self.channel, &self.samples[..count], &mut self.message);
            self.wanted -= count * SAMPLE_BYTES;
            self.unsent.start += self.line.link.send(&self.message[self.unsent.clone()])?;
        }
        if killed { Err(Broken) } else { Ok(()) }
    }
}

impl Pump for Player {
    fn pump(&mut self) {
        if !self.line.is_over {
            let moved = self.give();
            self.line.note(moved);
        }
    }

    fn standing(&self) -> Option<Standing> {
        Some(Standing { owed: self.wanted / SAMPLE_BYTES, kept: self.kept })
    }
}

/// Little-endian samples as numbers; how many there are.
fn decode(bytes: &[u8], samples: &mut [f32]) -> usize {
    let (whole, _) = bytes.as_chunks::<SAMPLE_BYTES>();
    for (sample, bytes) in samples.iter_mut().zip(whole) {
        *sample = f32::from_le_bytes(*bytes);
    }
    whole.len().min(samples.len())
}

/// A message with these samples; its length.
fn encode(
    channel: u32,
    samples: &[f32],
    message: &mut [u8; DESCRIPTOR_SIZE + PIECE * SAMPLE_BYTES],
) -> usize {
    let bytes = samples.len() * SAMPLE_BYTES;
    if let Some((head, body)) = message.split_first_chunk_mut::<DESCRIPTOR_SIZE>() {
        // A piece is some thousand bytes.
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        encode_descriptor(head, &Descriptor { length, channel, offset: 0, flags: DescriptorFlags::empty() });
        for (place, sample) in body.chunks_exact_mut(SAMPLE_BYTES).zip(samples) {
            place.copy_from_slice(&sample.to_le_bytes());
        }
    }
    DESCRIPTOR_SIZE + bytes
}

const fn sample_spec() -> SampleSpec {
    SampleSpec { format: SampleFormat::Float32Le, channels: 1, sample_rate: SAMPLE_RATE }
}

fn block_bytes(latency: LatencyMode) -> u32 {
    PERIOD / latency.device_share() * SAMPLE_BYTES as u32
}

fn properties() -> Props {
    let mut properties = Props::new();
    properties.set(Prop::MediaName, c"call");
    properties.set(Prop::MediaRole, c"phone");
    properties
}

fn named(device: &Device, name: Option<&str>, default: &std::ffi::CStr) -> Result<CString, OpenDeviceError> {
    name.map_or_else(
        || Ok(default.to_owned()),
        |name| CString::new(name).map_err(|_| OpenDeviceError::NotFound(device.clone())),
    )
}

fn refused(error: AskError, device: &Device) -> OpenDeviceError {
    match error {
        AskError::Refused(ProtocolError::ServerError(PulseError::NoEntity)) => {
            OpenDeviceError::NotFound(device.clone())
        }
        AskError::Refused(ProtocolError::ServerError(PulseError::AccessDenied)) => {
            OpenDeviceError::PermissionDenied
        }
        AskError::Refused(error) => OpenDeviceError::Unusable(error.to_string()),
        error => OpenDeviceError::NoSoundSystem(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use pulseaudio::protocol::read_descriptor;

    use super::*;

    #[test]
    fn samples_become_bytes_and_samples_again() {
        let said = [0.0, -1.0, 0.25, f32::MIN_POSITIVE];
        let mut message = [0; DESCRIPTOR_SIZE + PIECE * SAMPLE_BYTES];
        let length = encode(7, &said, &mut message);
        let descriptor = read_descriptor(&mut message.as_slice()).unwrap();
        assert_eq!((descriptor.channel, descriptor.length, length), (7, 16, DESCRIPTOR_SIZE + 16));
        let mut heard = [9.0; PIECE];
        assert_eq!(decode(&message[DESCRIPTOR_SIZE..length], &mut heard), 4);
        assert_eq!(heard[..4], said);
    }

    #[test]
    fn bytes_that_are_no_whole_sample_are_left_out() {
        assert_eq!(decode(&[0; 7], &mut [0.0; PIECE]), 1);
        assert_eq!(decode(&[0; 12], &mut [0.0; 2]), 2);
    }
}
