//! Short questions to the PulseAudio server, or to PipeWire in its place: which device is the default, and is this one there?
//!
//! A question is one small message each way, 0.05 ms on a quiet machine, where a list of all devices takes 15 ms and a new connection 19 ms. It
//! waits [`LONGEST`] at most, which the client in `cpal` cannot promise: a server can be stopped and its socket stays open.

use std::ffi::CString;
use std::io::{BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pulseaudio::protocol::{
    AuthParams, AuthReply, Command, CommandReply, LookupReply, MAX_VERSION, Prop, Props, ProtocolError,
    PulseError, ServerInfo, SetClientNameReply, read_reply_message, write_command_message,
};
use thiserror::Error;

use super::Direction;

/// Longest wait for a message of the server.
const LONGEST: Duration = Duration::from_millis(500);
/// A server that let a question wait that long is left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// Why a question was not answered.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// Nobody listens, or what listens does not let us in.
    #[error("there is no PulseAudio server")]
    Away,
    /// It is there and did not answer in time.
    #[error("the PulseAudio server does not answer")]
    Late,
    /// It answered that it will not, or in a way that is not understood.
    #[error("the PulseAudio server refuses to answer: {0}")]
    Refused(#[source] ProtocolError),
}

/// The server, over a connection that is made when first needed and again when it broke.
#[derive(Debug, Default)]
pub(super) struct PulseServer {
    /// Where it listens; `None` for what the environment says.
    socket: Option<PathBuf>,
    connection: Option<Connection>,
    /// The default source and sink, as told last.
    defaults: [Option<String>; 2],
    left_alone_until: Option<Instant>,
}

impl PulseServer {
    /// The name of the default sink or source; `None` when there is none. While the server does not answer, what it said before.
    pub(super) fn default_name(&mut self, direction: Direction) -> Result<Option<String>, AskError> {
        let info: ServerInfo = match self.ask(&Command::GetServerInfo) {
            Ok(info) => info,
            Err(AskError::Late) => return Ok(self.defaults[direction as usize].clone()),
            Err(error) => return Err(error),
        };
        // PipeWire gives the word for "the default" where there is none.
        let told = |name: Option<CString>| {
            name.and_then(|name| name.into_string().ok()).filter(|name| !name.starts_with('@'))
        };
        self.defaults = [told(info.default_source_name), told(info.default_sink_name)];
        Ok(self.defaults[direction as usize].clone())
    }

    /// The number of the sink or source of this name; `None` when there is none. The server never gives a number twice.
    pub(super) fn index_of(&mut self, direction: Direction, name: &str) -> Result<Option<u32>, AskError> {
        let Ok(name) = CString::new(name) else { return Ok(None) };
        let question = match direction {
            Direction::Capture => Command::LookupSource(name),
            Direction::Render => Command::LookupSink(name),
        };
        match self.ask(&question) {
            Ok(LookupReply(index)) => Ok(Some(index)),
            Err(AskError::Refused(ProtocolError::ServerError(PulseError::NoEntity))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask<R: CommandReply>(&mut self, question: &Command) -> Result<R, AskError> {
        if self.left_alone_until.is_some_and(|until| Instant::now() < until) {
            return Err(AskError::Late);
        }
        let answer = self.ask_connected(question);
        if matches!(answer, Err(AskError::Late)) {
            self.left_alone_until = Some(Instant::now() + LEFT_ALONE);
        }
        answer
    }

    fn ask_connected<R: CommandReply>(&mut self, question: &Command) -> Result<R, AskError> {
        if let Some(mut connection) = self.connection.take() {
            let answer = connection.ask(question);
            if is_usable_after(&answer) {
                self.connection = Some(connection);
            }
            // A connection that broke since the last question says nothing about the server of now.
            if !matches!(answer, Err(AskError::Away)) {
                return answer;
            }
        }
        let mut connection = self.connect()?;
        let answer = connection.ask(question);
        if is_usable_after(&answer) {
            self.connection = Some(connection);
        }
        answer
    }

    fn connect(&self) -> Result<Connection, AskError> {
        Connection::open(self.socket.clone())
    }
}

/// A question the server refused leaves the connection as it was; after any other error, an answer may still be on its way.
const fn is_usable_after<R>(answer: &Result<R, AskError>) -> bool {
    matches!(answer, Ok(_) | Err(AskError::Refused(ProtocolError::ServerError(_))))
}

/// A connection that was greeted.
#[derive(Debug)]
pub(super) struct Connection {
    socket: BufReader<UnixStream>,
    version: u16,
    sequence: u32,
}

impl Connection {
    /// To the server at this socket; `None` for what the environment says.
    pub(super) fn open(socket: Option<PathBuf>) -> Result<Self, AskError> {
        let path = socket.or_else(pulseaudio::socket_path_from_env).ok_or(AskError::Away)?;
        let socket = UnixStream::connect(path).map_err(|_| AskError::Away)?;
        let timeout = Some(LONGEST);
        socket
            .set_read_timeout(timeout)
            .and_then(|()| socket.set_write_timeout(timeout))
            .map_err(|_| AskError::Away)?;
        Self::greet(socket)
    }

    /// The socket, with what was read of it, and the version of the protocol.
    pub(super) fn into_parts(self) -> (BufReader<UnixStream>, u16) {
        (self.socket, self.version)
    }

    fn greet(socket: UnixStream) -> Result<Self, AskError> {
        let mut this = Self { socket: BufReader::new(socket), version: MAX_VERSION, sequence: 0 };
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let cookie = cookie.unwrap_or_default();
        let auth = AuthParams { version: MAX_VERSION, supports_shm: false, supports_memfd: false, cookie };
        let reply: AuthReply = this.ask(&Command::Auth(auth))?;
        this.version = reply.version.min(MAX_VERSION);
        let mut properties = Props::new();
        properties.set(Prop::ApplicationName, c"offhook");
        let _: SetClientNameReply = this.ask(&Command::SetClientName(properties))?;
        Ok(this)
    }

    /// Sends it and waits for its answer, [`LONGEST`] at most.
    pub(super) fn ask<R: CommandReply>(&mut self, question: &Command) -> Result<R, AskError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::new();
        write_command_message(&mut message, self.sequence, question, self.version).map_err(unanswered)?;
        // In one piece: each is a call of the system, and wakes the server.
        self.socket.get_mut().write_all(&message).map_err(|error| unanswered(error.into()))?;
        let (sequence, answer) = read_reply_message(&mut self.socket, self.version).map_err(unanswered)?;
        if sequence != self.sequence {
            return Err(AskError::Refused(ProtocolError::Invalid(
                "an answer to another question".to_owned(),
            )));
        }
        Ok(answer)
    }
}

fn unanswered(error: ProtocolError) -> AskError {
    match error {
        ProtocolError::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            AskError::Late
        }
        ProtocolError::Io(_) => AskError::Away,
        error => AskError::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    use pulseaudio::protocol::{read_command_message, write_error, write_reply_message};

    use super::*;

    /// What the server does with a question.
    enum Does {
        Tell(u32),
        TellNone,
        Nothing,
        HangUp,
    }

    /// A server that lets clients in and treats their questions in this order.
    fn server(does: Vec<Does>) -> (PulseServer, JoinHandle<()>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("native");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let mut does = does.into_iter().peekable();
            while does.peek().is_some() {
                let (socket, _) = listener.accept().unwrap();
                serve(&mut BufReader::new(socket), &mut does);
            }
        });
        (PulseServer { socket: Some(path), ..PulseServer::default() }, thread, directory)
    }

    fn serve(socket: &mut BufReader<UnixStream>, does: &mut impl Iterator<Item = Does>) {
        let version = MAX_VERSION;
        while let Ok((sequence, command)) = read_command_message(socket, version) {
            let writer = socket.get_mut();
            match command {
                Command::Auth(_) => {
                    let reply = AuthReply { version, ..AuthReply::default() };
                    write_reply_message(writer, sequence, &reply, version).unwrap();
                }
                Command::SetClientName(_) => {
                    write_reply_message(writer, sequence, &SetClientNameReply { client_id: 1 }, version)
                        .unwrap();
                }
                _ => match does.next() {
                    Some(Does::Tell(index)) => {
                        write_reply_message(writer, sequence, &LookupReply(index), version).unwrap();
                    }
                    Some(Does::TellNone) => {
                        write_error(writer, sequence, &PulseError::NoEntity).unwrap();
                    }
                    Some(Does::Nothing) => {}
                    Some(Does::HangUp) | None => return,
                },
            }
        }
    }

    #[test]
    fn a_sink_is_there_or_not_and_a_broken_connection_is_made_again() {
        let does = vec![Does::Tell(7), Does::TellNone, Does::Tell(8), Does::HangUp, Does::Tell(9)];
        let (mut pulse, thread, _directory) = server(does);
        let mut ask = || pulse.index_of(Direction::Render, "spk").unwrap();
        assert_eq!([ask(), ask(), ask(), ask()], [Some(7), None, Some(8), Some(9)]);
        drop(pulse);
        thread.join().unwrap();
    }

    #[test]
    fn a_server_that_does_not_answer_is_left_alone_for_a_while() {
        let (mut pulse, thread, _directory) = server(vec![Does::Tell(7), Does::Nothing]);
        assert_eq!(pulse.index_of(Direction::Capture, "mic").unwrap(), Some(7));
        assert!(matches!(pulse.index_of(Direction::Capture, "mic"), Err(AskError::Late)));
        // It is not even asked: it would hang up.
        assert!(matches!(pulse.index_of(Direction::Capture, "mic"), Err(AskError::Late)));
        thread.join().unwrap();
        pulse.left_alone_until = Some(Instant::now());
        assert!(matches!(pulse.index_of(Direction::Capture, "mic"), Err(AskError::Away)));
    }

    #[test]
    fn without_a_server_it_is_away() {
        let directory = tempfile::tempdir().unwrap();
        let socket = Some(directory.path().join("native"));
        let mut pulse = PulseServer { socket, ..PulseServer::default() };
        assert!(matches!(pulse.default_name(Direction::Render), Err(AskError::Away)));
    }
}
