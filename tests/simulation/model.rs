//! What a node must be and answer, from the definitions alone: the second implementation, which the
//! first is compared to at every step.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use patchmesh::internals::clock::Time;
use patchmesh::internals::patch::PatchError;
use patchmesh::internals::replica::Outcome;
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Name, Transaction};

use crate::definition::{Book, EMPTY, Number, Version, order};

/// How far ahead a time may be: one hour in microseconds.
const HOUR_MICROS: u64 = 60 * 60 * 1_000_000;

/// The history in its order, the vector clock, and the greatest time seen.
#[derive(Clone)]
pub struct Model {
    /// The node's source.
    life: Source,
    history: Vec<Member>,
    vclock: BTreeMap<Source, u64>,
    /// The greatest time seen. Where something is not kept after all, its time was seen nevertheless.
    pub seen_micros: u64,
}

/// A transaction of the history.
#[derive(Clone)]
pub struct Member {
    /// Which one.
    pub number: Number,
    /// Why it is skipped, and since when; none if it is not.
    pub skip: Option<(Rc<PatchError>, Time)>,
    /// Whether one of its name is before it.
    pub is_repeated: bool,
    /// The document after it.
    after: Version,
}

/// What must become of some submissions.
#[derive(Default)]
pub struct Expectation {
    /// What of each.
    pub outcomes: Vec<Vec<Outcome>>,
    /// The accepted ones in the journal's order.
    pub accepted: Vec<Number>,
    /// Earlier ones that were applied and are skipped now, with the reason, or the other way round.
    pub changes: BTreeMap<Number, Option<Rc<PatchError>>>,
    /// The greatest time seen before the fresh ones had their turn.
    pub seen_micros: u64,
}

impl Model {
    /// A node of this source that has nothing.
    pub fn new(life: Source) -> Self {
        Self { life, history: Vec::new(), vclock: BTreeMap::new(), seen_micros: 0 }
    }

    /// The history in its order.
    pub fn history(&self) -> &[Member] {
        &self.history
    }

    /// The sources seen, and the Ids expected next.
    pub fn vclock(&self) -> &BTreeMap<Source, u64> {
        &self.vclock
    }

    /// The Id expected next of a source that stamps.
    fn next_stamp(&self, source: &Source) -> u64 {
        self.vclock.get(source).copied().unwrap_or(0)
    }

    /// The least Id that is free, for a stamp and as a name.
    pub fn next_id(&self, source: &Source, book: &Book) -> u64 {
        let named = self.names(book).filter(|name| name.source == *source).map(|name| name.id + 1);
        named.chain([self.next_stamp(source), 1]).max().expect("there is one")
    }

    fn names<'a>(&'a self, book: &'a Book) -> impl Iterator<Item = Name> + 'a {
        self.history.iter().map(|member| book.transaction(member.number).name())
    }

    /// The document.
    pub fn document(&self) -> Version {
        self.document_after(self.history.len())
    }

    /// The document after the first transactions of the history.
    pub fn document_after(&self, count: usize) -> Version {
        count.checked_sub(1).map_or(EMPTY, |last| self.history[last].after)
    }

    /// The skipped transactions in the history's order: the reason, and since when.
    pub fn skipped(&self) -> impl Iterator<Item = (Number, &PatchError, Time)> {
        self.history.iter().filter_map(|member| {
            member.skip.as_ref().map(|(error, since)| (member.number, &**error, *since))
        })
    }

    fn index(&self, number: Number, book: &Book) -> usize {
        let place = book.place(number);
        self.history.partition_point(|member| order(book.place(member.number), place).is_lt())
    }

    /// Takes submissions in, the ordered transactions before the fresh ones, when the wall clock says
    /// `now`.
    pub fn accept(
        &mut self,
        submissions: &[Vec<Transaction>],
        now: Time,
        book: &mut Book,
    ) -> Expectation {
        let mut expectation = Expectation::default();
        let mut fresh = Vec::new();
        for (submission, transactions) in submissions.iter().enumerate() {
            let mut outcomes = Vec::new();
            for (index, transaction) in transactions.iter().enumerate() {
                if transaction.time.is_none() {
                    fresh.push((submission, index, transaction));
                    continue;
                }
                let outcome =
                    self.accept_ordered(transaction, now, book, &mut expectation.accepted);
                let early = matches!(outcome, Outcome::Early { .. });
                outcomes.push(outcome);
                if early {
                    break;
                }
            }
            expectation.outcomes.push(outcomes);
        }
        expectation.changes = self.insert(&expectation.accepted, now, book);
        expectation.seen_micros = self.seen_micros;
        for (submission, index, transaction) in fresh {
            let outcome = self.accept_fresh(transaction, now, book, &mut expectation.accepted);
            expectation.outcomes[submission].insert(index, outcome);
        }
        expectation
    }

    fn accept_ordered(
        &mut self,
        transaction: &Transaction,
        now: Time,
        book: &mut Book,
        accepted: &mut Vec<Number>,
    ) -> Outcome {
        let (source, id) = transaction.stamp();
        let next_id = self.next_stamp(source);
        if next_id > id {
            return Outcome::Known { next_id };
        }
        let time_micros = transaction.time.map_or(0, Time::as_micros);
        if time_micros > now.as_micros() + HOUR_MICROS {
            return Outcome::Early { ahead_micros: time_micros - now.as_micros() };
        }
        self.take_note(transaction, time_micros);
        let number = book.enter(transaction);
        accepted.push(number);
        Outcome::Accepted(book.record(number).clone())
    }

    fn accept_fresh(
        &mut self,
        transaction: &Transaction,
        now: Time,
        book: &mut Book,
        accepted: &mut Vec<Number>,
    ) -> Outcome {
        let name = transaction.name();
        let is_own = name.source == self.life;
        let is_known = self.names(book).any(|known| known == name)
            || (is_own && self.next_stamp(&name.source) > name.id);
        if is_known {
            return Outcome::Known { next_id: self.next_id(&name.source, book) };
        }
        let time_micros = now.as_micros().max(self.seen_micros + 1);
        if time_micros > now.as_micros() + HOUR_MICROS {
            return Outcome::Early { ahead_micros: time_micros - now.as_micros() };
        }
        let after = match book.apply_text(self.document(), &transaction.payload) {
            Ok(after) => after,
            Err(error) => return Outcome::Refused((*error).clone()),
        };
        let stamper: Source = format!("{}^s", self.life).parse().expect("it is short");
        let stamp = Name { id: self.next_stamp(&stamper).max(1), source: stamper };
        let stamped = Transaction {
            time: Time::from_micros(time_micros),
            by: (!is_own).then_some(stamp),
            ..transaction.clone()
        };
        let number = book.enter(&stamped);
        if let Some(last) = self.history.last() {
            assert!(order(book.place(last.number), book.place(number)).is_lt(), "it comes last");
        }
        self.take_note(&stamped, time_micros);
        self.history.push(Member { number, skip: None, is_repeated: false, after });
        accepted.push(number);
        Outcome::Accepted(book.record(number).clone())
    }

    fn take_note(&mut self, transaction: &Transaction, time_micros: u64) {
        let (source, id) = transaction.stamp();
        self.vclock.insert(source.clone(), id + 1);
        self.seen_micros = self.seen_micros.max(time_micros);
    }

    /// Puts transactions where they belong. The document is folded anew from the first of them on.
    fn insert(
        &mut self,
        added: &[Number],
        now: Time,
        book: &mut Book,
    ) -> BTreeMap<Number, Option<Rc<PatchError>>> {
        let mut changes = BTreeMap::new();
        let first = added.iter().map(|number| self.index(*number, book)).min();
        let Some(first) = first else { return changes };
        let newcomer = |number: &Number| Member {
            number: *number,
            skip: None,
            is_repeated: false,
            after: EMPTY,
        };
        self.history.extend(added.iter().map(newcomer));
        self.history[first..]
            .sort_by(|left, right| order(book.place(left.number), book.place(right.number)));
        let mut document = self.document_after(first);
        let mut names: HashSet<Name> = self.names(book).take(first).collect();
        for member in &mut self.history[first..] {
            let before = member.skip.take();
            member.is_repeated = !names.insert(book.transaction(member.number).name());
            if member.is_repeated {
                member.after = document;
                continue;
            }
            match book.apply(document, member.number) {
                Ok(after) => document = after,
                Err(error) => {
                    let since = before.as_ref().map_or(now, |(_, since)| *since);
                    member.skip = Some((error, since));
                }
            }
            member.after = document;
            if before.is_some() != member.skip.is_some() && !added.contains(&member.number) {
                changes.insert(member.number, member.skip.as_ref().map(|(error, _)| error.clone()));
            }
        }
        changes
    }

    /// Says since when the skipped transactions are skipped.
    pub fn set_since(&mut self, since: impl Fn(Number) -> Time) {
        for member in &mut self.history {
            if let Some((_, skipped_since)) = &mut member.skip {
                *skipped_since = since(member.number);
            }
        }
    }
}
