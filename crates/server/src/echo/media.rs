//! The sockets and the time of one echo call.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Instant;

use offhook_echo::{EchoCall, EchoEnd, EchoOutput, SessionError, Transmit};
use offhook_signaling::CallId;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep_until;

use super::Echo;
use crate::environment;

/// More than any datagram of a call: what is longer is cut and then refused by the transport.
const MOST_BYTES: usize = 2048;
/// Datagrams taken from one socket before the others, and other calls, have their turn.
const BATCH: usize = 32;

/// What a call is told.
#[derive(Debug)]
pub(super) enum ToMedia {
    /// A candidate line of the caller.
    Candidate(String),
    /// A further offer.
    Offer(String),
}

/// What a call tells.
#[derive(Debug)]
pub(super) enum News {
    Connected,
    /// To a further offer.
    Answer(String),
    Ended(EchoEnd),
}

/// Why a call cannot be answered; the caller is told that media failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// No socket could be bound on any address of this machine.
    #[error("no network address of this machine can be used")]
    NoAddress,
    /// The offer is not usable.
    #[error(transparent)]
    Session(#[from] SessionError),
}

#[derive(Debug)]
pub(super) struct Media {
    call: EchoCall,
    sockets: Vec<Socket>,
}

/// Answers an offer with fresh sockets; gives the answer's text too. Within a tokio runtime.
pub(super) fn answer(echo: &Echo, offer: &str) -> Result<(Media, String), AnswerError> {
    // An address that cannot be used (just gone, not yet ready) is one candidate less.
    let sockets: Vec<Socket> = echo.addresses().into_iter().filter_map(|ip| Socket::bind(ip).ok()).collect();
    if sockets.is_empty() {
        return Err(AnswerError::NoAddress);
    }
    let locals: Vec<SocketAddr> = sockets.iter().map(|socket| socket.address).collect();
    let (call, answer) = EchoCall::answer(&echo.calls, environment::now(), &locals, offer)?;
    Ok((Media { call, sockets }, answer))
}

impl Media {
    /// Runs until the call ends: by itself, or because nobody can tell it anything any more.
    pub(super) async fn run(
        mut self,
        id: CallId,
        mut inbox: mpsc::Receiver<ToMedia>,
        news: mpsc::Sender<(CallId, News)>,
        _place: OwnedSemaphorePermit,
    ) {
        let ended = loop {
            let due = match self.drain(&id, &news).await {
                Ok(due) => due,
                Err(end) => break Some(end),
            };
            let sockets = &self.sockets;
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.handle_message(message, &id, &news).await,
                    None => break None,
                },
                () = poll_fn(|cx| poll_readable(sockets, cx)) => self.receive(),
                () = sleep_until(due.into()) => {}
            }
        };
        if let Some(end) = ended {
            // A device that is gone needs no word.
            let _ = news.send((id.clone(), News::Ended(end))).await;
        }
        self.call.close(environment::now());
        let _ = self.drain(&id, &news).await;
    }

    /// Everything out of the call; gives the time to look again, or the end.
    async fn drain(&mut self, id: &CallId, news: &mpsc::Sender<(CallId, News)>) -> Result<Instant, EchoEnd> {
        loop {
            match self.call.poll_output(environment::now()) {
                EchoOutput::Transmit(transmit) => self.send(&transmit),
                EchoOutput::Connected => drop(news.send((id.clone(), News::Connected)).await),
                EchoOutput::Ended(end) => return Err(end),
                EchoOutput::Timeout(at) => return Ok(at),
            }
        }
    }

    async fn handle_message(&mut self, message: ToMedia, id: &CallId, news: &mpsc::Sender<(CallId, News)>) {
        let now = environment::now();
        match message {
            ToMedia::Candidate(line) => self.call.handle_candidate(now, &line),
            ToMedia::Offer(sdp) => match self.call.handle_offer(now, &sdp) {
                Ok(answer) => drop(news.send((id.clone(), News::Answer(answer))).await),
                Err(error) => tracing::debug!(call = %id, %error, "offer to the echo user not used"),
            },
        }
    }

    /// Sends now or not at all: sound that waits is worse than sound that is lost.
    fn send(&self, transmit: &Transmit) {
        if let Some(socket) = self.sockets.iter().find(|socket| socket.address == transmit.source) {
            let _ = socket.sender.send_to(&transmit.contents, transmit.destination);
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; MOST_BYTES];
        for Socket { address, receiver, .. } in &self.sockets {
            for _ in 0..BATCH {
                match receiver.try_recv_from(&mut buffer) {
                    Ok((length, remote)) => {
                        let datagram = &mut buffer[..length];
                        self.call.handle_datagram(environment::now(), *address, remote, datagram);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier datagram caused (nobody listens there): the next may be good.
                    Err(_) => {}
                }
            }
        }
    }
}

#[derive(Debug)]
struct Socket {
    address: SocketAddr,
    receiver: UdpSocket,
    /// The same socket: tokio's would refuse to send until its reactor has looked at it once.
    sender: std::net::UdpSocket,
}

impl Socket {
    fn bind(ip: IpAddr) -> io::Result<Self> {
        let sender = std::net::UdpSocket::bind((ip, 0))?;
        sender.set_nonblocking(true)?;
        let receiver = UdpSocket::from_std(sender.try_clone()?)?;
        Ok(Self { address: sender.local_addr()?, receiver, sender })
    }
}

fn poll_readable(sockets: &[Socket], cx: &mut Context<'_>) -> Poll<()> {
    // Every socket is asked, so that each of them wakes this task.
    let ready = |socket: &Socket| socket.receiver.poll_recv_ready(cx).is_ready();
    if sockets.iter().map(ready).fold(false, |any, one| any | one) { Poll::Ready(()) } else { Poll::Pending }
}
