//! Replays: the history is gone through again from a floor, with all that the journal has after it.
//!
//! A late arrival often makes no lasting difference: what it wrote was written again soon, or it is skipped. So a replay
//! first goes to a checkpoint of the history as it was. If the document is the same there, all that comes after it keeps
//! its effect, and is joined on as it is.

use std::collections::BTreeSet;
use std::io;

use super::super::floor::Floor;
use super::super::past::Past;
use super::super::suffix::Suffix;
use super::rewrite::TakenBack;
use super::{Counted, FateChanges, History, NAME_SEARCH, Placed, Repetition};
use crate::clock::Time;
use crate::commit::Segment;
use crate::names::Names;
use crate::source::Source;

/// If the document is another one at a checkpoint, the next one to compare is so many times as far from the floor, so
/// that all comparisons together are little work beside the replay.
const GROWTH: u64 = 4;

/// A replay on its way.
pub(super) struct Replay<'a> {
    /// The history as it was.
    old: &'a History,
    /// The history as far as it is replayed.
    history: History,
    /// The floor after which the next part is read.
    floor: Floor,
    /// The transactions from this position on are new.
    new: u64,
    now: Time,
    past: &'a dyn Past,
    replayed: Replayed,
}

/// What a replay finds besides the history.
#[derive(Default)]
pub(super) struct Replayed {
    /// The transactions whose fate changed.
    pub changes: FateChanges,
    /// The transactions that are repeated, as far as it went.
    pub repetitions: Vec<Repetition>,
}

impl<'a> Replay<'a> {
    /// A replay from a floor on. The transactions from the position `new` on are new.
    pub fn new(old: &'a History, floor: Floor, new: u64, now: Time, past: &'a dyn Past) -> Self {
        let history = old.at(&floor);
        Self { old, history, floor, new, now, past, replayed: Replayed::default() }
    }

    /// Replays all that comes after the floor. Returns the new history.
    pub fn run(mut self) -> io::Result<(History, Replayed)> {
        let suffix = Suffix::collect(self.past, &self.old.chain, &self.floor)?;
        let end = self.floor.position + suffix.read();
        self.put_all(suffix, 0, end)?;
        let Self { old, mut history, replayed, .. } = self;
        history.changes = old.changes.clone();
        history.changes.cut();
        Ok((history, replayed))
    }

    /// The same for late arrivals, which are all the new ones, in their order. It ends at a checkpoint if they make no
    /// difference any more there.
    pub fn run_for(mut self, late: &[Placed]) -> io::Result<(History, Replayed)> {
        // While a journal is read again at the start, a saved floor may count transactions that are not read yet.
        let is_all_read = self.floor.index >= self.old.made_from;
        let Some(added) = self.old.new_names(late).filter(|_| is_all_read) else {
            return self.run();
        };
        let begin = self.floor.index;
        let mut next = begin;
        for checkpoint in self.old.checkpoints_behind(late) {
            let Some(end) = checkpoint.end.as_ref().filter(|_| checkpoint.index >= next) else {
                continue;
            };
            next = begin + GROWTH * (checkpoint.index - begin);
            let suffix = Suffix::collect_up_to(self.past, &self.old.chain, &self.floor, end)?;
            let later = self.old.length() - checkpoint.index;
            self.put_all(suffix, later, checkpoint.position)?;
            if self.history.document == checkpoint.document {
                return Ok((self.history.join(self.old, checkpoint, &added), self.replayed));
            }
            self.floor = self.history.as_floor(checkpoint.position);
        }
        self.run()
    }

    /// Puts the transactions of a suffix to the end. So many `later` ones come after them, all of which are in the
    /// journal from `position` on.
    fn put_all(&mut self, mut suffix: Suffix, later: u64, position: u64) -> io::Result<()> {
        let Self { old, history, new, now, past, replayed, .. } = self;
        let most = old.bounds.recent_transactions;
        let later = usize::try_from(later).unwrap_or(usize::MAX);
        let mut names: BTreeSet<Source> = BTreeSet::new();
        loop {
            let next = match suffix.next_segment() {
                Some(Segment::Commit(number)) => number,
                Some(Segment::Base) => history.progress.passed,
                Some(Segment::Tentative) | None => old.chain.next_number(),
            };
            if history.progress.passed < next {
                let floor = old.chain.floor_before(next);
                let least = suffix.least_position(floor).unwrap_or(position);
                history.pass(next, std::mem::take(&mut names), least);
            }
            // Transactions that would leave the recent part again are not kept there, but for those that a
            // repetition is compared with.
            let is_near = suffix.left().saturating_add(later) <= most;
            history.bounds.recent_transactions = if is_near { most } else { most.min(NAME_SEARCH) };
            let Some(placed) = suffix.next(*past)? else { return Ok(()) };
            if next < old.chain.next_number() {
                let (source, _) = placed.name();
                if !names.contains(source) && !old.chain.is_void(&placed.place) {
                    names.insert(source.clone());
                }
            }
            let fate = (placed.position < *new).then(|| old.fate(&placed.place, placed.position));
            let taken = TakenBack { placed, fate };
            replayed.repetitions.extend(history.put(taken, *now, &mut replayed.changes));
            if history.checkpoints.is_due(0, &history.bounds) {
                // All later places are in the journal from the least position of the rest on, or
                // will be appended to it.
                let least = suffix.least_position(history.progress.committed.floor);
                let least = least.map_or(position, |least| least.min(position));
                let floor = history.as_floor(least);
                history.checkpoints.add(floor, &history.bounds);
            }
        }
    }
}

impl History {
    /// The names of these late arrivals; none if one of them is known, or stands for more than one of them.
    fn new_names(&self, late: &[Placed]) -> Option<Names> {
        let mut names = Names::default();
        let is_new = late.iter().all(|placed| {
            let (source, id) = placed.name();
            !self.counted.names.contains(source, id) && names.insert(source, id)
        });
        is_new.then_some(names)
    }

    /// The checkpoints behind these, which are in their order, that are before the recent part; none if a commit covers
    /// one of these.
    fn checkpoints_behind(&self, late: &[Placed]) -> impl Iterator<Item = &Floor> {
        let is_tentative = |placed: &&Placed| {
            self.chain.segment_of(&placed.place) == Segment::Tentative
                && !self.chain.is_void(&placed.place)
        };
        let last = late.last().filter(|_| late.first().is_some_and(|first| is_tentative(&first)));
        let behind = last.map_or(&[][..], |last| self.checkpoints.behind(&self.chain, &last.place));
        let passed = self.progress.passed;
        let may_be_joined =
            move |floor: &&Floor| floor.passed == passed && floor.index <= self.past_length;
        behind.iter().filter(may_be_joined)
    }

    /// Joins to this history what the `old` one has after a checkpoint, where this one has the same document. It lacks
    /// nothing but the transactions of the names that are `added`.
    fn join(self, old: &Self, checkpoint: &Floor, added: &Names) -> Self {
        let count = self.length() - checkpoint.index;
        let Counted { skipped, repeated, .. } = self.counted;
        let counted = |counted: &Counted| {
            let mut names = counted.names.clone();
            names.extend(added);
            Counted {
                names,
                skipped: counted.skipped + skipped - checkpoint.counted.skipped,
                repeated: counted.repeated + repeated - checkpoint.counted.repeated,
            }
        };
        let mut checkpoints = self.checkpoints;
        for floor in old.checkpoints.from(checkpoint) {
            let (index, counted) = (floor.index + count, counted(&floor.counted));
            let floor = Floor { index, counted, ..floor.clone() };
            checkpoints.add(floor, &old.bounds);
        }
        checkpoints.count_as(&old.checkpoints);
        Self {
            past_length: old.past_length + count,
            made_from: self.made_from,
            checkpoints,
            skips: self.skips,
            counted: counted(&old.counted),
            displaced: self.displaced,
            ..old.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::replica::bounds::Bounds;
    use crate::replica::past::PastPlace;
    use crate::transaction::{Name, Transaction};

    /// A journal that counts what is read of it.
    #[derive(Default)]
    struct Counting {
        journal: Vec<Transaction>,
        read: Cell<usize>,
    }

    impl Past for Counting {
        fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
            self.journal.places(position)
        }

        fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
            let payloads = self.journal.payloads(position, most)?;
            self.read.set(self.read.get() + payloads.len());
            Ok(payloads)
        }
    }

    fn payload(random: &mut fastrand::Rng) -> String {
        let (member, value) = (random.u8(..3), random.u8(..4));
        match random.u8(..20) {
            0 => format!(r#"[{{"op":"remove","path":"/{member}"}}]"#),
            1 => format!(r#"[{{"op":"test","path":"/{member}","value":{value}}}]"#),
            2 => format!(r#"[{{"op":"copy","from":"/{member}","path":"/3"}}]"#),
            3..9 => format!(r#"[{{"op":"replace","path":"/{member}","value":{value}}}]"#),
            _ => format!(r#"[{{"op":"add","path":"/{member}","value":{value}}}]"#),
        }
    }

    fn placed(transaction: &Transaction, position: u64) -> Placed {
        let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
        let place = transaction.place().expect("it is ordered");
        Placed { place, named, position, payload: transaction.payload.clone() }
    }

    /// The history after each of its transactions, appended one after another.
    fn in_order(journal: &[Transaction], now: Time) -> Vec<History> {
        let mut all: Vec<Placed> =
            (0..).zip(journal).map(|(position, one)| placed(one, position)).collect();
        all.sort_by(|left, right| left.place.cmp(&right.place));
        let mut history = History::new(Bounds::default());
        let mut histories = vec![history.clone()];
        for placed in all {
            history.append_all(vec![placed], now);
            histories.push(history.clone());
        }
        histories
    }

    fn assert_is(history: &History, journal: &[Transaction], now: Time) {
        let expected = in_order(journal, now);
        let last = expected.last().expect("there is the empty one");
        assert_eq!(history.length(), last.length());
        assert_eq!((history.document(), &history.counted), (last.document(), &last.counted));
        assert_eq!(history.end(), last.end());
        for (position, transaction) in (0..).zip(journal) {
            let place = transaction.place().expect("it is ordered");
            let [fate, expected] = [history, last].map(|history| history.fate(&place, position));
            assert_eq!(std::mem::discriminant(&fate), std::mem::discriminant(&expected));
        }
        for index in 0..history.length() {
            let Some(floor) = history.checkpoints.up_to(index) else { continue };
            let at = &expected[floor.index as usize];
            assert_eq!((&floor.document, &floor.counted), (at.document(), &at.counted));
            assert_eq!(floor.end.as_ref(), at.end());
            let is_later = |at: &Transaction| at.place() > floor.end;
            let first = journal.iter().position(is_later).unwrap_or(journal.len());
            assert!(
                floor.position <= first as u64,
                "all later ones are in the journal from there on"
            );
        }
    }

    /// Batches of late arrivals of any depth, some of which have names that are known or become known later.
    #[test]
    fn a_replay_ends_as_soon_as_nothing_is_different() {
        let now = Time::from_micros(1 << 40).expect("it is small");
        let bounds = Bounds { checkpoints: 20, ..Bounds::TIGHT };
        let (mut read, mut behind) = (0, 0);
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut history, mut past) = (History::new(bounds), Counting::default());
            for id in 0..60 {
                let new = past.journal.len() as u64;
                let back = if random.u8(..4) == 0 { random.u64(..10 * id + 1) } else { 0 };
                for number in 0..random.u64(1..20) {
                    let (id, time) = (100 * id + number, 1000 + 10 * id - back + number / 2);
                    let payload = payload(&mut random);
                    let by =
                        (random.u8(..4) == 0).then(|| Name { source: "b".parse().unwrap(), id });
                    let name = if by.is_some() { random.u64(..2 * id + 1) } else { id };
                    past.journal.push(Transaction {
                        time: Time::from_micros(time),
                        by,
                        ..Transaction::fresh("a".parse().unwrap(), name, payload)
                    });
                }
                let late: Vec<Placed> = (new..)
                    .zip(&past.journal[new as usize..])
                    .map(|(at, one)| placed(one, at))
                    .collect();
                let first = late.iter().map(|placed| &placed.place).min().expect("there is one");
                if history.is_past(first) {
                    behind += history.length()
                        - history
                            .checkpoints
                            .last_before(&history.chain, first)
                            .map_or(0, |floor| floor.index);
                }
                history.insert(late, new, now, &past).expect("it can be read");
                history.checkpoint_where_due(past.journal.len() as u64);
                if id % 10 == 9 {
                    assert_is(&history, &past.journal, now);
                }
            }
            read += past.read.get() as u64;
        }
        assert!(3 * read < 2 * behind, "{read} of {behind} are replayed");
    }

    /// At a start a saved floor counts transactions that are read only later. A replay from before it lacks them, and
    /// they are put in when they are read.
    #[test]
    fn nothing_is_joined_on_that_counts_what_is_not_read_yet() {
        let now = Time::from_micros(1 << 40).expect("it is small");
        let bounds = Bounds {
            recent_transactions: 0,
            checkpoints: 1,
            checkpoint_spacing: 1,
            ..Bounds::TIGHT
        };
        let journal: Vec<Transaction> = [100, 120, 60, 50]
            .map(|time| Transaction {
                time: Time::from_micros(time),
                ..Transaction::fresh(
                    "a".parse().unwrap(),
                    time,
                    r#"[{"op":"add","path":"","value":{}}]"#,
                )
            })
            .into();
        let mut counted = Counted::default();
        assert!(counted.names.insert(&"a".parse().unwrap(), 50));
        let floor = Floor { end: journal[3].place(), index: 1, counted, ..Floor::default() };
        let mut history = History::resume(bounds, floor, Default::default());
        for (position, expected) in [2, 3, 3, 4].into_iter().enumerate() {
            let (read, new) = (&journal[..=position], position as u64);
            if position < 3 || !history.names().contains(&"a".parse().unwrap(), 50) {
                history
                    .insert(vec![placed(&journal[position], new)], new, now, &read)
                    .expect("it can be read");
            }
            history.checkpoint_where_due(new + 1);
            assert_eq!(history.length(), expected, "{position}");
        }
        assert_is(&history, &journal, now);
    }
}
