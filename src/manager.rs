//! The manager: the one task that owns replica and journal.
//!
//! Everything reaches it as an `Event` through one bounded channel. A transaction that a user posted
//! and one that a peer sent are the same variant with the same content, so it has no way to tell them
//! apart. It works at its own pace: it drains the inbox, applies what came, appends it to the journal
//! as one batch, publishes its [`State`], then answers, and then wakes those who send it on; so nobody is told
//! of, shown or sent what is not in the journal. Readers take what is published last, whatever it is at work on.
//! It never waits for a socket.

mod away;
mod creation;
mod folds;
mod handle;
mod healing;
mod heavy;
mod keeper;
mod lines;
mod lives;
mod pace;
mod past;
mod primary;
mod proposal;
pub mod recovery;
mod representation;
mod rest;
mod shares;
mod state;
mod state_hash;

use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_channel::{Receiver, Sender};
use smol::Timer;
use smol::future::FutureExt;
use smol::lock::Mutex;

use crate::clock::Time;
use crate::drops;
use crate::journal::{AppendError, DirectoryError, Journal};
use crate::patch::assert_json_is_as_agreed;
use crate::replica::{Acceptance, Bounds, Life, Replica};
use crate::source::Source;
use crate::transaction::{Name, Transaction};
use folds::Folds;
use handle::Event;
use healing::Checking;
use keeper::Keeper;
use lines::Lines;
use pace::Pace;
use past::Bases;
use primary::Committer;
use recovery::Recovered;
use rest::Rest;
use shares::Shares;
use state::Publisher;

pub use crate::replica::Outcome;
pub use creation::ClientName;
pub use handle::{Counters, Durations, Handle, Stopped, Submitted};
pub use healing::Taken;
pub use past::JournalPast;
pub use primary::{Hearing, Promotion};
pub use proposal::{Condition, Content, Decision, Proposal};
pub use representation::Representation;
pub use shares::Lag;
pub use state::{Edition, LastCommit, Published, Reading, SkippedPage, Standing, State};
pub use state_hash::StateHash;

/// How many events wait for the manager before their senders wait too.
const INBOX_EVENTS: usize = 1024;

/// How many transactions the manager takes before it appends them and answers; one submission more
/// than that when it passes.
const BATCH_TRANSACTIONS: usize = 1024;

/// If more transactions have to be applied for one batch, another thread does it, so that others are
/// answered meanwhile.
const MOST_APPLIED_HERE: usize = 512;

/// Why the manager has a turn.
enum Wake {
    /// This came.
    Event(Event),
    /// The time has come for what was held back, to look whether something is to be made final, or to fold.
    Moment,
}

/// Transactions that were submitted together, and where to say what became of them.
type Submission = (Vec<Transaction>, Sender<Vec<Submitted>>);

/// The task's own state.
pub struct Manager {
    inbox: Receiver<Event>,
    replica: Replica,
    journal: Journal,
    publisher: Publisher,
    durations: Arc<Durations>,
    counters: Counters,
    /// What is logged of transactions that changed between applied and skipped.
    changes: Lines,
    /// And of those that contradict others.
    contradictions: Lines,
    pace: Pace,
    rest: Rest<Submission>,
    /// Whether other threads have applied something since the last state was published.
    was_long: bool,
    /// This node's source, as all others see it.
    source: Arc<RwLock<Source>>,
    /// When the last new life of this process began.
    life_begun: Option<Instant>,
    /// Where checkpoints are kept; none if the journal is in memory.
    keeper: Option<Keeper>,
    /// Where the last base is.
    bases: Bases,
    folds: Folds,
    checking: Option<Checking>,
    /// Who makes the history final, if this node may be the primary.
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

    /// A manager of what the data directory `path` has, and the first handle to it. If there is no
    /// journal yet, one is begun whose source is a new life of `name`. Waits for the disk.
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
        let (sender, inbox) = async_channel::bounded(INBOX_EVENTS);
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
            changes: Lines::default(),
            contradictions: Lines::default(),
            pace: Pace::default(),
            rest: Rest::default(),
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
    /// If it cannot go on, since what the journal has is not known any more.
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

    /// Waits for a reason to have a turn; none if nobody is there any more. What is held back then is
    /// dropped, and so is told that the node stops.
    async fn wake(&mut self) -> Option<Wake> {
        let event = async { self.inbox.recv().await.ok().map(Wake::Event) };
        let looks = self.committer.as_ref().and_then(Committer::looks);
        let folds = self.folds.moment(self.replica.history().verified());
        let moment = self.rest.ends().into_iter().chain(looks).chain(folds).min();
        let come = async {
            match moment {
                Some(moment) => Timer::at(moment).await,
                None => std::future::pending().await,
            };
            Some(Wake::Moment)
        };
        let found_out = away::done(self.committer.as_mut().and_then(Committer::work));
        let written = away::done(self.folds.work());
        let checked = away::done(self.checking.as_mut().map(Checking::work));
        let done = async {
            found_out.or(written).or(checked).await;
            Some(Wake::Moment)
        };
        event.or(come).or(done).await
    }

    /// Takes an event and what else waits in the inbox, and what was held back if its time has come;
    /// answers each once.
    async fn turn(&mut self, wake: Wake) -> io::Result<()> {
        let (mut submissions, mut replies): (Vec<_>, Vec<_>) =
            self.rest.release(Instant::now()).into_iter().unzip();
        let (mut proposed, mut taken) = (None, None);
        let mut count = submissions.iter().map(Vec::len).sum::<usize>();
        let mut next = match wake {
            Wake::Event(event) => Some(event),
            Wake::Moment => None,
        };
        while let Some(event) = next {
            match event {
                Event::Submit { transactions, reply } => {
                    let mut submission = Some((transactions, reply));
                    if let Some(late) = submission.take_if(|(list, _)| self.may_wait(list)) {
                        submission = self.rest.hold(late, Instant::now());
                    }
                    if let Some((transactions, reply)) = submission {
                        count += transactions.len();
                        submissions.push(transactions);
                        replies.push(reply);
                    }
                }
                Event::Promote { reply } => {
                    reply.try_send(self.promote()).ok();
                }
                Event::TakeBase { base, peer, reply } => {
                    taken = Some((base, peer, reply));
                    break;
                }
                // It has a turn of its own, after what came before it.
                Event::Propose(proposal) => {
                    proposed = Some(proposal);
                    break;
                }
            }
            next = if count >= BATCH_TRANSACTIONS {
                None
            } else if let Ok(event) = self.inbox.try_recv() {
                Some(event)
            } else {
                self.expected_event(submissions.len()).await
            };
        }
        if !submissions.is_empty() {
            let answers = self.take_in(submissions).await?;
            let (waiting, took) = (self.inbox.len(), self.journal.last_append());
            self.pace.appended(answers.len(), waiting, took, Instant::now());
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Who asked may have gone; what it submitted stays.
                reply.try_send(answer).ok();
            }
            self.publisher.wake();
        }
        if let Some(proposed) = proposed {
            self.pace.disturbed();
            self.decide(proposed).await?;
        }
        if let Some((base, peer, reply)) = taken {
            self.pace.disturbed();
            let taken = self.take_base(*base, &peer).await?;
            reply.try_send(taken).ok();
        }
        Ok(())
    }

    /// Whether a submission is to be taken in together with what comes late.
    fn may_wait(&self, submission: &[Transaction]) -> bool {
        if self.rest.holds() {
            self.replica.is_ordered_and_new(submission)
        } else {
            self.replica.is_late(submission)
        }
    }

    /// The next event, if a batch of so many submissions should wait for it.
    async fn expected_event(&self, submissions: usize) -> Option<Event> {
        if submissions == 0 {
            return None;
        }
        let until = self.pace.wait_until(submissions, Instant::now())?;
        let event = async { self.inbox.recv().await.ok() };
        let too_late = async {
            Timer::at(until).await;
            None
        };
        event.or(too_late).await
    }

    /// Takes submissions in, publishes what came of it, and says what became of them.
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
            // It may have much that nobody else has any more.
            drops::send(last, u64::MAX);
        }
        Ok(answers)
    }

    /// Late arrivals may need a part of the journal that cannot be read: then nothing that needs it is
    /// taken in, and all else is.
    async fn take_in_each(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
    ) -> io::Result<Vec<Vec<Submitted>>> {
        let needs_past =
            |replica: &Replica, some: &Vec<_>| replica.needs_past(std::slice::from_ref(some));
        let sizes: Vec<usize> = submissions.iter().map(Vec::len).collect();
        if !submissions.iter().any(|some| needs_past(&self.replica, some)) {
            return Ok(match self.take_in_all(submissions, &sizes, false).await? {
                Ok(answers) => answers,
                Err(error) => self.all_unkept(&sizes, error),
            });
        }
        let late: Vec<bool> =
            submissions.iter().map(|some| needs_past(&self.replica, some)).collect();
        let others = submissions.iter().zip(&late);
        let others = others.map(|(some, late)| if *late { Vec::new() } else { some.clone() });
        let others: Vec<_> = others.collect();
        let other_sizes: Vec<usize> = others.iter().map(Vec::len).collect();
        let error = match self.take_in_all(submissions, &sizes, true).await? {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        let answers = match self.take_in_all(others, &other_sizes, false).await? {
            Ok(answers) => answers,
            Err(error) => return Ok(self.all_unkept(&sizes, error)),
        };
        let sizes: Vec<usize> =
            sizes.iter().zip(&late).map(|(size, late)| if *late { *size } else { 0 }).collect();
        let unkept = self.all_unkept(&sizes, error);
        let answers = answers.into_iter().zip(unkept).zip(late);
        Ok(answers.map(|((answer, unkept), late)| if late { unkept } else { answer }).collect())
    }

    /// Applies submissions and appends them to the journal, and says what became of them; or why the
    /// journal cannot be read, if it has to be. Nothing was taken in then.
    async fn take_in_all(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
        sizes: &[usize],
        needs_past: bool,
    ) -> io::Result<io::Result<Vec<Vec<Submitted>>>> {
        if self.publisher.take_note_of_readers() {
            self.pace.disturbed();
        }
        let now = wall_clock();
        let before = self.replica.clone();
        let is_alone = self.pace.is_alone(sizes.iter().sum());
        let work = self.replica.effort(&submissions);
        let applied = work.new + work.again;
        let is_long = needs_past || applied > MOST_APPLIED_HERE;
        self.was_long |= is_long;
        let begin = Instant::now();
        let accepted = self
            .with_replica(is_long, move |replica, past| replica.accept(submissions, now, past))
            .await;
        if work.is_late {
            // What has to be read from the journal again is not counted before.
            let again = if needs_past { applied } else { work.again };
            self.rest.begin(begin.elapsed(), (again, applied), Instant::now());
        }
        let acceptance = match accepted {
            Ok(acceptance) => acceptance,
            Err(error) => {
                self.replica = before;
                return Ok(Err(error));
            }
        };
        if !acceptance.records.is_empty() {
            if let Err(error) = self.journal.append(&acceptance.records, is_alone).await {
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

    /// Why something is not in the journal.
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

    /// Lets `work` at the replica: here, or away from the executor if it is long or has to read the
    /// journal.
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
        let (replica, result) = smol::unblock(move || {
            let result = work(&mut replica, &past);
            (replica, result)
        })
        .await;
        self.replica = replica;
        result
    }

    /// Answers submissions of these sizes, none of which is kept, and counts them.
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
