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
//! if something late came in. If too much was done since, there is a `put` again.
//!
//! A session is a cursor like a downstream's: it holds no queue and no document, and looks for what is new
//! when the last event is written. So a slow reader costs the node nothing, and gets fewer and larger
//! events. Those that are not slow hear of what is new at the same time, and share the event.

mod latest;
mod output;

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

use crate::clock::VectorClock;
use crate::fanout::Fanout;
use crate::http::{Body, BrokenOff, Coding, Full, InFlight, SMALL_BYTES};
use crate::manager::{Handle, Known, Representation};
use crate::patch::{Operation, Patch, parse};
use crate::stream::Stream;
use latest::{Latest, News};
use output::{FAREWELL_LIMIT, Output, STALL_LIMIT};

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

/// A longer clock is no id: a reader sends it back in a header, which is limited. Who comes again
/// without one gets the document again.
const MAX_ID_BYTES: usize = 4 << 10;

/// What all sessions share.
#[derive(Default)]
pub struct Events {
    beats: Fanout,
    latest: Latest,
}

impl Events {
    /// Tells the sessions of what is new until `grown`, which is [that of the manager](Handle::subscribe), is
    /// closed: what comes within 20 ms at once.
    pub async fn run(&self, grown: Receiver<()>) {
        while grown.recv().await.is_ok() {
            self.beats.wake();
            Timer::after(PACE).await;
        }
        self.beats.close();
    }
}

/// A session that has been agreed on and not yet begun.
pub struct Session {
    /// To read the document from.
    pub handle: Handle,
    /// When to, and what others are sent.
    pub events: Arc<Events>,
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
        let mut output = Output::new(stream, self.coding, &inside);
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
        let beats = self.events.beats.subscribe();
        output.write(RETRY, "".into(), "").await?;
        let mut reader = Reader {
            known: self.last.clone().map_or(Known::Nothing, Known::Clock),
            sent: self.last.clone().map(Arc::new),
        };
        let mut silence = Silence::new(beats);
        loop {
            if let Some(bytes) = self.send_news(output, &mut reader).await? {
                silence.begin();
                if let Ok(megabytes @ 1..) = u32::try_from(bytes >> 20) {
                    Timer::after(PACE.saturating_mul(megabytes)).await;
                }
            }
            while !silence.end(output).await? {
                output.write(KEEP_ALIVE, "".into(), "").await?;
                silence.goes_on();
            }
        }
    }

    /// Sends what the reader does not know, if there is something; says how many bytes that was.
    async fn send_news(
        &self,
        output: &mut Output<'_>,
        reader: &mut Reader,
    ) -> Result<Option<u64>, End> {
        let mut state = self.handle.state_for_changes();
        if let Some(news) = self.events.latest.of(&reader.known, state.vclock(), self.coding) {
            (reader.known, reader.sent) = (news.leads_to.clone(), Some(news.vclock.clone()));
            drop(state);
            output.write_coded(&news.part).await?;
            return Ok(Some(news.part.len() as u64));
        }
        let is_sent = reader
            .sent
            .as_ref()
            .is_some_and(|sent| sent.covers(state.vclock()) && state.vclock().covers(sent));
        let (kind, line) = match state.patches_since(&reader.known) {
            Some(patches) if patches.is_empty() && is_sent => {
                reader.known = state.known();
                return Ok(None);
            }
            Some(patches) => ("patch", Body::from(compose(&patches))),
            None => {
                state = self.handle.represented().await;
                let document = state.representation().expect("it is represented");
                ("put", body_of(document, &self.handle, &self.in_flight))
            }
        };
        let vclock = state.vclock().clone();
        let leads_from = std::mem::replace(&mut reader.known, state.known());
        reader.sent = Some(vclock.clone());
        // While it is written, this need not be in memory.
        drop(state);
        let id = vclock.ascii(MAX_ID_BYTES).unwrap_or_default();
        let head = format!("event: {kind}\nid: {id}\ndata: ");
        let bytes = line.length();
        if kind == "patch" && bytes <= SMALL_BYTES as u64 {
            let part = self.coding.part(&[head.as_bytes(), line.at_hand(), b"\n"]).into();
            let leads_to = reader.known.clone();
            let news = News { leads_from, leads_to, vclock, coding: self.coding, part };
            let news = self.events.latest.keep(news);
            output.write_coded(&news.part).await?;
        } else {
            let line = self.in_flight.admit(line).map_err(|Full(_)| End::Full)?;
            output.write(&head, line, "\n").await?;
        }
        Ok(Some(bytes))
    }
}

/// What a reader has.
struct Reader {
    /// The document, as far as it is known.
    known: Known,
    /// The clock of the last event.
    sent: Option<Arc<VectorClock>>,
}

/// Waits for something new, and has the reader hear something now and then until there is.
struct Silence {
    beats: Pin<Box<Receiver<()>>>,
    /// Since when nothing was sent.
    begins: Instant,
    /// Goes off when the reader has to hear something, or before.
    timer: Timer,
    /// How long after what was sent last the next probe is, if the reader says no more.
    probe: Option<Duration>,
}

impl Silence {
    fn new(beats: Receiver<()>) -> Self {
        let (beats, timer) = (Box::pin(beats), Timer::after(KEEP_ALIVE_INTERVAL));
        Self { beats, begins: Instant::now(), timer, probe: None }
    }

    /// Something was sent. A timer that goes off too early costs less than one that is set for each event.
    fn begin(&mut self) {
        self.begins = Instant::now();
    }

    /// Waits until there is something new, in which case this is true, or the reader is to hear something.
    async fn end(&mut self, output: &mut Output<'_>) -> Result<bool, End> {
        let is_new = poll_fn(|context| {
            if let Poll::Ready(beat) = self.beats.as_mut().poll_next(context) {
                return Poll::Ready(beat.map(|()| true).ok_or(End::Stopping));
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
