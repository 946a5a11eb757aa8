//! The connections between this node and others: one type for TCP and TLS, and how an HTTP connection is
//! handed over to a task that uses it in another way.
//!
//! A stream belongs to one task. It remembers one waker for reading and one for writing.

#[cfg(feature = "tls")]
mod certificates;
mod dial;
#[cfg_attr(not(feature = "tls"), path = "stream/insecure.rs")]
mod security;
#[cfg(feature = "tls")]
mod tls;

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_channel::Receiver;
use smol::Async;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncWrite};

pub use dial::DialError;
pub use security::{Security, is_of_tls};

/// A connection. Closing it says that nothing more will be written. The other side can still be read.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Plain(Async<TcpStream>),
    /// TLS, after the handshake.
    #[cfg(feature = "tls")]
    Tls(Box<tls::Tls>),
}

/// Why an accepted connection is not used. Without TLS each is used.
#[derive(Debug)]
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub enum Refused {
    /// The bytes that come are not TLS. None of them was read.
    NoTls(Stream),
    /// The connection ended, or the handshake failed.
    Failed(io::Error),
}

impl Stream {
    /// The TCP connection, for its options. Bytes that are read from it or written to it directly are lost to
    /// the stream.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp.get_ref(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.tcp().get_ref(),
        }
    }

    /// Ready if there is something to read, or the stream is at its end. Until then, asking again makes no
    /// system call.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_readable(context),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_readable(context),
        }
    }

    /// Ready if there is room for a write. It is pending at least once, so that other tasks have their turn.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_writable(context),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_writable(context),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_write(context, |session| session.write(bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_write(context, |session| session.write_vectored(slices)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_flush(context),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => {
                ready!(Pin::new(&mut *tcp).poll_flush(context))?;
                Poll::Ready(tcp.get_ref().shutdown(Shutdown::Write))
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_close(context),
        }
    }
}

/// The task that goes on with a stream.
pub type TakeoverTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Goes on with a stream after the HTTP conversation on it.
pub struct Takeover(Box<TakeoverFn>);

type TakeoverFn = dyn FnOnce(Stream, Vec<u8>, Receiver<Infallible>) -> TakeoverTask + Send;

impl Takeover {
    /// `run` gets the stream, the bytes that were read ahead, and a channel that closes when the node stops.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(Stream, Vec<u8>, Receiver<Infallible>) -> F + Send + 'static,
    ) -> Self {
        Self(Box::new(|stream, read_ahead, shutdown| Box::pin(run(stream, read_ahead, shutdown))))
    }

    /// The same, but the task is dropped when `over` is ready.
    pub fn until(self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::new(|stream, read_ahead, shutdown| {
            Box::pin(self.begin(stream, read_ahead, shutdown).or(over))
        }))
    }

    /// Hands the stream over.
    pub fn begin(
        self,
        stream: Stream,
        read_ahead: Vec<u8>,
        shutdown: Receiver<Infallible>,
    ) -> TakeoverTask {
        (self.0)(stream, read_ahead, shutdown)
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::task::Waker;

    use smol::future::poll_once;
    use smol::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (Stream, Stream) {
        smol::block_on(async {
            let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
            let address = listener.get_ref().local_addr().unwrap();
            let here = Async::<TcpStream>::connect(address).await.unwrap();
            let (there, _) = listener.accept().await.unwrap();
            (Stream::Plain(here), Stream::Plain(there))
        })
    }

    #[test]
    fn a_stream_is_readable_before_it_is_read() {
        let (mut here, mut there) = pair();
        smol::block_on(async {
            for text in ["one", "", "three"] {
                let readable = std::future::poll_fn(|context| here.poll_readable(context));
                let mut readable = std::pin::pin!(readable);
                assert!(poll_once(&mut readable).await.is_none(), "nothing has come");
                if text.is_empty() {
                    continue;
                }
                there.write_all(text.as_bytes()).await.unwrap();
                readable.await.unwrap();
                let mut buffer = [0; 16];
                let count = here.read(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..count], text.as_bytes());
            }
            drop(there);
            std::future::poll_fn(|context| here.poll_readable(context)).await.unwrap();
            assert_eq!(here.read(&mut [0; 1]).await.unwrap(), 0);
        });
    }

    #[test]
    fn a_closed_stream_can_still_be_read() {
        let (mut here, mut there) = pair();
        smol::block_on(async {
            here.close().await.unwrap();
            there.write_all(b"still here").await.unwrap();
            there.close().await.unwrap();
            let (mut by_here, mut by_there) = (String::new(), String::new());
            here.read_to_string(&mut by_here).await.unwrap();
            there.read_to_string(&mut by_there).await.unwrap();
            assert_eq!((&*by_here, &*by_there), ("still here", ""));
        });
    }

    #[test]
    fn slices_are_written_together() {
        let (mut here, mut there) = pair();
        let slices = [IoSlice::new(b"to"), IoSlice::new(b"gether")];
        let mut context = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut here).poll_write_vectored(&mut context, &slices);
        assert!(matches!(written, Poll::Ready(Ok(8))));
        drop(here);
        let mut text = String::new();
        smol::block_on(there.read_to_string(&mut text)).unwrap();
        assert_eq!(text, "together");
    }
}
