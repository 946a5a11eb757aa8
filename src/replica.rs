//! The pure core: what a node has seen, and the document that follows from it.
//!
//! Transactions go in at one door, [`Replica::accept`], and outcomes come out. There is no I/O here, no
//! wall clock and no randomness: the time is an argument, and so is the journal, as [`Past`].
//!
//! Replicas that have accepted the same ordered transactions have the same document, byte for byte,
//! in whatever order and batches they came: the document is the fold of the [`history`], and the
//! history is a set in an order that its members carry.

mod bounds;
mod checkpoint;
pub mod history;
mod life;
mod past;
mod placed;
mod saved;

use std::convert::Infallible;

use crate::clock::{HybridClock, MAX_SAFE_INTEGER, Time, VectorClock};
use crate::patch::{Document, PatchError};
use crate::source::{Source, SourceError};
use crate::transaction::{Name, Place, Record, Transaction};
use history::changes::Changes;
use history::{Contradiction, FateChanges, History, Insertion};

pub use bounds::Bounds;
pub use life::Life;
pub use past::{Past, PastPlace};
pub use placed::Placed;
pub use saved::{Resume, Saved};

/// How far the time of a transaction may be ahead of this node's clock, in microseconds: an hour.
pub const MAX_AHEAD_MICROS: u64 = 3_600_000_000;

/// The first Id that a node gives out: many plain nodes hold 0 to be seen already.
pub const FIRST_ID: u64 = 1;

/// A life with no more Ids than this left is used up: so many may still be on their way.
const LAST_IDS: u64 = 1 << 20;

/// Life, vector clock, hybrid clock and history of one node.
#[derive(Debug)]
pub struct Replica {
    life: Life,
    /// Of the sources that stamp.
    vclock: VectorClock,
    clock: HybridClock,
    history: History,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is part of the history now.
    Accepted(Record),
    /// It is known, or only its own node may stamp it, and it is dropped.
    Known {
        /// The least Id that its source may use for another one.
        next_id: u64,
    },
    /// It is fresh and does not apply: it left no trace.
    Refused(PatchError),
    /// Its time is more than an hour ahead of this node's clock, or would be if it was stamped now.
    /// Neither it nor what came after it was taken in.
    Early {
        /// How far its time is ahead, in microseconds.
        ahead_micros: u64,
    },
}

/// What became of the transactions of some submissions.
#[derive(Debug, Default)]
pub struct Acceptance {
    /// For each submission what became of each of its transactions, in their order. Shorter than they
    /// are if an ordered one is [`Outcome::Early`], which then is the last.
    pub outcomes: Vec<Vec<Outcome>>,
    /// What the journal has to take in, in this order.
    pub records: Vec<Record>,
    /// What changed for transactions that were there before.
    pub changes: FateChanges,
    /// Transactions that are known under the same stamp with another content.
    pub equivocations: Vec<Equivocation>,
    /// Transactions of one name with different payloads.
    pub contradictions: Vec<Contradiction>,
    /// The entries of the vector clock that changed, as they were. Of one that changed more than once
    /// in a row the first is enough.
    clock_before: Vec<(Source, u64)>,
}

/// Two different transactions with the same stamp: a node goes on from an old copy of its journal, or
/// somebody does not play by the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Equivocation {
    /// The transaction that is part of the history.
    pub known: Placed,
    /// The one that came later, and is dropped.
    pub dropped: Transaction,
}

impl Replica {
    /// An empty replica of a node's `life`.
    pub fn new(life: Life, bounds: Bounds) -> Self {
        let history = History::new(bounds);
        Self { life, vclock: VectorClock::default(), clock: HybridClock::default(), history }
    }

    /// Takes transactions in, where the wall clock says `now` and `past` is the journal as it is.
    /// All ordered ones are taken in first, in one pass, and then the fresh ones.
    ///
    /// The records of all that is accepted are to be appended to the journal before this is called
    /// again; where that fails, [`retract`](Self::retract) makes it undone.
    ///
    /// # Errors
    /// Where the journal had to be read and could not be. Nothing was taken in then.
    pub fn accept<P: Past>(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
        now: Time,
        past: &P,
    ) -> Result<Acceptance, P::Error> {
        let mut turn = Turn::new(self.history.length(), now);
        let mut fresh = Vec::new();
        for (submission, transactions) in submissions.into_iter().enumerate() {
            let mut outcomes = Vec::with_capacity(transactions.len());
            for transaction in transactions {
                if transaction.time.is_none() {
                    // Its outcome is put in here when its turn comes.
                    fresh.push((submission, outcomes.len(), transaction));
                    outcomes.push(Outcome::Known { next_id: 0 });
                    continue;
                }
                let outcome = self.accept_ordered(transaction, &mut turn);
                let is_early = matches!(outcome, Outcome::Early { .. });
                outcomes.push(outcome);
                // What comes after an early one in its stream must not hide that it is missing.
                if is_early {
                    break;
                }
            }
            turn.acceptance.outcomes.push(outcomes);
        }
        if let Err(error) = self.merge(&mut turn, past) {
            self.restore_clock(&turn.acceptance);
            return Err(error);
        }
        for (submission, index, transaction) in fresh {
            let outcome = self.accept_fresh(transaction, &mut turn);
            turn.acceptance.outcomes[submission][index] = outcome;
        }
        self.history.checkpoint_where_due(turn.position(), now);
        Ok(turn.acceptance)
    }

    /// Whether one of the transactions belongs before the recent part of the history, so that
    /// [`accept`](Self::accept) will read the journal.
    pub fn needs_past(&self, submissions: &[Vec<Transaction>]) -> bool {
        let Some(past_end) = self.history.past_end() else { return false };
        submissions
            .iter()
            .flatten()
            .any(|transaction| transaction.time.is_some_and(|time| time <= past_end.time))
    }

    /// Whether one of the transactions is new and belongs before the end of the history, so that
    /// [`accept`](Self::accept) will apply again what comes after it.
    pub fn is_late(&self, submission: &[Transaction]) -> bool {
        let Some(end) = self.history.end() else { return false };
        submission.iter().filter(|transaction| transaction.time <= Some(end.time)).any(|ordered| {
            let (source, id) = ordered.stamp();
            !self.vclock.has_seen(source, id) && ordered.place().is_some_and(|place| place < *end)
        })
    }

    fn accept_ordered(&mut self, mut transaction: Transaction, turn: &mut Turn) -> Outcome {
        transaction.source = self.vclock.shared(transaction.source);
        if let Some(by) = &mut transaction.by {
            by.source = self.vclock.shared(by.source.clone());
        }
        let Some(place) = transaction.place() else {
            unreachable!("an ordered transaction has a time")
        };
        if self.vclock.has_seen(&place.source, place.id) {
            let next_id = self.vclock.next_id(&place.source);
            turn.acceptance.equivocations.extend(self.equivocation(&place, transaction));
            return Outcome::Known { next_id };
        }
        let ahead_micros = place.time.micros_after(turn.now);
        if ahead_micros > MAX_AHEAD_MICROS {
            return Outcome::Early { ahead_micros };
        }
        self.clock.observe(place.time);
        let named = transaction.by.is_some().then(|| transaction.name());
        let payload = std::mem::take(&mut transaction.payload);
        let request = transaction.request.as_deref();
        let record = Record::of(place.clone(), named, &payload, request);
        let position = turn.position();
        self.take_note(&record, turn);
        turn.ordered.push(Placed { place, named: record.named.clone(), position, payload });
        Outcome::Accepted(record)
    }

    fn accept_fresh(&mut self, transaction: Transaction, turn: &mut Turn) -> Outcome {
        let Transaction { source, id, payload, request, .. } = transaction;
        if self.is_known(&source, id) || !self.life.may_stamp(&source) {
            return Outcome::Known { next_id: self.next_id(&source) };
        }
        let time = self.clock.next(turn.now);
        let ahead_micros = time.micros_after(turn.now);
        if ahead_micros > MAX_AHEAD_MICROS {
            return Outcome::Early { ahead_micros };
        }
        let (place, named) = if source == *self.life.source() {
            (Place { time, source, id }, None)
        } else {
            let stamper = self.life.stamper().clone();
            let stamp_id = self.vclock.next_id(&stamper).max(FIRST_ID);
            (Place { time, source: stamper, id: stamp_id }, Some(Name { source, id }))
        };
        if place.id > MAX_SAFE_INTEGER {
            // The manager begins a new life before it comes to that.
            return Outcome::Known { next_id: place.id };
        }
        let inverse = match self.history.apply(&payload) {
            Ok(inverse) => inverse,
            Err(error) => return Outcome::Refused(error),
        };
        self.clock.observe(place.time);
        let record = Record::of(place.clone(), named, &payload, request.as_deref());
        let position = turn.position();
        self.take_note(&record, turn);
        let named = record.named.clone();
        self.history.append_applied(Placed { place, named, position, payload }, inverse);
        Outcome::Accepted(record)
    }

    /// Whether a transaction is known by this name.
    pub fn is_known(&self, source: &Source, id: u64) -> bool {
        let is_own = source == self.life.source();
        // Of its own Ids a node has used all up to the last one, also those that were refused.
        (is_own && self.vclock.has_seen(source, id)) || self.history.names().contains(source, id)
    }

    /// The least Id that `source` may use for a new transaction: one more than all known ones.
    pub fn next_id(&self, source: &Source) -> u64 {
        self.vclock.next_id(source).max(self.history.names().next_id(source)).max(FIRST_ID)
    }

    /// Whether this life has no Ids left, its own or those of its stamps.
    pub fn is_used_up(&self) -> bool {
        let is_used_up = |source: &Source| self.next_id(source) > MAX_SAFE_INTEGER - LAST_IDS;
        is_used_up(self.life.source()) || is_used_up(self.life.stamper())
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

    /// How far the times of fresh transactions are ahead of the wall clock, which says `now`, in
    /// microseconds.
    pub fn ahead_micros(&self, now: Time) -> u64 {
        self.clock.next(now).micros_after(now)
    }

    /// The recent transaction with the same stamp as one that is known, if they differ.
    fn equivocation(&self, place: &Place, transaction: Transaction) -> Option<Equivocation> {
        // Of other sources it would be looked for too often: whoever sends all again sends them.
        let is_own = [self.life.source(), self.life.stamper()].contains(&&place.source);
        if self.history.is_past(place) && !is_own {
            return None;
        }
        let known = match self.history.recent(place) {
            Some(known) => known,
            // With another time it stands elsewhere; or it is before the recent part, or it never was.
            None => self.history.recent_from_end().find(|recent| {
                recent.place.id == place.id && recent.place.source == place.source
            })?,
        };
        let name = (&transaction.source, transaction.id);
        let is_same = known.place == *place && known.name() == name;
        let differs = !is_same || known.payload != transaction.payload;
        differs.then(|| Equivocation { known: known.clone(), dropped: transaction })
    }

    fn take_note(&mut self, record: &Record, turn: &mut Turn) {
        let Place { source, id, .. } = &record.place;
        let before = self.vclock.advance(source, *id);
        let clock_before = &mut turn.acceptance.clock_before;
        if clock_before.last().is_none_or(|(last, _)| last != source) {
            clock_before.push((source.clone(), before));
        }
        turn.acceptance.records.push(record.clone());
    }

    /// Puts the turn's ordered transactions into the history.
    fn merge<P: Past>(&mut self, turn: &mut Turn, past: &P) -> Result<(), P::Error> {
        let ordered = std::mem::take(&mut turn.ordered);
        let Insertion { changes, contradictions } = self.put_in(ordered, turn.now, past)?;
        turn.acceptance.changes = changes;
        turn.acceptance.contradictions = contradictions;
        Ok(())
    }

    /// Puts ordered transactions where they belong, which mostly is the end.
    fn put_in<P: Past>(
        &mut self,
        ordered: Vec<Placed>,
        now: Time,
        past: &P,
    ) -> Result<Insertion, P::Error> {
        let in_order = ordered.is_sorted_by(|left, right| left.place < right.place);
        let first = ordered.first().map(|first| &first.place);
        let at_end = first.zip(self.history.end()).is_none_or(|(first, end)| first > end);
        if !in_order || !at_end {
            return self.history.insert(ordered, now, past);
        }
        let contradictions = self.history.append_all(ordered, now);
        Ok(Insertion { changes: FateChanges::default(), contradictions })
    }

    /// Undoes the last call of [`accept`](Self::accept), whose records the journal could not take in.
    ///
    /// # Errors
    /// Where the journal had to be read and could not be. This replica then differs from the journal
    /// and must not be used any more.
    pub fn retract<P: Past>(
        &mut self,
        acceptance: &Acceptance,
        now: Time,
        past: &P,
    ) -> Result<(), P::Error> {
        self.restore_clock(acceptance);
        let Some(first) = acceptance.records.iter().map(|record| &record.place).min() else {
            return Ok(());
        };
        let journal_length = self.history.length() - acceptance.records.len() as u64;
        self.history.remove(first, journal_length, now, past)
    }

    fn restore_clock(&mut self, acceptance: &Acceptance) {
        for (source, before) in acceptance.clock_before.iter().rev() {
            self.vclock.restore(source, *before);
        }
    }

    /// The document now.
    pub fn snapshot(&self) -> &Document {
        self.history.document()
    }

    /// What was seen of every source that stamps.
    pub fn vclock(&self) -> &VectorClock {
        &self.vclock
    }

    /// The same, and of every plain source the Id that is expected next.
    pub fn whole_vclock(&self) -> VectorClock {
        let mut vclock = self.vclock.clone();
        for (source, next_id) in self.history.names().next_ids() {
            if source.life_name().is_none() && next_id > 0 {
                vclock.advance(source, next_id - 1);
            }
        }
        vclock
    }

    /// What was done to the document of late.
    pub fn changes(&mut self) -> &mut Changes {
        self.history.changes()
    }

    /// The transactions in the order in which they count.
    pub fn history(&self) -> &History {
        &self.history
    }
}

/// A call of [`Replica::accept`] at work.
struct Turn {
    now: Time,
    journal_length: u64,
    acceptance: Acceptance,
    /// Ordered transactions that are accepted and not yet in the history.
    ordered: Vec<Placed>,
}

impl Turn {
    fn new(journal_length: u64, now: Time) -> Self {
        Self { now, journal_length, acceptance: Acceptance::default(), ordered: Vec::new() }
    }

    /// Where in the journal the next record will be.
    fn position(&self) -> u64 {
        self.journal_length + self.acceptance.records.len() as u64
    }
}

/// A journal that is wholly at hand.
impl Past for Vec<Transaction> {
    type Error = Infallible;

    fn places(&self, position: u64) -> Result<Vec<PastPlace>, Infallible> {
        const STRETCH: usize = 1024;
        let rest = self.iter().skip(usize::try_from(position).unwrap_or(usize::MAX));
        let place = |transaction: &Transaction| {
            let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
            let bytes = transaction.payload.len();
            Some(PastPlace { place: transaction.place()?, named, bytes })
        };
        Ok(rest.map_while(place).take(STRETCH).collect())
    }

    fn payloads(&self, position: u64, most: usize) -> Result<Vec<Box<str>>, Infallible> {
        let rest = self.iter().skip(usize::try_from(position).unwrap_or(usize::MAX));
        Ok(rest.take(most).map(|transaction| transaction.payload.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(source: &str, id: u64, payload: &str, time: Option<u64>) -> Transaction {
        let time = time.map(|micros| Time::from_micros(micros).unwrap());
        Transaction { time, ..Transaction::fresh(source.parse().unwrap(), id, payload) }
    }

    const NOW: u64 = 1_000_000;

    /// The life of the nodes here.
    const ME: &str = "me~00000000";

    /// A replica with its journal.
    struct Node {
        replica: Replica,
        journal: Vec<Transaction>,
    }

    impl Default for Node {
        fn default() -> Self {
            let life = Life::new(ME.parse().unwrap()).unwrap();
            Self { replica: Replica::new(life, Bounds::default()), journal: Vec::new() }
        }
    }

    impl Node {
        fn accept(&mut self, transactions: &[Transaction]) -> Acceptance {
            let now = Time::from_micros(NOW).unwrap();
            let submissions = vec![transactions.to_vec()];
            let acceptance = self.replica.accept(submissions, now, &self.journal).unwrap();
            let decode = |record: &Record| Transaction::decode(record.line.as_bytes()).unwrap();
            self.journal.extend(acceptance.records.iter().map(decode));
            acceptance
        }

        fn accept_one(&mut self, transaction: Transaction) -> Outcome {
            self.accept(&[transaction]).outcomes.remove(0).remove(0)
        }

        fn text(&self) -> String {
            self.replica.snapshot().root().to_string()
        }

        fn skipped(&self) -> Vec<(String, u64)> {
            let skipped = self.replica.history().skipped().keys();
            skipped.map(|place| (place.source.to_string(), place.id)).collect()
        }
    }

    fn accepted(transaction: &Transaction) -> Outcome {
        Outcome::Accepted(Record::new(transaction.place().unwrap(), &transaction.payload))
    }

    const SET_A: &str = r#"[{"op":"add","path":"/a","value":1}]"#;
    const SET_B: &str = r#"[{"op":"add","path":"/b","value":2}]"#;
    const REMOVE_A: &str = r#"[{"op":"remove","path":"/a"}]"#;
    const REMOVE_B: &str = r#"[{"op":"remove","path":"/b"}]"#;

    #[test]
    fn a_fresh_transaction_is_stamped_and_applied() {
        let mut node = Node::default();
        let outcome = node.accept_one(transaction(ME, 1, SET_A, None));
        assert_eq!(outcome, accepted(&transaction(ME, 1, SET_A, Some(NOW))));
        assert_eq!(node.text(), r#"{"a":1}"#);
    }

    #[test]
    fn of_somebody_else_it_is_stamped_with_an_id_of_this_node() {
        let mut node = Node::default();
        for (source, id, stamp_id) in [("x", 0, 1), ("c~00000000", 9, 2), ("x", 7, 3), ("x", 5, 4)]
        {
            let fresh =
                Transaction { request: Some("hash".into()), ..transaction(source, id, "[]", None) };
            let Outcome::Accepted(record) = node.accept_one(fresh) else { panic!("it is new") };
            assert_eq!(
                (record.place.source.as_str(), record.place.id),
                ("me~00000000^s", stamp_id)
            );
            assert_eq!((record.name().0.as_str(), record.name().1), (source, id));
            let read = record.transaction().unwrap();
            assert_eq!((read.place(), read.request.as_deref()), (Some(record.place), Some("hash")));
        }
        let clock = |clock: &VectorClock| serde_json::to_string(clock).unwrap();
        assert_eq!(clock(node.replica.vclock()), r#"{"me~00000000^s":5}"#);
        assert_eq!(clock(&node.replica.whole_vclock()), r#"{"me~00000000^s":5,"x":8}"#);
    }

    #[test]
    fn a_known_transaction_is_dropped() {
        let mut node = Node::default();
        node.accept_one(transaction(ME, 4, SET_A, None));
        for id in 0..=4 {
            let outcome = node.accept_one(transaction(ME, id, "[]", None));
            assert_eq!(outcome, Outcome::Known { next_id: 5 });
        }
        node.accept_one(transaction("x", 4, "[]", None));
        assert_eq!(node.accept_one(transaction("x", 4, "[]", None)), Outcome::Known { next_id: 5 });
        for reserved in ["main~00000000^1", "me~00000000^s", "~base"] {
            let outcome = node.accept_one(transaction(reserved, 9, "[]", None));
            assert!(matches!(outcome, Outcome::Known { .. }), "{reserved}");
        }
        assert_eq!(node.journal.len(), 2);
    }

    #[test]
    fn of_one_name_the_first_in_the_history_counts() {
        let stamped = |by: &str, id, payload, time| Transaction {
            by: Some(Name { source: by.parse().unwrap(), id }),
            ..transaction("x", 5, payload, Some(time))
        };
        // By two nodes that heard the same one, by its own node, and of another name.
        let [first, second, third, other] = [
            stamped("b~00000000^s", 1, REMOVE_B, 10),
            stamped("a~00000000^s", 1, SET_A, 20),
            transaction("x", 5, SET_A, Some(30)),
            Transaction { id: 6, ..stamped("a~00000000^s", 2, SET_B, 40) },
        ];
        let mut node = Node::default();
        node.accept(&[second.clone(), third.clone()]);
        assert_eq!(node.text(), r#"{"a":1}"#);
        assert_eq!(node.replica.history().repeated_count(), 1);
        let Acceptance { changes, contradictions, .. } = node.accept(&[first, other]);
        assert_eq!(node.text(), r#"{"b":2}"#, "the first one counts though it does not apply");
        assert_eq!((changes, node.replica.history().repeated_count()), (FateChanges::default(), 2));
        assert_eq!(contradictions.len(), 1, "{contradictions:?}");
        assert_eq!(Some(&contradictions[0].repeated), second.place().as_ref());
        // Taken back, the others count again.
        let now = Time::from_micros(NOW).unwrap();
        let earliest = stamped("c~00000000^s", 1, SET_B, 5);
        let acceptance = node.replica.accept(vec![vec![earliest]], now, &node.journal).unwrap();
        assert_eq!(node.replica.history().repeated_count(), 3);
        node.replica.retract(&acceptance, now, &node.journal).unwrap();
        assert_eq!(
            (node.replica.history().repeated_count(), node.text()),
            (2, r#"{"b":2}"#.into())
        );
        let known = node.accept_one(transaction("x", 5, SET_A, None));
        assert_eq!(known, Outcome::Known { next_id: 7 });
    }

    #[test]
    fn a_submission_of_fresh_and_ordered_ones_of_one_source_loses_none() {
        let mut node = Node::default();
        let acceptance =
            node.accept(&[transaction("x", 1, SET_A, None), transaction("x", 2, SET_B, Some(NOW))]);
        assert_eq!(acceptance.records.len(), 2);
        assert_eq!(node.text(), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn while_the_clock_is_far_ahead_nothing_fresh_is_stamped() {
        let mut node = Node::default();
        node.accept(&[transaction("x", 1, "[]", Some(NOW + MAX_AHEAD_MICROS))]);
        let outcome = node.accept_one(transaction(ME, 1, SET_A, None));
        assert_eq!(outcome, Outcome::Early { ahead_micros: MAX_AHEAD_MICROS + 1 });
        assert_eq!((node.journal.len(), node.text().as_str()), (1, "{}"));
    }

    #[test]
    fn a_life_ends_and_another_one_goes_on() {
        let mut node = Node::default();
        let last = transaction(ME, MAX_SAFE_INTEGER, SET_A, Some(10));
        assert!(!node.replica.is_used_up());
        assert_eq!(node.accept_one(last.clone()), accepted(&last));
        assert!(node.replica.is_used_up());
        let outcome = node.accept_one(transaction(ME, MAX_SAFE_INTEGER, SET_B, None));
        assert_eq!(outcome, Outcome::Known { next_id: MAX_SAFE_INTEGER + 1 });
        node.replica.begin_life("me~00000001".parse().unwrap()).unwrap();
        assert!(!node.replica.is_used_up());
        let on_its_way = node.accept_one(transaction(ME, 7, SET_B, None));
        assert!(matches!(on_its_way, Outcome::Known { .. }), "another node may have that Id");
        let next = transaction("me~00000001", 1, SET_B, None);
        assert!(matches!(node.accept_one(next), Outcome::Accepted(_)));
    }

    #[test]
    fn a_refused_transaction_leaves_no_trace() {
        let mut node = Node::default();
        for payload in [REMOVE_B, "no patch"] {
            let outcome = node.accept_one(transaction(ME, 1, payload, None));
            assert!(matches!(outcome, Outcome::Refused(_)));
        }
        assert_eq!(node.replica.snapshot(), &Document::default());
        assert_eq!(node.replica.vclock(), &VectorClock::default());
        assert_eq!(node.journal, []);
    }

    #[test]
    fn an_ordered_transaction_is_accepted_even_where_it_does_not_apply() {
        let mut node = Node::default();
        for (id, payload) in [(1, REMOVE_B), (2, "no patch")] {
            let ordered = transaction("x", id, payload, Some(id));
            assert_eq!(node.accept_one(ordered.clone()), accepted(&ordered));
        }
        assert_eq!(node.replica.snapshot(), &Document::default());
        assert_eq!(node.skipped(), [("x".into(), 1), ("x".into(), 2)]);
    }

    #[test]
    fn a_stamp_is_later_than_all_that_was_seen() {
        let mut node = Node::default();
        node.accept_one(transaction("x", 1, SET_A, Some(NOW + 500)));
        let outcome = node.accept_one(transaction(ME, 1, SET_A, None));
        assert_eq!(outcome, accepted(&transaction(ME, 1, SET_A, Some(NOW + 501))));
    }

    #[test]
    fn the_document_follows_from_the_times_and_not_from_the_arrivals() {
        let transactions = [
            transaction("x", 1, SET_A, Some(10)),
            transaction("y", 1, REMOVE_A, Some(20)),
            transaction("x", 2, SET_B, Some(20)),
            transaction("z", 1, REMOVE_A, Some(30)),
        ];
        let orders =
            [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [3, 0, 1, 2], [1, 0, 2, 3]];
        for order in orders {
            let in_order = order.map(|index| transactions[index].clone());
            // Of one source they come in the order of their Ids.
            if order.iter().position(|at| *at == 0) > order.iter().position(|at| *at == 2) {
                continue;
            }
            let (mut one_by_one, mut together) = (Node::default(), Node::default());
            for transaction in &in_order {
                one_by_one.accept_one(transaction.clone());
            }
            together.accept(&in_order);
            for node in [one_by_one, together] {
                assert_eq!(node.text(), r#"{"b":2}"#, "{order:?}");
                assert_eq!(node.skipped(), [("z".into(), 1)], "{order:?}");
            }
        }
    }

    #[test]
    fn a_late_arrival_can_change_the_fate_of_others_and_change_it_back() {
        let mut node = Node::default();
        let fates = |acceptance: Acceptance| -> Vec<(String, bool)> {
            let changes = acceptance.changes.listed.into_iter();
            changes
                .map(|change| (change.place.source.to_string(), change.skipped.is_some()))
                .collect()
        };
        node.accept(&[
            transaction("x", 1, SET_A, Some(10)),
            transaction("y", 1, REMOVE_A, Some(50)),
        ]);
        let earlier = node.accept(&[transaction("z", 1, REMOVE_A, Some(40))]);
        assert_eq!(fates(earlier), [("y".into(), true)]);
        let between = node.accept(&[transaction("w", 1, SET_A, Some(45))]);
        assert_eq!(fates(between), [("y".into(), false)]);
        assert_eq!(node.replica.history().skipped_count(), 0);
    }

    #[test]
    fn a_time_of_more_than_an_hour_ahead_is_not_accepted_yet() {
        let mut node = Node::default();
        let latest = NOW + MAX_AHEAD_MICROS;
        let acceptance = node.accept(&[
            transaction("x", 1, SET_A, Some(latest)),
            transaction("x", 2, SET_B, Some(latest + 7)),
            transaction("x", 3, REMOVE_A, Some(latest)),
            transaction("y", 1, REMOVE_A, None),
        ]);
        let ahead_micros = MAX_AHEAD_MICROS + 7;
        let outcomes = &acceptance.outcomes[0];
        assert_eq!(outcomes.len(), 2, "what comes after it is not taken in");
        assert_eq!(outcomes[1], Outcome::Early { ahead_micros });
        assert_eq!(node.text(), r#"{"a":1}"#);
        assert_eq!(node.replica.vclock().next_id(&"x".parse().unwrap()), 2);
    }

    #[test]
    fn what_was_retracted_leaves_no_trace() {
        let now = Time::from_micros(NOW).unwrap();
        let mut node = Node::default();
        node.accept(&[
            transaction("x", 1, SET_A, Some(10)),
            transaction("y", 1, REMOVE_A, Some(50)),
        ]);
        let (text, vclock) = (node.text(), node.replica.vclock().clone());
        let submissions = vec![
            vec![transaction("z", 1, REMOVE_A, Some(40)), transaction("z", 2, SET_B, Some(60))],
            vec![transaction("w", 1, SET_A, None)],
        ];
        let acceptance = node.replica.accept(submissions, now, &node.journal).unwrap();
        assert_eq!(acceptance.records.len(), 3);
        node.replica.retract(&acceptance, now, &node.journal).unwrap();
        assert_eq!((node.text(), node.replica.vclock()), (text, &vclock));
        assert_eq!(node.skipped(), []);
        assert_eq!(node.replica.history().length(), 2);
    }

    #[test]
    fn what_was_retracted_far_back_is_not_among_the_skipped_ones_that_are_saved() {
        let now = Time::from_micros(NOW).unwrap();
        let life = || Life::new(ME.parse().unwrap()).unwrap();
        let bounds = Bounds { recent_transactions: 5, ..Bounds::default() };
        let mut node = Node { replica: Replica::new(life(), bounds), journal: Vec::new() };
        for id in 1..=20 {
            let payload = if id == 3 { REMOVE_A } else { SET_B };
            node.accept(&[transaction("x", id, payload, Some(100 * id))]);
        }
        let late = vec![vec![transaction("y", 1, REMOVE_A, Some(50))]];
        let acceptance = node.replica.accept(late, now, &node.journal).unwrap();
        assert_eq!(node.replica.history().skipped_count(), 2);
        node.replica.retract(&acceptance, now, &node.journal).unwrap();
        let Saved { summary, document, .. } = node.replica.save(now).unwrap();
        let (loaded, _) = Replica::load(life(), &summary, &document, bounds).unwrap();
        assert_eq!(loaded.history().skipped_count(), 1);
        for (position, transaction) in (0..).zip(&node.journal) {
            let fate = loaded.history().fate(&transaction.place().unwrap(), position);
            let is_skipped = matches!(fate, history::Fate::Skipped(Some(_)));
            assert_eq!(is_skipped, transaction.id == 3, "{fate:?}");
        }
    }

    #[test]
    fn the_same_id_with_another_content_is_told_and_dropped() {
        let mut node = Node::default();
        let known = transaction("x", 1, SET_A, Some(10));
        node.accept(&[known.clone(), transaction("y", 1, SET_B, Some(20))]);
        assert_eq!(node.accept(std::slice::from_ref(&known)).equivocations, []);
        for other in [transaction("x", 1, SET_B, Some(10)), transaction("x", 1, SET_A, Some(15))] {
            let acceptance = node.accept(std::slice::from_ref(&other));
            assert_eq!(acceptance.outcomes, [[Outcome::Known { next_id: 2 }]]);
            let [Equivocation { known: found, dropped }] = &acceptance.equivocations[..] else {
                panic!("{acceptance:?}");
            };
            assert_eq!((Some(&found.place), dropped), (known.place().as_ref(), &other));
        }
        assert_eq!(node.text(), r#"{"a":1,"b":2}"#);
    }
}
