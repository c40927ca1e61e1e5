//! The UDP socket of the relay.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::conn::{Datagrams, Socket};
use super::ledger::Clients;
use super::port::{Port, Relay};
use super::stun::code;
use crate::server::StopSign;

/// RFC 8656 section 7.2: an Allocate that comes again gets the same answer.
const ALLOCATED: [u8; 2] = (code::ALLOCATE | code::SUCCESS).to_be_bytes();
/// More than any datagram that is handled.
const BUFFER: usize = 2048;

/// Serves until the server drops everything.
pub(super) async fn run(socket: UdpSocket, local: SocketAddr, relay: Arc<Relay>, mut stop: StopSign) {
    let (socket, clients) = (Arc::new(socket), Arc::new(Clients::default()));
    let conn = UdpConn { socket: Arc::clone(&socket), local, clients: Arc::clone(&clients) };
    let port = Port::new(relay, Arc::new(Socket(conn)), local, clients, true);
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = stop.now() => break,
        };
        // An error here is about an earlier datagram that could not be delivered.
        if let Ok((length, source)) = received {
            port.handle(&buffer[..length], source).await;
        }
    }
    port.close().await;
}

/// What clients are answered through.
#[derive(Debug)]
struct UdpConn {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    clients: Arc<Clients>,
}

impl Datagrams for UdpConn {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    async fn send_to(&self, bytes: &[u8], client: SocketAddr) -> io::Result<()> {
        if bytes.starts_with(&ALLOCATED)
            && let Some(lease) = self.clients.get(client)
        {
            lease.remember_answer(bytes);
        }
        self.socket.send_to(bytes, client).await.map(drop)
    }
}
