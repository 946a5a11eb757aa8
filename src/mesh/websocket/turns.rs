//! A stream whose reader cannot keep other tasks waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use smol::io::{AsyncRead, AsyncWrite};

/// How many reads and writes make one turn, however few bytes they are. What is read may make its reader
/// write: a ping does.
const CALLS_A_TURN: u32 = 32;

/// Ends its reader's turn when that has read enough: there is then nothing to read until the task is
/// polled again, which happens when others have had their turn. What is read is not always something
/// that ends a loop further up: a WebSocket's message may consist of any number of empty frames.
#[derive(Debug)]
pub struct Turns<S> {
    stream: S,
    bytes_a_turn: usize,
    bytes: usize,
    calls: u32,
    /// Whether the other side has left no room for the last write.
    blocked: bool,
    signs_of_life: u64,
    /// Whether the last read took all there was.
    drained: bool,
    /// What is written before anything else, and how much of it was.
    frames: Option<(Arc<[u8]>, usize)>,
}

/// A stream that knows whether it is worth while to read from it.
pub trait Readiness {
    /// Whether there may be something to read. If not, the task is woken when there is.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S> Turns<S> {
    /// Wraps a stream of which so many bytes are read in one turn.
    pub fn new(stream: S, bytes_a_turn: usize) -> Self {
        Self {
            stream,
            bytes_a_turn,
            bytes: 0,
            calls: 0,
            blocked: false,
            signs_of_life: 0,
            drained: false,
            frames: None,
        }
    }

    /// Grows when bytes have come, and when the other side has taken some for which there was no
    /// room before. That there is room says nothing: the system takes bytes for a dead process too.
    pub fn signs_of_life(&self) -> u64 {
        self.signs_of_life
    }

    /// Whether this turn has had its share.
    pub fn is_spent(&self) -> bool {
        self.bytes >= self.bytes_a_turn || self.calls >= CALLS_A_TURN
    }

    /// Whether the last read took all there was.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Another turn begins: others have theirs before.
    pub fn begin_turn(&mut self) {
        (self.bytes, self.calls) = (0, 0);
    }
}

impl<S: Readiness> Turns<S> {
    /// Whether there may be something to read; else the task is woken when there is. Costs no system call.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.drained {
            ready!(self.stream.poll_readable(context))?;
            self.drained = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Turns<S> {
    /// Has these be written before anything else. Those before them are.
    pub fn put(&mut self, frames: Arc<[u8]>) {
        assert!(self.frames.is_none(), "what was put before is written");
        self.frames = Some((frames, 0));
    }

    /// Whether what was put is written.
    pub fn poll_put(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((frames, written)) = self.frames.take() {
            if written == frames.len() {
                // What a stream by TLS has taken it may not have sent.
                let flushed = Pin::new(&mut self.stream).poll_flush(context);
                if flushed.is_pending() {
                    self.frames = Some((frames, written));
                }
                return flushed;
            }
            let result = self.poll_write_now(context, &frames[written..]);
            let more = match &result {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => *bytes,
                Poll::Ready(Err(_)) | Poll::Pending => 0,
            };
            self.frames = Some((frames, written + more));
            ready!(result)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_now(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.calls += 1;
            self.signs_of_life += u64::from(self.blocked);
        }
        self.blocked = written.is_pending();
        written
    }
}

impl<S: AsyncRead + Readiness + Unpin> AsyncRead for Turns<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_spent() {
            self.begin_turn();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = match self.poll_readable(context)? {
            Poll::Ready(()) => Pin::new(&mut self.stream).poll_read(context, buffer),
            Poll::Pending => Poll::Pending,
        };
        let Poll::Ready(read) = read else {
            self.drained = true;
            self.begin_turn();
            return Poll::Pending;
        };
        if let Ok(bytes @ 1..) = read {
            self.bytes += bytes;
            self.signs_of_life += 1;
            self.drained = bytes < buffer.len();
        }
        self.calls += 1;
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Turns<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_put(context))?;
        self.poll_write_now(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

impl Readiness for crate::stream::Stream {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_readable(self, context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What never ends, and how often it was asked whether there is something.
    struct EndlessInput(usize);

    impl AsyncRead for EndlessInput {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buffer.len()))
        }
    }

    impl Readiness for EndlessInput {
        fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0 += 1;
            Poll::Ready(Ok(()))
        }
    }

    /// Reads what never ends, so many bytes at a time; says how many reads made the turn.
    fn a_turn(stream: &mut Turns<EndlessInput>, bytes: usize) -> usize {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let mut buffer = vec![0; bytes];
        let reads = (0..)
            .find(|_| Pin::new(&mut *stream).poll_read(&mut context, &mut buffer).is_pending())
            .expect("the turn ends");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it goes on by itself");
        reads
    }

    /// Takes so many bytes of each write, and does so many times not take any.
    struct Narrow(Vec<usize>);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            match self.0.pop().expect("one more write") {
                0 => Poll::Pending,
                bytes => Poll::Ready(Ok(bytes)),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn room_made_by_the_other_side_is_a_sign_of_life() {
        let mut context = Context::from_waker(Waker::noop());
        // What each write takes, the last one first; how many signs of life that gives.
        for (takes, signs_of_life) in [
            (vec![10, 10, 10], 0),
            (vec![0, 0, 10], 0),
            (vec![10, 0], 1),
            (vec![10, 10, 0, 0, 10], 1),
            (vec![0, 1, 0, 1, 0, 1], 2),
        ] {
            let writes = takes.len();
            let mut stream = Turns::new(Narrow(takes.clone()), 1);
            for _ in 0..writes {
                let _ = Pin::new(&mut stream).poll_write(&mut context, &[0; 10]);
            }
            assert_eq!(stream.signs_of_life(), signs_of_life, "{takes:?}");
        }
    }

    /// Takes all, and sends it at the second flush.
    #[derive(Default)]
    struct Holding {
        held: Vec<u8>,
        flushes: usize,
        sent: Vec<u8>,
    }

    impl AsyncWrite for Holding {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes.is_multiple_of(2) {
                let held = std::mem::take(&mut self.held);
                self.sent.extend(held);
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_put_is_written_when_it_is_sent() {
        let mut context = Context::from_waker(Waker::noop());
        let mut stream = Turns::new(Holding::default(), 1);
        for _ in 0..2 {
            stream.put((*b"frames").into());
            assert!(stream.poll_put(&mut context).is_pending());
            assert!(stream.poll_put(&mut context).is_ready());
            assert!(stream.poll_put(&mut context).is_ready(), "there is nothing more to send");
        }
        assert_eq!(stream.stream.sent, b"framesframes");
    }

    #[test]
    fn a_turn_ends_after_so_many_bytes_or_reads() {
        let mut stream = Turns::new(EndlessInput(0), 64 << 10);
        for (bytes, reads) in [(1, 32), (100, 32), (4096, 16), (16 << 10, 4), (1 << 20, 1)] {
            assert_eq!(a_turn(&mut stream, bytes), reads, "{bytes}");
            assert_eq!(a_turn(&mut stream, bytes), reads, "{bytes} again");
        }
    }
}
