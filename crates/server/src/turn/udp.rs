//! The UDP socket of the relay.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use webrtc_util::Conn;

use super::ledger::Clients;
use super::port::{Port, Relay};
use super::relay::unsupported;
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
    let port = Port::new(relay, Arc::new(conn), local, clients, true);
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

/// The socket as the library sees it.
#[derive(Debug)]
struct UdpConn {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    clients: Arc<Clients>,
}

#[async_trait]
impl Conn for UdpConn {
    async fn connect(&self, _address: SocketAddr) -> webrtc_util::Result<()> {
        Err(unsupported())
    }

    async fn recv(&self, _buffer: &mut [u8]) -> webrtc_util::Result<usize> {
        Err(unsupported())
    }

    async fn recv_from(&self, _buffer: &mut [u8]) -> webrtc_util::Result<(usize, SocketAddr)> {
        Err(unsupported())
    }

    async fn send(&self, _bytes: &[u8]) -> webrtc_util::Result<usize> {
        Err(unsupported())
    }

    async fn send_to(&self, bytes: &[u8], client: SocketAddr) -> webrtc_util::Result<usize> {
        if bytes.starts_with(&ALLOCATED)
            && let Some(lease) = self.clients.get(client)
        {
            lease.remember_answer(bytes);
        }
        Ok(self.socket.send_to(bytes, client).await?)
    }

    fn local_addr(&self) -> webrtc_util::Result<SocketAddr> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> webrtc_util::Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
