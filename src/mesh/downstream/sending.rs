//! How a downstream sends, at the pace of its reader, until the stream ends.
//!
//! It sends a base or a document if the reader needs one, then the journal; to a lazy reader it sends summaries in
//! place of the journal:
//!
//! ```text
//!              all of it is sent             the reader says "lazy", and what the
//!                                            journal had then is sent
//!   Beginning -------------------> Journal ------------------------------------------> Summaries
//!   (a base or a document)            ^                                                    |
//!                                     +--------------- the reader says "eager" ------------+
//! ```
//!
//! In each state the next batch is made when the last one is written. If the batch is in memory, it is sent at once; if
//! not, [`Sending::get`] gets it: see [`NextToGet`]. If there is nothing to send, the downstream waits until the journal
//! grows, or until there is another summary. Between two batches it sends reports about other nodes.
//!
//! A ping is sent each [`TICK`], see [`PingState`]. The downstream ends in any state if the reader closes or is silent,
//! if the node stops, and if the next batch cannot be sent any more.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use async_channel::Receiver;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use smol::Timer;
use smol::stream::Stream as _;

use super::course::Course;
use super::downstreams::SendingProgress;
use super::following::Following;
use super::frames::{Frames, frame};
use super::{Downstream, SendingEnd};
use crate::manager::{Handle, StateHash};
use crate::mesh::members::GossipReader;
use crate::mesh::tree::{Flow, LinkOrder, ProcessId, ReaderSummary};
use crate::mesh::websocket::{Note, PeerSilence, Pulse, Socket, SocketFault, TICK};

/// How many batches are written in one turn of a downstream.
const BATCHES_A_TURN: u32 = 4;

/// About how many bytes before the journal are made together.
const BEFORE_BYTES: usize = 256 << 10;

/// The next batch, if it is not in memory.
enum NextToGet {
    /// More of what comes before the journal.
    Beginning,
    /// A part of the journal that is not in memory.
    Journal,
    /// The note that the reader has reached the end of the journal.
    EndNote,
}

/// A downstream at work.
pub(super) struct Sending<'a> {
    downstream: &'a Downstream,
    socket: &'a mut Socket,
    course: Course,
    progress: Arc<SendingProgress>,
    grown: Pin<Box<Receiver<()>>>,
    /// Whether there may be something to send.
    is_behind: bool,
    has_sent_end: bool,
    flow: Flow,
    /// Wakes the task when there is another summary, if the reader is lazy.
    announced: Option<Pin<Box<Receiver<()>>>>,
    /// Which reports of other nodes the reader was sent. `None` if it wants none.
    following: Option<Following>,
    /// Whether the last message had such reports. Then it is the journal's turn.
    has_sent_reports: bool,
    /// The reader's process, if it is known and what it sends to this node may be left out.
    reader: Option<ProcessId>,
    ping: PingState,
    ticks: Timer,
    silence: PeerSilence,
    shutdown: Pin<Box<Receiver<Infallible>>>,
}

/// The state of the last ping.
enum PingState {
    /// Handed to the system. The next tick makes another one.
    Written,
    /// Its content is being computed. The state hash of a large document takes a while.
    Hashing(Pin<Box<dyn Future<Output = Option<StateHash>> + Send>>),
    /// Queued behind the batch that is being written.
    Queued,
}

/// An event of a downstream.
enum SendingEvent {
    /// A message has come, or the stream has failed.
    Heard(Result<Message, SocketFault>),
    /// All is written, and the next batch must be got.
    Written(NextToGet),
    /// The state hash for the next ping is ready, if there is one.
    Hashed(Option<StateHash>),
    /// Another [`TICK`] has passed.
    Tick,
    /// The node is stopping.
    Stop,
}

impl<'a> Sending<'a> {
    pub fn new(
        downstream: &'a Downstream,
        socket: &'a mut Socket,
        course: Course,
        progress: Arc<SendingProgress>,
        grown: Receiver<()>,
        shutdown: Receiver<Infallible>,
    ) -> Self {
        let (is_behind, has_sent_end) = (true, !downstream.hello.takes_notes());
        let grown = Box::pin(grown);
        let wants_members = downstream.hello.wants_members && downstream.hello.takes_notes();
        let following =
            wants_members.then(|| Following::begin(&downstream.downstreams.neighbours.roster));
        let reader = downstream.hello.process.filter(|_| !course.has_base);
        Self {
            downstream,
            socket,
            course,
            progress,
            grown,
            is_behind,
            has_sent_end,
            flow: Flow::default(),
            announced: None,
            following,
            has_sent_reports: false,
            reader,
            // The first ping is sent at once, so that the reader knows from the start that this node pings.
            ping: PingState::hashing(&downstream.handle),
            ticks: Timer::interval(TICK),
            silence: PeerSilence::default(),
            shutdown: Box::pin(shutdown),
        }
    }

    /// Sends until the stream ends.
    pub async fn run(mut self) -> Result<Infallible, SendingEnd> {
        loop {
            match poll_fn(|context| self.poll_event(context)).await? {
                SendingEvent::Heard(message) => {
                    self.progress.hear();
                    self.hear(message?)?;
                }
                SendingEvent::Written(next) => self.get(next).await?,
                SendingEvent::Hashed(state) => {
                    let behind = Some(self.progress.behind(&self.downstream.handle));
                    let pulse = Pulse { state, behind };
                    self.socket.queue(Message::Ping(pulse.to_string().into()))?;
                    self.ping = PingState::Queued;
                }
                SendingEvent::Tick => self.tick()?,
                SendingEvent::Stop => return Err(SendingEnd::Stopping),
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<SendingEvent, SendingEnd>> {
        if self.shutdown.as_mut().poll_next(context).is_ready() {
            return Poll::Ready(Ok(SendingEvent::Stop));
        }
        if let Poll::Ready(message) = self.socket.poll_heard(context) {
            return Poll::Ready(Ok(SendingEvent::Heard(message)));
        }
        if let PingState::Hashing(hashing) = &mut self.ping
            && let Poll::Ready(state) = hashing.as_mut().poll(context)
        {
            return Poll::Ready(Ok(SendingEvent::Hashed(state)));
        }
        if let Poll::Ready(next) = self.poll_next(context) {
            return Poll::Ready(next.map(SendingEvent::Written));
        }
        Pin::new(&mut self.ticks).poll_next(context).map(|_| Ok(SendingEvent::Tick))
    }

    /// Takes in a message of the reader. Only closes and a patchmesh node's pings have a meaning.
    fn hear(&mut self, message: Message) -> Result<(), SendingEnd> {
        match message {
            Message::Close(frame) => {
                let too_large = frame.is_some_and(|frame| frame.code == CloseCode::Size);
                Err(SendingEnd::Closing { too_large })
            }
            Message::Ping(payload) if self.downstream.hello.takes_notes() => {
                LinkOrder::decode(&payload)
                    .map_or(Ok(()), |order| self.obey(order.map_err(SendingEnd::BadOrder)?))
            }
            _ => Ok(()),
        }
    }

    /// Another [`TICK`] has passed: pings the reader, unless the last ping is still on its way.
    fn tick(&mut self) -> Result<(), SendingEnd> {
        if self.silence.tick(self.socket.signs_of_life()) {
            return Err(SendingEnd::Silent);
        }
        if self.silence.is_broken() {
            self.progress.hear_within_tick();
        }
        if let PingState::Written = self.ping {
            self.ping = PingState::hashing(&self.downstream.handle);
        }
        Ok(())
    }

    /// Sends all that is in memory until the turn is over or nothing is left. Returns a batch that is not in
    /// memory.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<NextToGet, SendingEnd>> {
        for _ in 0..BATCHES_A_TURN {
            ready!(self.socket.poll_written(context))?;
            if let PingState::Queued = self.ping {
                self.ping = PingState::Written;
            }
            // However many reports there are, they do not hold up transactions.
            let is_journals_turn = std::mem::take(&mut self.has_sent_reports);
            if !is_journals_turn && self.has_reports(context) {
                self.send_reports()?;
                self.has_sent_reports = true;
                continue;
            }
            if !self.is_behind && self.poll_growth(context).is_pending() {
                if is_journals_turn {
                    continue;
                }
                return Poll::Pending;
            }
            if let Some(next) = self.send_at_hand()? {
                return Poll::Ready(Ok(next));
            }
        }
        // Other tasks must not wait for a reader that always keeps up, or for a long run of transactions to
        // leave out.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether there may be reports to send. None are sent before the journal begins.
    fn has_reports(&mut self, context: &mut Context<'_>) -> bool {
        let roster = &self.downstream.downstreams.neighbours.roster;
        self.course.is_begun
            && self.following.as_mut().is_some_and(|following| following.has_news(roster, context))
    }

    /// Sends reports that the reader does not know.
    fn send_reports(&mut self) -> Result<(), SendingEnd> {
        let Downstream { downstreams, hello, .. } = self.downstream;
        let reader = GossipReader { node: hello.node.as_ref(), process: hello.process };
        let Some(following) = &mut self.following else { return Ok(()) };
        match following.message(&downstreams.neighbours.roster, &reader) {
            Some(text) => Ok(self.socket.queue(Message::text(text))?),
            None => Ok(()),
        }
    }

    fn poll_growth(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let next = match &mut self.announced {
            Some(announced) => announced,
            None => &mut self.grown,
        };
        // If the channel is closed, the node is stopping, which `shutdown` tells.
        if ready!(next.as_mut().poll_next(context)).is_none() {
            return Poll::Pending;
        }
        self.is_behind = true;
        Poll::Ready(())
    }

    /// Writes the next batch if it is in memory. If not, returns what to get.
    fn send_at_hand(&mut self) -> Result<Option<NextToGet>, SendingEnd> {
        let handle = &self.downstream.handle;
        if self.course.generation != handle.generation() {
            return Err(SendingEnd::Replaced);
        }
        if !self.course.is_begun {
            return Ok(Some(NextToGet::Beginning));
        }
        let journal = handle.journal();
        let position = self.position();
        let is_sent = self.flow.sends(position);
        if is_sent && position < journal.begin() {
            return Err(SendingEnd::Folded);
        }
        self.is_behind = is_sent && position < journal.length();
        if !is_sent {
            self.send_summary(position);
        }
        if self.is_behind {
            let latest = &self.downstream.downstreams.latest;
            let Some(frames) = latest.frames(handle, position) else {
                return Ok(Some(NextToGet::Journal));
            };
            self.put(&frames);
        }
        if !self.is_behind && !self.has_sent_end {
            return Ok(Some(NextToGet::EndNote));
        }
        Ok(None)
    }

    fn put(&mut self, frames: &Frames) {
        let neighbours = &self.downstream.downstreams.neighbours;
        let known = self.reader.map(|reader| neighbours.known_of(&reader, frames.stamps()));
        let known = known.unwrap_or_default();
        let seen = &self.progress.seen;
        let bytes = frames.but(|at, record| seen.has(record) || known.binary_search(&at).is_ok());
        if !bytes.is_empty() {
            self.socket.put(bytes);
        }
        self.progress.position.store(frames.end(), Ordering::Relaxed);
        self.is_behind = frames.end() < self.downstream.handle.journal().length();
    }

    /// Sends a lazy reader the next summary, if there is one.
    fn send_summary(&mut self, position: u64) {
        let announcements = &self.downstream.downstreams.announcements;
        let Some(announcement) = announcements.last() else { return };
        match self.flow.summary(position, &announcement) {
            None => (),
            Some(ReaderSummary::Shared) => self.socket.put(announcements.frame(&announcement)),
            Some(ReaderSummary::Own(summary)) => {
                self.socket.put(frame(&Note::Have(summary).encode()))
            }
        }
    }

    /// Obeys an order of the reader.
    fn obey(&mut self, order: LinkOrder) -> Result<(), SendingEnd> {
        let Downstream { handle, downstreams, hello, .. } = self.downstream;
        let announcement = downstreams.announcements.announce(handle);
        let followed = self.flow.follow(order, self.position(), &announcement);
        let position = followed.map_err(|unfit| SendingEnd::BadOrder(unfit.to_string()))?;
        self.progress.position.store(position, Ordering::Relaxed);
        let is_lazy = self.flow.is_lazy();
        self.progress.lazy.store(is_lazy, Ordering::Relaxed);
        self.announced = is_lazy.then(|| Box::pin(downstreams.announcements.subscribe()));
        self.is_behind = true;
        if let Some(process) = &hello.process {
            downstreams.neighbours.mirror(process, order);
        }
        Ok(())
    }

    /// The reader's position in the journal, after all that it has seen.
    fn position(&self) -> u64 {
        let position = self.progress.position.load(Ordering::Relaxed);
        // What came after the downstream began is not covered, or is read soon.
        match self.progress.seen.clock() {
            Some(seen) if position < self.progress.length_at_begin => {
                let position = self.downstream.handle.journal().next_uncovered(position, seen);
                self.progress.position.store(position, Ordering::Relaxed);
                position
            }
            _ => position,
        }
    }

    /// Gets the next batch and writes it.
    async fn get(&mut self, next: NextToGet) -> Result<(), SendingEnd> {
        match next {
            NextToGet::Beginning => {
                let mut bytes = 0;
                while bytes < BEFORE_BYTES {
                    let Some(text) = self.course.before.next() else {
                        self.course.is_begun = true;
                        break;
                    };
                    bytes += text.len();
                    self.socket.queue(Message::text(text))?;
                }
            }
            NextToGet::Journal => {
                let (handle, position) = (&self.downstream.handle, self.position());
                let frames = Frames::read(handle, position).await;
                if position < handle.journal().begin() {
                    return Err(SendingEnd::Folded);
                }
                self.put(&frames.map_err(SendingEnd::Journal)?);
            }
            NextToGet::EndNote => {
                self.has_sent_end = true;
                self.socket.queue(Message::text(Note::End(self.position()).encode()))?;
            }
        }
        Ok(())
    }
}

impl PingState {
    /// Begins to compute the next ping. A patchmesh node compares the state hash with its own; a plain node
    /// just answers.
    fn hashing(handle: &Handle) -> Self {
        let handle = handle.clone();
        Self::Hashing(Box::pin(async move { handle.state_hash().await }))
    }
}
