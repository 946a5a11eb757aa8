//! The history as it was after so many transactions, and its transactions in their order.
//!
//! Nothing here changes the history. Its owner hands out a [`Basis`] or a [`Window`], which is little work, and the
//! reader makes the answer from it in its own time: for the recent part from the document and the inverses of what
//! comes after, and for what is before from a checkpoint and the journal.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{Effect, Entry, Fate, History, Placed};
use crate::commit::{Chain, Segment};
use crate::patch::{Document, Patch, parse};
use crate::replica::floor::Floor;
use crate::replica::past::Past;
use crate::replica::suffix::Suffix;
use crate::source::Source;
use crate::transaction::Place;

/// What the document after so many transactions is made from.
#[derive(Clone, Debug)]
pub enum Basis {
    /// The document now, and the inverses that take back all that comes after, in their order.
    Now(Document, Vec<Patch>),
    /// A floor, after which the journal is read.
    Floor(PastFloor),
}

/// A floor from which later places of the history are reached with the journal.
#[derive(Clone, Debug)]
pub struct PastFloor {
    /// None if it is the base, which is stored elsewhere.
    pub(super) floor: Option<Floor>,
    pub(super) chain: Arc<Chain>,
    /// Which names are forgotten at which commits.
    pub(super) forgotten: Arc<BTreeMap<u64, Vec<Source>>>,
}

/// A transaction of the history, and its fate.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// How many are before it in the history.
    pub index: u64,
    /// The transaction.
    pub placed: Placed,
    /// Its fate.
    pub fate: Fate,
}

/// Some transactions of the history in a row.
#[derive(Clone, Debug)]
pub enum Window {
    /// They are in the recent part.
    Recent(Vec<Listed>),
    /// They have to be read from the journal, after this floor.
    Floor(PastFloor),
}

/// How many transactions are before a place of the history, as far as that is known without the journal.
#[derive(Clone, Debug)]
pub struct PartialIndex {
    /// How many are up to a floor; the others have to be counted.
    pub index: u64,
    /// Where in the journal the others are.
    pub positions: Range<u64>,
    /// The end of the floor.
    after: Option<Place>,
    place: Place,
    chain: Arc<Chain>,
}

impl PartialIndex {
    /// Whether what the journal has at `place` is one of those to be counted.
    pub fn counts(&self, place: &Place) -> bool {
        let Self { after, place: end, chain, .. } = self;
        let order = chain.order(place);
        place.source.epoch().is_none()
            && order < chain.order(end)
            && after.as_ref().is_none_or(|after| chain.order(after) < order)
            && !chain.is_folded(place)
            && !chain.is_void(place)
    }
}

impl History {
    /// How many transactions are before `place`, which is in the history; none if no commit is known, so that this
    /// follows from the journal alone.
    pub fn before(&self, place: &Place) -> Option<PartialIndex> {
        let chain = self.chain.clone();
        chain.tip()?;
        let floor = self.last_floor_before(place);
        let (index, begin) = floor
            .map_or((self.begin.index, self.begin.position), |floor| (floor.index, floor.position));
        // All that a commit covers is before it in the journal.
        let end = match chain.segment_of(place) {
            Segment::Commit(number) => chain.commit(number).map(|commit| commit.position),
            Segment::Base | Segment::Tentative => None,
        };
        let positions = begin..end.unwrap_or(u64::MAX);
        let after = floor.and_then(|floor| floor.end.clone());
        Some(PartialIndex { index, positions, after, place: place.clone(), chain })
    }

    /// The basis of the document after `count` transactions; none if there are fewer, or the base stands for more.
    pub fn basis(&self, count: u64) -> Option<Basis> {
        if count > self.length() || count < self.begin.index {
            return None;
        }
        let Some(kept) = count.checked_sub(self.past_length) else {
            return Some(Basis::Floor(self.past_floor(count)));
        };
        let after = self.recent.iter_from(usize::try_from(kept).ok()?).rev();
        let inverse = |entry: &Entry| match &entry.effect {
            Effect::Applied(inverse) => Some(inverse.clone()),
            Effect::Skipped | Effect::Repeated => None,
        };
        Some(Basis::Now(self.document.clone(), after.filter_map(inverse).collect()))
    }

    /// At most `most` transactions from index `from` on, which is not before the base, and no more than one that
    /// passes `bytes` of payload in all.
    pub fn window(&self, from: u64, most: usize, bytes: usize) -> Window {
        let Some(start) = from.checked_sub(self.past_length) else {
            return Window::Floor(self.past_floor(from));
        };
        let mut room = bytes;
        let entries = self.recent.iter_from(usize::try_from(start).unwrap_or(usize::MAX));
        let listed = (from..).zip(entries).take(most).take_while(|(_, entry)| {
            let fits = room > 0;
            room = room.saturating_sub(entry.placed.payload.len());
            fits
        });
        Window::Recent(
            listed
                .map(|(index, entry)| Listed {
                    index,
                    fate: self.fate(&entry.placed.place, entry.placed.position),
                    placed: entry.placed.clone(),
                })
                .collect(),
        )
    }

    fn last_floor_before(&self, place: &Place) -> Option<&Floor> {
        let chain = &self.chain;
        let is_before = |floor: &&Floor| {
            floor.end.as_ref().is_some_and(|end| chain.order(end) < chain.order(place))
        };
        let floors =
            self.checkpoints.last_before(chain, place).into_iter().chain([&*self.committed]);
        floors.filter(is_before).max_by_key(|floor| floor.index)
    }

    /// The last floor before `place`.
    pub(super) fn past_floor_before(&self, place: &Place) -> PastFloor {
        self.past_floor_at(self.last_floor_before(place))
    }

    /// The last floor up to `count` transactions.
    fn past_floor(&self, count: u64) -> PastFloor {
        let committed = Some(&*self.committed).filter(|floor| floor.index <= count);
        let checkpoint = self.checkpoints.up_to(count);
        self.past_floor_at(checkpoint.into_iter().chain(committed).max_by_key(|floor| floor.index))
    }

    /// A floor, or the base.
    fn past_floor_at(&self, floor: Option<&Floor>) -> PastFloor {
        let floor = floor.or(self.base.as_deref()).cloned();
        PastFloor { floor, chain: self.chain.clone(), forgotten: self.forgotten.clone() }
    }
}

impl Basis {
    /// The document after the `count` transactions of which this is the basis. `past` is the journal as it
    /// was when the basis was taken.
    ///
    /// # Errors
    /// If the journal had to be read and could not be.
    pub fn document(self, count: u64, past: &dyn Past) -> io::Result<Document> {
        match self {
            Self::Now(mut document, inverses) => {
                inverses.into_iter().for_each(|inverse| document.revert(inverse));
                Ok(document)
            }
            Self::Floor(floor) => {
                let passed = floor.chain.next_number();
                let at = floor.floor(past)?;
                let left = count.saturating_sub(at.index);
                let suffix = Suffix::collect_first(past, &floor.chain, &at, left)?;
                Ok(floor.fold(at, suffix, passed, past, |_, _, _| ())?.document)
            }
        }
    }
}

impl PastFloor {
    pub(super) fn floor(&self, past: &dyn Past) -> io::Result<Floor> {
        self.floor.clone().map_or_else(|| past.base(), Ok)
    }

    /// The floor behind `last`, without the names that are forgotten at the commits before number `passed`.
    pub(super) fn up_to(self, last: &Place, passed: u64, past: &dyn Past) -> io::Result<Floor> {
        let floor = self.floor(past)?;
        let suffix = Suffix::collect_up_to(past, &self.chain, &floor, last)?;
        self.fold(floor, suffix, passed, past, |_, _, _| ())
    }

    /// Applies to a floor the transactions after it, and forgets the names that are forgotten at the commits before
    /// number `passed`. `visit` is called after each transaction that is applied, with its inverse.
    pub(super) fn fold(
        &self,
        mut floor: Floor,
        mut suffix: Suffix,
        passed: u64,
        past: &dyn Past,
        mut visit: impl FnMut(&Floor, Placed, Patch),
    ) -> io::Result<Floor> {
        let forget = |floor: &mut Floor, upto: u64| {
            for (_, sources) in self.forgotten.range(floor.passed..upto.max(floor.passed)) {
                for source in sources {
                    floor.counted.names.forget(source);
                }
            }
            floor.passed = floor.passed.max(upto);
        };
        loop {
            match suffix.next_segment() {
                Some(Segment::Commit(number)) => forget(&mut floor, number),
                Some(Segment::Tentative) => forget(&mut floor, self.chain.next_number()),
                Some(Segment::Base) | None => (),
            }
            let Some(placed) = suffix.next(past)? else { break };
            floor.index += 1;
            let (source, id) = placed.name();
            if !floor.counted.names.insert(source, id) {
                floor.counted.repeated += 1;
                continue;
            }
            // A patch that does not apply is skipped whole, and leaves the document as it was.
            match parse(&placed.payload).and_then(|patch| floor.document.apply(patch)) {
                Ok(inverse) => visit(&floor, placed, inverse),
                Err(_) => floor.counted.skipped += 1,
            }
        }
        forget(&mut floor, passed);
        Ok(floor)
    }

    /// At most `most` transactions from index `from` on, which is not before this floor, and no more
    /// than one that passes `bytes` of payload in all.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn list(
        &self,
        from: u64,
        most: usize,
        bytes: usize,
        past: &dyn Past,
    ) -> io::Result<Vec<Placed>> {
        let floor = self.floor(past)?;
        let before = from.saturating_sub(floor.index);
        let count = before.saturating_add(most as u64);
        let mut suffix = Suffix::collect_first(past, &self.chain, &floor, count)?;
        suffix.skip(before);
        let mut list = Vec::new();
        let mut room = bytes;
        while room > 0
            && let Some(placed) = suffix.next(past)?
        {
            room = room.saturating_sub(placed.payload.len());
            list.push(placed);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::replica::history::Bounds;
    use crate::transaction::Transaction;

    fn now() -> Time {
        Time::from_micros(1_000_000).unwrap()
    }

    /// A history of adds, removals of what may not be there, and late arrivals; with its journal.
    fn busy(bounds: Bounds) -> (History, Vec<Transaction>) {
        let mut history = History::new(bounds);
        let mut journal = Vec::new();
        for number in 0..200u64 {
            // Every fifth one belongs some places before the end.
            let time = 100 + 10 * number - if number % 5 == 4 { 45 } else { 0 };
            let member = number % 9;
            let payload = match number % 3 {
                0 => format!(r#"[{{"op":"add","path":"/{member}","value":{number}}}]"#),
                1 => format!(r#"[{{"op":"remove","path":"/{}"}}]"#, member / 2),
                _ => format!(r#"[{{"op":"add","path":"/{member}","value":[{number},"ä"]}}]"#),
            };
            let transaction = Transaction {
                time: Time::from_micros(time),
                ..Transaction::fresh("a".parse().unwrap(), number, payload)
            };
            let placed = Placed {
                place: transaction.place().unwrap(),
                named: None,
                position: number,
                payload: transaction.payload.clone(),
            };
            if history.end().is_none_or(|end| placed.place > *end) {
                history.append_all(vec![placed], now());
            } else {
                journal.push(transaction);
                history.insert(vec![placed], number, now(), &journal).unwrap();
                history.checkpoint_where_due(journal.len() as u64);
                continue;
            }
            journal.push(transaction);
            history.checkpoint_where_due(journal.len() as u64);
        }
        (history, journal)
    }

    fn in_order(journal: &[Transaction]) -> Vec<(u64, &Transaction)> {
        let mut order: Vec<_> = (0..).zip(journal).collect();
        order.sort_by_key(|(_, transaction)| transaction.place());
        order
    }

    #[test]
    fn the_document_at_any_place_is_the_fold_up_to_there() {
        for bounds in [Bounds::TIGHT, Bounds::default()] {
            let (history, journal) = busy(bounds);
            let mut fold = Document::default();
            let order = in_order(&journal);
            for count in 0..=order.len() {
                let basis = history.basis(count as u64).unwrap();
                let document = basis.document(count as u64, &journal).unwrap();
                assert_eq!(document, fold, "after {count}");
                if let Some((_, next)) = order.get(count) {
                    let _ = parse(&next.payload).and_then(|patch| fold.apply(patch));
                }
            }
            assert_eq!(history.document(), &fold);
            assert!(history.basis(201).is_none() && history.basis(u64::MAX).is_none());
        }
    }

    #[test]
    fn a_window_lists_the_history_in_its_order() {
        let (history, journal) = busy(Bounds::TIGHT);
        let order = in_order(&journal);
        let list = |from, most, bytes| match history.window(from, most, bytes) {
            Window::Recent(list) => list,
            Window::Floor(base) => {
                let list = base.list(from, most, bytes, &journal).unwrap();
                let listed = |(index, placed): (u64, Placed)| {
                    let fate = history.fate(&placed.place, placed.position);
                    Listed { index, placed, fate }
                };
                (from..).zip(list).map(listed).collect()
            }
        };
        for from in 0..=201 {
            let list = list(from, 10, usize::MAX);
            let expected = order.iter().skip(from as usize).take(10);
            assert_eq!(list.len(), expected.len());
            for ((index, listed), (position, transaction)) in (from..).zip(&list).zip(expected) {
                assert_eq!((listed.index, listed.placed.position), (index, *position));
                assert_eq!(Some(&listed.placed.place), transaction.place().as_ref());
                assert_eq!(listed.placed.payload, transaction.payload);
            }
        }
        for from in [0, 196] {
            assert_eq!(list(from, 10, 1).len(), 1, "one passes the bytes");
        }
        let mut fold = Document::default();
        let mut skipped = Vec::new();
        for listed in list(0, 200, usize::MAX) {
            let error = parse(&listed.placed.payload).and_then(|patch| fold.apply(patch)).err();
            match listed.fate {
                Fate::Applied => assert_eq!(error, None),
                Fate::Skipped(skip) => skipped.push((skip.map(|skip| skip.error.clone()), error)),
                Fate::Repeated => panic!("all names are new"),
            }
        }
        assert_eq!(skipped.len() as u64, history.skipped_count());
        let unlisted = skipped.len() - Bounds::TIGHT.skipped_listed;
        assert!(unlisted > 0 && skipped[..unlisted].iter().all(|(told, _)| told.is_none()));
        assert!(skipped[unlisted..].iter().all(|(told, error)| told.is_some() && told == error));
    }
}
