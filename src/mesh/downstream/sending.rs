//! How a session sends, at its reader's pace, until the stream ends.
//!
//! What is sent is a base or a document if the reader needs one, then the journal, and summaries in place of the
//! journal if the reader is lazy:
//!
//! ```text
//!              all of it is made             the reader says "lazy", and the journal
//!                                            up to its end of then is sent
//!   Beginning -------------------> Journal ------------------------------------------> Summaries
//!   (a base or a document)            ^                                                    |
//!                                     +--------------- the reader says "eager" ------------+
//! ```
//!
//! In each state the next batch is made when the one before it is written. What is at hand is sent at once. What is
//! not is got by [`Sending::get`]: see [`NextToGet`]. If there is nothing to send, the session waits until the journal
//! grows, or until there is another summary. Between two batches it tells what it has heard of other nodes.
//!
//! Beside that a ping is sent each [`TICK`], see [`PingState`]. The session ends in any state if the reader closes or
//! is silent, if the node stops, and if what comes next cannot be sent any more.

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
use crate::mesh::tree::{Flow, LinkOrder, ProcessId, Said};
use crate::mesh::websocket::{Note, PeerSilence, Pulse, Socket, SocketFault, TICK};

/// How many batches are written in one turn of a session.
const BATCHES_A_TURN: u32 = 4;

/// How many bytes of what comes before the journal are made in one go.
const BEFORE_BYTES: usize = 256 << 10;

/// What comes next, if it is not at hand.
enum NextToGet {
    /// More of what comes before the journal.
    Beginning,
    /// A part of the journal that is not in memory.
    Journal,
    /// The journal ends: its reader is to know that.
    EndNote,
}

/// A session at work.
pub(super) struct Sending<'a> {
    session: &'a Downstream,
    socket: &'a mut Socket,
    course: Course,
    progress: Arc<SendingProgress>,
    grown: Pin<Box<Receiver<()>>>,
    /// Whether there may be something to send.
    is_behind: bool,
    is_told_of_end: bool,
    flow: Flow,
    /// When there is something to tell a lazy reader.
    announced: Option<Pin<Box<Receiver<()>>>>,
    /// What it is told of other nodes; none if it does not want to be.
    following: Option<Following>,
    /// Whether it was told of them just now: then it is the journal's turn.
    has_told: bool,
    /// The process that reads, of which it may be known what it has.
    reader: Option<ProcessId>,
    ping: PingState,
    ticks: Timer,
    silence: PeerSilence,
    shutdown: Pin<Box<Receiver<Infallible>>>,
}

/// Where the ping of the last tick is.
enum PingState {
    /// The other side has it, or the system that sends it does. The next tick makes another one.
    Written,
    /// What it says is computed. The state hash of a large document takes a while.
    Hashing(Pin<Box<dyn Future<Output = Option<StateHash>> + Send>>),
    /// It waits behind what is being written.
    Queued,
}

/// What happens to a session.
enum SendingEvent {
    /// A message came, or the stream failed.
    Heard(Result<Message, SocketFault>),
    /// What came before is written, and what comes next has to be got.
    Written(NextToGet),
    /// The state hash for the next ping is there, if there is any.
    Hashed(Option<StateHash>),
    /// Another [`TICK`] has passed.
    Tick,
    /// The node is stopping.
    Stop,
}

impl<'a> Sending<'a> {
    pub fn new(
        session: &'a Downstream,
        socket: &'a mut Socket,
        course: Course,
        progress: Arc<SendingProgress>,
        grown: Receiver<()>,
        shutdown: Receiver<Infallible>,
    ) -> Self {
        let (is_behind, is_told_of_end) = (true, !session.hello.takes_notes());
        let grown = Box::pin(grown);
        let wants_members = session.hello.wants_members && session.hello.takes_notes();
        let following =
            wants_members.then(|| Following::begin(&session.downstreams.neighbours.roster));
        let reader = session.hello.process.filter(|_| !course.has_base);
        Self {
            session,
            socket,
            course,
            progress,
            grown,
            is_behind,
            is_told_of_end,
            flow: Flow::default(),
            announced: None,
            following,
            has_told: false,
            reader,
            // The first ping is sent at once, so that the other side knows from the start that silence means
            // something.
            ping: PingState::hashing(&session.handle),
            ticks: Timer::interval(TICK),
            silence: PeerSilence::default(),
            shutdown: Box::pin(shutdown),
        }
    }

    /// Sends until the stream ends, which is always for a reason.
    pub async fn run(mut self) -> Result<Infallible, SendingEnd> {
        loop {
            match poll_fn(|context| self.poll_event(context)).await? {
                SendingEvent::Heard(message) => {
                    self.progress.hear();
                    self.hear(message?)?;
                }
                SendingEvent::Written(next) => self.get(next).await?,
                SendingEvent::Hashed(state) => {
                    let behind = Some(self.progress.behind(&self.session.handle));
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

    /// Takes in what the reader says: only closes, and the pings of a patchmesh node, have a meaning.
    fn hear(&mut self, message: Message) -> Result<(), SendingEnd> {
        match message {
            Message::Close(frame) => {
                let too_large = frame.is_some_and(|frame| frame.code == CloseCode::Size);
                Err(SendingEnd::Closing { too_large })
            }
            Message::Ping(payload) if self.session.hello.takes_notes() => {
                LinkOrder::decode(&payload)
                    .map_or(Ok(()), |order| self.obey(order.map_err(SendingEnd::BadOrder)?))
            }
            _ => Ok(()),
        }
    }

    /// Another [`TICK`] has passed: the reader is pinged, unless the ping before is still on its way.
    fn tick(&mut self) -> Result<(), SendingEnd> {
        if self.silence.tick(self.socket.signs_of_life()) {
            return Err(SendingEnd::Silent);
        }
        if self.silence.is_broken() {
            self.progress.hear_within_tick();
        }
        if let PingState::Written = self.ping {
            self.ping = PingState::hashing(&self.session.handle);
        }
        Ok(())
    }

    /// Sends what is at hand for as long as its turn lasts, and waits for more of it; says what is not at hand.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<NextToGet, SendingEnd>> {
        for _ in 0..BATCHES_A_TURN {
            ready!(self.socket.poll_written(context))?;
            if let PingState::Queued = self.ping {
                self.ping = PingState::Written;
            }
            // However much there is to tell of other nodes, it does not hold up transactions.
            let is_journals_turn = std::mem::take(&mut self.has_told);
            if !is_journals_turn && self.has_news(context) {
                self.tell_news()?;
                self.has_told = true;
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
        // Neither a reader that is never behind its socket nor a long run of transactions that
        // were seen must keep other tasks waiting.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether there may be something to tell of other nodes. Of a base and what is before it nothing is told.
    fn has_news(&mut self, context: &mut Context<'_>) -> bool {
        let roster = &self.session.downstreams.neighbours.roster;
        self.course.is_begun
            && self.following.as_mut().is_some_and(|following| following.has_news(roster, context))
    }

    /// Tells of other nodes what the reader was not told.
    fn tell_news(&mut self) -> Result<(), SendingEnd> {
        let Downstream { downstreams, hello, .. } = self.session;
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
        // When the channel is closed the node is stopping, and there is another one for that.
        if ready!(next.as_mut().poll_next(context)).is_none() {
            return Poll::Pending;
        }
        self.is_behind = true;
        Poll::Ready(())
    }

    /// Has the next batch written, if it is at hand; says what comes next, if it is not.
    fn send_at_hand(&mut self) -> Result<Option<NextToGet>, SendingEnd> {
        let handle = &self.session.handle;
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
            self.say_what_there_is(position);
        }
        if self.is_behind {
            let latest = &self.session.downstreams.latest;
            let Some(frames) = latest.frames(handle, position) else {
                return Ok(Some(NextToGet::Journal));
            };
            self.put(&frames);
        }
        if !self.is_behind && !self.is_told_of_end {
            return Ok(Some(NextToGet::EndNote));
        }
        Ok(None)
    }

    fn put(&mut self, frames: &Frames) {
        let neighbours = &self.session.downstreams.neighbours;
        let known = self.reader.map(|reader| neighbours.known_of(&reader, frames.stamps()));
        let known = known.unwrap_or_default();
        let seen = &self.progress.seen;
        let bytes = frames.but(|at, record| seen.has(record) || known.binary_search(&at).is_ok());
        if !bytes.is_empty() {
            self.socket.put(bytes);
        }
        self.progress.position.store(frames.end(), Ordering::Relaxed);
        self.is_behind = frames.end() < self.session.handle.journal().length();
    }

    /// Tells a lazy reader what it was not told yet.
    fn say_what_there_is(&mut self, position: u64) {
        let announcements = &self.session.downstreams.announcements;
        let Some(announcement) = announcements.last() else { return };
        match self.flow.summary(position, &announcement) {
            None => (),
            Some(Said::Shared) => self.socket.put(announcements.frame(&announcement)),
            Some(Said::Own(summary)) => self.socket.put(frame(&Note::Have(summary).encode())),
        }
    }

    /// Goes on as the reader says.
    fn obey(&mut self, order: LinkOrder) -> Result<(), SendingEnd> {
        let Downstream { handle, downstreams, hello, .. } = self.session;
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

    /// Where the reader is in the journal. What it has seen of that is passed over.
    fn position(&self) -> u64 {
        let position = self.progress.position.load(Ordering::Relaxed);
        // What came since the session began is not covered, or is soon read.
        match self.progress.seen.clock() {
            Some(seen) if position < self.progress.length_at_begin => {
                let position = self.session.handle.journal().next_uncovered(position, seen);
                self.progress.position.store(position, Ordering::Relaxed);
                position
            }
            _ => position,
        }
    }

    /// Gets what comes next, and has it written.
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
                let (handle, position) = (&self.session.handle, self.position());
                let frames = Frames::read(handle, position).await;
                if position < handle.journal().begin() {
                    return Err(SendingEnd::Folded);
                }
                self.put(&frames.map_err(SendingEnd::Journal)?);
            }
            NextToGet::EndNote => {
                self.is_told_of_end = true;
                self.socket.queue(Message::text(Note::End(self.position()).encode()))?;
            }
        }
        Ok(())
    }
}

impl PingState {
    /// Begins to compute what the next ping says: a peer that knows how compares the state's hash with its own, a
    /// plain one just answers.
    fn hashing(handle: &Handle) -> Self {
        let handle = handle.clone();
        Self::Hashing(Box::pin(async move { handle.state_hash().await }))
    }
}
