//! One task a peer: dials it, reads its `/ws`, submits what comes, and dials again. Only receives.
//!
//! Streams may break, repeat and overlap in any way: the manager drops what is known. What a stream
//! may not do is leave out a transaction and go on after it, since the vector clock would then hide
//! the gap for ever. So the task submits in the order of arrival, and ends the stream at the first
//! transaction that is not kept.
//!
//! A peer that has folded away what this node lacks sends a base first, or if this node asks for one. Then, and
//! when another primary begins an epoch, what this node said when it dialed holds no more, and it dials anew.

mod backlog;
mod dial;
mod end;
mod hearing;
mod joining;
mod membership;
mod peers;
mod plain;
mod since;
mod status;
mod trouble;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use async_tungstenite::tungstenite::{Bytes, Message};
use smol::Timer;
use smol::future::FutureExt;
use smol::stream::Stream;

use crate::backoff::{Backoff, GOOD};
use crate::config::Peer;
use crate::manager::{Handle, StateHash, Stopped, Submitted, Taken, wall_clock};
use crate::mesh::named::Named;
use crate::mesh::neighbours::{Branch, Neighbours};
use crate::mesh::tree::{Order, Ping};
use crate::mesh::websocket::{Fault, Note, Pulse, Silence, Socket, TICK};
use crate::query::Query;
use crate::replica::Refusal;
use crate::source::Source;
use crate::stream::Security;
use crate::tokens::Tokens;
use crate::transaction::Transaction;
use backlog::Backlog;
use dial::{Hello, Welcome, dial};
use end::End;
use joining::{Joining, Taking};
use plain::{Account, Memory, Sent, Verdict};
use status::Changing;
use trouble::Trouble;

pub use hearing::hearing;
pub use joining::Room;
pub use membership::{Membership, Unfit};
pub use peers::{Change, Dialers, Done, Means, NotDone, Peers, kept};
pub use status::{Divergence, State, UpstreamStatus};

/// How long finding, connecting and shaking hands may take in all.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// About how many bytes of transactions are gathered while the manager is at work on those before.
const BATCH_BYTES: usize = 1 << 20;

/// About how many if the manager has been at work for long. What comes in late makes it apply again
/// what comes after it, so a peer that was cut off for long is caught up with in few large batches.
const LATE_BATCH_BYTES: usize = 64 << 20;
const LONG_WORK: Duration = Duration::from_millis(100);

/// What a transaction takes in memory beside its payload, about, in bytes.
const TRANSACTION_BYTES: usize = 128;

// A stream that lives to see itself looked at was a good one.
const _: () = assert!(TICK.as_secs() == GOOD.as_secs());

/// What is wrong with a stream from this node's own source.
const ITSELF: &str = "the peer has this node's own source: it is this node itself, and should not be \
    among its peers; or a copy of its data directory is in use";

/// Of how many sources it is noted what a peer has seen.
const MAX_PEER_SOURCES: usize = 1024;

/// The task of one peer.
pub struct Upstream {
    peer: Peer,
    tokens: Tokens,
    security: Security,
    handle: Handle,
    query: Arc<Query>,
    neighbours: Arc<Neighbours>,
    room: Room,
    status: Arc<Mutex<UpstreamStatus>>,
}

/// What this node said when it dialed.
#[derive(Clone, Copy)]
struct Dialed {
    /// The generation of its state.
    generation: u64,
    /// Whether it asked for a base.
    heals: bool,
}

impl Upstream {
    /// The task for `peer`, and where its status can be read.
    pub fn new(peer: Peer, means: &Means, room: Room) -> (Self, Arc<Mutex<UpstreamStatus>>) {
        let status = UpstreamStatus::new(peer.to_string(), wall_clock());
        let status = Arc::new(Mutex::new(status));
        let Means { tokens, security, handle, query, neighbours } = means;
        let upstream = Self {
            peer,
            tokens: tokens.clone(),
            security: security.clone(),
            handle: handle.clone(),
            query: query.clone(),
            neighbours: neighbours.clone(),
            room,
            status: status.clone(),
        };
        (upstream, status)
    }

    /// Dials and receives, again and again, until `shutdown` closes.
    pub async fn run(self, shutdown: Receiver<Infallible>) {
        let peer = &self.peer;
        let mut backoff = Backoff::default();
        let mut trouble = Trouble::new(peer);
        let mut memory = Memory::default();
        // Whether the peer is to send also what this node has created, to be compared.
        let mut compares_own = false;
        loop {
            let mut lasted = Duration::ZERO;
            let end = match self.dial(compares_own).or(stopping(&shutdown)).await {
                Ok((mut socket, welcome, dialed)) => {
                    let begin = Instant::now();
                    let mut joining = Joining::new(self.named(welcome.node.as_ref()), &self.room);
                    let received = self.receive(
                        &mut socket,
                        &mut trouble,
                        (welcome, dialed),
                        &mut memory,
                        &mut joining,
                    );
                    let end = match received.or(stopping(&shutdown)).await {
                        Ok(never) => match never {},
                        Err(end) => end,
                    };
                    if joining.is_under_way() || matches!(end, End::BadBase(_)) {
                        self.status().torn_bases += 1;
                    }
                    lasted = begin.elapsed();
                    match (&end, end.farewell()) {
                        (_, Some((code, reason))) => socket.close(code, &reason).await,
                        (End::Closed(_), None) => socket.finish().await,
                        _ => (),
                    }
                    end
                }
                Err(end) => {
                    self.status().is_reached = Some(false);
                    end
                }
            };
            if matches!(end, End::Stopping) {
                return;
            }
            compares_own = matches!(end, End::Diverged);
            if end.is_of_now() {
                self.status().forget_comparison();
            }
            if end.is_of_now() && backoff.may_be_at_once(lasted) {
                trouble.goes_on(&end);
                continue;
            }
            let wait = backoff.after(lasted, fastrand::f64());
            let ahead_ms = match end {
                End::Early(ahead_micros) => Some(ahead_micros / 1000),
                _ => None,
            };
            self.status().fail(end.to_string(), ahead_ms, wall_clock());
            trouble.ended(&end, lasted, wait);
            let over = async {
                Timer::after(wait).await;
                false
            };
            if over.or(async { shutdown.recv().await.is_err() }).await {
                return;
            }
        }
    }

    fn status(&self) -> Changing<'_> {
        Changing::begin(&self.status, &self.neighbours.roster)
    }

    /// How the log names the peer, as which this node has answered.
    fn named(&self, node: Option<&Source>) -> String {
        Named { node: node.map(Source::as_str), address: &self.peer }.to_string()
    }

    async fn dial(&self, compares_own: bool) -> Result<(Socket, Welcome, Dialed), End> {
        let timeout = async {
            Timer::after(DIAL_LIMIT).await;
            Err(End::DialTimeout)
        };
        let dialed = async {
            let state = self.handle.state();
            let (generation, heals) = (state.generation(), state.difference().is_some());
            let dialed = Dialed { generation, heals };
            let mut vclock = state.stamps().clone();
            let (source, commits) =
                (self.handle.source(), state.last_commit().map(|last| last.name.source));
            drop(state);
            if compares_own {
                vclock.restore(&source, 0);
            }
            // Those that were read of late.
            let token = self.tokens.of_peers();
            let hello = Hello {
                vclock: &vclock,
                commits: commits.as_ref(),
                heals: dialed.heals,
                source: &source,
                // What is compared must not be left out since this node sent it.
                process: (!compares_own).then(|| self.neighbours.process(generation)),
                token: token.as_deref(),
            };
            let (socket, welcome) = dial(&self.peer, &hello, &self.security).await?;
            Ok((socket, welcome, dialed))
        };
        dialed.or(timeout).await
    }

    /// Whether what this node said when it dialed still holds.
    fn holds(&self, dialed: Dialed) -> Result<(), End> {
        let holds = self.handle.generation() == dialed.generation;
        if holds { Ok(()) } else { Err(End::Outdated) }
    }

    /// Reads the stream until it ends, which is always for a reason.
    async fn receive(
        &self,
        socket: &mut Socket,
        trouble: &mut Trouble<'_>,
        (welcome, mut dialed): (Welcome, Dialed),
        memory: &mut Memory,
        joining: &mut Joining<'_>,
    ) -> Result<Infallible, End> {
        let begun = wall_clock();
        let is_itself = welcome.node.as_ref() == Some(&self.handle.source());
        let is_over = trouble.connected(welcome.node.as_ref());
        {
            let mut status = self.status();
            status.begin(welcome.node.as_ref().map(Source::to_string), begun);
            status.is_left_aside = is_itself || !welcome.is_patchmesh;
        }
        if is_itself {
            trouble.is_itself();
        }
        let works = || {
            let mut status = self.status();
            status.works(begun);
            if is_itself {
                status.error = Some(ITSELF.to_owned());
            }
        };
        if is_over {
            works();
        }
        let process = welcome.process.filter(|_| welcome.is_patchmesh && !is_itself);
        let mut branch = process.map(|process| self.neighbours.begin(process, self.handle.clone()));
        let mut gathered = Gathered::default();
        let mut submission: Option<Submission> = None;
        let mut taking: Option<Taking> = None;
        // Whether what is submitted ends where the peer's journal did.
        let mut reaches_end = false;
        let mut is_long = false;
        let mut long_work = Timer::never();
        let mut end: Option<End> = None;
        let mut account = Account::new(self.named(welcome.node.as_ref()), memory);
        // What is submitted without Time.
        let mut sent = Vec::new();
        let (mut backlog, mut submitted) = (Backlog::default(), 0);
        // Whether all that came was heard at some time since the last submission.
        let (mut lag, mut has_heard_all) = (self.handle.lag(), true);
        let mut ticks = Timer::interval(TICK);
        let mut silence = Silence::default();
        // A plain node never pings, so that its silence says nothing.
        let mut pings = welcome.is_patchmesh;
        let signs_of_life_at_begin = socket.signs_of_life();
        loop {
            if submission.is_none() {
                if gathered.transactions.is_empty() {
                    reaches_end |= std::mem::take(&mut gathered.reaches_end);
                }
                // Before the next submission, which there may always be.
                if std::mem::take(&mut reaches_end) {
                    self.status().read_to_end = true;
                    if let Some(branch) = &branch {
                        branch.reaches_end();
                    }
                    if trouble.read_to_end() {
                        works();
                    }
                }
                if !gathered.transactions.is_empty() {
                    reaches_end = gathered.reaches_end;
                    sent = Sent::of(&gathered.transactions);
                    submitted = gathered.count();
                    submission = Some(self.submit(&mut gathered));
                    lag.set(!std::mem::take(&mut has_heard_all));
                    is_long = false;
                    long_work.set_after(LONG_WORK);
                }
            }
            if submission.is_none() && taking.is_none() {
                taking = joining.begin_taking(&self.handle);
            }
            // What came before the stream's end is submitted before the end is looked into.
            if submission.is_none()
                && taking.is_none()
                && let Some(end) = end
            {
                return Err(end);
            }
            let event = poll_fn(|context| {
                if let Some(submission) = &mut submission
                    && let Poll::Ready(answers) = submission.as_mut().poll(context)
                {
                    return Poll::Ready(Event::Answered(answers));
                }
                if let Some(taking) = &mut taking
                    && let Poll::Ready(taken) = taking.as_mut().poll(context)
                {
                    return Poll::Ready(Event::Taken(taken));
                }
                let has_room = taking.is_none() && gathered.has_room(is_long);
                if end.is_none() && has_room && !joining.has_arrived() {
                    if let Poll::Ready(message) = socket.poll_heard(context) {
                        return Poll::Ready(Event::Heard(message));
                    }
                    if socket.has_heard_all() {
                        has_heard_all = true;
                        lag.set(false);
                    }
                }
                if end.is_none()
                    && let Some(branch) = &mut branch
                    && let Poll::Ready(ping) = branch.poll_ping(context)
                {
                    return Poll::Ready(Event::Told(ping));
                }
                if end.is_none()
                    && let Poll::Ready(Err(fault)) = socket.poll_written(context)
                {
                    return Poll::Ready(Event::Heard(Err(fault)));
                }
                if Pin::new(&mut long_work).poll(context).is_ready() {
                    return Poll::Ready(Event::LongWork);
                }
                Pin::new(&mut ticks).poll_next(context).map(|_| Event::Tick)
            })
            .await;
            match event {
                Event::Answered(answers) => {
                    submission = None;
                    let answers = answers?;
                    let (news, known) = news_and_known(&answers);
                    self.settle(answers, std::mem::take(&mut sent), &mut account).await?;
                    if let Some(branch) = &branch {
                        branch.settle(news, known, gathered.transactions.is_empty());
                    }
                    backlog.settled(std::mem::take(&mut submitted));
                    self.status().behind = backlog.lacking(gathered.count());
                    self.holds(dialed)?;
                }
                Event::Taken(taken) => {
                    taking = None;
                    if self.look_at(taken?)? {
                        // What the peer sends now does not depend on what this node said.
                        dialed.generation = self.handle.generation();
                    }
                }
                Event::Heard(message) => match read(message, welcome.is_patchmesh) {
                    Ok(heard) => {
                        if let Heard::Ping(pulse) = &heard {
                            pings = true;
                            if let Some(behind) = pulse.behind {
                                backlog.told(behind, submitted + gathered.count());
                            }
                            self.status().behind = backlog.lacking(submitted + gathered.count());
                        }
                        let (gathered, account) = (&mut gathered, &mut account);
                        let branch = branch.as_mut();
                        let heard =
                            self.take_heard(heard, dialed, joining, gathered, account, branch);
                        end = heard.await?;
                    }
                    Err(reason) => end = Some(reason),
                },
                Event::Told(ping) => {
                    // What it has settled may not be what it has now.
                    self.holds(dialed)?;
                    socket.queue(Message::Ping(ping.to_string().into()))?;
                    let Ping::Order(order) = ping else { continue };
                    log::debug!("peer {}: is told to be {order}", self.peer);
                    let mut status = self.status();
                    status.lazy = order == Order::Lazy;
                    if status.lazy {
                        // What it has is to come from others.
                        backlog.told(0, submitted + gathered.count());
                        status.behind = backlog.lacking(submitted + gathered.count());
                    }
                }
                Event::LongWork => is_long = submission.is_some(),
                // While there is no room, the silence is this node's own.
                Event::Tick if joining.is_stuck() => {
                    return Err(End::BadBase("nothing more of it comes".into()));
                }
                Event::Tick if taking.is_some() || !gathered.has_room(is_long) => silence.forgive(),
                Event::Tick => {
                    // That a stream is there says nothing if its peer should have said something.
                    if !pings || socket.signs_of_life() > signs_of_life_at_begin {
                        trouble.is_over();
                        works();
                    }
                    if silence.tick(socket.signs_of_life()) && pings {
                        return Err(End::Silent);
                    }
                    if silence.is_broken() {
                        let tick = TICK.as_micros() as u64;
                        self.status().hear_since(wall_clock().minus_micros(tick));
                    }
                }
            }
        }
    }

    /// Takes in what was heard. Says why the stream is to end once all that came before is submitted, if it is.
    ///
    /// # Errors
    /// If the stream is to end at once.
    async fn take_heard(
        &self,
        heard: Heard,
        dialed: Dialed,
        joining: &mut Joining<'_>,
        gathered: &mut Gathered,
        account: &mut Account<'_>,
        branch: Option<&mut Branch>,
    ) -> Result<Option<End>, End> {
        match heard {
            Heard::Transaction(_) if joining.is_under_way() => {
                return Ok(Some(End::BadBase("a transaction inside a Base".into())));
            }
            Heard::Transaction(transaction) => {
                if self.is_wanted(&transaction, account).await {
                    if let Some(branch) = branch {
                        branch.receive(transaction.stamp());
                    }
                    gathered.push(transaction);
                }
            }
            Heard::Note(Note::Have(summary)) => {
                self.status().heard = Some(wall_clock());
                self.holds(dialed)?;
                if let Some(branch) = branch {
                    branch.hear(summary);
                }
            }
            Heard::Note(Note::Members(reports)) if !joining.is_under_way() => {
                self.status().heard = Some(wall_clock());
                if let Some(branch) = branch {
                    branch.hear_of_members(reports);
                }
            }
            Heard::Note(note) => {
                gathered.reaches_end |= matches!(note, Note::End(_));
                let taken = joining.take(note);
                self.status().heard = Some(wall_clock());
                return Ok(taken.err());
            }
            Heard::Ping(pulse) => {
                self.status().heard = Some(wall_clock());
                self.holds(dialed)?;
                if let Some(theirs) = pulse.state {
                    self.compare(&theirs).await?;
                }
            }
            Heard::Pong(payload) => {
                if let Some(branch) = branch {
                    branch.pong(&payload);
                }
            }
            Heard::Other => (),
        }
        Ok(None)
    }

    /// Whether the manager is to look at a transaction: always if it has a `Time`.
    async fn is_wanted(&self, transaction: &Transaction, account: &mut Account<'_>) -> bool {
        if transaction.time.is_some() {
            return true;
        }
        let name = transaction.name();
        // A plain node passes on what it got from another one without its `Time`: commits, or a document.
        if name.source.is_reserved() {
            return false;
        }
        if name.source == self.handle.source() {
            // A node never stamps what it has created itself: it has it, or has lost it.
            if self.handle.count_on_from(&name).await {
                account.leave_out_own(&name);
            }
            return false;
        }
        match account.memory.judge(&name.source, name.id) {
            Verdict::Submit => true,
            Verdict::RefusedBefore => false,
            Verdict::OutOfOrder => {
                account.leave_out(&name.source, name.id);
                self.status().left_out += 1;
                false
            }
        }
    }

    /// Looks at what became of a submission. Ends the stream if one was not kept: what follows must not
    /// hide that it is missing.
    async fn settle(
        &self,
        answers: Vec<Submitted>,
        sent: Vec<Sent>,
        account: &mut Account<'_>,
    ) -> Result<(), End> {
        let before = account.left_out();
        for sent in sent {
            let Some(answer) = answers.get(sent.index) else { break };
            if account.answer(&sent, answer)
                && let Ok(Some((record, _))) = self.query.record(&sent.name).await
                && record.transaction().is_ok_and(|known| !sent.is(&known))
            {
                account.differs(&sent.name);
            }
        }
        self.status().left_out += account.left_out() - before;
        let now = wall_clock();
        answers.into_iter().try_for_each(|answer| match answer {
            Submitted::Accepted(record) => {
                let micros = now.micros_after(record.place.time);
                self.handle.durations().delays.observe(Duration::from_micros(micros));
                Ok(())
            }
            Submitted::Known { .. } | Submitted::Refused(_) | Submitted::Void => Ok(()),
            Submitted::Early { ahead_micros } => Err(End::Early(ahead_micros)),
            Submitted::Unkept(error) => Err(End::Unkept(error)),
        })
    }

    /// Looks at what became of a base. Says whether this node goes on from it.
    fn look_at(&self, taken: Taken) -> Result<bool, End> {
        match taken {
            Taken::InPlace => {
                let mut status = self.status();
                status.bases += 1;
                status.forget_comparison();
                Ok(true)
            }
            // What the peer sends behind it is nevertheless all that it does not cover.
            Taken::Refused(Refusal::Needless) => Ok(false),
            Taken::Refused(refusal) => Err(End::BaseRefused(refusal)),
            Taken::Failed(why) => Err(End::BaseUnkept(why)),
        }
    }

    /// Submits what was gathered.
    fn submit(&self, gathered: &mut Gathered) -> Submission {
        let Gathered { transactions, .. } = std::mem::take(gathered);
        {
            let mut status = self.status();
            status.heard = Some(wall_clock());
            status.received += transactions.len() as u64;
            let vclock = status.vclock.get_or_insert_default();
            for (source, id) in transactions.iter().map(Transaction::stamp) {
                if vclock.next_id(source) > 0 || vclock.sources() < MAX_PEER_SOURCES {
                    vclock.advance(source, id);
                }
            }
            status.delay_ms = transactions
                .last()
                .and_then(|transaction| transaction.time)
                .map(|time| wall_clock().micros_after(time) / 1000);
        }
        let handle = self.handle.clone();
        Box::pin(async move { handle.submit(transactions).await })
    }

    /// Compares this node's state with a peer's: with the same transactions the document is the same.
    async fn compare(&self, theirs: &StateHash) -> Result<(), End> {
        let state = self.handle.state();
        let vclock = state.stamps();
        if !theirs.is_of(vclock) {
            return Ok(());
        }
        if vclock.sources() <= MAX_PEER_SOURCES {
            self.status().vclock = Some(vclock.clone());
        }
        let Some(ours) = self.handle.state_hash().await else { return Ok(()) };
        if ours.clock != theirs.clock {
            return Ok(());
        }
        let agrees = ours.state == theirs.state;
        let mut status = self.status();
        let peer = status.named().to_string();
        status.agrees = Some(agrees);
        let before = status.divergence.take();
        if !agrees {
            let (here, there) = (ours.state.to_string(), theirs.state.to_string());
            if before.is_none() {
                status.divergences += 1;
                log::error!(
                    "peer {peer}: it counts the same transactions and has another document: state hash \
                     {here} here, {there} there. {}",
                    Divergence::CURE
                );
            }
            status.divergence = Some(Divergence { here, there });
            if before.is_none() {
                return Err(End::Diverged);
            }
        } else if before.is_some() {
            log::info!("peer {peer}: it has the same document again");
        }
        Ok(())
    }
}

/// What `receive` waits for.
enum Event {
    Answered(Result<Vec<Submitted>, Stopped>),
    Taken(Result<Taken, End>),
    Heard(Result<Message, Fault>),
    /// The peer is to be told something.
    Told(Ping),
    LongWork,
    Tick,
}

/// How many of these were new, and how many known.
fn news_and_known(answers: &[Submitted]) -> (u64, u64) {
    answers.iter().fold((0, 0), |(news, known), answer| match answer {
        Submitted::Accepted(_) => (news + 1, known),
        Submitted::Known { .. } => (news, known + 1),
        _ => (news, known),
    })
}

/// Transactions that the manager is at work on.
type Submission = Pin<Box<dyn Future<Output = Result<Vec<Submitted>, Stopped>> + Send>>;

/// Transactions that came and are not submitted yet.
#[derive(Default)]
struct Gathered {
    transactions: Vec<Transaction>,
    bytes: usize,
    /// Whether with these the peer's journal was read to its end.
    reaches_end: bool,
}

impl Gathered {
    fn push(&mut self, transaction: Transaction) {
        self.bytes += TRANSACTION_BYTES + transaction.payload.len();
        self.transactions.push(transaction);
    }

    fn count(&self) -> u64 {
        self.transactions.len() as u64
    }

    /// Whether more may be gathered, if the manager has `long` been at work on those before.
    fn has_room(&self, long: bool) -> bool {
        self.bytes < if long { LATE_BATCH_BYTES } else { BATCH_BYTES }
    }
}

/// What a message means here.
enum Heard {
    Transaction(Transaction),
    Note(Note),
    /// With what the peer says of itself.
    Ping(Pulse),
    Pong(Bytes),
    Other,
}

/// Reads a message. Only a peer that `sends_notes` may send what is no transaction.
fn read(message: Result<Message, Fault>, sends_notes: bool) -> Result<Heard, End> {
    let message = match message? {
        Message::Text(text) => text.into(),
        // Some plain nodes send the text as binary.
        Message::Binary(bytes) => bytes,
        Message::Ping(payload) => return Ok(Heard::Ping(Pulse::read(&payload))),
        Message::Pong(payload) => return Ok(Heard::Pong(payload)),
        Message::Frame(_) => return Ok(Heard::Other),
        Message::Close(frame) => return Err(End::Closed(frame)),
    };
    Transaction::decode(&message).map(Heard::Transaction).or_else(|error| {
        match Note::decode(&message).filter(|_| sends_notes) {
            Some(note) => note.map(Heard::Note).map_err(End::BadNote),
            None => Err(End::Garbage(error)),
        }
    })
}

/// Waits for `shutdown` to close.
async fn stopping<T>(shutdown: &Receiver<Infallible>) -> Result<T, End> {
    match shutdown.recv().await {
        Ok(never) => match never {},
        Err(_) => Err(End::Stopping),
    }
}
