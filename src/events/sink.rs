//! How the bytes of an event stream are written.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncWrite};

use super::EventStreamEnd;
use crate::http::{Body, Coding, SMALL_BYTES};
use crate::stream::Stream;

/// How long a reader may take nothing.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(30);

/// How many bytes it must take within that time.
const STALL_BYTES: usize = 64 << 10;

/// How long an event that is being written may still take when the node stops.
pub(super) const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// The connection to the reader. What the reader sends is ignored; it only shows that the reader is there.
pub(super) struct EventSink<'a> {
    stream: Stream,
    coding: Coding,
    /// Whether an event is being written.
    inside: &'a AtomicBool,
    /// Whether the reader has closed its direction.
    pub is_silent: bool,
    /// Whether there may be something to read from it.
    may_have_said: bool,
}

impl<'a> EventSink<'a> {
    /// `inside` says to others whether an event is being written.
    pub fn new(stream: Stream, coding: Coding, inside: &'a AtomicBool) -> Self {
        Self { stream, coding, inside, is_silent: false, may_have_said: true }
    }

    /// Writes bytes that are coded already.
    pub async fn write_coded(&mut self, part: &[u8]) -> Result<(), EventStreamEnd> {
        self.inside.store(true, Ordering::Relaxed);
        self.write_bytes(part).await?;
        self.unless_stalled(|stream, context| Pin::new(stream).poll_flush(context)).await?;
        self.inside.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Codes and writes these three texts as one part of the answer.
    pub async fn write(
        &mut self,
        before: &str,
        body: Body,
        behind: &str,
    ) -> Result<(), EventStreamEnd> {
        if body.length() <= SMALL_BYTES as u64 && !matches!(body, Body::Pieces(_)) {
            let pieces = [before.as_bytes(), body.at_hand(), behind.as_bytes()];
            return self.write_coded(&self.coding.part(&pieces)).await;
        }
        self.inside.store(true, Ordering::Relaxed);
        let length = (before.len() + behind.len()) as u64 + body.length();
        self.write_bytes((self.coding.before(length) + before).as_bytes()).await?;
        if let Body::Pieces(mut pieces) = body {
            // Each piece is made when the one before it is written. Other tasks have their turn in between:
            // the executor looks for I/O only when all of them wait.
            while let Some(piece) = pieces.next_piece().map_err(EventStreamEnd::BrokenOff)? {
                self.write_bytes(&piece).await?;
                self.unless_stalled(|stream, context| stream.poll_writable(context)).await?;
            }
        } else {
            self.write_bytes(body.at_hand()).await?;
        }
        self.write_bytes([behind, self.coding.behind()].concat().as_bytes()).await?;
        self.unless_stalled(|stream, context| Pin::new(stream).poll_flush(context)).await?;
        self.inside.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), EventStreamEnd> {
        for mut some in bytes.chunks(STALL_BYTES) {
            let write = |stream: &mut Stream, context: &mut Context<'_>| {
                while !some.is_empty() {
                    match ready!(Pin::new(&mut *stream).poll_write(context, some))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        count => some = &some[count..],
                    }
                }
                Poll::Ready(Ok(()))
            };
            self.unless_stalled(write).await?;
        }
        Ok(())
    }

    /// Waits until the reader takes something, and notices meanwhile if it is gone.
    async fn unless_stalled(
        &mut self,
        mut taken: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Result<(), EventStreamEnd> {
        let mut stalled = pin!(async {
            Timer::after(STALL_LIMIT).await;
        });
        poll_fn(|context| {
            if let Poll::Ready(taken) = taken(&mut self.stream, context) {
                return Poll::Ready(taken.map_err(EventStreamEnd::Failed));
            }
            if let Poll::Ready(Err(end)) = self.poll_silent(context) {
                return Poll::Ready(Err(end));
            }
            stalled.as_mut().poll(context).map(|()| Err(EventStreamEnd::Stalled))
        })
        .await
    }

    /// Ready when the reader closes its direction. It may still listen.
    pub fn poll_silent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), EventStreamEnd>> {
        if self.is_silent {
            return Poll::Pending;
        }
        if !self.may_have_said {
            // Unlike a read, this makes no system call.
            ready!(self.stream.poll_readable(context)).map_err(EventStreamEnd::Failed)?;
            self.may_have_said = true;
        }
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut [0; 512]) else {
            self.may_have_said = false;
            return Poll::Pending;
        };
        match read {
            Ok(0) => {
                self.is_silent = true;
                Poll::Ready(Ok(()))
            }
            Ok(_) => {
                // Other tasks have their turn before more is read.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(EventStreamEnd::Failed(error))),
        }
    }

    /// Ends the answer, unless it breaks off inside an event.
    pub async fn finish(mut self) {
        let end = async {
            if !self.inside.load(Ordering::Relaxed) {
                self.write_bytes(self.coding.end().as_bytes()).await?;
            }
            self.unless_stalled(|stream, context| Pin::new(stream).poll_close(context)).await
        };
        let limit = async {
            Timer::after(FAREWELL_LIMIT).await;
            Ok(())
        };
        // If it cannot be written, the reader is gone.
        let _ = end.or(limit).await;
    }
}
