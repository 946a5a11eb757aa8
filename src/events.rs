//! One event stream: a part of the document and then its changes, as Server-Sent Events (HTML, section 9.2).
//!
//! ```text
//! event: put                 event: patch                                   event: gone
//! id: 5be0cd19137e2179.7     id: 5be0cd19137e2179.8                         id: 5be0cd19137e2179.9
//! data: {"a":1}              data: [{"op":"add","path":"/b","value":2}]     data: null
//! ```
//!
//! The id names the process that sent the event, and the number of the last change of the document that the event
//! includes. A `patch` is a JSON Patch relative to the part. It leads from the part of the event before to the part that
//! the node has now. It has all operations that were applied since then, which may be more than the difference, after a
//! late arrival. If the part was replaced as a whole, or if the patch would be too long, there is another `put`, or
//! `gone` if the part is not there (any more). Changes elsewhere in the document have no event.
//!
//! An event stream is a cursor, as a downstream is: it holds no queue and no document, and looks for what is new when
//! the last event is written. So a slow reader costs the node nothing, and gets fewer and larger events. Readers that
//! keep up are woken together and share one event.

mod event;
mod sink;
mod watches;

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;
use smol::stream::Stream as _;

use crate::blocking::unblock;
use crate::http::{Body, BrokenOff, Coding, Full, InFlight};
use crate::manager::{Edition, Handle, Reading, Representation};
use crate::patch::{PointerBuf, find};
use crate::shutdown::closed;
use crate::stream::Stream;
use event::{EventKind, GONE, PartChange};
use sink::{EventSink, FAREWELL_LIMIT, STALL_LIMIT};
use watches::{ReaderNews, Watches, Watching, are_light, operations};

/// What is sent if nothing else was sent for this long, so that proxies keep the connection.
const KEEP_ALIVE: &str = ": keep-alive\n\n";
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A reader that closes its direction either still listens or is gone. Writes tell: after one to a reader
/// that is gone, the next one fails. So there is a write at once, another one after this time, and then each
/// after twice the time.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// How soon a reader should dial again after the connection has ended, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// Changes within this time are sent together, to all readers at the same moment. After a large event its
/// reader waits this long for each megabyte.
const PACE: Duration = Duration::from_millis(20);

/// While a document is written piece by piece, the old version stays in memory until about this many bytes of
/// it were replaced. So all slow readers together hold no more than this, and what writers replace within
/// [`STALL_LIMIT`].
const MOST_DISPLACED: u64 = 256 << 20;

/// What all event streams share.
pub struct EventStreams {
    /// The number of this process, for the ids.
    process: u64,
    /// How the ids begin.
    prefix: String,
    watches: Watches,
}

impl EventStreams {
    /// `process` is the number of this process.
    pub fn new(process: u64) -> Self {
        Self { process, prefix: format!("{process:016x}."), watches: Watches::default() }
    }

    /// Wakes the event streams at each change until `shutdown` closes. Changes within 20 ms make one beat.
    pub async fn run(&self, handle: Handle, shutdown: Receiver<Infallible>) {
        let grown = handle.subscribe();
        let beats = async {
            while grown.recv().await.is_ok() {
                self.watches.beat(&handle, |change| self.id(change));
                Timer::after(PACE).await;
            }
        };
        beats.or(closed(&shutdown)).await;
    }

    /// The id of the document after a change.
    pub fn id(&self, change: u64) -> String {
        format!("{}{change}", self.prefix)
    }

    /// What is before the change in each id.
    pub fn id_prefix(&self) -> &str {
        &self.prefix
    }

    /// The change in an id. `None` if the id is of another process.
    fn change(&self, id: &str) -> Option<u64> {
        let (process, change) = id.split_once('.')?;
        let process = u64::from_str_radix(process, 16).ok()?;
        (process == self.process).then(|| change.parse().ok()).flatten()
    }
}

/// An event stream that is agreed on and has not begun yet.
pub struct EventStream {
    /// Access to the document.
    pub handle: Handle,
    /// What all event streams share.
    pub events: Arc<EventStreams>,
    /// Bounds the bytes that are being written.
    pub in_flight: InFlight,
    /// The reader's address.
    pub address: SocketAddr,
    /// The part to read.
    pub part: PointerBuf,
    /// The id of the last event that the reader has.
    pub last: Option<String>,
    /// The coding of the answer.
    pub coding: Coding,
}

/// Why an event stream ended.
enum EventStreamEnd {
    /// The reader took nothing for [`STALL_LIMIT`].
    Stalled,
    /// There is no room for the next event. The reader will dial again.
    Full,
    /// The node is stopping.
    Stopping,
    /// The stream failed.
    Failed(io::Error),
    /// The pieces of a document broke off.
    BrokenOff(BrokenOff),
}

impl fmt::Display for EventStreamEnd {
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

impl EventStream {
    /// Sends events until the reader goes or `shutdown` closes.
    pub async fn run(self, stream: Stream, shutdown: Receiver<Infallible>) {
        let address = self.address;
        log::debug!("events to {address}: begin");
        let inside = AtomicBool::new(false);
        let mut sink = EventSink::new(stream, self.coding, &inside);
        let stopped = async {
            closed(&shutdown).await;
            let limit = Instant::now() + FAREWELL_LIMIT;
            while inside.load(Ordering::Relaxed) && Instant::now() < limit {
                Timer::after(PACE).await;
            }
            Err(EventStreamEnd::Stopping)
        };
        let Err(end) = self.send(&mut sink).or(stopped).await;
        sink.finish().await;
        match end {
            EventStreamEnd::BrokenOff(why) => log::log!(why.level(), "events to {address}: {end}"),
            _ => log::debug!("events to {address}: {end}"),
        }
    }

    /// Sends events until the stream ends.
    async fn send(&self, sink: &mut EventSink<'_>) -> Result<Infallible, EventStreamEnd> {
        let watching = self.events.watches.watch(&self.part, &self.handle);
        let beats = watching.subscribe();
        sink.write(RETRY, "".into(), "").await?;
        let edition = Arc::new(self.handle.state().edition());
        let last = self.last.as_deref().and_then(|id| self.events.change(id));
        let last = last.filter(|change| *change <= edition.change());
        let known = last.unwrap_or(edition.change());
        let mut reader = EventReader { known, told: known, is_there: None, is_aligned: false };
        let mut sent = self.send_since(last, edition, sink, &mut reader).await?;
        reader.is_aligned = watching.align(reader.known);
        let mut keep_alive = KeepAlive::new(beats);
        loop {
            if let Some(bytes) = sent {
                reader.told = reader.known;
                keep_alive.sent();
                if let Ok(megabytes @ 1..) = u32::try_from(bytes >> 20) {
                    Timer::after(PACE.saturating_mul(megabytes)).await;
                }
            }
            while !keep_alive.has_news(sink).await? {
                self.keep_alive(sink, &watching, &mut reader).await?;
                keep_alive.restart();
            }
            sent = self.send_news(sink, &watching, &mut reader).await?;
        }
    }

    /// Sends what is new since the last event, up to the last beat. Returns how many bytes were sent, if any.
    async fn send_news(
        &self,
        sink: &mut EventSink<'_>,
        watching: &Watching<'_>,
        reader: &mut EventReader,
    ) -> Result<Option<u64>, EventStreamEnd> {
        if reader.is_aligned {
            match watching.look(reader.known) {
                ReaderNews::Nothing => return Ok(None),
                ReaderNews::News(news) => {
                    reader.learns(news.leads_to, news.is_there);
                    let part = news.event.part(self.coding);
                    sink.write_coded(part).await?;
                    return Ok(Some(part.len() as u64));
                }
                ReaderNews::Missed => {}
            }
        }
        let edition = watching.edition();
        if edition.change() < reader.known {
            // The reader knows a later change than the last beat, and is woken by the next one.
            return Ok(None);
        }
        reader.is_aligned = true;
        self.send_since(Some(reader.known), edition, sink, reader).await
    }

    /// Sends what has changed between the change `known` and this edition, or the part as a whole if `known`
    /// is too old or absent.
    async fn send_since(
        &self,
        known: Option<u64>,
        edition: Arc<Edition>,
        sink: &mut EventSink<'_>,
        reader: &mut EventReader,
    ) -> Result<Option<u64>, EventStreamEnd> {
        let change = match known.and_then(|known| edition.since(known)) {
            Some(patches) if patches.is_empty() => PartChange::None,
            Some(patches) => self.change(&edition, patches, reader).await,
            None => PartChange::Anew,
        };
        match change {
            PartChange::None => {
                reader.known = edition.change();
                Ok(None)
            }
            PartChange::Patch(line) => {
                reader.learns(edition.change(), true);
                // It need not stay in memory during the write.
                drop(edition);
                self.send_event(sink, EventKind::Patch, reader, line.into()).await.map(Some)
            }
            PartChange::Anew => self.send_part(edition, sink, reader).await,
        }
    }

    /// The event for these patches, which led to this edition.
    async fn change(
        &self,
        edition: &Arc<Edition>,
        patches: Vec<Arc<str>>,
        reader: &EventReader,
    ) -> PartChange {
        let is_light = are_light(&patches);
        let (edition, part) = (edition.clone(), self.part.clone());
        let was_there = reader.is_there == Some(true);
        let change =
            move || PartChange::of(&operations(&patches), &part, edition.root(), was_there);
        if is_light { change() } else { unblock(change).await }
    }

    /// Sends the part as a whole, or that it is not there, unless the reader knows that.
    async fn send_part(
        &self,
        edition: Arc<Edition>,
        sink: &mut EventSink<'_>,
        reader: &mut EventReader,
    ) -> Result<Option<u64>, EventStreamEnd> {
        let (part, change) = if self.part.is_root() {
            // The text of the whole document is made once for all readers.
            let Reading { part, state } = self.handle.read(&self.part).await;
            (part, state.change())
        } else {
            let part = find(edition.root(), &self.part);
            let part = match part {
                Some(part) => Some(self.handle.represent(part).await),
                None => None,
            };
            (part, edition.change())
        };
        let is_known = part.is_none() && reader.is_there == Some(false);
        reader.learns(change, part.is_some());
        drop(edition);
        let (kind, line) = match part {
            Some(part) => (EventKind::Put, body_of(&part, &self.handle, &self.in_flight)),
            None if is_known => return Ok(None),
            None => (EventKind::Gone, Body::from(GONE)),
        };
        self.send_event(sink, kind, reader, line).await.map(Some)
    }

    /// Sends an event with this line as its data. Returns the number of bytes.
    async fn send_event(
        &self,
        sink: &mut EventSink<'_>,
        kind: EventKind,
        reader: &EventReader,
        line: Body,
    ) -> Result<u64, EventStreamEnd> {
        let id = self.events.id(reader.known);
        let bytes = line.length();
        let line = self.in_flight.admit(line).map_err(|Full(_)| EventStreamEnd::Full)?;
        sink.write(&kind.head(&id), line, "\n").await?;
        Ok(bytes)
    }

    /// Gives the reader a sign of life. If the document has changed elsewhere, it is a new id without an
    /// event, from which the reader can go on.
    async fn keep_alive(
        &self,
        sink: &mut EventSink<'_>,
        watching: &Watching<'_>,
        reader: &mut EventReader,
    ) -> Result<(), EventStreamEnd> {
        if reader.is_aligned {
            reader.known = watching.knows_up_to(reader.known);
        }
        if reader.known == reader.told {
            return sink.write(KEEP_ALIVE, "".into(), "").await;
        }
        reader.told = reader.known;
        sink.write(&format!("id: {}\n\n", self.events.id(reader.known)), "".into(), "").await
    }
}

/// What a reader knows.
struct EventReader {
    /// It knows the part as it was after this change.
    known: u64,
    /// The change in the last id that it was sent.
    told: u64,
    /// Whether the part was there then, if that is known here.
    is_there: Option<bool>,
    /// Whether it knows the part as it was at a beat: see [`Watching::align`].
    is_aligned: bool,
}

impl EventReader {
    fn learns(&mut self, change: u64, is_there: bool) {
        (self.known, self.is_there) = (change, Some(is_there));
    }
}

/// Waits for news, and tells when the reader should get a sign of life.
struct KeepAlive {
    beats: Pin<Box<Receiver<()>>>,
    /// When something was last sent.
    begins: Instant,
    /// Goes off when a sign of life is due, or before.
    timer: Timer,
    /// How long after the last write the next probe is, if the reader has closed its direction.
    probe: Option<Duration>,
}

impl KeepAlive {
    fn new(beats: Receiver<()>) -> Self {
        let (beats, timer) = (Box::pin(beats), Timer::after(KEEP_ALIVE_INTERVAL));
        Self { beats, begins: Instant::now(), timer, probe: None }
    }

    /// Something was sent. A timer that goes off too early costs less than one that is set for each event.
    fn sent(&mut self) {
        self.begins = Instant::now();
    }

    /// Waits until there is news, and returns true; or until a sign of life is due.
    async fn has_news(&mut self, sink: &mut EventSink<'_>) -> Result<bool, EventStreamEnd> {
        let is_new = poll_fn(|context| {
            if let Poll::Ready(beat) = self.beats.as_mut().poll_next(context) {
                return Poll::Ready(beat.map(|()| true).ok_or(EventStreamEnd::Stopping));
            }
            if let Poll::Ready(silent) = sink.poll_silent(context) {
                return Poll::Ready(silent.map(|()| false));
            }
            if sink.is_silent && self.probe.is_none() {
                return Poll::Ready(Ok(false));
            }
            loop {
                ready!(Pin::new(&mut self.timer).poll(context));
                let end = self.begins + self.probe.unwrap_or(KEEP_ALIVE_INTERVAL);
                if Instant::now() >= end {
                    return Poll::Ready(Ok(false));
                }
                self.timer.set_at(end);
            }
        })
        .await?;
        if !is_new && sink.is_silent {
            let longer = self.probe.map_or(PROBE_INTERVAL, |probe| probe * 2);
            self.probe = Some(longer.min(KEEP_ALIVE_INTERVAL));
        }
        Ok(is_new)
    }

    /// A sign of life was sent.
    fn restart(&mut self) {
        self.sent();
        self.timer.set_after(self.probe.unwrap_or(KEEP_ALIVE_INTERVAL));
    }
}

/// The body of an answer, or of a part of it, with the text of a part of the document and a line feed. If
/// there is no room for the text in memory, it is made piece by piece while it is written, until the old
/// version costs too much memory.
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
