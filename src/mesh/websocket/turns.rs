//! A stream that lets other tasks have their turn.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use smol::io::{AsyncRead, AsyncWrite};

/// How many reads and writes make one turn, however few bytes they are. Reads may cause writes: a ping does.
const CALLS_A_TURN: u32 = 32;

/// Ends the turn of its reader after some bytes and calls: there is nothing to read then until the task is
/// polled again, after others have had their turn. A loop in the reader might not end by itself: a WebSocket
/// message may consist of any number of empty frames.
#[derive(Debug)]
pub struct Turns<S> {
    stream: S,
    bytes_a_turn: usize,
    bytes: usize,
    calls: u32,
    /// Whether the last write found no room.
    blocked: bool,
    signs_of_life: u64,
    /// Whether the last read took all that was there.
    drained: bool,
    /// Frames to write before anything else, and how many of their bytes are written.
    frames: Option<(Arc<[u8]>, usize)>,
}

/// A stream that knows whether a read would find something.
pub trait Readiness {
    /// Ready if there may be something to read. If not, the task is woken when there is.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<S> Turns<S> {
    /// Wraps a stream. A turn ends after `bytes_a_turn`.
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

    /// Grows when bytes have come, and when the other side has taken bytes for which there was no room
    /// before. Room alone proves nothing: the system takes bytes for a dead process too.
    pub fn signs_of_life(&self) -> u64 {
        self.signs_of_life
    }

    /// Whether this turn is over.
    pub fn is_spent(&self) -> bool {
        self.bytes >= self.bytes_a_turn || self.calls >= CALLS_A_TURN
    }

    /// Whether the last read took all that was there.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Begins another turn.
    pub fn begin_turn(&mut self) {
        (self.bytes, self.calls) = (0, 0);
    }
}

impl<S: Readiness> Turns<S> {
    /// Ready if there may be something to read. If not, the task is woken when there is. This makes no system
    /// call.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.drained {
            ready!(self.stream.poll_readable(context))?;
            self.drained = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Turns<S> {
    /// Writes these frames before anything else. All earlier ones must be written.
    pub fn put(&mut self, frames: Arc<[u8]>) {
        assert!(self.frames.is_none(), "what was put before is written");
        self.frames = Some((frames, 0));
    }

    /// Ready when the frames are written.
    pub fn poll_put(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((frames, written)) = self.frames.take() {
            if written == frames.len() {
                // A TLS stream may hold bytes that it has taken.
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

    /// An input without end. It counts how many times its readiness was asked for.
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

    /// Reads from it, this many bytes at a time, until the turn ends. Returns the number of reads.
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

    /// Takes this many bytes of each write, the last number first. 0: it has no room.
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
        // What each write takes, the last one first, and the signs of life.
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

    /// Takes all bytes, and sends them at every second flush.
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
    fn frames_are_written_when_they_are_flushed() {
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
    fn a_turn_ends_after_some_bytes_or_reads() {
        let mut stream = Turns::new(EndlessInput(0), 64 << 10);
        for (bytes, reads) in [(1, 32), (100, 32), (4096, 16), (16 << 10, 4), (1 << 20, 1)] {
            assert_eq!(a_turn(&mut stream, bytes), reads, "{bytes}");
            assert_eq!(a_turn(&mut stream, bytes), reads, "{bytes} again");
        }
    }
}
