//! What the protocol library wants of a socket, made of the little that the relay's sockets do.

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use webrtc_util::{Conn, Error, Result};

/// Something that sends datagrams to addresses: what clients are answered through, or what faces the peers.
pub(super) trait Datagrams: Send + Sync + 'static {
    /// Its own address.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Sends now, or not at all.
    fn send_to(&self, bytes: &[u8], to: SocketAddr) -> impl Future<Output = io::Result<()>> + Send;

    /// The next datagram and who sent it. Only what faces the peers is read by the library.
    fn recv_from(&self, _buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// As the library sees it: a socket that is not connected.
pub(super) struct Socket<T>(pub(super) T);

#[async_trait]
impl<T: Datagrams> Conn for Socket<T> {
    async fn connect(&self, _address: SocketAddr) -> Result<()> {
        Err(unsupported())
    }

    async fn recv(&self, _buffer: &mut [u8]) -> Result<usize> {
        Err(unsupported())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Ok(self.0.recv_from(buffer).await?)
    }

    async fn send(&self, _bytes: &[u8]) -> Result<usize> {
        Err(unsupported())
    }

    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        self.0.send_to(bytes, to).await?;
        Ok(bytes.len())
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

fn unsupported() -> Error {
    Error::Other("this socket is used with addresses only".to_owned())
}
