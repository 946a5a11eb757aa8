//! The streams of bytes between this node and others: one type for whatever carries them, and who goes on
//! with a stream after the HTTP conversation on it.
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

/// A connection. To close it as a writer is to say that nothing more will be written; what the other side
/// sends can still be read.
#[derive(Debug)]
pub enum Stream {
    /// The bytes as they are.
    Plain(Async<TcpStream>),
    /// By TLS, after the handshake.
    #[cfg(feature = "tls")]
    Tls(Box<tls::Tls>),
}

/// Why a connection that was accepted is not taken. Without TLS each is.
#[derive(Debug)]
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub enum Refused {
    /// What comes is no TLS. Nothing of it was read.
    NoTls(Stream),
    /// The connection ended, or hands could not be shaken.
    Failed(io::Error),
}

impl Stream {
    /// The connection below, for its options. What is read from it or written to it is lost to the stream.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp.get_ref(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.tcp().get_ref(),
        }
    }

    /// Whether there is something to read, or the stream is at its end. While there is not, it costs no call
    /// of the system to ask again.
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

    /// Whether there is room for what is to be written. It is pending once at least, so that others have their
    /// turn.
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

/// What somebody does with a stream, until its end.
pub type TakeoverTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who goes on with a stream when the HTTP conversation on it is over.
pub struct Takeover(Box<TakeoverFn>);

type TakeoverFn = dyn FnOnce(Stream, Vec<u8>, Receiver<Infallible>) -> TakeoverTask + Send;

impl Takeover {
    /// Somebody who is given the stream, what was read ahead from it, and a channel that closes when the
    /// node stops.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(Stream, Vec<u8>, Receiver<Infallible>) -> F + Send + 'static,
    ) -> Self {
        Self(Box::new(|stream, read_ahead, shutdown| Box::pin(run(stream, read_ahead, shutdown))))
    }

    /// The same, who breaks off when that is over.
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
    fn what_is_read_was_told_to_be_readable() {
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
    fn who_has_closed_still_reads() {
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
