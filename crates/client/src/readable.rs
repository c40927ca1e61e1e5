//! Waiting for a descriptor to have something to read, and for nothing else: the sockets of tokio are waited for to have room as well, and so wake
//! their task after all that is sent.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that belongs to it, and does not block.
#[derive(Debug)]
pub(crate) struct Readable<T: AsRawFd>(AsyncFd<T>);

impl<T: AsRawFd + Into<OwnedFd>> Readable<T> {
    /// For the runtime it is called in.
    pub(crate) fn new(descriptor: T) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "in doubt for what does not own its descriptor; the function in its place is unsafe for all"
        )]
        AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self)
    }

    /// Ready when it may have something, until [`read`](Self::read) finds nothing.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_read_ready(cx).map(|_| ())
    }

    /// Reads with `read`, which tells by [`io::ErrorKind::WouldBlock`] that there is nothing.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::READABLE, read)
    }

    /// It has nothing until it has something new.
    pub(crate) fn forget(&self) {
        let _ = self.read(|_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }

    pub(crate) fn get(&self) -> &T {
        self.0.get_ref()
    }
}
