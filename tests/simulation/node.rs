//! A node under test: a replica and a durable journal, with the model beside them that says what they
//! must be.

mod reads;

use std::collections::{BTreeMap, VecDeque};

use patchmesh::internals::clock::{Time, VectorClock};
use patchmesh::internals::replica::history::{Contradiction, FateChanges};
use patchmesh::internals::replica::{
    Acceptance, Bounds, Equivocation, Life, Outcome, Placed, Replica, Saved,
};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Transaction};

use crate::definition::{Book, Number, order};
use crate::journal::{Disk, Growth, JournalPast};
use crate::lab::Lab;
use crate::model::{Expectation, Member, Model};
use reads::Follower;

/// A node.
pub struct Node {
    /// Its source.
    pub source: Source,
    /// How much its replica keeps in memory.
    pub bounds: Bounds,
    /// How far its wall clock is off, in microseconds.
    pub clock_error: i64,
    /// The Id of the next transaction that is created here.
    pub next_id: u64,
    /// Fresh transactions that were created here and not yet looked at.
    pub inbox: VecDeque<Transaction>,
    replica: Replica,
    journal: Vec<Number>,
    saved: Option<Saved>,
    follower: Option<Follower>,
    model: Model,
}

/// What a node did with what it was given.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has taken it in, but for the submissions that ended early.
    Kept {
        /// Which did.
        early: Vec<bool>,
    },
    /// It has taken nothing in.
    Unkept,
    /// It has ended, and must be restarted.
    Ended,
}

impl Node {
    /// A node with an empty journal.
    pub fn new(source: Source, bounds: Bounds) -> Self {
        Self {
            bounds,
            clock_error: 0,
            next_id: 1,
            inbox: VecDeque::new(),
            replica: Replica::new(life(&source), bounds),
            journal: Vec::new(),
            saved: None,
            follower: None,
            model: Model::new(source.clone()),
            source,
        }
    }

    /// The journal.
    pub fn journal(&self) -> &[Number] {
        &self.journal
    }

    /// What it must be.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Its document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self.replica.snapshot().root()).expect("it is JSON")
    }

    /// Writes down what the next start can begin with.
    pub fn save(&mut self, lab: &mut Lab) {
        lab.tally.saved += 1;
        self.saved = self.replica.save();
        let is_before_end = |saved: &Saved| saved.position < saved.length;
        lab.tally.saved_before_end += u64::from(self.saved.as_ref().is_some_and(is_before_end));
        self.check(&lab.book);
    }

    /// Ends, and starts again from the journal and what was saved.
    pub fn restart(&mut self, now: Time, lab: &mut Lab) {
        lab.tally.restarts += 1;
        self.inbox.clear();
        let mut position = 0;
        let mut resume = None;
        self.follower = None;
        self.replica = Replica::new(life(&self.source), self.bounds);
        if let Some(Saved { summary, document, .. }) = &self.saved {
            let loaded =
                Replica::load(life(&self.source), summary, &document.root().to_text(), self.bounds);
            let (replica, from) = loaded.expect("what was saved can be loaded");
            // Reading may begin before it has to.
            position = from.position.saturating_sub(lab.rng.u64(0..3)) as usize;
            (self.replica, resume) = (replica, Some(from));
        }
        let longest = [self.journal.len(), 1, 3, 10][lab.rng.usize(0..4)];
        while position < self.journal.len() {
            let (before, rest) = self.journal.split_at(position);
            let stretch = &rest[..lab.rng.usize(0..longest).min(rest.len() - 1) + 1];
            let transactions = stretch.iter().map(|number| lab.book.transaction(*number).clone());
            let transactions = transactions.collect();
            let past = JournalPast::new(before, Disk::SOUND, lab);
            let at = position as u64;
            let recovered = self.replica.recover(at, transactions, &mut resume, now, &past);
            recovered.expect("the journal can be read");
            position += stretch.len();
        }

        let journal = self.journal.iter().map(|number| lab.book.transaction(*number));
        let submissions = [journal.cloned().collect()];
        // What was journaled is not early, whatever the clock says now.
        self.model = Model::new(self.source.clone());
        self.model.accept(&submissions, Time::MAX, &mut lab.book);
        let skipped: BTreeMap<_, _> = self.replica.history().skipped().iter().cloned().collect();
        let since = |number| skipped.get(lab.book.place(number)).and_then(|skip| skip.since);
        let is_saved = self.saved.is_some();
        self.model.set_since(|number| since(number).filter(|_| is_saved).unwrap_or(now));
        self.check(&lab.book);
        (0..3).for_each(|_| self.check_reads(lab));
        self.next_id = self.model.next_id(&self.source, &lab.book);
    }

    /// Takes submissions in when the wall clock says `now`, and compares all that can be seen to the
    /// model.
    pub fn accept(
        &mut self,
        submissions: Vec<Vec<Transaction>>,
        now: Time,
        disk: Disk,
        lab: &mut Lab,
    ) -> Turn {
        let vclock = self.replica.vclock().clone();
        let before = (disk != Disk::SOUND).then(|| (self.replica.clone(), self.model.clone()));
        let past_end = self.replica.history().past_end().cloned();
        let may_read = self.replica.needs_past(&submissions);
        let expectation = self.model.accept(&submissions, now, &mut lab.book);

        let past = JournalPast::new(&self.journal, disk, lab);
        let forged = forged(&submissions, &past);
        let result = self.replica.accept(submissions, now, &past);
        assert!(may_read || past.reads.get() == 0, "the journal is read only where that was said");
        let reads = past.reads.get();
        lab.tally.journal_reads += u64::from(reads > 0);
        let acceptance = match (result, before) {
            (Ok(acceptance), before) => {
                compare(&acceptance, &expectation, self.model.history(), &lab.book);
                compare_equivocations(&acceptance, forged, past_end.as_ref(), &self.source);
                if let (Growth::Full, Some(before)) = (disk.growth, before)
                    && !acceptance.records.is_empty()
                {
                    return self.retract(before, lab);
                }
                acceptance
            }
            (Err(_), Some(before)) => {
                lab.tally.unreadable += 1;
                (self.replica, self.model) = before;
                self.check(&lab.book);
                return Turn::Unkept;
            }
            (Err(_), None) => panic!("the journal could be read"),
        };
        if disk.growth == Growth::Crash {
            return Turn::Ended;
        }
        self.journal.extend(&expectation.accepted);
        lab.tally.count(&acceptance);
        self.check(&lab.book);
        assert!(
            vclock.iter().all(|(source, next)| self.replica.vclock().next_id(source) >= next),
            "the vector clock goes back"
        );
        let is_early =
            |outcomes: &Vec<Outcome>| matches!(outcomes.last(), Some(Outcome::Early { .. }));
        Turn::Kept { early: acceptance.outcomes.iter().map(is_early).collect() }
    }

    /// Goes back to what was before, since the journal cannot take it in.
    fn retract(&mut self, (replica, model): (Replica, Model), lab: &mut Lab) -> Turn {
        lab.tally.retracted += 1;
        (self.replica, self.model) = (replica, model);
        self.check(&lab.book);
        Turn::Unkept
    }

    /// Compares the replica to the model.
    pub fn check(&self, book: &Book) {
        let (replica, model) = (&self.replica, &self.model);
        let history = replica.history();
        let members = model.history();
        let document = book.document(model.document());
        assert_eq!(replica.snapshot().root().to_string(), book.text(model.document()));
        assert_eq!(replica.snapshot().weight(), document.weight(), "the document's weight");
        let vclock: VectorClock = model.vclock().clone().into_iter().collect();
        assert_eq!(replica.vclock(), &vclock);

        assert_eq!(self.journal.len(), members.len(), "what is accepted is in the journal");
        assert_eq!(history.length(), members.len() as u64, "the history's length");
        let skipped =
            history.skipped().iter().map(|(place, skip)| (place, &skip.error, skip.since));
        let expected =
            model.skipped().map(|(number, error, since)| (book.place(number), error, Some(since)));
        assert!(skipped.eq(expected), "what is skipped is {:?}", history.skipped());
        assert_eq!(history.skipped_count(), model.skipped().count() as u64);
        let repeated = members.iter().filter(|member| member.is_repeated).count();
        assert_eq!(history.repeated_count(), repeated as u64);

        let mut recent = 0;
        for (placed, member) in history.recent_from_end().zip(members.iter().rev()) {
            let transaction = book.transaction(member.number);
            assert_eq!(&placed.place, book.place(member.number), "the recent part is the end");
            assert_eq!(placed.payload, transaction.payload);
            assert_eq!(self.journal[placed.position as usize], member.number, "a position");
            recent += 1;
        }
        assert!(recent <= self.bounds.recent_transactions, "the recent part is bounded");
        let place = |member: &Member| book.place(member.number);
        assert_eq!(history.past_end(), members[..members.len() - recent].last().map(place));
        assert_eq!(history.end(), members.last().map(place));
    }
}

fn life(source: &Source) -> Life {
    Life::new(source.clone()).expect("the source is short")
}

fn compare(acceptance: &Acceptance, expectation: &Expectation, history: &[Member], book: &Book) {
    assert_eq!(acceptance.outcomes, expectation.outcomes);
    let records = expectation.accepted.iter().map(|number| book.record(*number));
    assert!(acceptance.records.iter().eq(records), "{:?}", acceptance.records);

    let mut changes = BTreeMap::new();
    for change in &acceptance.changes.listed {
        let double = changes.insert(&change.place, change.skipped.as_ref());
        assert_eq!(double, None, "a change is told once");
    }
    let expected = expectation.changes.iter();
    let expected: BTreeMap<&Place, _> =
        expected.map(|(number, skipped)| (book.place(*number), skipped.as_deref())).collect();
    assert_eq!(changes, expected, "the changes of fate");
    let skipped = changes.values().flatten().count() as u64;
    let FateChanges { newly_skipped, newly_applied, .. } = &acceptance.changes;
    assert_eq!((*newly_skipped, *newly_applied), (skipped, changes.len() as u64 - skipped));

    // Whether all contradictions are told depends on what is near; what is told must be one.
    for Contradiction { earlier, repeated } in &acceptance.contradictions {
        let is_contradicted = |number: &Number| {
            let transaction = book.transaction(*number);
            (&transaction.source, transaction.id) == earlier.name()
                && book.place(*number) == repeated
                && transaction.payload != earlier.payload
        };
        assert!(history.iter().any(|member| is_contradicted(&member.number)));
    }
}

/// Forged transactions are told if both they and the known ones belong to the recent part, those of the
/// node's own `source` also if only the known ones do, and nothing else is.
fn compare_equivocations(
    acceptance: &Acceptance,
    forged: Vec<(Transaction, Placed)>,
    past_end: Option<&Place>,
    source: &Source,
) {
    let is_recent = |place: &Place| past_end.is_none_or(|past_end| order(place, past_end).is_gt());
    let expected: Vec<Equivocation> = forged
        .into_iter()
        .filter(|(dropped, known)| {
            let place = dropped.place().expect("what is forged is ordered");
            let is_own = [source.as_str(), &format!("{source}^s")].contains(&place.source.as_str());
            (is_own || is_recent(&place)) && is_recent(&known.place)
        })
        .map(|(dropped, known)| Equivocation { known, dropped })
        .collect();
    assert_eq!(acceptance.equivocations, expected);
}

/// The transactions that a journal knows with another time or payload, and how it knows them.
fn forged(submissions: &[Vec<Transaction>], past: &JournalPast) -> Vec<(Transaction, Placed)> {
    let JournalPast { book, journal, .. } = past;
    let mut forged = Vec::new();
    for transaction in submissions.iter().flatten() {
        if transaction.time.is_none() || book.number(transaction).is_some() {
            continue;
        }
        let position = journal.iter().position(|number| {
            let known = book.transaction(*number);
            known.stamp() == transaction.stamp()
        });
        if let Some(position) = position {
            let number = journal[position];
            let payload = book.transaction(number).payload.clone();
            let (place, named) = (book.place(number).clone(), book.record(number).named.clone());
            let position = position as u64;
            forged.push((transaction.clone(), Placed { place, named, position, payload }));
        }
    }
    forged
}
