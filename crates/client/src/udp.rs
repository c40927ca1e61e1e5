//! The sockets of one call, and what datagrams pass on their way out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Instant;

use offhook_transport::Transmit;

use self::receiver::Receiver;

/// More than any datagram of a call: what is longer is cut and then refused by the transport.
const MOST_BYTES: usize = 2048;
/// Datagrams taken from one socket before the others have their turn.
const BATCH: usize = 32;

/// What outgoing datagrams pass before they reach the socket: an emulated network, a shaper. Without one they go straight. Called on a driver task:
/// answer at once, and without timers of `tokio`, which its runtime has not.
pub trait PacketPath: Send {
    /// Takes a datagram at `now`; it may be lost, held or doubled.
    fn submit(&mut self, now: Instant, datagram: Transmit);
    /// When [`poll`](Self::poll) should be asked next; `None` while nothing is held.
    fn next_due(&self) -> Option<Instant>;
    /// A datagram that is due at `now`. Asked until `None`.
    fn poll(&mut self, now: Instant) -> Option<Transmit>;
}

/// One socket per address.
#[derive(Debug)]
pub(crate) struct Sockets {
    sockets: Vec<Socket>,
    /// Where the next look begins, so that no socket starves the others.
    first: usize,
    /// The datagram that is handed on.
    buffer: Box<[u8; MOST_BYTES]>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { sockets: Vec::new(), first: 0, buffer: Box::new([0; MOST_BYTES]) }
    }
}

#[derive(Debug)]
struct Socket {
    address: SocketAddr,
    receiver: Receiver,
    /// The same socket for sending: one of tokio would refuse until its reactor has looked at it once, and the first datagrams matter most.
    sender: std::net::UdpSocket,
}

impl Sockets {
    /// Binds a socket to a free port of `ip`.
    pub(crate) fn bind(&mut self, ip: IpAddr) -> io::Result<SocketAddr> {
        let sender = std::net::UdpSocket::bind((ip, 0))?;
        sender.set_nonblocking(true)?;
        let receiver = Receiver::new(sender.try_clone()?)?;
        let address = sender.local_addr()?;
        self.sockets.push(Socket { address, receiver, sender });
        Ok(address)
    }

    /// Closes a socket.
    pub(crate) fn remove(&mut self, address: SocketAddr) {
        self.sockets.retain(|socket| socket.address != address);
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(|socket| socket.address)
    }

    /// Sends now or not at all: sound that waits is worse than sound that is lost. Returns whether it was sent.
    pub(crate) fn send(&self, transmit: &Transmit) -> bool {
        let socket = self.sockets.iter().find(|socket| socket.address == transmit.source);
        socket.is_some_and(|socket| socket.sender.send_to(&transmit.contents, transmit.destination).is_ok())
    }

    /// Ready when a socket may have something.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = |socket: &Socket| socket.receiver.poll_ready(cx).is_ready();
        // Every socket is asked, so that each of them wakes this task.
        if self.sockets.iter().map(ready).fold(false, |any, one| any | one) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Hands what has arrived to `take`, as arrival, local address, remote address and bytes.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Instant, SocketAddr, SocketAddr, &mut [u8])) {
        let Self { sockets, first, buffer } = self;
        let count = sockets.len();
        for index in 0..count {
            let Socket { address, receiver, .. } = &sockets[(*first + index) % count];
            for _ in 0..BATCH {
                match receiver.receive(&mut buffer[..]) {
                    Ok((length, remote)) => take(Instant::now(), *address, remote, &mut buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier datagram caused (nobody listens there): the next may be good.
                    Err(_) => {}
                }
            }
        }
        *first = if count == 0 { 0 } else { (*first + 1) % count };
    }
}

#[cfg(unix)]
mod receiver {
    use std::io;
    use std::net::{SocketAddr, UdpSocket};
    use std::task::{Context, Poll};

    use crate::readable::Readable;

    #[derive(Debug)]
    pub(super) struct Receiver(Readable<UdpSocket>);

    impl Receiver {
        /// Of a socket that does not block.
        pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
            Readable::new(socket).map(Self)
        }

        pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.poll(cx)
        }

        pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.0.read(|socket| socket.recv_from(buffer))
        }
    }
}

#[cfg(not(unix))]
mod receiver {
    use std::io;
    use std::net::SocketAddr;
    use std::task::{Context, Poll};

    use tokio::net::UdpSocket;

    #[derive(Debug)]
    pub(super) struct Receiver(UdpSocket);

    impl Receiver {
        /// Of a socket that does not block.
        pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
            UdpSocket::from_std(socket).map(Self)
        }

        pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.poll_recv_ready(cx).map(|_| ())
        }

        pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.0.try_recv_from(buffer)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use offhook_transport::Carrier;

    use super::*;

    #[tokio::test]
    async fn datagrams_pass_between_sockets_of_two_addresses() {
        let mut sockets = Sockets::default();
        let one = sockets.bind("127.0.0.1".parse().unwrap()).unwrap();
        let two = sockets.bind("127.0.0.2".parse().unwrap()).unwrap();
        assert!(sockets.send(&Transmit {
            carrier: Carrier::Udp,
            source: one,
            destination: two,
            contents: b"hello".as_slice().into()
        }));
        let mut got = Vec::new();
        while got.is_empty() {
            poll_fn(|cx| sockets.poll_readable(cx)).await;
            sockets.receive(|_, local, remote, bytes| got.push((local, remote, bytes.to_vec())));
        }
        assert_eq!(got, [(two, one, b"hello".to_vec())]);
        sockets.remove(one);
        assert!(!sockets.send(&Transmit {
            carrier: Carrier::Udp,
            source: one,
            destination: two,
            contents: b"x".as_slice().into()
        }));
    }
}
