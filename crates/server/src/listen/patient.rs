//! A stream whose patience ends: with a peer that never says its first word, and with one that takes nothing we send.
//!
//! How long a peer thinks between its requests is not judged here: a body's pauses are the router's to bound, and
//! headers' are hyper's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream with a deadline for its first byte and for every stand-still while sending.
pub(super) struct Patient<S> {
    stream: S,
    first_word: Option<Pin<Box<Sleep>>>,
    stalled: Pin<Box<Sleep>>,
    is_stalled: bool,
    send_patience: Duration,
}

impl<S> Patient<S> {
    /// Wraps a stream that has just been accepted.
    pub(super) fn new(stream: S, first_word: Duration, send_patience: Duration) -> Self {
        Self {
            stream,
            first_word: Some(Box::pin(sleep(first_word))),
            stalled: Box::pin(sleep(send_patience)),
            is_stalled: false,
            send_patience,
        }
    }

    /// Passes a send's outcome on; when it has to wait, the clock runs until one does not.
    fn judge<T>(&mut self, context: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.is_stalled = false;
            return sent;
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.stalled.as_mut().reset(Instant::now() + self.send_patience);
        }
        ready!(self.stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.first_word = None;
        } else if let Some(deadline) = &mut self.first_word {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_speaks_is_let_go() {
        let (near, _far) = duplex(16);
        let error = Patient::new(near, SECOND, SECOND).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_spoken_may_think() {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, SECOND, SECOND);
        far.write_all(b"a").await.unwrap();
        near.read_u8().await.unwrap();
        let (read, ()) = tokio::join!(near.read_u8(), async {
            tokio::time::sleep(SECOND * 100).await;
            far.write_all(b"b").await.unwrap();
        });
        assert_eq!(read.unwrap(), b'b');
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_let_go_and_a_slow_one_is_not() {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, SECOND, SECOND);
        let (sent, ()) = tokio::join!(near.write_all(&[0; 160]), async {
            for _ in 0..10 {
                tokio::time::sleep(SECOND * 9 / 10).await;
                far.read_exact(&mut [0; 16]).await.unwrap();
            }
        });
        sent.unwrap();
        let error = near.write_all(&[0; 160]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
