//! One live read: the document and then its changes, as Server-Sent Events (HTML, section 9.2).
//!
//! ```text
//! event: put                                     event: patch
//! id: {"a~1":7}                                  id: {"a~1":8}
//! data: {"a":1}                                  data: [{"op":"add","path":"/b","value":2}]
//! ```
//!
//! The id is the vector clock. A `patch`, a JSON Patch, makes the document of the event before it the one
//! that the node has by then; it says what was done, which is more than what is different in the end
//! where something late came in. If too much was done since, there is a `put` again.
//!
//! A session is a cursor like a downstream's: it holds no queue and no document, and looks for what is new
//! when the last event is written. So a slow reader costs the node nothing, and gets fewer and larger
//! events.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncWrite};

use crate::clock::VectorClock;
use crate::http::{Body, BrokenOff, Coding, Full, InFlight};
use crate::manager::{Handle, Known, Representation};
use crate::patch::{Operation, Patch, parse};
use crate::stream::Stream;

/// What is sent if there was nothing to send for this long, so that proxies keep the connection.
const KEEP_ALIVE: &str = ": keep-alive\n\n";
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A reader that says no more either listens on (it has closed its direction only) or is gone. A write
/// tells: after the first one to somebody who is gone the next one fails. So there is one at once, one
/// after this time, and then ever more seldom.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// How soon a reader is to come again when the connection ended, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// How long after an event the next one is sent at the earliest; that much more for each megabyte of it.
const PACE: Duration = Duration::from_millis(20);

/// How long a reader may take nothing of what is sent to it.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// So many bytes have to be taken within that time.
const STALL_BYTES: usize = 64 << 10;

/// A document that is being written is held as it was until about so many bytes of it have been replaced:
/// together all that is held for slow readers takes no more than this and what a writer replaces within
/// [`STALL_LIMIT`].
const MOST_DISPLACED: u64 = 256 << 20;

/// How long an event that is being written may still take when the node stops.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// A longer clock is no id: a reader sends it back in a header, which is limited. Who comes again
/// without one gets the document again.
const MAX_ID_BYTES: usize = 4 << 10;

/// A session that has been agreed on and not yet begun.
pub struct Session {
    /// To read the document from.
    pub handle: Handle,
    /// Bounds what is written at the same time.
    pub in_flight: InFlight,
    /// Who asked.
    pub address: SocketAddr,
    /// The id of the last event that the reader has got before.
    pub last: Option<VectorClock>,
    /// How the answer is sent.
    pub coding: Coding,
}

/// Why a session ended.
enum End {
    /// It took nothing for [`STALL_LIMIT`].
    Stalled,
    /// There is no room for its next event. It comes again.
    Full,
    /// The node is stopping.
    Stopping,
    /// The stream failed.
    Failed(io::Error),
    /// The pieces of a document broke off.
    BrokenOff(BrokenOff),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => write!(f, "took nothing for {} s, given up", STALL_LIMIT.as_secs()),
            Self::Full => f.write_str("too much is being sent to others"),
            Self::Stopping => f.write_str("this node is stopping"),
            Self::Failed(error) => error.fmt(f),
            Self::BrokenOff(why) => write!(f, "given up, {why}"),
        }
    }
}

impl Session {
    /// Sends events until the reader goes or `shutdown` closes.
    pub async fn run(self, stream: Stream, shutdown: Receiver<Infallible>) {
        let address = self.address;
        log::debug!("events to {address}: begin");
        let inside = AtomicBool::new(false);
        let mut output = Output { stream, coding: self.coding, inside: &inside, is_silent: false };
        let stopped = async {
            let Err(async_channel::RecvError) = shutdown.recv().await;
            let limit = Instant::now() + FAREWELL_LIMIT;
            while inside.load(Ordering::Relaxed) && Instant::now() < limit {
                Timer::after(PACE).await;
            }
            End::Stopping
        };
        let end = self.send(&mut output).or(stopped).await;
        output.finish().await;
        match end {
            End::BrokenOff(why) => log::log!(why.level(), "events to {address}: {end}"),
            _ => log::debug!("events to {address}: {end}"),
        }
    }

    async fn send(&self, output: &mut Output<'_>) -> End {
        match self.send_all(output).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// Sends all that comes.
    async fn send_all(&self, output: &mut Output<'_>) -> Result<Infallible, End> {
        let mut probe_interval = None;
        let grown = self.handle.subscribe();
        output.write(RETRY, "".into(), "").await?;
        let mut known = self.last.clone().map_or(Known::Nothing, Known::Clock);
        let mut sent = self.last.clone().map(Arc::new);
        loop {
            let mut state = self.handle.state_for_changes();
            let is_known = sent
                .as_ref()
                .is_some_and(|sent| sent.covers(state.vclock()) && state.vclock().covers(sent));
            let event = match state.patches_since(&known) {
                Some(patches) if patches.is_empty() && is_known => None,
                Some(patches) => Some(("patch", compose(&patches).into())),
                None => {
                    state = self.handle.represented().await;
                    let document = state.representation().expect("it is represented");
                    Some(("put", body_of(document, &self.handle, &self.in_flight)))
                }
            };
            let bytes = match event {
                Some((kind, line)) => {
                    let bytes = line.length();
                    let line = self.in_flight.admit(line).map_err(|Full(_)| End::Full)?;
                    output.event(kind, state.vclock(), line).await?;
                    bytes
                }
                None => 0,
            };
            (known, sent) = (state.known(), Some(state.vclock().clone()));
            // While it waits for the next one, this need not be in memory.
            drop(state);
            let megabytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
            Timer::after(PACE.saturating_mul(megabytes.saturating_add(1))).await;
            loop {
                let growth = async { grown.recv().await.map_or(Err(End::Stopping), |()| Ok(true)) };
                let interval = match probe_interval {
                    Some(interval) => interval,
                    None if output.is_silent => Duration::ZERO,
                    None => KEEP_ALIVE_INTERVAL,
                };
                let silence = async {
                    Timer::after(interval).await;
                    Ok(false)
                };
                let said_last = async {
                    poll_fn(|context| output.poll_silent(context)).await?;
                    Ok(false)
                };
                if growth.or(said_last).or(silence).await? {
                    break;
                }
                output.write(KEEP_ALIVE, "".into(), "").await?;
                if output.is_silent {
                    let longer = probe_interval.map_or(PROBE_INTERVAL, |interval| interval * 2);
                    probe_interval = Some(longer.min(KEEP_ALIVE_INTERVAL));
                }
            }
        }
    }
}

/// The text of the document or of a part, and a line feed, as the body of an answer or a part of one. If there
/// is no room for the text that is kept, it is made anew while it is written, until the document as it was is
/// too costly to hold.
pub fn body_of(representation: &Representation, handle: &Handle, in_flight: &InFlight) -> Body {
    let kept = representation.line().map(|line| in_flight.admit(Body::Shared(line.clone())));
    match kept {
        Some(Ok(body)) => body,
        Some(Err(Full(_))) | None => {
            let (length, pieces) = (representation.line_length(), representation.line_in_pieces());
            let (handle, begin) = (handle.clone(), handle.displaced());
            Body::in_pieces(length, pieces, move || {
                handle.displaced().saturating_sub(begin) <= MOST_DISPLACED
            })
        }
    }
}

/// One patch that does what these do, which were applied one after the other, and a line feed.
fn compose(patches: &[Arc<str>]) -> Vec<u8> {
    let operations = patches.iter().flat_map(|patch| {
        let Patch(operations) = parse(patch).expect("a patch that was applied is one");
        operations
    });
    // What was tested held; not every reader compares numbers alike.
    let operations = operations.filter(|operation| !matches!(operation, Operation::Test { .. }));
    let patch = Patch(operations.collect());
    let mut line = serde_json::to_vec(&patch).expect("a patch always has a JSON text");
    line.push(b'\n');
    line
}

/// Where the events go. What the reader says is of no interest, only that it is there.
struct Output<'a> {
    stream: Stream,
    coding: Coding,
    /// Whether a part is being written.
    inside: &'a AtomicBool,
    /// Whether the reader says no more.
    is_silent: bool,
}

impl Output<'_> {
    /// Writes an event, the data of which is a line: a JSON text as the node writes it, and a line feed.
    async fn event(&mut self, kind: &str, vclock: &VectorClock, line: Body) -> Result<(), End> {
        let id = vclock.ascii(MAX_ID_BYTES).unwrap_or_default();
        let head = format!("event: {kind}\nid: {id}\ndata: ");
        self.write(&head, line, "\n").await
    }

    /// Writes one part of the body of the answer: these, one behind the other.
    async fn write(&mut self, before: &str, body: Body, behind: &str) -> Result<(), End> {
        self.inside.store(true, Ordering::Relaxed);
        let length = (before.len() + behind.len()) as u64 + body.length();
        self.write_bytes(self.coding.before(length).as_bytes()).await?;
        self.write_bytes(before.as_bytes()).await?;
        if let Body::Pieces(mut pieces) = body {
            // Each is made when the one before it is written, and others have their turn in between: the
            // executor looks for what has come in when all wait for the system.
            while let Some(piece) = pieces.next_piece().map_err(End::BrokenOff)? {
                self.write_bytes(&piece).await?;
                self.unless_stalled(|stream, context| stream.poll_writable(context)).await?;
            }
        } else {
            self.write_bytes(body.at_hand()).await?;
        }
        self.write_bytes(behind.as_bytes()).await?;
        self.write_bytes(self.coding.behind().as_bytes()).await?;
        self.unless_stalled(|stream, context| Pin::new(stream).poll_flush(context)).await?;
        self.inside.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), End> {
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

    /// Waits for the reader to take something, and sees meanwhile whether it is there.
    async fn unless_stalled(
        &mut self,
        mut taken: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Result<(), End> {
        let mut stalled = pin!(async {
            Timer::after(STALL_LIMIT).await;
        });
        poll_fn(|context| {
            if let Poll::Ready(taken) = taken(&mut self.stream, context) {
                return Poll::Ready(taken.map_err(End::Failed));
            }
            if let Poll::Ready(Err(end)) = self.poll_silent(context) {
                return Poll::Ready(Err(end));
            }
            stalled.as_mut().poll(context).map(|()| Err(End::Stalled))
        })
        .await
    }

    /// Whether the reader begins to say no more; it may still listen.
    fn poll_silent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.is_silent {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut [0; 512])) {
            Ok(0) => {
                self.is_silent = true;
                Poll::Ready(Ok(()))
            }
            Ok(_) => {
                // Others have their turn before more is read.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(End::Failed(error))),
        }
    }

    /// Ends the body, unless it breaks off inside a part.
    async fn finish(mut self) {
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
        // If it cannot be written, there is nobody to read it.
        let _ = end.or(limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_become_one_without_tests_in_one_line() {
        let patches: Vec<Arc<str>> = vec![
            "[{\"op\":\"test\",\"path\":\"\",\"value\":{}},\n {\"op\":\"add\",\"path\":\"/a~1b\",\"value\":\"x\\ny\"}]"
                .into(),
            "[]".into(),
            r#"[{"op":"move","from":"/a~1b","path":"/c","note":1}]"#.into(),
        ];
        let text = String::from_utf8(compose(&patches)).unwrap();
        assert_eq!(
            text,
            r#"[{"op":"add","path":"/a~1b","value":"x\ny"},{"op":"move","from":"/a~1b","path":"/c"}]"#.to_owned() + "\n"
        );
        assert_eq!(compose(&[]), b"[]\n");
    }
}
