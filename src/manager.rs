//! The manager: the one task that owns replica and journal.
//!
//! Everything reaches it as an `Event` through one bounded channel. A transaction that a user posted
//! and one that a peer sent are the same variant with the same content, so it has no way to tell them
//! apart. It works at its own pace: it drains the inbox, applies what came, appends it to the journal
//! as one batch, and then answers; so nobody is told of, shown or sent what is not in the journal.
//! It never waits for a socket.

mod at;
mod creation;
mod handle;
mod keeper;
mod lines;
mod lives;
mod pace;
mod past;
mod proposal;
pub mod recovery;
mod rest;
mod state;
mod update;

use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_channel::{Receiver, Sender, TrySendError};
use smol::Timer;
use smol::future::FutureExt;
use smol::lock::Mutex;

use crate::clock::{Time, VectorClock};
use crate::journal::{AppendError, DirectoryError, Journal};
use crate::patch::{PointerBuf, assert_json_is_as_agreed};
use crate::replica::history::{Contradiction, FateChanges};
use crate::replica::{Acceptance, Bounds, Life, Outcome, Replica};
use crate::source::Source;
use crate::transaction::{Name, Place, Transaction};
use handle::Event;
use keeper::Keeper;
use lines::Lines;
use pace::Pace;
use recovery::Recovered;
use rest::Rest;

pub use at::{DocumentWork, ListingWork, SkippedPage, Standing};
pub use creation::ClientName;
pub use handle::{Counters, Handle, Stopped, Submitted};
pub use past::JournalPast;
pub use proposal::{Condition, Content, Decision, Proposal};
pub use state::{Hash, Reading, Snapshot, StateHash, Whole};
pub use update::{Change, Known, Update};

/// How many events wait for the manager before their senders wait too.
const INBOX_EVENTS: usize = 1024;

/// How many transactions the manager takes before it appends them and answers; one submission more
/// than that when it passes.
const BATCH_TRANSACTIONS: usize = 1024;

/// Why the manager has a turn.
enum Wake {
    /// This came.
    Event(Event),
    /// What was held back is taken in.
    Rested,
}

/// Transactions that were submitted together, and where to say what became of them.
type Submission = (Vec<Transaction>, oneshot::Sender<Vec<Submitted>>);

/// The task's own state.
pub struct Manager {
    inbox: Receiver<Event>,
    replica: Replica,
    journal: Journal,
    subscribers: Vec<Sender<()>>,
    counters: Counters,
    /// What is logged of transactions that changed between applied and skipped.
    changes: Lines,
    /// And of those that contradict others.
    contradictions: Lines,
    pace: Pace,
    rest: Rest<Submission>,
    /// This node's source, as all others see it.
    source: Arc<RwLock<Source>>,
    /// When the last new life of this process began.
    life_begun: Option<Instant>,
    /// Where checkpoints are kept; none if the journal is in memory.
    keeper: Option<Keeper>,
    /// The whole snapshot as it was last read; none if it has changed since.
    whole: Option<Whole>,
    /// The vector clock as it was last read; none if it has changed since.
    vclock: Option<Arc<VectorClock>>,
    changed: Instant,
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
        let keeper = Keeper::new(directory, first_life, from);
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
        let handle = Handle {
            inbox: sender,
            journal: journal.reader(),
            source: source.clone(),
            next: Arc::new(Mutex::new(next)),
        };
        let manager = Self {
            inbox,
            replica,
            journal,
            subscribers: Vec::new(),
            counters: Counters::default(),
            changes: Lines::default(),
            contradictions: Lines::default(),
            pace: Pace::default(),
            rest: Rest::default(),
            source,
            life_begun: None,
            keeper,
            whole: None,
            vclock: None,
            changed: Instant::now(),
        };
        (manager, handle)
    }

    /// Works until the last handle is dropped.
    ///
    /// # Errors
    /// If it cannot go on, since what the journal has is not known any more.
    pub async fn run(mut self) -> io::Result<()> {
        while let Some(wake) = self.wake().await {
            self.turn(wake).await?;
            if let (Some(keeper), Journal::File(_, reader)) = (&mut self.keeper, &self.journal) {
                keeper.keep_where_due(&mut self.replica, reader);
            }
        }
        if let (Some(mut keeper), Journal::File(_, reader)) = (self.keeper, &self.journal) {
            keeper.finish(&mut self.replica, reader).await;
        }
        self.journal.close()
    }

    /// Waits for a reason to have a turn; none if nobody is there any more. What is held back then is
    /// dropped, and so is told that the node stops.
    async fn wake(&self) -> Option<Wake> {
        let event = async { self.inbox.recv().await.ok().map(Wake::Event) };
        match self.rest.ends() {
            None => event.await,
            Some(end) => {
                let rested = async {
                    Timer::at(end).await;
                    Some(Wake::Rested)
                };
                event.or(rested).await
            }
        }
    }

    /// Takes an event and what else waits in the inbox, and what was held back if its time has come;
    /// answers each once.
    async fn turn(&mut self, wake: Wake) -> io::Result<()> {
        let (mut submissions, mut replies): (Vec<_>, Vec<_>) =
            self.rest.release(Instant::now()).into_iter().unzip();
        let mut reads = Vec::new();
        let mut proposed = None;
        let mut count = submissions.iter().map(Vec::len).sum::<usize>();
        let mut next = match wake {
            Wake::Event(event) => Some(event),
            Wake::Rested => None,
        };
        while let Some(event) = next {
            match event {
                Event::Submit { transactions, reply } => {
                    let mut submission = Some((transactions, reply));
                    if let Some(late) = submission.take_if(|(list, _)| self.replica.is_late(list)) {
                        submission = self.rest.hold(late, Instant::now());
                    }
                    if let Some((transactions, reply)) = submission {
                        count += transactions.len();
                        submissions.push(transactions);
                        replies.push(reply);
                    }
                }
                // It has a turn of its own, after what came before it.
                Event::Propose(proposal) => {
                    proposed = Some(proposal);
                    break;
                }
                read => reads.push(read),
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
                reply.send(answer).ok();
            }
        }
        if proposed.is_some() || !reads.is_empty() {
            self.pace.disturbed();
        }
        if let Some(proposed) = proposed {
            self.decide(proposed).await?;
        }
        for read in reads {
            self.answer(read);
        }
        Ok(())
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

    /// Takes submissions in, and says what became of them. Late arrivals may need a part of the journal
    /// that cannot be read: then nothing that needs it is taken in, and all else is.
    async fn take_in(
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

    /// Applies submissions and appends them to the journal; only then wakes who waits for the journal
    /// to grow, and says what became of them; or why the journal cannot be read, if it has to be. Nothing
    /// was taken in then.
    async fn take_in_all(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
        sizes: &[usize],
        needs_past: bool,
    ) -> io::Result<io::Result<Vec<Vec<Submitted>>>> {
        let now = wall_clock();
        let is_alone = self.pace.is_alone(sizes.iter().sum());
        let is_late = submissions.iter().any(|transactions| self.replica.is_late(transactions));
        let begin = Instant::now();
        let accepted = self
            .with_replica(needs_past, move |replica, past| replica.accept(submissions, now, past))
            .await;
        if is_late {
            self.rest.begin(begin.elapsed(), Instant::now());
        }
        let acceptance = match accepted {
            Ok(acceptance) => acceptance,
            Err(error) => return Ok(Err(error)),
        };
        if !acceptance.records.is_empty() {
            if let Err(error) = self.journal.append(&acceptance.records, is_alone).await {
                let error = match error {
                    AppendError::Full(error) => {
                        if !self.counters.journal_full {
                            log::error!(
                                "the journal cannot grow: {error}; transactions are refused until \
                                 there is room, reads go on"
                            );
                        }
                        self.counters.journal_full = true;
                        let text = format!("the journal cannot grow: {error}");
                        io::Error::new(io::ErrorKind::StorageFull, text)
                    }
                    AppendError::Lost(error) => {
                        let text = format!("the journal's file is not in its place: {error}");
                        io::Error::new(error.kind(), text)
                    }
                    AppendError::Broken(error) => {
                        let text = format!(
                            "the journal cannot be written, and what reached the disk is not known: \
                             {error}"
                        );
                        return Err(io::Error::new(error.kind(), text));
                    }
                };
                self.with_replica(needs_past, move |replica, past| {
                    replica.retract(&acceptance, now, past)
                })
                .await?;
                return Ok(Ok(self.all_unkept(sizes, error)));
            }
            if std::mem::take(&mut self.counters.journal_full) {
                log::info!("the journal can grow again");
            }
            (self.whole, self.vclock) = (None, None);
            self.changed = Instant::now();
            self.subscribers
                .retain(|growth| !matches!(growth.try_send(()), Err(TrySendError::Closed(()))));
        }
        self.tell(&acceptance);
        self.live_on(&acceptance).await?;
        Ok(Ok(acceptance
            .outcomes
            .into_iter()
            .map(|outcomes| outcomes.into_iter().map(Submitted::from).collect())
            .collect()))
    }

    /// Lets `work` at the replica: here, or away from the executor if it has to read the journal
    /// and replay what is there.
    async fn with_replica<T: Send + 'static>(
        &mut self,
        needs_past: bool,
        work: impl FnOnce(&mut Replica, &JournalPast) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let past = JournalPast(self.journal.reader());
        if !needs_past {
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
        sizes.iter().map(|size| vec![Submitted::Unkept(error.clone()); *size]).collect()
    }

    /// Counts what happened, and logs what a person may want to know.
    fn tell(&mut self, acceptance: &Acceptance) {
        for outcome in acceptance.outcomes.iter().flatten() {
            match outcome {
                Outcome::Accepted(_) => self.counters.accepted += 1,
                Outcome::Known { .. } => self.counters.known += 1,
                Outcome::Refused(_) => self.counters.refused += 1,
                Outcome::Early { .. } => (),
            }
        }
        let FateChanges { newly_skipped, newly_applied, listed } = &acceptance.changes;
        self.counters.newly_skipped += newly_skipped;
        self.counters.newly_applied += newly_applied;
        let now = Instant::now();
        let (allowed, more) = self.changes.allow(newly_skipped + newly_applied, now);
        for change in listed.iter().take(allowed) {
            let (source, id) = (change.place.source.as_str(), change.place.id);
            match &change.skipped {
                Some(error) => log::warn!(
                    "transaction {id} of {source:?} was applied and is skipped from now on, as an \
                     earlier one arrived: {error}"
                ),
                None => {
                    log::info!("transaction {id} of {source:?} was skipped and is applied now");
                }
            }
        }
        if more > 0 {
            log::warn!(
                "{more} more transactions changed between applied and skipped; see /conflicts"
            );
        }
        let told = acceptance.equivocations.len() + acceptance.contradictions.len();
        self.counters.equivocations += told as u64;
        let (allowed, more) = self.contradictions.allow(told as u64, now);
        for equivocation in acceptance.equivocations.iter().take(allowed) {
            let (known, dropped) = (&equivocation.known, &equivocation.dropped);
            log::error!(
                "there are two transactions {} of {:?}; the known one stays: time {}, {:?}; the other \
                 one is dropped: time {}, {:?}",
                known.place.id,
                known.place.source.as_str(),
                known.place.time.as_micros(),
                beginning(&known.payload),
                dropped.time.map_or(0, Time::as_micros),
                beginning(&dropped.payload),
            );
        }
        let allowed = allowed.saturating_sub(acceptance.equivocations.len());
        for Contradiction { earlier, repeated } in acceptance.contradictions.iter().take(allowed) {
            let ((source, id), Place { source: by, id: stamp, .. }) = (earlier.name(), repeated);
            log::error!(
                "there are two transactions {id} of {:?}; the earlier one counts: time {}, {:?}; the \
                 one that {:?} has stamped as its {stamp} is left out",
                source.as_str(),
                earlier.place.time.as_micros(),
                beginning(&earlier.payload),
                by.as_str(),
            );
        }
        if more > 0 {
            log::error!("{more} more transactions contradict others of the same name");
        }
    }

    fn answer(&mut self, read: Event) {
        // Who asked may have gone: an answer that cannot be delivered is dropped.
        match read {
            Event::ReadSnapshot { pointer, reply } => {
                reply.send(self.read_snapshot(&pointer)).ok();
            }
            Event::ReadUpdate { known, reply } => {
                reply.send(self.read_update(known)).ok();
            }
            Event::ReadBasis { count, reply } => {
                reply.send(self.read_basis(count)).ok();
            }
            Event::ReadWindow { from, most, bytes, reply } => {
                reply.send(self.read_window(from, most, bytes)).ok();
            }
            Event::ReadStateHash { reply } => {
                reply.send(self.read_state_hash()).ok();
            }
            Event::ReadSkipped { from, most, reply } => {
                reply.send(self.read_skipped(from, most)).ok();
            }
            Event::ReadStandings { of, reply } => {
                reply.send(self.read_standings(&of)).ok();
            }
            Event::ReadVclock { reply } => {
                reply.send(self.vclock()).ok();
            }
            Event::ReadHas { source, id, reply } => {
                let by_stamp = self.replica.vclock().has_seen(&source, id);
                reply.send(by_stamp || self.replica.is_known(&source, id)).ok();
            }
            Event::ReadStamps { reply } => {
                reply.send(self.replica.vclock().clone()).ok();
            }
            Event::ReadCounters { reply } => {
                let counters = Counters {
                    skipped: self.replica.history().skipped_count(),
                    repeated: self.replica.history().repeated_count(),
                    ahead_micros: self.replica.ahead_micros(wall_clock()),
                    document_weight: self.replica.snapshot().weight(),
                    sources: self.replica.vclock().iter().count() as u64,
                    ..self.counters
                };
                reply.send(counters).ok();
            }
            Event::Subscribe { growth } => {
                // If nothing grows, those that left are not noticed otherwise.
                self.subscribers.retain(|subscriber| !subscriber.is_closed());
                // The journal may have grown since it was asked for.
                growth.try_send(()).ok();
                self.subscribers.push(growth);
            }
            Event::Submit { .. } | Event::Propose(_) => unreachable!("a submission is no read"),
        }
    }

    fn read_part(&mut self, pointer: &PointerBuf) -> Option<Snapshot> {
        if pointer.is_root() {
            return Some(self.whole().snapshot.clone());
        }
        self.replica.snapshot().get(pointer).map(Snapshot::new)
    }

    fn read_snapshot(&mut self, pointer: &PointerBuf) -> Reading {
        let snapshot = self.read_part(pointer);
        Reading { snapshot, vclock: self.vclock(), length: self.replica.history().length() }
    }

    fn vclock(&mut self) -> Arc<VectorClock> {
        let replica = &self.replica;
        self.vclock.get_or_insert_with(|| Arc::new(replica.whole_vclock())).clone()
    }

    fn read_state_hash(&mut self) -> Option<StateHash> {
        let settled = self.changed.elapsed() >= state::SETTLED_AFTER;
        let cheap = self.replica.snapshot().weight() <= state::CHEAP_WEIGHT;
        if self.whole.is_none() && !settled && !cheap {
            return None;
        }
        let state = self.whole().state.clone();
        Some(StateHash { clock: state::clock_hash(self.replica.vclock()), state })
    }

    fn whole(&mut self) -> &Whole {
        let replica = &self.replica;
        self.whole.get_or_insert_with(|| Whole::new(replica.snapshot().root(), replica.vclock()))
    }
}

/// As much of a payload as a line of the log has room for.
fn beginning(payload: &str) -> &str {
    &payload[..payload.floor_char_boundary(200)]
}

/// The wall clock's reading.
pub fn wall_clock() -> Time {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(micros).ok().and_then(Time::from_micros).unwrap_or(Time::MAX)
}

#[cfg(test)]
mod tests;
