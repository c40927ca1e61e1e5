//! A stream that is read at the pace of a connection's messages.
//!
//! A message may come in a million fragments, TLS in records of a byte: each costs work before there is a message that could be counted. So
//! bytes are counted, too. Whoever sends more is read more slowly; nothing is lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::config::Rate;
use crate::environment;

/// More than most messages have: who keeps to the pace of messages does not notice that of bytes.
const BYTES_PER_MESSAGE: u32 = 4096;
/// Nobody is held up for longer at once, whatever the rate.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How many bytes have been read, as a bucket that leaks.
#[derive(Debug)]
struct Bytes {
    rate: Rate,
    empty_at: Instant,
}

impl Bytes {
    /// Counts bytes that were read, and says how long to wait before the next ones.
    fn take(&mut self, count: usize, now: Instant) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let level =
            self.empty_at.saturating_duration_since(now) + self.rate.interval * count / BYTES_PER_MESSAGE;
        let room = self.rate.interval * self.rate.burst;
        // What was waited for is not owed any more.
        let wait = level.saturating_sub(room).min(LONGEST_WAIT);
        self.empty_at = now + level.min(room + wait);
        wait
    }
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    bytes: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// Of a client that may send messages at this rate.
    pub(crate) fn new(stream: S, rate: Rate) -> Self {
        Self { stream, bytes: Bytes { rate, empty_at: environment::now() }, pause: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let wait = self.bytes.take(buffer.filled().len() - before, environment::now());
        if !wait.is_zero() {
            self.pause = Some(Box::pin(sleep(wait)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const RATE: Rate = Rate { interval: Duration::from_millis(20), burst: 10 };

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_four_kilobytes_per_message() {
        let (mut client, server) = duplex(1 << 20);
        let mut paced = Paced::new(server, RATE);
        client.write_all(&[7; 60 * 4096]).await.unwrap();
        let begun = environment::now();
        let mut bytes = vec![0; 60 * 4096];
        paced.read_exact(&mut bytes[..10 * 4096]).await.unwrap();
        assert_eq!(environment::now(), begun, "ten messages at once");
        for piece in bytes[10 * 4096..].chunks_mut(4096) {
            paced.read_exact(piece).await.unwrap();
        }
        let took = environment::now() - begun;
        assert!((Duration::from_millis(900)..Duration::from_millis(1100)).contains(&took), "{took:?}");
        assert!(bytes.iter().all(|byte| *byte == 7), "nothing is lost");
        sleep(RATE.interval * RATE.burst * 2).await;
        client.write_all(&[7; 8 * 4096]).await.unwrap();
        let begun = environment::now();
        paced.read_exact(&mut bytes[..8 * 4096]).await.unwrap();
        assert_eq!(environment::now(), begun, "who was quiet may hurry again");
    }

    #[test]
    fn nobody_waits_for_long_at_once_and_nobody_is_in_debt() {
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut bytes = Bytes { rate: Rate { interval: hour, burst: 1 }, empty_at: now };
        assert_eq!(bytes.take(4096, now), Duration::ZERO);
        for _ in 0..100 {
            assert_eq!(bytes.take(usize::MAX, now), LONGEST_WAIT);
        }
        assert_eq!(bytes.take(1, now + hour + LONGEST_WAIT), Duration::ZERO);
        let mut quick = Bytes { rate: Rate { interval: Duration::from_nanos(1), burst: 1 }, empty_at: now };
        assert_eq!(quick.take(1, now), Duration::ZERO);
    }
}
