//! Connections to TURN servers of one call, plain and inside TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use offhook_transport::{RelayProtocol, Transmit};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::alarm::within;
use crate::driver::TurnTarget;
use crate::websocket::Dialer;

/// A server that is not reached in this time is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes that wait here and in the system: half a second of sound each. What would wait longer is dropped, late sound is of no use.
const MOST_WAITING: usize = 8 * 1024;
const SEND_BUFFER: u32 = 16 * 1024;
const READ: usize = 4 * 1024;
const MOST_STREAMS: usize = 8;

trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// News of the connections.
#[derive(Debug)]
pub(crate) enum StreamNews<'a> {
    /// A connection is open: its own end.
    Open(SocketAddr, &'a TurnTarget),
    /// A server was not reached.
    Unreachable(&'a TurnTarget, &'a str),
    /// Bytes came, from this server to this own end.
    Bytes(SocketAddr, SocketAddr, &'a [u8]),
    /// A connection has ended.
    Closed(SocketAddr, SocketAddr),
}

/// All connections of a call, open and being opened.
#[derive(Debug)]
pub(crate) struct TurnStreams {
    dialer: Arc<Dialer>,
    streams: Vec<Stream>,
    opening: Vec<TurnTarget>,
    opened: mpsc::Receiver<Opened>,
    sender: mpsc::Sender<Opened>,
    arrived: Vec<Opened>,
}

struct Opened {
    target: TurnTarget,
    result: Result<(SocketAddr, Pin<Box<dyn Io>>), String>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Opened").field("target", &self.target).finish_non_exhaustive()
    }
}

struct Stream {
    local: SocketAddr,
    target: TurnTarget,
    io: Pin<Box<dyn Io>>,
    outgoing: Vec<u8>,
    incoming: Box<[u8; READ]>,
    /// Bytes of `incoming` that are to be taken.
    filled: usize,
    ended: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stream")
            .field("local", &self.local)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl TurnStreams {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        let (sender, opened) = mpsc::channel(MOST_STREAMS);
        Self { dialer, streams: Vec::new(), opening: Vec::new(), opened, sender, arrived: Vec::new() }
    }

    /// Begins to connect to a server, unless a connection to it is open or being opened. Called within the media drivers' runtime.
    pub(crate) fn open(&mut self, target: &TurnTarget) {
        let key = |target: &TurnTarget| (target.server.address, target.server.protocol);
        let open = self.streams.iter().map(|stream| &stream.target).chain(&self.opening);
        if open.clone().count() >= MOST_STREAMS || open.clone().any(|known| key(known) == key(target)) {
            return;
        }
        self.opening.push(target.clone());
        let (dialer, sender, target) = (Arc::clone(&self.dialer), self.sender.clone(), target.clone());
        tokio::spawn(async move {
            let result = match within(CONNECT, connect(&dialer, &target)).await {
                Ok(Some(connected)) => connected,
                Ok(None) => Err("it does not answer".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            // A call that is over wants no connection.
            let _ = sender.send(Opened { target, result }).await;
        });
    }

    pub(crate) fn is_opening(&self) -> bool {
        !self.opening.is_empty()
    }

    /// Ends a connection.
    pub(crate) fn remove(&mut self, local: SocketAddr) {
        self.streams.retain(|stream| stream.local != local);
    }

    /// Ends the connections from addresses that are gone; their own ends and servers.
    pub(crate) fn remove_gone(&mut self, addresses: &[IpAddr]) -> Vec<(SocketAddr, SocketAddr)> {
        let gone = |stream: &mut Stream| !addresses.contains(&stream.local.ip());
        self.streams.extract_if(.., gone).map(|stream| (stream.local, stream.target.server.address)).collect()
    }

    /// Writes as soon as the connection takes it. `false`: it is gone, or too much waits already.
    pub(crate) fn send(&mut self, transmit: &Transmit) -> bool {
        let stream = self.streams.iter_mut().find(|stream| {
            (stream.local, stream.target.server.address) == (transmit.source, transmit.destination)
        });
        let Some(stream) = stream else { return false };
        let room = stream.outgoing.len() + transmit.contents.len() <= MOST_WAITING;
        if room {
            stream.outgoing.extend_from_slice(&transmit.contents);
        }
        room && !stream.ended
    }

    /// Writes what waits. Ready when there is news to [`take`](Self::take).
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Most calls open none, and ask at every wake.
        while self.is_opening()
            && let Poll::Ready(Some(opened)) = self.opened.poll_recv(cx)
        {
            self.arrived.push(opened);
        }
        let has_read =
            self.streams.iter_mut().map(|stream| stream.poll(cx)).fold(false, |any, one| any | one);
        if has_read || !self.arrived.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes what waits, as far as the connections take it at once.
    pub(crate) fn flush(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.streams.iter_mut().for_each(|stream| stream.flush(&mut cx));
    }

    /// Hands out what has come.
    pub(crate) fn take(&mut self, mut news: impl FnMut(StreamNews<'_>)) {
        for Opened { target, result } in std::mem::take(&mut self.arrived) {
            self.opening.retain(|opening| *opening != target);
            match result {
                Ok((local, io)) => {
                    news(StreamNews::Open(local, &target));
                    self.streams.push(Stream::new(local, target, io));
                }
                Err(why) => news(StreamNews::Unreachable(&target, &why)),
            }
        }
        for stream in &mut self.streams {
            let server = stream.target.server.address;
            let filled = std::mem::take(&mut stream.filled);
            if filled > 0 {
                news(StreamNews::Bytes(stream.local, server, &stream.incoming[..filled]));
            }
            if stream.ended {
                news(StreamNews::Closed(stream.local, server));
            }
        }
        self.streams.retain(|stream| !stream.ended);
    }
}

impl Stream {
    fn new(local: SocketAddr, target: TurnTarget, io: Pin<Box<dyn Io>>) -> Self {
        let incoming = Box::new([0; READ]);
        Self { local, target, io, outgoing: Vec::new(), incoming, filled: 0, ended: false }
    }

    /// Whether there is something to take.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.flush(cx);
        if self.filled == 0 && !self.ended {
            let mut buffer = ReadBuf::new(&mut self.incoming[..]);
            match self.io.as_mut().poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.filled = buffer.filled().len(),
                Poll::Ready(_) => self.ended = true,
                Poll::Pending => {}
            }
        }
        self.filled > 0 || self.ended
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.ended = true;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() && !self.ended {
            let written = ready!(self.io.as_mut().poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.drain(..written);
        }
        self.io.as_mut().poll_flush(cx)
    }
}

async fn connect(dialer: &Dialer, target: &TurnTarget) -> Result<(SocketAddr, Pin<Box<dyn Io>>), String> {
    let tcp = dial(target.server.address).await.map_err(|error| error.to_string())?;
    let local = tcp.local_addr().map_err(|error| error.to_string())?;
    if target.server.protocol == RelayProtocol::Tcp {
        return Ok((local, Box::pin(tcp)));
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(dialer.tls_config().await?);
    let tls = connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
    Ok((local, Box::pin(tls)))
}

async fn dial(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
