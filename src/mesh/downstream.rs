//! One downstream, the handler of `/ws`: sends this node's journal to a reader. It only sends.
//!
//! A downstream is a cursor over the journal. It holds no queue: it reads the next batch when the last one is
//! written, and at the end of the journal it waits for more. So a slow reader costs the node nothing and
//! loses nothing. Messages from the reader show that it lives. The pings of a patchmesh node also say whether
//! it wants transactions (`eager`) or only summaries (`lazy`).
//!
//! If a part of the journal that a reader lacks was folded away, it first gets something in its place, if
//! this node has it: a patchmesh node gets a base, a plain node gets the document as transactions. A node
//! that knows that its own document is wrong asks for a base by `heal=1` in its query. If the cursor's place
//! goes from the journal, or if this node takes a base itself, the downstream ends with [`DIAL_AGAIN`].

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
use crate::shutdown::closed;
use crate::source::Source;
use crate::stream::Stream;
use course::Course;
use sending::Sending;

pub use downstreams::{DownstreamStatus, Downstreams, ReaderKind, UNREAD};

/// A reader sends little: pongs, pings with an order, and a close.
const LIMITS: SocketLimits = SocketLimits { message_bytes: 64 << 10, read_buffer_bytes: 4 << 10 };

/// A downstream that is agreed on and has not begun yet.
pub struct Downstream {
    /// Access to the manager and the journal.
    pub handle: Handle,
    /// The list of all downstreams.
    pub downstreams: Arc<Downstreams>,
    /// The reader's address.
    pub address: SocketAddr,
    /// The reader's query.
    pub hello: Hello,
}

/// What a reader says about itself in the query of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Its vector clock. `None` if it does not say: plain nodes do not.
    pub since: Option<VectorClock>,
    /// The version of the wire that it speaks. It is 1 for plain nodes, which do not say.
    pub version: u64,
    /// Whether it needs a base, whatever its clock says.
    pub heals: bool,
    /// Whether it wants the reports that nodes make about themselves.
    pub wants_members: bool,
    /// Its source.
    pub node: Option<Source>,
    /// Its process. `None` if it does not say; then nothing is left out for what it has sent.
    pub process: Option<ProcessId>,
}

impl Hello {
    /// Whether it understands messages that are not transactions.
    fn takes_notes(&self) -> bool {
        self.version >= 2
    }

    /// What kind of reader it is.
    fn kind(&self) -> ReaderKind {
        match self {
            Self { node: Some(_), .. } => ReaderKind::Node,
            _ if self.takes_notes() => ReaderKind::Viewer,
            _ => ReaderKind::Plain,
        }
    }
}

/// Why a downstream ended.
enum SendingEnd {
    /// The reader closes, maybe because a message was too large for it.
    Closing { too_large: bool },
    /// The reader is gone.
    Closed,
    /// The reader was silent for [`SILENCE_LIMIT`].
    Silent,
    /// The node is stopping.
    Stopping,
    /// This node cannot give now what the reader needs first.
    Unknown,
    /// The next part of the journal was folded away.
    Folded,
    /// This node has taken a base, or follows another primary.
    Replaced,
    /// An order of the reader is not valid.
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
    /// Sends the journal, from its start and then as it grows, until the reader goes or `shutdown` closes.
    /// `read_ahead` are the bytes that were read after the handshake.
    pub async fn run(self, stream: Stream, read_ahead: Vec<u8>, shutdown: Receiver<Infallible>) {
        let node = self.hello.node.as_ref().map(Source::as_str);
        let reader = Named { node, address: self.address };
        log::debug!("downstream {reader}: begins");
        let mut socket = Socket::accept(stream, read_ahead, LIMITS).await;
        let Err(end) = self.send(&mut socket, shutdown).await;
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
                // The reader of the journal has logged it already.
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

    async fn send(
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

    /// Lets a plain node wait if it found a message too large on its last visit.
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

    /// Decides what to send.
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
    closed(shutdown).await;
    Err(SendingEnd::Stopping)
}
