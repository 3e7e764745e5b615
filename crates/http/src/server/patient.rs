//! A connection whose client may be slow, but not too slow while something is sent to it.
//!
//! A client that sends requests and takes no replies, or a byte of them now and then, would otherwise keep
//! its connection, and what is being sent on it, for as long as it likes. Waiting for requests has limits
//! of its own.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::{Pace, Patience};

#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    patience: Patience,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, patience: Patience::new(pace) }
    }

    /// What came of an attempt to write; a failure when the client has been too slow for too long.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(outcome) = attempt {
            self.patience.moved(outcome.as_ref().map_or(0, bytes));
            return Poll::Ready(outcome);
        }
        ready!(self.patience.wait(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, attempt, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.judge(context, attempt, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, attempt, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, attempt, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::sleep,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const PACE: Pace = Pace { wait: PATIENCE, bytes_per_second_min: 7 };

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (server, _client) = duplex(64);
        let sent = Patient::new(server, PACE).write_all(&[0; 65]).await;
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_served() {
        let (server, mut client) = duplex(64);
        let mut server = Patient::new(server, PACE);
        let taken = async {
            let mut taken = vec![0; 10 * 64];
            for piece in taken.chunks_mut(64) {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                client.read_exact(piece).await.unwrap();
            }
            taken
        };
        let (sent, taken) = tokio::join!(server.write_all(&[1; 10 * 64]), taken);
        sent.unwrap();
        assert_eq!(taken, [1; 10 * 64]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_less_than_it_should_is_given_up_though_it_never_stands_still() {
        let (server, mut client) = duplex(64);
        let mut server = Patient::new(server, PACE);
        let taken = async {
            let mut taken = 0;
            loop {
                sleep(Duration::from_secs(1)).await;
                match client.read(&mut [0]).await.unwrap() {
                    0 => return taken,
                    count => taken += count,
                }
            }
        };
        let sent = async {
            let error = server.write_all(&[1; 1_000]).await.unwrap_err();
            drop(server);
            error.kind()
        };
        let (sent, taken) = tokio::join!(sent, taken);
        assert_eq!(sent, ErrorKind::TimedOut);
        // What was in the pipe, and one byte for each second that was granted.
        assert!((70..90).contains(&taken), "{taken}");
    }
}
