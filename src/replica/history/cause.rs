//! The winner: the transaction that changed what a skipped one needed.
//!
//! A skipped transaction has an operation that does not apply at its place in the history, because it requires
//! something of the document ([`Requirement`]). The winner is the latest transaction before it that changed that.
//! Nothing here changes the history, and the reader does the work in its own time.
//!
//! The recent part is searched from its end, each transaction taken back by its inverse, for many skipped ones at
//! once. Before it the search goes from checkpoint to checkpoint, the last one first. In either case the paths of an
//! inverse tell which transactions need a comparison: all others cannot have changed what is required.

use std::collections::{HashMap, HashSet};
use std::io;

use super::at::PastFloor;
use super::{Effect, Entry, Fate, History, Placed};
use crate::patch::{Document, Finding, NoRequirement, Patch, PointerBuf, Requirement, parse};
use crate::replica::floor::Floor;
use crate::replica::past::Past;
use crate::replica::suffix::Suffix;
use crate::transaction::Place;

/// The transaction that won.
#[derive(Clone, Debug, PartialEq)]
pub struct Winner {
    /// How many are before it in the history.
    pub index: u64,
    /// The transaction.
    pub placed: Placed,
    /// The index of its last operation that changed what is required.
    pub operation: Option<usize>,
    /// The path of the required value, or of the container for it.
    pub pointer: PointerBuf,
}

/// Why there is no winner.
#[derive(Clone, Debug, PartialEq)]
pub enum NoWinner {
    /// The transaction is not skipped, or it is void.
    NotSkipped,
    /// It does not fail because of something in the document.
    Needless(NoRequirement),
    /// No transaction before it has changed what is required.
    Unchanged(PointerBuf),
    /// None that is kept has, and a base stands for those before.
    Folded(PointerBuf),
}

/// The result of a search.
pub type Because = Result<Winner, NoWinner>;

/// A skipped transaction, what it requires, and what the document has there.
struct Sought {
    place: Place,
    need: Requirement,
    seen: Finding,
}

impl Sought {
    /// The transaction at `place` with this patch, which does not apply to the document.
    fn new(place: &Place, payload: &str, document: &Document) -> Result<Self, NoWinner> {
        let need = parse(payload).map_err(|_| NoRequirement::Never);
        let need =
            need.and_then(|patch| Requirement::of(&patch, document)).map_err(NoWinner::Needless)?;
        Ok(Self { place: place.clone(), seen: need.seen(document), need })
    }

    fn may_be_changed_by(&self, inverse: &Patch) -> bool {
        inverse.0.iter().any(|operation| self.need.may_be_changed_by(operation))
    }

    /// Says that `placed` has won, which was applied to the document `before`.
    fn winner(&self, index: u64, placed: &Placed, before: &Document) -> Winner {
        let patch = parse(&placed.payload).ok();
        let operation = patch.and_then(|patch| self.need.changed_at(patch, before.clone()));
        Winner { index, placed: placed.clone(), operation, pointer: self.need.pointer().clone() }
    }
}

/// The result of a search through the recent part.
#[derive(Default)]
struct Recent {
    found: HashMap<Place, Because>,
    /// Those whose winner is before the recent part.
    left: Vec<Sought>,
}

impl History {
    /// What won against the skipped transactions at these places, as far as the recent part tells. `go_on` is called
    /// for each transaction and before each comparison, and says whether to search further.
    ///
    /// # Errors
    /// Those of `go_on`.
    pub fn recent_winners(
        &self,
        wanted: &HashSet<Place>,
        go_on: &mut dyn FnMut() -> io::Result<bool>,
    ) -> io::Result<HashMap<Place, Because>> {
        let Recent { mut found, left } = self.look_back(wanted, go_on)?;
        if self.past_end.is_none() {
            let unchanged = |sought: Sought| (sought.place.clone(), Err(self.unchanged(&sought)));
            // It was searched to its beginning, unless `go_on` has ended that.
            found.extend(left.into_iter().map(unchanged));
        }
        Ok(found)
    }

    /// What won against the skipped transaction at `place`, which is in the journal at `position` and has this payload,
    /// however far back that is. `past` is the journal as it was when this history was taken; `go_on` is called again
    /// and again, and its error ends the search.
    ///
    /// # Errors
    /// Those of `go_on`, and if the journal had to be read and could not be.
    pub fn winner(
        &self,
        place: &Place,
        position: u64,
        payload: &str,
        past: &dyn Past,
        go_on: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Because> {
        let is_skipped = matches!(self.fate(place, position), Fate::Skipped(_));
        if !is_skipped || self.chain().is_void(place) {
            return Ok(Err(NoWinner::NotSkipped));
        }
        let (sought, last) = if self.is_past(place) {
            let floor = self.past_floor_before(place);
            let document = floor.up_to(place, 0, past)?.document;
            match Sought::new(place, payload, &document) {
                Ok(sought) => (sought, Some(place)),
                Err(none) => return Ok(Err(none)),
            }
        } else {
            let wanted = HashSet::from([place.clone()]);
            let Recent { mut found, mut left } =
                self.look_back(&wanted, &mut || go_on().map(|()| true))?;
            match (found.remove(place), left.pop()) {
                (Some(because), _) => return Ok(because),
                (None, Some(sought)) => (sought, self.past_end.as_ref()),
                (None, None) => return Ok(Err(NoWinner::NotSkipped)),
            }
        };
        let mut last = last.cloned();
        while let Some(end) = last {
            let floor = self.past_floor_before(&end);
            let at = floor.floor(past)?;
            last = at.end.clone();
            if let Some(winner) = sought.in_past(&floor, at, &end, past)? {
                return Ok(Ok(winner));
            }
        }
        Ok(Err(self.unchanged(&sought)))
    }

    fn unchanged(&self, sought: &Sought) -> NoWinner {
        let pointer = sought.need.pointer().clone();
        if self.begin.index == 0 { NoWinner::Unchanged(pointer) } else { NoWinner::Folded(pointer) }
    }

    /// Searches the recent part from its end.
    fn look_back(
        &self,
        wanted: &HashSet<Place>,
        go_on: &mut dyn FnMut() -> io::Result<bool>,
    ) -> io::Result<Recent> {
        let (mut document, mut index) = (self.document.clone(), self.length());
        let Recent { mut found, mut left } = Recent::default();
        let recent = wanted.iter().filter(|place| !self.is_past(place)).count();
        for Entry { placed, effect, .. } in self.recent.iter().rev() {
            if found.len() == recent {
                break;
            }
            if !go_on()? {
                return Ok(Recent { found, left: Vec::new() });
            }
            index -= 1;
            match effect {
                Effect::Skipped if wanted.contains(&placed.place) => {
                    match Sought::new(&placed.place, &placed.payload, &document) {
                        Ok(sought) => left.push(sought),
                        Err(none) => drop(found.insert(placed.place.clone(), Err(none))),
                    }
                }
                Effect::Skipped | Effect::Repeated => (),
                Effect::Applied(inverse) => {
                    document.revert(inverse.clone());
                    for sought in std::mem::take(&mut left) {
                        let may_be_it = sought.may_be_changed_by(inverse);
                        if may_be_it && !go_on()? {
                            return Ok(Recent { found, left: Vec::new() });
                        }
                        if !may_be_it || sought.need.seen(&document) == sought.seen {
                            left.push(sought);
                            continue;
                        }
                        let winner = sought.winner(index, placed, &document);
                        found.insert(sought.place, Ok(winner));
                    }
                }
            }
        }
        Ok(Recent { found, left })
    }
}

impl Sought {
    /// The last transaction after the floor, up to and with `last`, that has changed what is required.
    fn in_past(
        &self,
        from: &PastFloor,
        floor: Floor,
        last: &Place,
        past: &dyn Past,
    ) -> io::Result<Option<Winner>> {
        let mut seen = self.need.seen(&floor.document);
        let mut changed: Option<(u64, Placed, Document, Patch)> = None;
        let suffix = Suffix::collect_up_to(past, &from.chain, &floor, last)?;
        from.fold(floor, suffix, 0, past, |floor, placed, inverse| {
            if self.may_be_changed_by(&inverse) {
                let now = self.need.seen(&floor.document);
                if now != seen {
                    seen = now;
                    changed = Some((floor.index - 1, placed, floor.document.clone(), inverse));
                }
            }
        })?;
        Ok(changed.map(|(index, placed, mut document, inverse)| {
            document.revert(inverse);
            self.winner(index, &placed, &document)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::replica::history::Bounds;
    use crate::transaction::{Name, Transaction};

    fn operation(random: &mut fastrand::Rng) -> String {
        let places =
            ["/a", "/b", "/l", "/a/x", "/l/0", "/l/1", "/l/2", "/l/-", "/l/0/y", "/a/x/z", ""];
        let values = ["1", "1.0", "2", "{}", "[]", "[3,4,5]", r#"{"x":{"y":1}}"#];
        let path = places[random.usize(..places.len())];
        let value = values[random.usize(..values.len())];
        let from = places[random.usize(..places.len())];
        match random.u8(..7) {
            0 | 1 => format!(r#"{{"op":"add","path":"{path}","value":{value}}}"#),
            2 => format!(r#"{{"op":"remove","path":"{path}"}}"#),
            3 => format!(r#"{{"op":"replace","path":"{path}","value":{value}}}"#),
            4 => format!(r#"{{"op":"test","path":"{path}","value":{value}}}"#),
            5 => format!(r#"{{"op":"move","from":"{from}","path":"{path}"}}"#),
            _ => format!(r#"{{"op":"copy","from":"{from}","path":"{path}"}}"#),
        }
    }

    /// A history of which much is skipped, with late arrivals and some names twice, and its journal.
    fn busy(bounds: Bounds, random: &mut fastrand::Rng) -> (History, Vec<Transaction>) {
        let mut history = History::new(bounds);
        let mut journal = Vec::new();
        for position in 0..random.u64(1..90) {
            let late = if random.u8(..5) == 0 { 45 + random.u64(..9) } else { 0 };
            let time = Time::from_micros(1000 + 10 * position - late);
            let operations: Vec<_> = (0..random.usize(1..4)).map(|_| operation(random)).collect();
            let payload = format!("[{}]", operations.join(","));
            let stamp = Name { source: "a".parse().unwrap(), id: position };
            let is_named = random.u8(..9) == 0;
            let (source, id) = (stamp.source.clone(), stamp.id);
            let transaction = if is_named {
                let name = Transaction::fresh("n".parse().unwrap(), random.u64(..3), payload);
                Transaction { time, by: Some(stamp), ..name }
            } else {
                Transaction { time, ..Transaction::fresh(source, id, payload) }
            };
            let placed = Placed {
                place: transaction.place().unwrap(),
                named: is_named.then(|| Box::new(transaction.name())),
                position,
                payload: transaction.payload.clone(),
            };
            journal.push(transaction);
            if history.end().is_none_or(|end| placed.place > *end) {
                history.append_all(vec![placed], time.unwrap());
            } else {
                history.insert(vec![placed], position, time.unwrap(), &journal).unwrap();
            }
            history.checkpoint_where_due(journal.len() as u64);
        }
        (history, journal)
    }

    /// What won against the transaction at `index`, by the definition. `documents` has the one before each.
    fn defined(
        order: &[(u64, &Transaction)],
        documents: &[Document],
        index: usize,
    ) -> Result<(u64, usize, String), NoWinner> {
        let patch =
            parse(&order[index].1.payload).map_err(|_| NoWinner::Needless(NoRequirement::Never))?;
        let need = Requirement::of(&patch, &documents[index]).map_err(NoWinner::Needless)?;
        let seen = |document: &Document| need.seen(document);
        let is_changed = |at: &usize| seen(&documents[*at]) != seen(&documents[at + 1]);
        let Some(at) = (0..index).rev().find(is_changed) else {
            return Err(NoWinner::Unchanged(need.pointer().clone()));
        };
        let Patch(operations) = parse(&order[at].1.payload).unwrap();
        let after = |count: usize| {
            let mut document = documents[at].clone();
            document.apply(Patch(operations[..count].to_vec())).unwrap();
            document
        };
        let last = (0..operations.len()).rev().find(|at| seen(&after(*at)) != seen(&after(at + 1)));
        Ok((at as u64, last.unwrap(), need.pointer().to_string()))
    }

    #[test]
    fn the_winner_is_the_one_of_the_definition_however_far_back_it_is() {
        let (mut won, mut far) = (0, 0);
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let bounds = if seed % 2 == 0 { Bounds::TIGHT } else { Bounds::default() };
            let (history, journal) = busy(bounds, &mut random);
            let mut order: Vec<(u64, &Transaction)> = (0..).zip(&journal).collect();
            order.sort_by_key(|(_, transaction)| transaction.place());
            let (mut documents, mut names) = (vec![Document::default()], HashSet::new());
            for (_, transaction) in &order {
                let mut document = documents.last().unwrap().clone();
                if names.insert(transaction.name()) {
                    let _ = parse(&transaction.payload).and_then(|patch| document.apply(patch));
                }
                documents.push(document);
            }
            let is_skipped =
                |place: &Place, position| matches!(history.fate(place, position), Fate::Skipped(_));
            let mut wanted = HashSet::new();
            let mut expected = HashMap::new();
            for (index, (position, transaction)) in order.iter().enumerate() {
                let place = transaction.place().unwrap();
                if is_skipped(&place, *position) {
                    expected.insert(place.clone(), defined(&order, &documents, index));
                    wanted.insert(place);
                }
            }
            let told = |because: Because| {
                because.map(|winner| {
                    let Winner { index, placed, operation, pointer } = winner;
                    assert_eq!(Some(&placed.place), order[index as usize].1.place().as_ref());
                    (index, operation.expect("one of its operations did it"), pointer.to_string())
                })
            };
            for (place, expected) in &expected {
                let at = order.iter().find(|(_, it)| it.place().as_ref() == Some(place)).unwrap();
                let because =
                    history.winner(place, at.0, &at.1.payload, &journal, &mut || Ok(())).unwrap();
                assert_eq!(told(because), *expected, "seed {seed}, {}", at.1.payload);
                (won, far) =
                    (won + u64::from(expected.is_ok()), far + u64::from(history.is_past(place)));
            }
            let look = |most| {
                let mut left = most;
                let mut go_on = || {
                    left -= 1;
                    Ok(left > 0)
                };
                history.recent_winners(&wanted, &mut go_on).unwrap()
            };
            for (place, because) in look(4).into_iter().chain(look(1000)) {
                assert_eq!(told(because), expected[&place], "seed {seed}");
            }
            if history.past_end.is_none() {
                assert_eq!(look(1000).len(), wanted.len(), "seed {seed}");
            }
        }
        assert!(won > 500 && far > 500, "{won} {far}");
    }

    #[test]
    fn nothing_wins_against_what_is_not_skipped() {
        let (mut recent, mut past) = (0, 0);
        for seed in 0..20 {
            let (history, journal) = busy(Bounds::TIGHT, &mut fastrand::Rng::with_seed(seed));
            for (position, transaction) in (0..).zip(&journal) {
                let place = transaction.place().unwrap();
                if history.fate(&place, position) == Fate::Applied {
                    let count = if history.is_past(&place) { &mut past } else { &mut recent };
                    *count += 1;
                    let payload = &transaction.payload;
                    let because =
                        history.winner(&place, position, payload, &journal, &mut || Ok(()));
                    assert_eq!(because.unwrap(), Err(NoWinner::NotSkipped));
                }
            }
        }
        assert!(recent > 9 && past > 9, "{recent} {past}");
    }

    #[test]
    fn a_search_can_be_ended_between_two_comparisons() {
        let mut history = History::new(Bounds::default());
        let payloads = [r#"[{"op":"add","path":"/a","value":1}]"#]
            .into_iter()
            .chain([r#"[{"op":"test","path":"/a","value":2}]"#; 5]);
        let placed = (0..).zip(payloads).map(|(id, payload)| {
            let (time, source) = (Time::from_micros(9 + id).unwrap(), "a".parse().unwrap());
            let place = Place { time, source, id };
            Placed { place, named: None, position: id, payload: payload.into() }
        });
        let placed: Vec<_> = placed.collect();
        let wanted = placed[1..].iter().map(|placed| placed.place.clone()).collect();
        history.append_all(placed, Time::from_micros(99).unwrap());
        // Six of the calls are for the transactions.
        for (looks, expected) in [(6, 0), (8, 2), (11, 5)] {
            let mut left = looks + 1;
            let mut go_on = || {
                left -= 1;
                Ok(left > 0)
            };
            assert_eq!(history.recent_winners(&wanted, &mut go_on).unwrap().len(), expected);
        }
    }

    #[test]
    fn a_winner_before_the_base_is_not_known() {
        let document = Document::new(crate::document::Value::object()).unwrap();
        let base = Floor { index: 7, position: 3, document, ..Floor::beginning() };
        let mut history = History::after(Bounds::TIGHT, base.into(), Default::default());
        let place =
            Place { time: Time::from_micros(9).unwrap(), source: "a".parse().unwrap(), id: 1 };
        let payload: Box<str> = r#"[{"op":"remove","path":"/a"}]"#.into();
        let placed =
            Placed { place: place.clone(), named: None, position: 3, payload: payload.clone() };
        history.append_all(vec![placed], place.time);
        let folded = Err(NoWinner::Folded(PointerBuf::parse("/a").unwrap()));
        let journal = Vec::new();
        let because = history.winner(&place, 3, &payload, &journal, &mut || Ok(())).unwrap();
        assert_eq!(because, folded);
        let found = history.recent_winners(&[place].into(), &mut || Ok(true)).unwrap();
        assert_eq!(found.into_values().collect::<Vec<_>>(), [folded]);
    }
}
