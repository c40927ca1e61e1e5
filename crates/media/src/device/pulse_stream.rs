//! Sound of a PulseAudio server, or of PipeWire in its place: each stream has a connection and a thread of its own.
//!
//! The client in `cpal` asks for a stream's latency after each block. A server whose devices are run by a timer hands out what little came
//! since whenever it is asked something, and so a stream is woken thousands of times a second. Nobody here wants to know that latency: the
//! engine measures its own.

use std::ffi::CString;
use std::io::{BufRead, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use offhook_media_core::units::SAMPLE_RATE;
use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CreatePlaybackStreamReply, CreateRecordStreamReply, DEFAULT_SINK, DEFAULT_SOURCE,
    DESCRIPTOR_SIZE, Descriptor, DescriptorFlags, MAX_MEMBLOCKQ_LENGTH, PlaybackStreamParams, Prop, Props,
    ProtocolError, PulseError, RecordStreamParams, SampleFormat, SampleSpec, encode_descriptor,
    read_descriptor,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::paced::Pace;
use super::pulse_server::{AskError, Connection};
use super::{Device, DeviceHealth, ErrorSeverity, OpenDevice, OpenDeviceError};
use crate::latency::LatencyMode;
use crate::threads::pacer::Pacer;
use crate::threads::{CALLBACK_PRIORITY, CaptureCallback, RenderCallback, ask_for_real_time};

/// Samples per block that are asked for; what comes is another matter.
const PERIOD: u32 = 480;
/// Samples handed on at once at most.
const PIECE: usize = 960;
const SAMPLE_BYTES: usize = size_of::<f32>();
/// The channel of messages that are commands.
const COMMANDS: u32 = u32::MAX;
/// Longest command that is read; those of a stream have some dozen bytes.
const MOST_COMMAND_BYTES: u32 = 64 * 1024;

/// A stream that runs; dropping it ends it.
#[derive(Debug)]
pub(super) struct PulseStream {
    socket: UnixStream,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PulseStream {
    /// Opens a microphone: of this name, or the default.
    pub(super) fn capture(
        mut connection: Connection,
        device: &Device,
        name: Option<&str>,
        pace: Pace,
        callback: CaptureCallback,
    ) -> Result<Self, OpenDeviceError> {
        let params = RecordStreamParams {
            sample_spec: sample_spec(),
            channel_map: ChannelMap::mono(),
            source_name: Some(named(device, name, DEFAULT_SOURCE)?),
            buffer_attr: BufferAttr { fragment_size: block_bytes(pace.latency), ..BufferAttr::default() },
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            props: properties(),
            ..RecordStreamParams::default()
        };
        let question = Command::CreateRecordStream(params);
        let reply: CreateRecordStreamReply =
            connection.ask(&question).map_err(|error| refused(error, device))?;
        let health = callback.health();
        let beat = has_time(pace).then(|| pace.microphone_beat(callback.clock(), pace.tick));
        Self::start(connection, beat, health, move |messages| record(messages, reply.channel, callback))
    }

    /// Opens a speaker: of this name, or the default.
    pub(super) fn render(
        mut connection: Connection,
        device: &Device,
        name: Option<&str>,
        pace: Pace,
        callback: RenderCallback,
    ) -> Result<Self, OpenDeviceError> {
        let block = block_bytes(pace.latency);
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
        let beat = has_time(pace).then(|| pace.speaker_beat(callback.clock(), pace.tick));
        Self::start(connection, beat, health, move |messages| play(messages, &reply, callback))
    }

    fn start(
        connection: Connection,
        beat: Option<Pacer>,
        health: Arc<DeviceHealth>,
        run: impl FnOnce(Messages) -> Result<(), ProtocolError> + Send + 'static,
    ) -> Result<Self, OpenDeviceError> {
        let unusable = |error: std::io::Error| OpenDeviceError::Unusable(error.to_string());
        let messages = Messages::new(connection, beat).map_err(unusable)?;
        let socket = messages.socket.get_ref().try_clone().map_err(unusable)?;
        let ending = Arc::new(AtomicBool::new(false));
        let is_ending = Arc::clone(&ending);
        let body = move || {
            ask_for_real_time(CALLBACK_PRIORITY);
            // However it ended: a stream that nobody ended is gone.
            let ended = run(messages);
            if !is_ending.load(Relaxed) {
                health.count_error(ErrorSeverity::Gone);
                tracing::debug!(?ended, "a stream of the PulseAudio server ended");
            }
        };
        let thread = std::thread::Builder::new().name("offhook-pulse".to_owned()).spawn(body);
        Ok(Self { socket, ending, thread: Some(thread.map_err(unusable)?) })
    }
}

impl OpenDevice for PulseStream {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn follows_engine_clock(&self) -> bool {
        false
    }
}

impl Drop for PulseStream {
    fn drop(&mut self) {
        self.ending.store(true, Relaxed);
        // Wakes the thread wherever it waits; a connection that is broken already has woken it.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// The server's messages for one stream: as they come, or all that have come at a beat. The media thread does nothing with them between its ticks,
/// and each one that is waited for wakes a thread.
struct Messages {
    beat: Option<Pacer>,
    socket: std::io::BufReader<UnixStream>,
    version: u16,
    command: Vec<u8>,
}

/// What comes from the server.
enum Message {
    /// So many bytes of sound for the stream of this channel follow.
    Sound {
        channel: u32,
        bytes: usize,
    },
    /// So many bytes more are wanted for it.
    Wanted {
        channel: u32,
        bytes: usize,
    },
    /// The server ended the stream.
    Killed,
    Other,
    /// For now there is none.
    Idle,
}

impl Messages {
    fn new(connection: Connection, beat: Option<Pacer>) -> std::io::Result<Self> {
        let (socket, version) = connection.into_parts();
        // A stream waits as long as nothing is to be played or heard.
        socket.get_ref().set_read_timeout(None)?;
        socket.get_ref().set_write_timeout(None)?;
        Ok(Self { beat, socket, version, command: Vec::new() })
    }

    /// Waits until there may be one.
    fn rest(&mut self) {
        match &mut self.beat {
            Some(beat) => {
                beat.wait_from(beat.clock().now());
            }
            None => {
                wait_for(self.socket.get_ref(), None);
            }
        }
    }

    fn next(&mut self) -> Result<Message, ProtocolError> {
        let is_there =
            !self.socket.buffer().is_empty() || wait_for(self.socket.get_ref(), Some(&Timespec::default()));
        if !is_there {
            return Ok(Message::Idle);
        }
        let Descriptor { length, channel, .. } = read_descriptor(&mut self.socket)?;
        if channel != COMMANDS {
            let bytes = length as usize;
            let is_sane = bytes <= MAX_MEMBLOCKQ_LENGTH;
            return if is_sane { Ok(Message::Sound { channel, bytes }) } else { Err(too_long()) };
        }
        if length > MOST_COMMAND_BYTES {
            return Err(too_long());
        }
        self.command.resize(length as usize, 0);
        self.socket.read_exact(&mut self.command)?;
        let (_, command) = Command::read_tag_prefixed(&mut self.command.as_slice(), self.version)?;
        Ok(match command {
            Command::Request(request) => {
                Message::Wanted { channel: request.channel, bytes: request.length as usize }
            }
            Command::PlaybackStreamKilled(_) | Command::RecordStreamKilled(_) => Message::Killed,
            _ => Message::Other,
        })
    }
}

/// Whether something comes in this time, be it the end.
fn wait_for(socket: &UnixStream, longest: Option<&Timespec>) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::IN)];
    // What cannot be waited for is read: that tells.
    poll(&mut asked, longest).map_or(true, |ready| ready > 0)
}

fn too_long() -> ProtocolError {
    ProtocolError::Invalid("a message that is too long".to_owned())
}

/// Hands on what the microphone hears until the stream ends.
fn record(mut messages: Messages, own: u32, mut callback: CaptureCallback) -> Result<(), ProtocolError> {
    let mut block = [0; PIECE * SAMPLE_BYTES];
    let mut samples = [0.0; PIECE];
    loop {
        match messages.next()? {
            Message::Sound { channel, bytes } => {
                let mut left = bytes;
                while left > 0 {
                    let piece = &mut block[..left.min(PIECE * SAMPLE_BYTES)];
                    messages.socket.read_exact(piece)?;
                    left -= piece.len();
                    let count = decode(piece, &mut samples);
                    if channel == own {
                        callback.deliver(&samples[..count]);
                    }
                }
            }
            Message::Killed => return Ok(()),
            Message::Idle => messages.rest(),
            Message::Wanted { .. } | Message::Other => {}
        }
    }
}

/// Gives the speaker what it asks for until the stream ends: all that it asked for by then at once.
fn play(
    mut messages: Messages,
    created: &CreatePlaybackStreamReply,
    mut callback: RenderCallback,
) -> Result<(), ProtocolError> {
    let mut message = [0; DESCRIPTOR_SIZE + PIECE * SAMPLE_BYTES];
    let mut samples = [0.0; PIECE];
    let mut wanted = created.requested_bytes as usize;
    loop {
        match messages.next()? {
            Message::Wanted { channel, bytes } if channel == created.channel => {
                wanted = wanted.saturating_add(bytes).min(MAX_MEMBLOCKQ_LENGTH);
            }
            Message::Wanted { .. } | Message::Other => {}
            Message::Killed => return Ok(()),
            Message::Sound { bytes, .. } => skip(&mut messages.socket, bytes)?,
            Message::Idle => {
                while wanted >= SAMPLE_BYTES {
                    let count = (wanted / SAMPLE_BYTES).min(PIECE);
                    callback.fill(&mut samples[..count]);
                    let length = encode(created.channel, &samples[..count], &mut message);
                    messages.socket.get_mut().write_all(&message[..length])?;
                    wanted -= count * SAMPLE_BYTES;
                }
                messages.rest();
            }
        }
    }
}

fn skip(socket: &mut impl BufRead, bytes: usize) -> Result<(), ProtocolError> {
    std::io::copy(&mut socket.take(bytes as u64), &mut std::io::sink())?;
    Ok(())
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

/// Whether what comes may wait for a beat.
fn has_time(pace: Pace) -> bool {
    pace.latency == LatencyMode::Normal
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

    #[test]
    fn messages_that_are_too_long_end_the_stream() {
        for channel in [COMMANDS, 3] {
            let (mut server, client) = UnixStream::pair().unwrap();
            let mut head = [0; DESCRIPTOR_SIZE];
            let flags = DescriptorFlags::empty();
            encode_descriptor(&mut head, &Descriptor { length: u32::MAX, channel, offset: 0, flags });
            server.write_all(&head).unwrap();
            let socket = std::io::BufReader::new(client);
            let mut messages = Messages { beat: None, socket, version: 35, command: Vec::new() };
            assert!(messages.next().is_err());
            assert!(messages.command.capacity() <= MOST_COMMAND_BYTES as usize);
        }
    }
}
