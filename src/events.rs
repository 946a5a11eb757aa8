//! One live read: a part of the document and then its changes, as Server-Sent Events (HTML, section 9.2).
//!
//! ```text
//! event: put                 event: patch                                   event: gone
//! id: 5be0cd19137e2179.7     id: 5be0cd19137e2179.8                         id: 5be0cd19137e2179.9
//! data: {"a":1}              data: [{"op":"add","path":"/b","value":2}]     data: null
//! ```
//!
//! The id says which process sent it, and the number of the document's change up to which the reader then
//! knows the part. A `patch`, a JSON Patch relative to the part, makes the part of the event before it the one
//! that the node has by then; it says what was done, which is more than what is different in the end if
//! something late came in. If the part came anew as a whole, or too much was done since, there is a `put`
//! again, or `gone` if there is nothing (any more). Of what is done elsewhere in the document a reader hears
//! nothing.
//!
//! A session is a cursor like a downstream's: it holds no queue and no document, and looks for what is new
//! when the last event is written. So a slow reader costs the node nothing, and gets fewer and larger
//! events. Those that are not slow hear of what is new at the same time, and share the event.

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

use crate::http::{Body, BrokenOff, Coding, Full, InFlight};
use crate::manager::{Edition, Handle, Reading, Representation};
use crate::patch::{PointerBuf, find};
use crate::stream::Stream;
use event::{EventKind, GONE, PartChange};
use sink::{EventSink, FAREWELL_LIMIT, STALL_LIMIT};
use watches::{ReaderNews, Watches, Watching, are_light, operations};

/// What is sent if there was nothing to send for this long, so that proxies keep the connection.
const KEEP_ALIVE: &str = ": keep-alive\n\n";
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A reader that says no more either listens on (it has closed its direction only) or is gone. A write
/// tells: after the first one to somebody who is gone the next one fails. So there is one at once, one
/// after this time, and then ever more seldom.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// How soon a reader is to come again when the connection ended, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// What comes within this time is sent together: all who read hear of it at once. That much longer a reader has
/// to wait for each megabyte of an event.
const PACE: Duration = Duration::from_millis(20);

/// A document that is being written is held as it was until about so many bytes of it have been replaced:
/// together all that is held for slow readers takes no more than this and what a writer replaces within
/// [`STALL_LIMIT`].
const MOST_DISPLACED: u64 = 256 << 20;

/// What all sessions share.
pub struct EventStreams {
    /// Says which process this is.
    process: u64,
    watches: Watches,
}

impl EventStreams {
    /// Those of the process of this number.
    pub fn new(process: u64) -> Self {
        Self { process, watches: Watches::default() }
    }

    /// Tells the sessions of what is new until `shutdown` closes: what comes within 20 ms at once.
    pub async fn run(&self, handle: Handle, shutdown: Receiver<Infallible>) {
        let grown = handle.subscribe();
        let beats = async {
            while grown.recv().await.is_ok() {
                self.watches.beat(&handle, |change| self.id(change));
                Timer::after(PACE).await;
            }
        };
        let stopped = async { shutdown.recv().await.map_or((), |never| match never {}) };
        beats.or(stopped).await;
    }

    /// The id of the document as it is after a change.
    pub fn id(&self, change: u64) -> String {
        format!("{:016x}.{change}", self.process)
    }

    /// The change that an id names; none if it is not of this process.
    fn change(&self, id: &str) -> Option<u64> {
        let (process, change) = id.split_once('.')?;
        let process = u64::from_str_radix(process, 16).ok()?;
        (process == self.process).then(|| change.parse().ok()).flatten()
    }
}

/// A session that has been agreed on and not yet begun.
pub struct EventStream {
    /// To read the document from.
    pub handle: Handle,
    /// When to, and what others are sent.
    pub events: Arc<EventStreams>,
    /// Bounds what is written at the same time.
    pub in_flight: InFlight,
    /// Who asked.
    pub address: SocketAddr,
    /// What is read.
    pub part: PointerBuf,
    /// The id of the last event that the reader has got before.
    pub last: Option<String>,
    /// How the answer is sent.
    pub coding: Coding,
}

/// Why a session ended.
enum EventStreamEnd {
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
        let mut output = EventSink::new(stream, self.coding, &inside);
        let stopped = async {
            let Err(async_channel::RecvError) = shutdown.recv().await;
            let limit = Instant::now() + FAREWELL_LIMIT;
            while inside.load(Ordering::Relaxed) && Instant::now() < limit {
                Timer::after(PACE).await;
            }
            EventStreamEnd::Stopping
        };
        let end = self.send(&mut output).or(stopped).await;
        output.finish().await;
        match end {
            EventStreamEnd::BrokenOff(why) => log::log!(why.level(), "events to {address}: {end}"),
            _ => log::debug!("events to {address}: {end}"),
        }
    }

    async fn send(&self, output: &mut EventSink<'_>) -> EventStreamEnd {
        match self.send_all(output).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// Sends all that comes.
    async fn send_all(&self, output: &mut EventSink<'_>) -> Result<Infallible, EventStreamEnd> {
        let watching = self.events.watches.watch(&self.part, &self.handle);
        let beats = watching.subscribe();
        output.write(RETRY, "".into(), "").await?;
        let edition = Arc::new(self.handle.state().edition());
        let last = self.last.as_deref().and_then(|id| self.events.change(id));
        let last = last.filter(|change| *change <= edition.change());
        let known = last.unwrap_or(edition.change());
        let mut reader = EventReader { known, told: known, is_there: None, is_aligned: false };
        let mut sent = self.send_since(last, edition, output, &mut reader).await?;
        reader.is_aligned = watching.align(reader.known);
        let mut silence = KeepAlive::new(beats);
        loop {
            if let Some(bytes) = sent {
                reader.told = reader.known;
                silence.begin();
                if let Ok(megabytes @ 1..) = u32::try_from(bytes >> 20) {
                    Timer::after(PACE.saturating_mul(megabytes)).await;
                }
            }
            while !silence.end(output).await? {
                self.keep_alive(output, &watching, &mut reader).await?;
                silence.goes_on();
            }
            sent = self.send_news(output, &watching, &mut reader).await?;
        }
    }

    /// Sends what the reader does not know of what was there at the last beat, if there is something; says how
    /// many bytes that was.
    async fn send_news(
        &self,
        output: &mut EventSink<'_>,
        watching: &Watching<'_>,
        reader: &mut EventReader,
    ) -> Result<Option<u64>, EventStreamEnd> {
        if reader.is_aligned {
            match watching.look(reader.known) {
                ReaderNews::Nothing => return Ok(None),
                ReaderNews::News(news) => {
                    reader.learns(news.leads_to, news.is_there);
                    let part = news.event.part(self.coding);
                    output.write_coded(part).await?;
                    return Ok(Some(part.len() as u64));
                }
                ReaderNews::Missed => {}
            }
        }
        let edition = watching.edition();
        if edition.change() < reader.known {
            // It is ahead of the last beat, and is woken by the next one.
            return Ok(None);
        }
        reader.is_aligned = true;
        self.send_since(Some(reader.known), edition, output, reader).await
    }

    /// Sends what a reader that knows the part as it was after the change `known`, if any, does not know of an
    /// edition.
    async fn send_since(
        &self,
        known: Option<u64>,
        edition: Arc<Edition>,
        output: &mut EventSink<'_>,
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
                // While it is written, this need not be in memory.
                drop(edition);
                self.send_event(output, EventKind::Patch, reader, line.into()).await.map(Some)
            }
            PartChange::Anew => self.send_part(edition, output, reader).await,
        }
    }

    /// What the reader is told of these patches, which led to this edition.
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
        if is_light { change() } else { smol::unblock(change).await }
    }

    /// Sends what the part is now, or that it is not there if the reader does not know that.
    async fn send_part(
        &self,
        edition: Arc<Edition>,
        output: &mut EventSink<'_>,
        reader: &mut EventReader,
    ) -> Result<Option<u64>, EventStreamEnd> {
        let (part, change) = if self.part.is_root() {
            // The text of the whole document is made for one version at a time, for all who want it.
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
        self.send_event(output, kind, reader, line).await.map(Some)
    }

    /// Sends an event with this line as its data; says how many bytes that was.
    async fn send_event(
        &self,
        output: &mut EventSink<'_>,
        kind: EventKind,
        reader: &EventReader,
        line: Body,
    ) -> Result<u64, EventStreamEnd> {
        let id = self.events.id(reader.known);
        let bytes = line.length();
        let line = self.in_flight.admit(line).map_err(|Full(_)| EventStreamEnd::Full)?;
        output.write(&kind.head(&id), line, "\n").await?;
        Ok(bytes)
    }

    /// Has the reader hear something. If the document has changed elsewhere, that is an id without an event:
    /// the reader can go on from there.
    async fn keep_alive(
        &self,
        output: &mut EventSink<'_>,
        watching: &Watching<'_>,
        reader: &mut EventReader,
    ) -> Result<(), EventStreamEnd> {
        if reader.is_aligned {
            reader.known = watching.knows_up_to(reader.known);
        }
        if reader.known == reader.told {
            return output.write(KEEP_ALIVE, "".into(), "").await;
        }
        reader.told = reader.known;
        output.write(&format!("id: {}\n\n", self.events.id(reader.known)), "".into(), "").await
    }
}

/// What a reader has.
struct EventReader {
    /// It knows the part as it is after this change.
    known: u64,
    /// The change of the last id that it was told.
    told: u64,
    /// Whether the part is there then, if this is known here.
    is_there: Option<bool>,
    /// Whether what it knows was so at a beat: see [`Watching::align`].
    is_aligned: bool,
}

impl EventReader {
    fn learns(&mut self, change: u64, is_there: bool) {
        (self.known, self.is_there) = (change, Some(is_there));
    }
}

/// Waits for something new, and has the reader hear something now and then until there is.
struct KeepAlive {
    beats: Pin<Box<Receiver<()>>>,
    /// Since when nothing was sent.
    begins: Instant,
    /// Goes off when the reader has to hear something, or before.
    timer: Timer,
    /// How long after what was sent last the next probe is, if the reader says no more.
    probe: Option<Duration>,
}

impl KeepAlive {
    fn new(beats: Receiver<()>) -> Self {
        let (beats, timer) = (Box::pin(beats), Timer::after(KEEP_ALIVE_INTERVAL));
        Self { beats, begins: Instant::now(), timer, probe: None }
    }

    /// Something was sent. A timer that goes off too early costs less than one that is set for each event.
    fn begin(&mut self) {
        self.begins = Instant::now();
    }

    /// Waits until there is something new, in which case this is true, or the reader is to hear something.
    async fn end(&mut self, output: &mut EventSink<'_>) -> Result<bool, EventStreamEnd> {
        let is_new = poll_fn(|context| {
            if let Poll::Ready(beat) = self.beats.as_mut().poll_next(context) {
                return Poll::Ready(beat.map(|()| true).ok_or(EventStreamEnd::Stopping));
            }
            if let Poll::Ready(silent) = output.poll_silent(context) {
                return Poll::Ready(silent.map(|()| false));
            }
            if output.is_silent && self.probe.is_none() {
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
        if !is_new && output.is_silent {
            let longer = self.probe.map_or(PROBE_INTERVAL, |probe| probe * 2);
            self.probe = Some(longer.min(KEEP_ALIVE_INTERVAL));
        }
        Ok(is_new)
    }

    /// The reader has heard something, and nothing new.
    fn goes_on(&mut self) {
        self.begin();
        self.timer.set_after(self.probe.unwrap_or(KEEP_ALIVE_INTERVAL));
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
