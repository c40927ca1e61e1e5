//! TCP and TLS connections to the relay: the library knows datagrams only, so each connection is made to look like a socket of
//! its own that has one client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::conn::{Datagrams, Socket};
use super::frame::Framer;
use super::ledger::Clients;
use super::port::{Port, Relay};
use crate::environment;
use crate::limit::Connections;
use crate::server::StopSign;
use crate::tls::TlsDoor;

/// For TLS, and for the request that makes an allocation.
const GREETING: Duration = Duration::from_secs(15);
/// A client with an allocation refreshes its permissions every five minutes (RFC 8656 section 9).
const IDLE: Duration = Duration::from_secs(330);
/// One write to a client that takes nothing.
const WRITE: Duration = Duration::from_secs(10);
/// After a failed accept, mostly because no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(50);
/// Frames that wait to be written; a client that takes them more slowly than a call loses some, as it would on UDP.
const QUEUED: usize = 64;
const BUFFER: usize = 4096;

/// Accepts until the server stops.
pub(super) async fn run(
    listener: TcpListener,
    tls: Option<Arc<TlsDoor>>,
    relay: Arc<Relay>,
    connections: Arc<Connections>,
    stop: StopSign,
) {
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped.draining() => return,
        };
        let Ok((stream, client)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let Some(permit) = connections.admit(client.ip(), environment::now()) else { continue };
        let (relay, tls, mut stop) = (Arc::clone(&relay), tls.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = serve(stream, tls, client, relay) => {}
                () = stop.now() => {}
            }
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, tls: Option<Arc<TlsDoor>>, client: SocketAddr, relay: Arc<Relay>) {
    // Without it a frame of sound may wait for the acknowledgement of the one before; losing it costs only time.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    match tls {
        None => follow(stream, local, client, relay).await,
        Some(tls) => match timeout(GREETING, tls.accept_relayed(stream)).await {
            Ok(Ok(stream)) => follow(stream, local, client, relay).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake with the relay failed"),
            Err(_) => tracing::debug!("TLS handshake with the relay timed out"),
        },
    }
}

/// Both directions of one connection, until either ends.
async fn follow<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    local: SocketAddr,
    client: SocketAddr,
    relay: Arc<Relay>,
) {
    let (reader, writer) = split(stream);
    let (out, frames) = mpsc::channel(QUEUED);
    let port = Port::new(
        relay,
        Arc::new(Socket(TcpConn { out, local })),
        local,
        Arc::new(Clients::default()),
        false,
    );
    tokio::select! {
        () = read(reader, &port, client) => {}
        () = write(writer, frames) => {}
    }
    port.close().await;
}

async fn read<S: AsyncRead>(mut reader: ReadHalf<S>, port: &Port, client: SocketAddr) {
    let (mut framer, mut buffer) = (Framer::default(), vec![0; BUFFER]);
    // A byte now and then keeps nobody here who has no allocation.
    let mut served = Instant::now();
    loop {
        let patience = if port.serves(client) {
            served = Instant::now();
            IDLE
        } else {
            GREETING.saturating_sub(served.elapsed())
        };
        if patience.is_zero() {
            return;
        }
        let Ok(Ok(length @ 1..)) = timeout(patience, reader.read(&mut buffer)).await else { return };
        framer.push(&buffer[..length]);
        loop {
            match framer.next() {
                Ok(Some(frame)) => port.handle(frame, client).await,
                Ok(None) => break,
                Err(error) => return tracing::debug!(%client, %error, "connection to the relay given up"),
            }
        }
    }
}

async fn write<S: AsyncWrite>(mut writer: WriteHalf<S>, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        match timeout(WRITE, writer.write_all(&frame)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
        // TLS keeps bytes back otherwise.
        if frames.is_empty() && writer.flush().await.is_err() {
            return;
        }
    }
}

/// What the client of a connection is answered through.
#[derive(Debug)]
struct TcpConn {
    out: mpsc::Sender<Vec<u8>>,
    local: SocketAddr,
}

impl Datagrams for TcpConn {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    async fn send_to(&self, bytes: &[u8], _client: SocketAddr) -> io::Result<()> {
        let mut frame = bytes.to_vec();
        // RFC 8656 section 12.5: over a stream ChannelData is padded, which its length does not count.
        frame.resize(frame.len().next_multiple_of(4), 0);
        // What does not fit is late anyway.
        let _ = self.out.try_send(frame);
        Ok(())
    }
}
