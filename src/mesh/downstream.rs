//! One session on `/ws`: sends this node's journal to whoever connects, and only sends.
//!
//! A session is a cursor over the journal. It holds no queue: it reads the next batch when the last one
//! is written, and waits for the journal to grow where it ends. So a slow reader costs the node
//! nothing and loses nothing. What arrives shows that the other side lives; the pings of a patchmesh node also say
//! whether it wants transactions, or only to know what there is (`lazy`, `eager`).
//!
//! If what a reader lacks was folded away, it first gets what stands for that, if it can be given: a patchmesh
//! node a base, a plain node the document as transactions. A node that knows that what it has is wrong asks for a
//! base by `heal=1` in its query. If a cursor's place goes from the journal, or the node takes a base itself, the
//! session ends with [`DIAL_AGAIN`].

mod announcements;
mod course;
mod document_parts;
mod downstreams;
mod following;
mod frames;
mod sending;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_channel::Receiver;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use smol::Timer;
use smol::future::FutureExt;

use crate::clock::VectorClock;
use crate::manager::Handle;
use crate::mesh::named::Named;
use crate::mesh::tree::ProcessId;
use crate::mesh::websocket::{DIAL_AGAIN, SILENCE_LIMIT, Socket, SocketFault, SocketLimits};
use crate::source::Source;
use crate::stream::Stream;
use course::Course;
use sending::Sending;

pub use downstreams::{DownstreamStatus, Downstreams, ReaderKind, UNREAD};

/// Little is heard here: pongs, pings with an order, and a close.
const LIMITS: SocketLimits = SocketLimits { message_bytes: 64 << 10, read_buffer_bytes: 4 << 10 };

/// A session that has been agreed on and not yet begun.
pub struct Downstream {
    /// To read the journal from.
    pub handle: Handle,
    /// Where sessions are listed.
    pub downstreams: Arc<Downstreams>,
    /// Who connected.
    pub address: SocketAddr,
    /// What they say of themselves.
    pub hello: Hello,
}

/// What whoever connects says of itself in the request's query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// What it has seen; none if it does not say, as plain nodes do not.
    pub since: Option<VectorClock>,
    /// Which version of the wire it speaks; 1 is that of plain nodes, who do not say.
    pub version: u64,
    /// Whether it needs a base, whatever it has seen.
    pub heals: bool,
    /// Whether it wants to hear what nodes tell of themselves.
    pub wants_members: bool,
    /// Its source.
    pub node: Option<Source>,
    /// Its process; none if it does not say, and then it is always sent all.
    pub process: Option<ProcessId>,
}

impl Hello {
    /// Whether it understands messages that are no transactions.
    fn takes_notes(&self) -> bool {
        self.version >= 2
    }

    /// What it is.
    fn kind(&self) -> ReaderKind {
        match self {
            Self { node: Some(_), .. } => ReaderKind::Node,
            _ if self.takes_notes() => ReaderKind::Viewer,
            _ => ReaderKind::Plain,
        }
    }
}

/// Why a session ended.
enum SendingEnd {
    /// The other side closes, maybe since a message was too large for it.
    Closing { too_large: bool },
    /// The other side is gone.
    Closed,
    /// It was silent for [`SILENCE_LIMIT`].
    Silent,
    /// The node is stopping.
    Stopping,
    /// What the reader needs to begin with cannot be given now.
    Unknown,
    /// What comes next was folded away.
    Folded,
    /// The journal is a part of something else than before.
    Replaced,
    /// The reader says what it cannot say, and what is wrong with it.
    BadOrder(String),
    /// The stream failed.
    Failed(SocketFault),
    /// The journal could not be read.
    Journal(std::io::Error),
}

impl fmt::Display for SendingEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing { too_large: true } => {
                f.write_str("closed by the other side: a message is too large for it")
            }
            Self::Closing { .. } | Self::Closed => f.write_str("closed by the other side"),
            Self::Silent => write!(f, "silent for {} s, given up", SILENCE_LIMIT.as_secs()),
            Self::Stopping => f.write_str("this node is stopping"),
            Self::Unknown => f.write_str("this node has no base to give now"),
            Self::Folded => f.write_str("what comes next was folded away: dial again"),
            Self::Replaced => {
                f.write_str("this node has taken a base, or follows another primary: dial again")
            }
            Self::BadOrder(error) => write!(f, "a ping is not as it should be: {error}"),
            Self::Failed(fault) => fault.fmt(f),
            Self::Journal(error) => error.fmt(f),
        }
    }
}

impl From<SocketFault> for SendingEnd {
    fn from(fault: SocketFault) -> Self {
        match fault {
            SocketFault::Gone => Self::Closed,
            fault => Self::Failed(fault),
        }
    }
}

impl Downstream {
    /// Sends the journal, from its start and then as it grows, until the other side goes or
    /// `shutdown` closes. `read_ahead` is what was read from the stream after the handshake.
    pub async fn run(self, stream: Stream, read_ahead: Vec<u8>, shutdown: Receiver<Infallible>) {
        let node = self.hello.node.as_ref().map(Source::as_str);
        let reader = Named { node, address: self.address };
        log::debug!("downstream {reader}: begins");
        let mut socket = Socket::accept(stream, read_ahead, LIMITS).await;
        let end = self.send(&mut socket, shutdown).await;
        match &end {
            SendingEnd::Closing { too_large } => {
                if *too_large {
                    log::warn!("downstream {reader}: {end}");
                    self.downstreams.found_too_large(reader.address.ip());
                }
                socket.finish().await;
            }
            SendingEnd::Stopping => socket.close(CloseCode::Away, "the node is stopping").await,
            SendingEnd::Unknown => socket.close(CloseCode::Again, &end.to_string()).await,
            SendingEnd::Folded | SendingEnd::Replaced => {
                socket.close(DIAL_AGAIN, &end.to_string()).await
            }
            SendingEnd::BadOrder(_) => socket.close(CloseCode::Policy, &end.to_string()).await,
            SendingEnd::Journal(_) => {
                // The journal's reader has told it once.
                socket.close(CloseCode::Error, &end.to_string()).await;
            }
            SendingEnd::Failed(fault) => {
                if matches!(fault, SocketFault::Unread) {
                    log::warn!("downstream {reader}: {end}; it is closed");
                }
                if let Some((code, reason)) = fault.farewell() {
                    socket.close(code, reason).await;
                }
            }
            SendingEnd::Closed | SendingEnd::Silent => (),
        }
        log::debug!("downstream {reader}: {end}");
    }

    async fn send(&self, socket: &mut Socket, shutdown: Receiver<Infallible>) -> SendingEnd {
        match self.try_send(socket, shutdown).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_send(
        &self,
        socket: &mut Socket,
        shutdown: Receiver<Infallible>,
    ) -> Result<Infallible, SendingEnd> {
        self.pause(&shutdown).await?;
        if let Some(process) = &self.hello.process {
            self.downstreams.neighbours.is_read_by(process);
        }
        let grown = self.handle.subscribe();
        let mut course = self.course(&shutdown).await?;
        let progress = self.downstreams.begin(
            (self.address, self.hello.node.clone(), self.hello.kind()),
            course.begin,
            self.handle.journal().length(),
            std::mem::take(&mut course.seen),
        );
        if self.hello.node.as_ref().is_some_and(|node| *node != self.handle.source()) {
            self.downstreams.are_read();
        }
        Sending::new(self, socket, course, progress, grown, shutdown).run().await
    }

    /// Has a plain node wait that found a message too large when it was here last.
    async fn pause(&self, shutdown: &Receiver<Infallible>) -> Result<(), SendingEnd> {
        if self.hello.since.is_some() {
            return Ok(());
        }
        let Some(pause) = self.downstreams.pause(self.address.ip()) else { return Ok(()) };
        let over = async {
            Timer::after(pause).await;
            Ok(())
        };
        stopping(shutdown).or(over).await
    }

    /// What is sent.
    async fn course(&self, shutdown: &Receiver<Infallible>) -> Result<Course, SendingEnd> {
        let course = async {
            let course =
                Course::of(&self.hello, &self.handle).await.map_err(SendingEnd::Journal)?;
            course.ok_or(SendingEnd::Unknown)
        };
        stopping(shutdown).or(course).await
    }
}

/// Waits for `shutdown` to close.
async fn stopping<T>(shutdown: &Receiver<Infallible>) -> Result<T, SendingEnd> {
    match shutdown.recv().await {
        Ok(never) => match never {},
        Err(_) => Err(SendingEnd::Stopping),
    }
}
