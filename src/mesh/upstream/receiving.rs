//! One stream of a peer, from its handshake to its end.
//!
//! The stream brings transactions, and the manager works on them. Both go on at the same time. What the manager does
//! for a stream is the stream's [`Intake`]:
//!
//! ```text
//!                 +--------------------------- Idle --------------------------+
//!                 |                          ^      ^                         |
//!   transactions  |           all were kept  |      |  taken, or not needed   |  a base is complete, and
//!   are gathered  v                          |      |                         v  nothing is gathered
//!             Submitting --------------------+      +-------------------- TakingBase
//! ```
//!
//! | intake | is the stream read? |
//! | --- | --- |
//! | `Idle` | yes |
//! | `Submitting` | if there is room to gather more, and no complete base waits |
//! | `TakingBase` | no |
//!
//! A stream is *open* until it fails, closes, or brings something that is not valid. Then it is *ending*: it is neither
//! read nor written any more. What came before is still submitted, and when the intake is idle, the stream has ended.
//! Some events end a stream at once, in any state: a transaction or a base is not kept, the peer has another document
//! or is silent, or the state that this node sent when it dialed is no longer right.

mod settling;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use smol::Timer;
use smol::stream::Stream as _;

use super::backlog::Backlog;
use super::batch::{Gathered, PeerBatch};
use super::end::ReceivingEnd;
use super::handshake::Welcome;
use super::incoming::{Incoming, read};
use super::joining::{Joining, Taking};
use super::plain_peer::{Account, Memory};
use super::trouble::PeerTrouble;
use super::upstream_status::Changing;
use super::{ITSELF, Upstream};
use crate::clock::Time;
use crate::manager::{BaseOutcome, Lag, Stopped, Submitted, wall_clock};
use crate::mesh::neighbours::PeerLink;
use crate::mesh::tree::{LinkOrder, Ping};
use crate::mesh::websocket::{Note, PeerSilence, Pulse, Socket, SocketFault, TICK};
use crate::source::Source;

/// If the manager works on a batch for longer than this, more is gathered for the next one.
const LONG_WORK: Duration = Duration::from_millis(100);

/// A stream that is being read.
pub struct Receiving<'a> {
    upstream: &'a Upstream,
    socket: &'a mut Socket,
    trouble: &'a mut PeerTrouble,
    joining: &'a mut Joining,
    /// The generation of the state that this node sent when it dialed.
    generation: u64,
    begun: Time,
    is_patchmesh: bool,
    is_itself: bool,
    /// The stream's link in the broadcast tree. `None` if the peer cannot be told to be lazy.
    link: Option<PeerLink>,
    gathered: Gathered,
    intake: Intake,
    /// Why the stream is ending. `None` if it is open.
    ending: Option<ReceivingEnd>,
    account: Account<'a>,
    backlog: Backlog,
    lag: Lag,
    /// Whether nothing was left to hear at some time since the last batch was submitted.
    has_heard_all: bool,
    long_work: Timer,
    ticks: Timer,
    silence: PeerSilence,
    /// Whether the peer pings. A plain node never does, so its silence says nothing.
    pings: bool,
    signs_of_life_at_begin: u64,
}

/// What the manager does for the stream.
#[derive(Default)]
enum Intake {
    /// Nothing. The next work is the gathered transactions, or else a complete base.
    #[default]
    Idle,
    /// It works on transactions, until it has answered for all of them.
    Submitting(PeerBatch),
    /// It takes a base.
    TakingBase(Taking),
}

/// An event of a stream.
enum ReceivingEvent {
    /// The manager has answered for the batch.
    Answered(Result<Vec<Submitted>, Stopped>),
    /// The base was taken, or not.
    Taken(Result<BaseOutcome, ReceivingEnd>),
    /// A message has come, or the stream has failed.
    Heard(Result<Message, SocketFault>),
    /// The peer is to be sent this ping.
    Told(Ping),
    /// [`LONG_WORK`] has passed since a batch was submitted.
    LongWork,
    /// Another [`TICK`] has passed.
    Tick,
}

impl<'a> Receiving<'a> {
    /// Begins a stream. `generation` is that of the state that this node has sent, `welcome` the peer's answer.
    pub fn begin(
        upstream: &'a Upstream,
        socket: &'a mut Socket,
        (welcome, generation): (&Welcome, u64),
        trouble: &'a mut PeerTrouble,
        memory: &'a mut Memory,
        joining: &'a mut Joining,
    ) -> Self {
        let (begun, node) = (wall_clock(), welcome.node.as_ref());
        let handle = &upstream.handle;
        let is_patchmesh = welcome.is_patchmesh;
        let is_itself = node == Some(&handle.source());
        let is_over = trouble.connected(node);
        {
            let mut status = upstream.status();
            status.begin(node.map(Source::to_string), begun);
            status.is_left_aside = is_itself || !is_patchmesh;
        }
        if is_itself {
            trouble.is_itself();
        }
        let process = welcome.process.filter(|_| is_patchmesh && !is_itself);
        let link = process.map(|process| upstream.neighbours.begin(process, handle.clone()));
        let signs_of_life_at_begin = socket.signs_of_life();
        let receiving = Self {
            upstream,
            socket,
            trouble,
            joining,
            generation,
            begun,
            is_patchmesh,
            is_itself,
            link,
            gathered: Gathered::default(),
            intake: Intake::Idle,
            ending: None,
            account: Account::new(upstream.named(node), memory),
            backlog: Backlog::default(),
            lag: handle.lag(),
            has_heard_all: true,
            long_work: Timer::never(),
            ticks: Timer::interval(TICK),
            silence: PeerSilence::default(),
            pings: is_patchmesh,
            signs_of_life_at_begin,
        };
        if is_over {
            receiving.works();
        }
        receiving
    }

    /// Reads the stream until it ends.
    pub async fn run(mut self) -> Result<Infallible, ReceivingEnd> {
        loop {
            self.give_manager_work()?;
            match poll_fn(|context| self.poll_event(context)).await {
                ReceivingEvent::Answered(answers) => self.settle(answers?).await?,
                ReceivingEvent::Taken(taken) => self.settle_base(taken?)?,
                ReceivingEvent::Heard(message) => self.hear(message).await?,
                ReceivingEvent::Told(ping) => self.tell(ping)?,
                ReceivingEvent::LongWork => {
                    if let Intake::Submitting(batch) = &mut self.intake {
                        batch.takes_long = true;
                    }
                }
                ReceivingEvent::Tick => self.tick()?,
            }
        }
    }

    /// Gives the manager its next work, if it is idle.
    ///
    /// # Errors
    /// If the stream is ending, and all that came before is settled.
    fn give_manager_work(&mut self) -> Result<(), ReceivingEnd> {
        if !matches!(self.intake, Intake::Idle) {
            return Ok(());
        }
        if !self.gathered.transactions.is_empty() {
            self.submit();
            return Ok(());
        }
        if std::mem::take(&mut self.gathered.reaches_end) {
            self.reaches_end();
        }
        if let Some(taking) = self.joining.begin_taking(&self.upstream.handle) {
            self.intake = Intake::TakingBase(taking);
            return Ok(());
        }
        self.ending.take().map_or(Ok(()), Err)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<ReceivingEvent> {
        if let Poll::Ready(event) = self.intake.poll(context) {
            return Poll::Ready(event);
        }
        if self.ending.is_none()
            && let Poll::Ready(event) = self.poll_stream(context)
        {
            return Poll::Ready(event);
        }
        if Pin::new(&mut self.long_work).poll(context).is_ready() {
            return Poll::Ready(ReceivingEvent::LongWork);
        }
        Pin::new(&mut self.ticks).poll_next(context).map(|_| ReceivingEvent::Tick)
    }

    /// The next event of an open stream.
    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<ReceivingEvent> {
        if self.has_room() && !self.joining.has_arrived() {
            if let Poll::Ready(message) = self.socket.poll_heard(context) {
                return Poll::Ready(ReceivingEvent::Heard(message));
            }
            if self.socket.has_heard_all() {
                self.has_heard_all = true;
                self.lag.set(false);
            }
        }
        if let Some(link) = &mut self.link
            && let Poll::Ready(ping) = link.poll_ping(context)
        {
            return Poll::Ready(ReceivingEvent::Told(ping));
        }
        match self.socket.poll_written(context) {
            Poll::Ready(Err(fault)) => Poll::Ready(ReceivingEvent::Heard(Err(fault))),
            _ => Poll::Pending,
        }
    }

    /// Whether more may be gathered.
    fn has_room(&self) -> bool {
        match &self.intake {
            Intake::Idle => self.gathered.has_room(false),
            Intake::Submitting(batch) => self.gathered.has_room(batch.takes_long),
            Intake::TakingBase(_) => false,
        }
    }

    /// How many transactions have come and are not settled.
    fn waiting(&self) -> u64 {
        let submitted = match &self.intake {
            Intake::Submitting(batch) => batch.count,
            Intake::Idle | Intake::TakingBase(_) => 0,
        };
        submitted + self.gathered.count()
    }

    fn status(&self) -> Changing<'_> {
        self.upstream.status()
    }

    /// The stream works, so earlier trouble with the peer is over.
    fn works(&self) {
        let mut status = self.status();
        status.works(self.begun);
        if self.is_itself {
            status.error = Some(ITSELF.to_owned());
        }
    }

    /// The peer's journal was read to its end, and all that came is settled.
    fn reaches_end(&mut self) {
        self.status().read_to_end = true;
        if let Some(link) = &self.link {
            link.reaches_end();
        }
        if self.trouble.read_to_end() {
            self.works();
        }
    }

    /// Fails if the state that this node sent when it dialed is no longer right.
    fn holds(&self) -> Result<(), ReceivingEnd> {
        let holds = self.upstream.handle.generation() == self.generation;
        if holds { Ok(()) } else { Err(ReceivingEnd::Outdated) }
    }

    /// Takes in a message. If it must end the stream, that happens when all that came before is settled.
    ///
    /// # Errors
    /// If the stream ends at once.
    async fn hear(&mut self, message: Result<Message, SocketFault>) -> Result<(), ReceivingEnd> {
        let incoming = match read(message, self.is_patchmesh) {
            Ok(incoming) => incoming,
            Err(end) => {
                self.ending = Some(end);
                return Ok(());
            }
        };
        match incoming {
            Incoming::Transaction(_) if self.joining.is_under_way() => {
                self.ending = Some(ReceivingEnd::BadBase("a transaction inside a Base".into()));
            }
            Incoming::Transaction(transaction) => {
                if self.is_wanted(&transaction).await {
                    if let Some(link) = &self.link {
                        link.receive(transaction.stamp());
                    }
                    self.gathered.push(transaction);
                }
            }
            Incoming::Note(note) => self.hear_note(note)?,
            Incoming::Ping(pulse) => self.hear_ping(pulse).await?,
            Incoming::Pong(payload) => {
                if let Some(link) = &self.link {
                    link.pong(&payload);
                }
            }
            Incoming::Other => (),
        }
        Ok(())
    }

    fn hear_note(&mut self, note: Note) -> Result<(), ReceivingEnd> {
        self.status().heard = Some(wall_clock());
        match note {
            Note::Have(summary) => {
                self.holds()?;
                if let Some(link) = &mut self.link {
                    link.hear(summary);
                }
            }
            Note::Members(reports) if !self.joining.is_under_way() => {
                if let Some(link) = &self.link {
                    link.hear_of_members(reports);
                }
            }
            note => {
                self.gathered.reaches_end |= matches!(note, Note::End(_));
                self.ending = self.joining.take(note).err();
            }
        }
        Ok(())
    }

    async fn hear_ping(&mut self, pulse: Pulse) -> Result<(), ReceivingEnd> {
        self.pings = true;
        if let Some(behind) = pulse.behind {
            self.backlog.told(behind, self.waiting());
        }
        {
            let mut status = self.status();
            status.behind = self.backlog.lacking(self.waiting());
            status.heard = Some(wall_clock());
        }
        self.holds()?;
        match pulse.state {
            Some(theirs) => self.upstream.compare(&theirs).await,
            None => Ok(()),
        }
    }

    /// Sends the peer a ping.
    fn tell(&mut self, ping: Ping) -> Result<(), ReceivingEnd> {
        // An order is right only for the state from which it was made.
        self.holds()?;
        self.socket.queue(Message::Ping(ping.to_string().into()))?;
        let Ping::Order(order) = ping else { return Ok(()) };
        log::debug!("peer {}: is told to be {order}", self.upstream.peer);
        if order == LinkOrder::Lazy {
            // The rest of its journal comes from other peers.
            self.backlog.told(0, self.waiting());
        }
        let mut status = self.status();
        status.lazy = order == LinkOrder::Lazy;
        if status.lazy {
            status.behind = self.backlog.lacking(self.waiting());
        }
        Ok(())
    }

    /// Another [`TICK`] has passed.
    fn tick(&mut self) -> Result<(), ReceivingEnd> {
        if self.joining.is_stuck() {
            return Err(ReceivingEnd::BadBase("nothing more of it comes".into()));
        }
        // If there is no room, the silence is not the fault of the peer.
        if !self.has_room() {
            self.silence.forgive();
            return Ok(());
        }
        let signs_of_life = self.socket.signs_of_life();
        // That a connection exists proves nothing if the peer should have sent something.
        if !self.pings || signs_of_life > self.signs_of_life_at_begin {
            self.trouble.is_over();
            self.works();
        }
        if self.silence.tick(signs_of_life) && self.pings {
            return Err(ReceivingEnd::Silent);
        }
        if self.silence.is_broken() {
            let tick = TICK.as_micros() as u64;
            self.status().hear_since(wall_clock().minus_micros(tick));
        }
        Ok(())
    }
}

impl Intake {
    /// The manager's answer, if it is at work.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ReceivingEvent> {
        Poll::Ready(match self {
            Self::Idle => return Poll::Pending,
            Self::Submitting(batch) => {
                ReceivingEvent::Answered(ready!(batch.answers.as_mut().poll(context)))
            }
            Self::TakingBase(taking) => {
                ReceivingEvent::Taken(ready!(taking.as_mut().poll(context)))
            }
        })
    }
}
