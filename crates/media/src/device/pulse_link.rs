//! What a PulseAudio server sends a stream, read without waiting: by the media thread, which neither waits nor allocates.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use pulseaudio::protocol::{
    CommandTag, DESCRIPTOR_SIZE, Descriptor, MAX_MEMBLOCKQ_LENGTH, ProtocolError, read_descriptor,
};

use super::pulse_server::Connection;

/// What is read at once: the sound of 40 ms, which is one read as long as the server sends it in time.
const BUFFER: usize = 8 * 1024;
/// Reads in a row; what comes faster is no sound.
const MOST_READS: usize = 8;
/// The channel of messages that are commands.
const COMMANDS: u32 = u32::MAX;
/// Longest command that is read; those that matter have twenty bytes.
const MOST_READ: usize = 64;
/// Longest command at all; none of a stream comes near.
const MOST_COMMAND: usize = 64 * 1024;
pub(super) const SAMPLE_BYTES: usize = size_of::<f32>();

/// What comes from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Sound for the stream of this channel, whole samples of it.
    Sound { channel: u32, bytes: &'a [u8] },
    /// So many bytes more are wanted for it.
    Wanted { channel: u32, bytes: usize },
    /// The server ended the stream.
    Killed,
}

/// The connection is of no use any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What the next bytes are.
#[derive(Debug, Clone, Copy)]
enum Part {
    Head,
    Sound {
        channel: u32,
        left: usize,
    },
    Command {
        left: usize,
    },
    /// Nothing for us.
    Skipped {
        left: usize,
    },
}

/// One stream's connection.
pub(super) struct Link {
    socket: UnixStream,
    buffer: Box<[u8; BUFFER]>,
    filled: usize,
    part: Part,
}

impl Link {
    /// Not for the real-time thread.
    pub(super) fn new(connection: Connection) -> std::io::Result<Self> {
        let (socket, _) = connection.into_parts();
        let mut buffer = Box::new([0; BUFFER]);
        let read = socket.buffer();
        // What was read with the last answer; a connection reads no more at once than fits.
        let filled = read.len().min(BUFFER);
        buffer[..filled].copy_from_slice(&read[..filled]);
        let socket = socket.into_inner();
        socket.set_nonblocking(true)?;
        Ok(Self { socket, buffer, filled, part: Part::Head })
    }

    /// The same socket, to end it by.
    pub(super) fn socket(&self) -> std::io::Result<UnixStream> {
        self.socket.try_clone()
    }

    /// Hands on what has come. Real-time safe.
    pub(super) fn receive(&mut self, take: &mut dyn FnMut(Message<'_>)) -> Result<(), Broken> {
        for _ in 0..MOST_READS {
            let room = BUFFER - self.filled;
            let read = match (&self.socket).read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(Broken),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Broken),
            };
            self.filled += read;
            self.parse(take).map_err(|_| Broken)?;
            if read < room {
                break;
            }
        }
        Ok(())
    }

    /// Sends as much as there is room for; returns how much that was. Real-time safe.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut sent = 0;
        while sent < bytes.len() {
            match (&self.socket).write(&bytes[sent..]) {
                Ok(0) => return Err(Broken),
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
        Ok(sent)
    }

    /// All whole parts in the buffer; what is left of one goes to its beginning, and leaves room.
    fn parse(&mut self, take: &mut dyn FnMut(Message<'_>)) -> Result<(), ProtocolError> {
        let mut at = 0;
        while at < self.filled {
            let there = &self.buffer[at..self.filled];
            let (used, next) = match self.part {
                Part::Head => {
                    let Some((mut head, _)) = there.split_at_checked(DESCRIPTOR_SIZE) else { break };
                    (DESCRIPTOR_SIZE, part_of(&read_descriptor(&mut head)?)?)
                }
                Part::Sound { channel, left } => {
                    let whole =
                        if there.len() < left { there.len() / SAMPLE_BYTES * SAMPLE_BYTES } else { left };
                    if whole == 0 {
                        break;
                    }
                    take(Message::Sound { channel, bytes: &there[..whole] });
                    (whole, Part::Sound { channel, left: left - whole })
                }
                Part::Command { left } => {
                    let Some((command, _)) = there.split_at_checked(left) else { break };
                    if let Some(message) = message_of(command) {
                        take(message);
                    }
                    (left, Part::Head)
                }
                Part::Skipped { left } => {
                    let gone = left.min(there.len());
                    (gone, Part::Skipped { left: left - gone })
                }
            };
            at += used;
            self.part = match next {
                Part::Sound { left: 0, .. } | Part::Command { left: 0 } | Part::Skipped { left: 0 } => {
                    Part::Head
                }
                part => part,
            };
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Link").field("part", &self.part).finish_non_exhaustive()
    }
}

/// What follows a head.
fn part_of(head: &Descriptor) -> Result<Part, ProtocolError> {
    let (left, channel) = (head.length as usize, head.channel);
    let too_long = || ProtocolError::Invalid(String::new());
    match channel {
        COMMANDS if left <= MOST_READ => Ok(Part::Command { left }),
        COMMANDS if left <= MOST_COMMAND => Ok(Part::Skipped { left }),
        COMMANDS => Err(too_long()),
        _ if left <= MAX_MEMBLOCKQ_LENGTH => Ok(Part::Sound { channel, left }),
        _ => Err(too_long()),
    }
}

/// Of the commands those that matter to a stream that runs. All that they consist of is numbers: an `L`, and four bytes.
fn message_of(command: &[u8]) -> Option<Message<'static>> {
    let number = |n: usize| {
        let (tag, value) = command.get(n * 5..n * 5 + 5)?.split_first()?;
        (*tag == b'L').then_some(u32::from_be_bytes(value.try_into().ok()?))
    };
    // The second is the number of a question, and nobody asked.
    let code = number(0)?;
    if code == CommandTag::Request as u32 {
        return Some(Message::Wanted { channel: number(2)?, bytes: number(3)? as usize });
    }
    let killed = [CommandTag::PlaybackStreamKilled, CommandTag::RecordStreamKilled];
    killed.iter().any(|killed| code == *killed as u32).then_some(Message::Killed)
}

/// What came of a server's bytes, in order.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Sound(u32, Vec<u8>),
    Wanted(u32, usize),
    Killed,
    Broken,
}

/// Body of the fuzz target: what comes of a server's bytes does not depend on how they are cut, and is no more than they are.
///
/// # Panics
/// When an invariant does not hold.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let data = &data[..data.len().min(BUFFER)];
    let whole = told(data, data.len());
    assert_eq!(whole, told(data, usize::from(*cut)));
    let sound: usize =
        whole.iter().map(|told| if let Told::Sound(_, bytes) = told { bytes.len() } else { 0 }).sum();
    assert!(sound <= data.len());
}

#[expect(clippy::expect_used, reason = "a pair of sockets with room for a buffer")]
fn told(data: &[u8], cut: usize) -> Vec<Told> {
    let (mut server, socket) = UnixStream::pair().expect("two file descriptors are free");
    socket.set_nonblocking(true).expect("it is open");
    let mut link = Link { socket, buffer: Box::new([0; BUFFER]), filled: 0, part: Part::Head };
    let mut all = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        server.write_all(piece).expect("there is room for a buffer");
        let received = link.receive(&mut |message| match (message, all.last_mut()) {
            (Message::Sound { channel, bytes }, Some(Told::Sound(of, before))) if *of == channel => {
                before.extend_from_slice(bytes)
            }
            (Message::Sound { channel, bytes }, _) => all.push(Told::Sound(channel, bytes.to_vec())),
            (Message::Wanted { channel, bytes }, _) => all.push(Told::Wanted(channel, bytes)),
            (Message::Killed, _) => all.push(Told::Killed),
        });
        if received.is_err() {
            all.push(Told::Broken);
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use pulseaudio::protocol::{
        Command, DescriptorFlags, MAX_VERSION, Request, encode_descriptor, write_command_message,
    };

    use super::*;

    /// A link, and the server's end of its socket.
    fn link() -> (Link, UnixStream) {
        let (server, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        (Link { socket, buffer: Box::new([0; BUFFER]), filled: 0, part: Part::Head }, server)
    }

    fn head(length: u32, channel: u32) -> [u8; DESCRIPTOR_SIZE] {
        let mut head = [0; DESCRIPTOR_SIZE];
        encode_descriptor(
            &mut head,
            &Descriptor { length, channel, offset: 0, flags: DescriptorFlags::empty() },
        );
        head
    }

    fn sound(channel: u32, bytes: &[u8]) -> Vec<u8> {
        [&head(bytes.len() as u32, channel)[..], bytes].concat()
    }

    fn command(command: &Command) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_command_message(&mut bytes, u32::MAX, command, MAX_VERSION).unwrap();
        bytes
    }

    /// What has come: bytes of sound for channel 7, bytes wanted by channel 3, and whether the stream was ended.
    fn received(link: &mut Link) -> (Vec<u8>, usize, bool) {
        let (mut heard, mut wanted, mut killed) = (Vec::new(), 0, false);
        let taken = link.receive(&mut |message| match message {
            Message::Sound { channel, bytes } => {
                assert!(channel == 7 && bytes.len() % SAMPLE_BYTES == 0);
                heard.extend_from_slice(bytes);
            }
            Message::Wanted { channel, bytes } => {
                assert_eq!(channel, 3);
                wanted += bytes;
            }
            Message::Killed => killed = true,
        });
        assert_eq!(taken, Ok(()));
        (heard, wanted, killed)
    }

    #[test]
    fn messages_are_understood_however_they_are_cut() {
        let said: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
        let long = Command::SetClientName({
            let mut names = pulseaudio::protocol::Props::new();
            names.set(
                pulseaudio::protocol::Prop::ApplicationName,
                std::ffi::CString::new([b'x'; 500]).unwrap(),
            );
            names
        });
        let all = [
            sound(7, &said),
            command(&Command::Request(Request { channel: 3, length: 960 })),
            sound(7, &[]),
            command(&long),
            command(&Command::Started(3)),
            sound(7, &said[..4]),
            command(&Command::Request(Request { channel: 3, length: 40 })),
            command(&Command::RecordStreamKilled(7)),
        ]
        .concat();
        for cut in [1, 3, 19, 20, 21, 977, 5000] {
            let (mut link, mut server) = link();
            let (mut heard, mut wanted, mut killed) = (Vec::new(), 0, false);
            for piece in all.chunks(cut) {
                assert!(!killed);
                server.write_all(piece).unwrap();
                let (more, bytes, end) = received(&mut link);
                heard.extend(more);
                wanted += bytes;
                killed |= end;
            }
            assert_eq!((heard, wanted, killed), ([&said[..], &said[..4]].concat(), 1000, true), "{cut}");
        }
    }

    #[test]
    fn more_than_a_buffer_is_read_in_one_go_and_an_end_is_seen() {
        let (mut link, mut server) = link();
        assert_eq!(received(&mut link), (Vec::new(), 0, false));
        let said = vec![9; 3 * BUFFER];
        server.write_all(&sound(7, &said)).unwrap();
        assert_eq!(received(&mut link).0, said);
        drop(server);
        assert_eq!(link.receive(&mut |_| ()), Err(Broken));
        assert_eq!(link.send(&[1]), Err(Broken));
    }

    #[test]
    fn messages_that_are_too_long_end_the_stream_and_commands_that_make_no_sense_do_nothing() {
        for channel in [COMMANDS, 3] {
            let (mut link, mut server) = link();
            server.write_all(&head(u32::MAX, channel)).unwrap();
            assert_eq!(link.receive(&mut |_| ()), Err(Broken));
        }
        let (mut link, mut server) = link();
        for body in [&b"L\0\0\0=L\0\0\0\0L\0\0\0\x03"[..], b"M\0\0\0=", b"", &[b'L'; 64]] {
            server.write_all(&sound(COMMANDS, body)).unwrap();
        }
        assert_eq!(received(&mut link), (Vec::new(), 0, false));
    }

    #[test]
    fn what_finds_no_room_is_not_waited_for() {
        let (link, mut server) = link();
        let bytes = vec![5; 1 << 20];
        let sent = link.send(&bytes).unwrap();
        assert!(sent > 0 && sent < bytes.len());
        assert_eq!(link.send(&bytes[sent..]), Ok(0));
        let mut read = vec![0; sent];
        server.read_exact(&mut read).unwrap();
        assert!(link.send(&bytes[sent..]).unwrap() > 0);
    }
}
