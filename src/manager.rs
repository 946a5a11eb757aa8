//! The manager: the one task that owns replica and journal.
//!
//! Everything reaches it as a `ManagerMessage` through one bounded channel. A transaction of a user and one of
//! a peer are the same message, so the manager cannot tell them apart. It works at its own pace: it drains the
//! inbox, applies the transactions, appends them to the journal as one batch, publishes its [`State`], answers
//! the senders, and then wakes the streams. So nothing is acknowledged, shown or sent before it is in the journal.
//! Readers take the last published state, also while the manager is busy. It never waits for a socket.

mod background;
mod batching;
mod committer;
mod creation;
mod folds;
mod handle;
mod healing;
mod heavy;
mod journal_past;
mod keeper;
mod late_arrivals;
mod lives;
mod log_limit;
mod proposal;
pub mod recovery;
mod reply;
mod representation;
mod shares;
mod state;
mod state_hash;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;
use smol::lock::Mutex;

use crate::blocking::unblock;
use crate::clock::Time;
use crate::drops;
use crate::journal::{AppendError, DirectoryError, Journal};
use crate::locks::RwLock;
use crate::patch::assert_json_is_as_agreed;
use crate::replica::{Acceptance, Bounds, Life, Replica};
use crate::source::Source;
use crate::transaction::{Name, Transaction};
use batching::Batching;
use committer::Committer;
use folds::Folds;
use handle::ManagerMessage;
use healing::Checking;
use journal_past::Bases;
use keeper::Keeper;
use late_arrivals::LateArrivals;
use log_limit::LogLimit;
use recovery::Recovered;
use reply::Reply;
use shares::Shares;
use state::Publisher;

pub use crate::replica::Outcome;
pub use committer::{Hearing, Promotion};
pub use creation::ClientName;
pub use handle::{Counters, Durations, Handle, Stopped, Submitted};
pub use healing::BaseOutcome;
pub use journal_past::JournalPast;
pub use proposal::{Condition, Content, Decision, Proposal};
pub use representation::Representation;
pub use shares::Lag;
pub use state::{Edition, LastCommit, Published, Reading, SkippedPage, Standing, State};
pub use state_hash::StateHash;

/// How many messages the inbox holds. If it is full, senders wait.
const INBOX_MESSAGES: usize = 1024;

/// If a turn has so many transactions, it takes no further submission: it appends them and answers.
const BATCH_TRANSACTIONS: usize = 1024;

/// If more transactions have to be applied for one batch, another thread applies them, so that this thread can
/// answer others meanwhile.
const MOST_APPLIED_HERE: usize = 512;

/// Why the manager has a turn.
enum TurnCause {
    /// A message arrived.
    Message(ManagerMessage),
    /// It is time to take in late arrivals, to commit, or to fold; or another thread has finished its work.
    Moment,
}

/// Transactions that were submitted together, and the way back for their outcomes.
type Submission = (Vec<Transaction>, Reply<Vec<Submitted>>);

/// The task's own state.
pub struct Manager {
    inbox: Receiver<ManagerMessage>,
    replica: Replica,
    journal: Journal,
    publisher: Publisher,
    durations: Arc<Durations>,
    counters: Counters,
    /// Limits the log of transactions that change between applied and skipped.
    changes: LogLimit,
    /// Limits the log of transactions that contradict others.
    contradictions: LogLimit,
    batching: Batching,
    late: LateArrivals<Submission>,
    /// Whether another thread has applied something since the last state was published.
    was_long: bool,
    /// This node's source, shared with all handles.
    source: Arc<RwLock<Source>>,
    /// When the last new life of this process began.
    life_begun: Option<Instant>,
    /// Writes checkpoints; none if the journal is in memory.
    keeper: Option<Keeper>,
    /// Where the last base is.
    bases: Bases,
    folds: Folds,
    checking: Option<Checking>,
    /// Commits, if this node may be the primary.
    committer: Option<Committer>,
}

impl Manager {
    /// A manager of an empty replica with a journal in memory, and the first handle to it.
    ///
    /// # Panics
    /// In a build in which serde_json writes other JSON than every node does.
    pub fn in_memory(source: Source) -> (Self, Handle) {
        assert_json_is_as_agreed();
        let life = Life::new(source.clone()).expect("a life leaves room for its stamps");
        let replica = Replica::new(life, Bounds::default());
        Self::new(replica, Journal::in_memory(), source, None)
    }

    /// A manager of the data directory `path`, and the first handle to it. If the directory has no journal yet,
    /// this creates one, whose source is a new life of `name`. Waits for the disk.
    ///
    /// # Errors
    /// If the directory cannot be used.
    ///
    /// # Panics
    /// In a build in which serde_json writes other JSON than every node does.
    pub fn open(path: &Path, name: &str, random: u64) -> Result<(Self, Handle), DirectoryError> {
        assert_json_is_as_agreed();
        let recovered = recovery::open(path, name, random, wall_clock())?;
        let Recovered { directory, first_life, source, journal, replica, from } = recovered;
        let keeper = Keeper::new(directory, first_life, from, &journal.reader());
        let journal = Journal::in_file(journal);
        Ok(Self::new(replica, journal, source, Some(keeper)))
    }

    fn new(
        replica: Replica,
        journal: Journal,
        source: Source,
        keeper: Option<Keeper>,
    ) -> (Self, Handle) {
        let (sender, inbox) = async_channel::bounded(INBOX_MESSAGES);
        let next = Name { id: replica.next_id(&source), source: source.clone() };
        let source = Arc::new(RwLock::new(source));
        let publisher = Publisher::new(&replica);
        let bases = keeper.as_ref().map_or(Bases::InMemory, Keeper::bases);
        let handle = Handle {
            inbox: sender,
            published: publisher.share(),
            past: JournalPast::new(journal.reader(), bases.clone()),
            source: source.clone(),
            next: Arc::new(Mutex::new(next)),
            shares: Arc::new(Shares::default()),
            durations: Arc::default(),
        };
        let manager = Self {
            inbox,
            replica,
            journal,
            publisher,
            durations: handle.durations.clone(),
            counters: Counters::default(),
            changes: LogLimit::default(),
            contradictions: LogLimit::default(),
            batching: Batching::default(),
            late: LateArrivals::default(),
            was_long: false,
            source,
            life_begun: None,
            keeper,
            bases,
            folds: Folds::default(),
            checking: None,
            committer: None,
        };
        (manager, handle)
    }

    /// Works until the last handle is dropped.
    ///
    /// # Errors
    /// If it cannot go on, since the content of the journal on the disk is unknown.
    pub async fn run(mut self) -> io::Result<()> {
        self.live_on(&Acceptance::default()).await?;
        self.commit_where_due(Duration::ZERO).await?;
        self.fold_where_due().await?;
        self.publisher.wake();
        while let Some(wake) = self.wake().await {
            self.publisher.turn();
            let begin = Instant::now();
            self.turn(wake).await?;
            let took = begin.elapsed();
            self.durations.turns.observe(took);
            self.commit_where_due(took).await?;
            self.check_where_due().await;
            self.fold_where_due().await?;
            if let (Some(keeper), Journal::File(_, reader)) = (&mut self.keeper, &self.journal) {
                keeper.keep_where_due(&self.replica, reader);
            }
            self.publisher.wake();
            self.publisher.turn();
        }
        if let (Some(mut keeper), Journal::File(_, reader)) = (self.keeper, &self.journal) {
            keeper.finish(&self.replica, reader).await;
        }
        self.journal.close()
    }

    /// Waits for a reason to have a turn; none if all handles are dropped. Late arrivals that still wait are then
    /// dropped with their replies, so their senders learn that the node stops.
    async fn wake(&mut self) -> Option<TurnCause> {
        let message = async { self.inbox.recv().await.ok().map(TurnCause::Message) };
        let looks = self.committer.as_ref().and_then(Committer::looks);
        let folds = self.folds.moment(self.replica.history().verified());
        let moment = self.late.ends().into_iter().chain(looks).chain(folds).min();
        let come = async {
            match moment {
                Some(moment) => Timer::at(moment).await,
                None => std::future::pending().await,
            };
            Some(TurnCause::Moment)
        };
        let found_out = background::done(self.committer.as_mut().and_then(Committer::work));
        let written = background::done(self.folds.work());
        let checked = background::done(self.checking.as_mut().map(Checking::work));
        let done = async {
            found_out.or(written).or(checked).await;
            Some(TurnCause::Moment)
        };
        message.or(come).or(done).await
    }

    /// Takes a message and all others that wait in the inbox, and the late arrivals if their time has come.
    /// Answers each once.
    async fn turn(&mut self, wake: TurnCause) -> io::Result<()> {
        let (mut submissions, mut replies): (Vec<_>, Vec<_>) =
            self.late.release(Instant::now()).into_iter().unzip();
        let (mut proposed, mut taken) = (None, None);
        let mut count = submissions.iter().map(Vec::len).sum::<usize>();
        let mut next = match wake {
            TurnCause::Message(message) => Some(message),
            TurnCause::Moment => None,
        };
        while let Some(message) = next {
            match message {
                ManagerMessage::Submit { transactions, reply } => {
                    let mut submission = Some((transactions, reply));
                    if let Some(late) = submission.take_if(|(list, _)| self.may_wait(list)) {
                        submission = self.late.hold(late, Instant::now());
                    }
                    if let Some((transactions, reply)) = submission {
                        count += transactions.len();
                        submissions.push(transactions);
                        replies.push(reply);
                    }
                }
                ManagerMessage::Promote { reply } => {
                    reply.send(self.promote());
                }
                ManagerMessage::TakeBase { base, peer, reply } => {
                    taken = Some((base, peer, reply));
                    break;
                }
                // It is decided alone, after all submissions that were before it in the inbox.
                ManagerMessage::Propose(proposal) => {
                    proposed = Some(proposal);
                    break;
                }
            }
            next = if count >= BATCH_TRANSACTIONS {
                None
            } else if let Ok(message) = self.inbox.try_recv() {
                Some(message)
            } else {
                self.expected_message(submissions.len()).await
            };
        }
        if !submissions.is_empty() {
            let answers = self.take_in(submissions).await?;
            let (waiting, took) = (self.inbox.len(), self.journal.last_append());
            self.batching.appended(answers.len(), waiting, took, Instant::now());
            for (reply, answer) in replies.into_iter().zip(answers) {
                // If the sender has gone, its transactions stay.
                reply.send(answer);
            }
            self.publisher.wake();
        }
        if let Some(proposed) = proposed {
            self.batching.disturbed();
            self.decide(proposed).await?;
        }
        if let Some((base, peer, reply)) = taken {
            self.batching.disturbed();
            let taken = self.take_base(*base, &peer).await?;
            reply.send(taken);
        }
        Ok(())
    }

    /// Whether a submission may have to wait with the late arrivals.
    fn may_wait(&self, submission: &[Transaction]) -> bool {
        if self.late.holds() {
            self.replica.is_ordered_and_new(submission)
        } else {
            self.replica.is_late(submission)
        }
    }

    /// The next message, if a batch of so many submissions should wait for it.
    async fn expected_message(&self, submissions: usize) -> Option<ManagerMessage> {
        if submissions == 0 {
            return None;
        }
        let until = self.batching.wait_until(submissions, Instant::now())?;
        let message = async { self.inbox.recv().await.ok() };
        let too_late = async {
            Timer::at(until).await;
            None
        };
        message.or(too_late).await
    }

    /// Takes submissions in, publishes the new state, and returns the outcome of each transaction.
    async fn take_in(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
    ) -> io::Result<Vec<Vec<Submitted>>> {
        if self.publisher.take_wish_for_changes() {
            self.replica.want_changes();
        }
        let answers = self.take_in_each(submissions).await?;
        let last = self.publisher.publish(&self.replica, self.counters);
        if std::mem::take(&mut self.was_long) {
            // It may be the last to hold a large part of the old history.
            drops::send(last, u64::MAX);
        }
        Ok(answers)
    }

    /// Late arrivals may need a part of the journal that cannot be read. If so, these are not kept, and all other
    /// submissions are taken in without them.
    async fn take_in_each(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
    ) -> io::Result<Vec<Vec<Submitted>>> {
        let sizes: Vec<usize> = submissions.iter().map(Vec::len).collect();
        let needs_past = |some| self.replica.needs_past(std::slice::from_ref(some));
        let late: Vec<bool> = submissions.iter().map(needs_past).collect();
        let others: Option<Vec<_>> = late.contains(&true).then(|| {
            let all = submissions.iter().zip(&late);
            all.map(|(some, late)| if *late { Vec::new() } else { some.clone() }).collect()
        });
        let error = match self.take_in_all(submissions, &sizes, others.is_some()).await? {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        let Some(others) = others else { return Ok(self.all_unkept(&sizes, error)) };
        let other_sizes: Vec<usize> = others.iter().map(Vec::len).collect();
        let answers = match self.take_in_all(others, &other_sizes, false).await? {
            Ok(answers) => answers,
            Err(error) => return Ok(self.all_unkept(&sizes, error)),
        };
        let late_sizes = sizes.iter().zip(&other_sizes).map(|(size, other)| size - other);
        let unkept = self.all_unkept(&late_sizes.collect::<Vec<_>>(), error);
        let answers = answers.into_iter().zip(unkept).zip(late);
        Ok(answers.map(|((answer, unkept), late)| if late { unkept } else { answer }).collect())
    }

    /// Applies submissions and appends them to the journal, and returns the outcomes. If the journal has to be read
    /// and cannot be, it returns that error, and nothing was taken in.
    async fn take_in_all(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
        sizes: &[usize],
        needs_past: bool,
    ) -> io::Result<io::Result<Vec<Vec<Submitted>>>> {
        if self.publisher.take_note_of_readers() {
            self.batching.disturbed();
        }
        let now = wall_clock();
        let before = self.replica.clone();
        let is_alone = self.batching.is_alone(sizes.iter().sum());
        let work = self.replica.effort(&submissions);
        let applied = work.new + work.again;
        let is_long = needs_past || applied > MOST_APPLIED_HERE;
        self.was_long |= is_long;
        let begin = Instant::now();
        let accepted = self
            .with_replica(is_long, move |replica, past| replica.accept(submissions, now, past))
            .await;
        if work.is_late {
            // `work.again` does not count what has to be read from the journal.
            let again = if needs_past { applied } else { work.again };
            self.late.begin(begin.elapsed(), (again, applied), Instant::now());
        }
        let mut acceptance = match accepted {
            Ok(acceptance) => acceptance,
            Err(error) => {
                self.replica = before;
                return Ok(Err(error));
            }
        };
        let records = std::mem::take(&mut acceptance.records);
        if !records.is_empty() {
            if let Err(error) = self.journal.append(records, is_alone).await {
                let error = self.not_appended(error)?;
                self.replica = before;
                return Ok(Ok(self.all_unkept(sizes, error)));
            }
            if std::mem::take(&mut self.counters.journal_full) {
                log::info!("the journal can grow again");
            }
        }
        self.counters.generation += u64::from(acceptance.has_other_chain);
        self.tell(&acceptance);
        self.tell_difference(before.difference());
        self.live_on(&acceptance).await?;
        Ok(Ok(acceptance
            .outcomes
            .into_iter()
            .map(|outcomes| outcomes.into_iter().map(Ok).collect())
            .collect()))
    }

    /// Why a batch is not in the journal.
    ///
    /// # Errors
    /// If the journal cannot be used any more.
    fn not_appended(&mut self, error: AppendError) -> io::Result<io::Error> {
        match error {
            AppendError::Full(error) => {
                if !self.counters.journal_full {
                    log::error!(
                        "the journal cannot grow: {error}; transactions are refused until there is room, \
                         reads go on"
                    );
                }
                self.counters.journal_full = true;
                let text = format!("the journal cannot grow: {error}");
                Ok(io::Error::new(io::ErrorKind::StorageFull, text))
            }
            AppendError::Lost(error) => {
                let text = format!("the journal's file is not in its place: {error}");
                Ok(io::Error::new(error.kind(), text))
            }
            AppendError::Broken(error) => {
                let text = format!(
                    "the journal cannot be written, and what reached the disk is not known: {error}"
                );
                Err(io::Error::new(error.kind(), text))
            }
        }
    }

    /// Does `work` on the replica: on this thread, or on another one if it is long or has to read the journal.
    async fn with_replica<T: Send + 'static>(
        &mut self,
        is_long: bool,
        work: impl FnOnce(&mut Replica, &JournalPast) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let past = JournalPast::new(self.journal.reader(), self.bases.clone());
        if !is_long {
            return work(&mut self.replica, &past);
        }
        let empty = Replica::new(self.replica.life().clone(), Bounds::default());
        let mut replica = std::mem::replace(&mut self.replica, empty);
        let (replica, result) = unblock(move || {
            let result = work(&mut replica, &past);
            (replica, result)
        })
        .await;
        self.replica = replica;
        result
    }

    /// Counts submissions of these sizes as not kept, and makes the answers to them.
    fn all_unkept(&mut self, sizes: &[usize], error: io::Error) -> Vec<Vec<Submitted>> {
        let error = Arc::new(error);
        self.counters.unkept += sizes.iter().sum::<usize>() as u64;
        sizes.iter().map(|size| vec![Err(error.clone()); *size]).collect()
    }
}

/// The wall clock's reading.
pub fn wall_clock() -> Time {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(micros).ok().and_then(Time::from_micros).unwrap_or(Time::MAX)
}

#[cfg(test)]
mod tests;
