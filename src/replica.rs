//! The pure core: what a node has seen, and the document that follows from it.
//!
//! Transactions go in at one door, [`Replica::accept`], and outcomes come out. There is no I/O here, no
//! wall clock and no randomness: the time is an argument, and so is the journal, as [`Past`].
//!
//! Replicas that have accepted the same ordered transactions have the same document, byte for byte,
//! in whatever order and batches these arrived: the document is the fold of the [`history`], and the
//! history is a set whose members carry their order.
//!
//! Commits say which part of that order is final (see [`crate::commit`]). What is final can be replaced by a
//! [`Base`].

pub mod base;
mod bounds;
mod checkpoint;
mod difference;
mod equivocation;
pub mod floor;
mod fold;
pub mod history;
mod life;
mod past;
mod placed;
mod prepared;
mod rebase;
mod saved;
mod suffix;

use std::io;

use crate::clock::{HybridClock, MAX_SAFE_INTEGER, Time, VectorClock};
use crate::commit::PlacedCommit;
use crate::patch::{Document, PatchError};
use crate::source::{FIRST_ID, Source, SourceError};
use crate::transaction::{Name, Place, Record, Transaction};
use equivocation::LeastIds;
use history::changes::Changes;
use history::{Committing, Contradiction, FateChanges, History, Insertion};
use past::{ExtendedJournal, NewRecords};

pub use base::Base;
pub use bounds::Bounds;
pub use difference::Difference;
pub use equivocation::Equivocation;
pub use life::Life;
pub use past::{Past, PastPlace, Stretch};
pub use placed::Placed;
pub use prepared::Prepared;
pub use rebase::{Rebase, Refusal};

pub use saved::{Resume, Saved};

/// How far the time of a transaction may be ahead of this node's clock, in microseconds: an hour.
pub const MAX_AHEAD_MICROS: u64 = 3_600_000_000;

/// A life is used up if no more Ids than this are left: so many transactions may still be on their way.
const LAST_IDS: u64 = 1 << 20;

/// Life, vector clock, hybrid clock and history of one node. A clone takes next to no time, and shares what
/// neither of the two has changed since.
#[derive(Clone, Debug)]
pub struct Replica {
    life: Life,
    /// For each source that stamps, the next Id.
    vclock: VectorClock,
    /// The same for the sources by which this node stamps. They never leave this clock.
    own: VectorClock,
    clock: HybridClock,
    history: History,
    /// How many records the journal has.
    length: u64,
    /// Why this node has to take a base, if it has to.
    difference: Option<Difference>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is part of the history now.
    Accepted(Record),
    /// It is dropped: it is known, or only its own node may stamp it.
    Known {
        /// The least Id that its source may use for another one.
        next_id: u64,
    },
    /// It is fresh and does not apply. It left no trace.
    Refused(PatchError),
    /// It is below the floor and is dropped: it is skipped for ever, on all nodes.
    Void,
    /// Its time is more than an hour ahead of this node's clock, or would be if it was stamped now.
    /// Neither it nor those after it in its submission are accepted.
    Early {
        /// How far its time is ahead, in microseconds.
        ahead_micros: u64,
    },
}

/// The result of [`Replica::accept`].
#[derive(Debug, Default)]
pub struct Acceptance {
    /// For each submission the outcomes of its transactions, in their order. If an ordered one is
    /// [`Outcome::Early`], it is the last.
    pub outcomes: Vec<Vec<Outcome>>,
    /// What is to be appended to the journal, in this order.
    pub records: Vec<Record>,
    /// The transactions of before whose fate changed.
    pub changes: FateChanges,
    /// Transactions that are known under the same stamp with another content.
    pub equivocations: Vec<Equivocation>,
    /// Transactions of one name with different payloads.
    pub contradictions: Vec<Contradiction>,
    /// Whether the chain ends with another source than before: streams have to be dialed anew.
    pub has_other_chain: bool,
}

/// How much work it is to accept some submissions.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Whether a transaction of them is late: see [`Replica::is_late`].
    pub is_late: bool,
    /// How many transactions there are.
    pub new: usize,
    /// About how many transactions of the recent part of the history will be applied again.
    pub again: usize,
}

impl Replica {
    /// An empty replica of a node's `life`.
    pub fn new(life: Life, bounds: Bounds) -> Self {
        Self {
            life,
            vclock: VectorClock::default(),
            own: VectorClock::default(),
            clock: HybridClock::default(),
            history: History::new(bounds),
            length: 0,
            difference: None,
        }
    }

    /// Accepts transactions, or refuses or drops them; the wall clock says `now`, and `past` is the journal.
    /// All ordered ones come first, in one pass, and then the fresh ones.
    ///
    /// The records of all that is accepted are to be appended to the journal before this is called
    /// again. If that fails, go on with a clone from before.
    ///
    /// # Errors
    /// If the journal had to be read and could not be. Then, too, go on with a clone from before.
    pub fn accept(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<Acceptance> {
        let mut turn = Turn::new(self.length, self.vclock.clone(), now);
        let mut fresh = Vec::new();
        for (submission, transactions) in submissions.into_iter().enumerate() {
            let mut outcomes = Vec::with_capacity(transactions.len());
            for (index, transaction) in transactions.into_iter().enumerate() {
                if transaction.time.is_none() {
                    fresh.push((submission, index, transaction));
                    continue;
                }
                let outcome = self.accept_ordered(transaction, &mut turn, past)?;
                let is_early = matches!(outcome, Outcome::Early { .. });
                outcomes.push(outcome);
                // Later ones of its stream must not hide that it is missing.
                if is_early {
                    break;
                }
            }
            turn.acceptance.outcomes.push(outcomes);
        }
        self.merge(&mut turn, past)?;
        for (submission, index, transaction) in fresh {
            let outcome = self.accept_fresh(transaction, &mut turn);
            // Those of all before it are there by now.
            turn.acceptance.outcomes[submission].insert(index, outcome);
        }
        self.length = turn.position();
        self.history.checkpoint_where_due(self.length);
        Ok(turn.acceptance)
    }

    /// Whether one of the transactions is a commit, or belongs before the recent part of the history, so that
    /// [`accept`](Self::accept) will read the journal.
    pub fn needs_past(&self, submissions: &[Vec<Transaction>]) -> bool {
        let has_base = self.history.chain().base().commit.is_some();
        let past_end = self.history.past_end().map(|end| end.time);
        let needs = |transaction: &Transaction| {
            let is_past = transaction.time.is_some() && transaction.time <= past_end;
            let is_committed = || {
                let place = transaction.place();
                place.is_some_and(|place| self.history.is_committed(&place))
            };
            is_past || transaction.commit.is_some() || (has_base && is_committed())
        };
        submissions.iter().flatten().any(needs)
    }

    /// Whether one of the transactions is new and belongs before the end of the history, so that
    /// [`accept`](Self::accept) will apply again what comes after it.
    pub fn is_late(&self, submission: &[Transaction]) -> bool {
        self.up_to_end(submission).any(|ordered| self.late_place(ordered).is_some())
    }

    /// Whether one of the transactions is ordered and new.
    pub fn is_ordered_and_new(&self, submission: &[Transaction]) -> bool {
        let mut ordered = submission.iter().filter(|transaction| transaction.time.is_some());
        ordered.any(|ordered| {
            let (source, id) = ordered.stamp();
            !self.vclock.has_seen(source, id)
        })
    }

    /// How much work [`accept`](Self::accept) will be for these.
    pub fn effort(&self, submissions: &[Vec<Transaction>]) -> Effort {
        let ordered = submissions.iter().flat_map(|some| self.up_to_end(some));
        let first = ordered.filter_map(|ordered| self.late_place(ordered)).min();
        let new = submissions.iter().map(Vec::len).sum::<usize>();
        Effort { is_late: first.is_some(), new, again: self.history.rework(first.as_ref()) }
    }

    /// The ordered transactions whose times are not later than that of the history's end, if the end is tentative.
    fn up_to_end<'a>(
        &self,
        submission: &'a [Transaction],
    ) -> impl Iterator<Item = &'a Transaction> {
        // For fresh ones nothing has to be looked up.
        let is_ordered = submission.iter().any(|transaction| transaction.time.is_some());
        let has_tentative = self.history.length() > self.history.committed().index;
        let end = self.history.end().filter(|_| is_ordered && has_tentative).map(|end| end.time);
        submission.iter().filter(move |ordered| ordered.time.is_some() && ordered.time <= end)
    }

    /// Where an ordered transaction belongs, if it is new and that is before the end of the history.
    fn late_place(&self, ordered: &Transaction) -> Option<Place> {
        let (source, id) = ordered.stamp();
        if self.vclock.has_seen(source, id) {
            return None;
        }
        let end = self.history.end()?;
        ordered.place().filter(|place| place < end && place.source.epoch().is_none())
    }

    fn accept_ordered(
        &mut self,
        mut transaction: Transaction,
        turn: &mut Turn,
        past: &dyn Past,
    ) -> io::Result<Outcome> {
        transaction.source = self.vclock.shared(transaction.source);
        if let Some(by) = &mut transaction.by {
            by.source = self.vclock.shared(by.source.clone());
        }
        let Some(place) = transaction.place() else {
            unreachable!("an ordered transaction has a time")
        };
        if self.vclock.has_seen(&place.source, place.id) {
            let next_id = self.vclock.next_id(&place.source);
            // If it arrived in this turn by another stream, it is not in the history yet.
            if turn.merged.has_seen(&place.source, place.id) {
                let equivocation = self.equivocation(&place, transaction, &mut turn.least_ids);
                turn.acceptance.equivocations.extend(equivocation);
            }
            return Ok(Outcome::Known { next_id });
        }
        let ahead_micros = place.time.micros_after(turn.now);
        if ahead_micros > MAX_AHEAD_MICROS {
            return Ok(Outcome::Early { ahead_micros });
        }
        self.clock.observe(place.time);
        if self.history.chain().is_too_late(&place) {
            return Ok(Outcome::Void);
        }
        let position = turn.position();
        if let Some(commit) = transaction.commit {
            let record = Record::commit(place.clone(), &commit);
            turn.acceptance.records.push(record.clone());
            self.accept_commit(PlacedCommit { place, position, commit: *commit }, turn, past)?;
            return Ok(Outcome::Accepted(record));
        }
        let named = transaction.by.is_some().then(|| transaction.name());
        let payload = std::mem::take(&mut transaction.payload);
        let request = transaction.request.as_deref();
        let record = Record::of(place.clone(), named, &payload, request);
        self.count(&place);
        turn.acceptance.records.push(record.clone());
        turn.ordered.push(Placed { place, named: record.named.clone(), position, payload });
        Ok(Outcome::Accepted(record))
    }

    /// Passes a commit, which is the last of the turn's records, after all before it is put into the history.
    fn accept_commit(
        &mut self,
        commit: PlacedCommit,
        turn: &mut Turn,
        past: &dyn Past,
    ) -> io::Result<()> {
        self.merge(turn, past)?;
        let records = std::mem::take(&mut turn.acceptance.records);
        let past =
            ExtendedJournal { past, length: turn.journal_length, new: &NewRecords(&records) };
        let (new, now) = (turn.journal_length, turn.now);
        let committing = self.commit(commit, new, now, &past)?;
        turn.acceptance.records = records;
        turn.acceptance.changes.extend(committing.changes);
        turn.acceptance.has_other_chain |= committing.has_other_end;
        Ok(())
    }

    /// Passes a commit, which `past` can read. The records from the position `new` on arrived with it.
    fn commit(
        &mut self,
        commit: PlacedCommit,
        new: u64,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<Committing> {
        let name = commit.name();
        let is_backed = commit.is_backed_by(&self.vclock);
        self.count(&commit.place);
        let committing = self.history.commit(commit, new, now, past)?;
        if committing.has_forgotten {
            self.vclock = self.history.clock(past)?;
        }
        let lacks = !is_backed && self.history.chain().last().as_ref() == Some(&name);
        self.find_difference(lacks.then_some(name));
        Ok(committing)
    }

    fn accept_fresh(&mut self, transaction: Transaction, turn: &mut Turn) -> Outcome {
        let Transaction { source, id, payload, request, .. } = transaction;
        let is_own = source == *self.life.source();
        if self.is_known(&source, id) || !(is_own || self.life.may_stamp(&source)) {
            return Outcome::Known { next_id: self.next_id(&source) };
        }
        let ahead_micros = self.ahead_micros(turn.now);
        if ahead_micros > MAX_AHEAD_MICROS {
            return Outcome::Early { ahead_micros };
        }
        let time = self.clock.next(turn.now);
        let (place, named) = if is_own {
            (Place { time, source, id }, None)
        } else {
            let stamper = self.life.stamper().clone();
            let stamp_id = self.next_id(&stamper);
            (Place { time, source: stamper, id: stamp_id }, Some(Name { source, id }))
        };
        if place.id > MAX_SAFE_INTEGER {
            // The manager begins a new life before this can happen.
            return Outcome::Known { next_id: place.id };
        }
        let inverse = match self.history.apply(&payload) {
            Ok(inverse) => inverse,
            Err(error) => return Outcome::Refused(error),
        };
        self.clock.observe(place.time);
        let record = Record::of(place.clone(), named, &payload, request.as_deref());
        let position = turn.position();
        self.count(&record.place);
        turn.acceptance.records.push(record.clone());
        let named = record.named.clone();
        self.history.append_applied(Placed { place, named, position, payload }, inverse);
        Outcome::Accepted(record)
    }

    /// Whether a transaction is known by this name.
    pub fn is_known(&self, source: &Source, id: u64) -> bool {
        let is_own = source == self.life.source();
        // A node has used all of its own Ids up to the last one, also for those that were refused.
        (is_own && self.next_id(source) > id) || self.history.names().contains(source, id)
    }

    /// The least Id that `source` may use for a new transaction: one more than all known ones.
    pub fn next_id(&self, source: &Source) -> u64 {
        let seen = self.vclock.next_id(source).max(self.own.next_id(source));
        seen.max(self.history.names().next_id(source)).max(FIRST_ID)
    }

    /// Whether this life has no Ids left, its own or those of its stamps.
    pub fn is_used_up(&self) -> bool {
        let is_used_up = |source: &Source| self.next_id(source) > MAX_SAFE_INTEGER - LAST_IDS;
        is_used_up(self.life.source()) || is_used_up(self.life.stamper())
    }

    /// The next Ids of the sources by which this node stamps. They may have left the vector clock.
    pub fn own(&self) -> &VectorClock {
        &self.own
    }

    /// Sets the next Ids of the sources by which this node stamps, which a base does not say.
    pub fn count_on_from(&mut self, own: VectorClock) {
        self.own = own;
    }

    /// The life that stamps.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Begins a new life: what is created from now on is stamped by it.
    ///
    /// # Errors
    /// If the source has no room for the one of its stamps.
    pub fn begin_life(&mut self, source: Source) -> Result<(), SourceError> {
        self.life.begin(source)
    }

    /// The greatest time of all transactions so far.
    pub fn greatest(&self) -> Time {
        self.clock.greatest()
    }

    /// How far the times of fresh transactions are ahead of the wall clock, which says `now`, in
    /// microseconds. Nothing could come after the greatest possible time, so it is never given out: it
    /// counts as too far ahead of every wall clock.
    pub fn ahead_micros(&self, now: Time) -> u64 {
        let time = self.clock.next(now);
        let ahead_micros = time.micros_after(now);
        if time < Time::MAX { ahead_micros } else { ahead_micros.max(MAX_AHEAD_MICROS + 1) }
    }

    fn count(&mut self, place: &Place) {
        self.vclock.advance(&place.source, place.id);
        if [self.life.source(), self.life.stamper()].contains(&&place.source) {
            self.own.advance(&place.source, place.id);
        }
    }

    /// Puts the turn's ordered transactions into the history.
    fn merge(&mut self, turn: &mut Turn, past: &dyn Past) -> io::Result<()> {
        let ordered = std::mem::take(&mut turn.ordered);
        if ordered.is_empty() {
            return Ok(());
        }
        (turn.merged, turn.least_ids) = (self.vclock.clone(), LeastIds::default());
        let new = turn.journal_length;
        let records = std::mem::take(&mut turn.acceptance.records);
        let past = ExtendedJournal { past, length: new, new: &NewRecords(&records) };
        let Insertion { changes, contradictions } = self.put_in(ordered, new, turn.now, &past)?;
        turn.acceptance.records = records;
        turn.acceptance.changes.extend(changes);
        turn.acceptance.contradictions.extend(contradictions);
        Ok(())
    }

    /// Puts ordered transactions to their places, mostly at the end.
    fn put_in(
        &mut self,
        ordered: Vec<Placed>,
        new: u64,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<Insertion> {
        let is_in_order = ordered.is_sorted_by(|left, right| left.place < right.place);
        // If a commit that is here already covers it, it is late in any case.
        let is_committed = |placed: &Placed| self.history.is_committed(&placed.place);
        let is_at_end = !ordered.iter().any(is_committed)
            && ordered.first().is_none_or(|first| self.history.is_at_end(&first.place));
        if !is_in_order || !is_at_end {
            return self.history.insert(ordered, new, now, past);
        }
        let contradictions = self.history.append_all(ordered, now);
        Ok(Insertion { changes: FateChanges::default(), contradictions })
    }

    /// The document now.
    pub fn snapshot(&self) -> &Document {
        self.history.document()
    }

    /// The next Id of every source that stamps.
    pub fn vclock(&self) -> &VectorClock {
        &self.vclock
    }

    /// The same, and the next Id of every plain source.
    pub fn whole_vclock(&self) -> VectorClock {
        let mut vclock = self.vclock.clone();
        for (source, next_id) in self.history.names().next_ids() {
            if source.life_name().is_none() && next_id > 0 {
                vclock.advance(source, next_id - 1);
            }
        }
        vclock
    }

    /// The last steps that led to the document.
    pub fn changes(&self) -> &Changes {
        self.history.changes()
    }

    /// Notes the steps from now on, since somebody reads them.
    pub fn want_changes(&mut self) {
        self.history.want_changes();
    }

    /// The transactions in the order in which they count.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many records the journal has.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// A call of [`Replica::accept`] at work.
struct Turn {
    now: Time,
    journal_length: u64,
    acceptance: Acceptance,
    /// Ordered transactions that are accepted and not yet in the history.
    ordered: Vec<Placed>,
    /// The vector clock when the last ones were put there.
    merged: VectorClock,
    least_ids: LeastIds,
}

impl Turn {
    fn new(journal_length: u64, merged: VectorClock, now: Time) -> Self {
        Self {
            now,
            journal_length,
            acceptance: Acceptance::default(),
            ordered: Vec::new(),
            merged,
            least_ids: LeastIds::default(),
        }
    }

    /// Where in the journal the next record will be.
    fn position(&self) -> u64 {
        self.journal_length + self.acceptance.records.len() as u64
    }
}

#[cfg(test)]
mod tests;
