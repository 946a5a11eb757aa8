//! What is committed, by the words of the definition: over the whole set of transactions, with no regard to speed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchmesh::internals::clock::Time;
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Commit, Name, Place, Transaction};

/// A transaction. Each that is applied leaves its name in the document.
#[derive(Debug)]
pub struct Record {
    pub place: Place,
    pub name: Name,
    pub patch: Patch,
    pub commit: Option<Commit>,
}

/// What a transaction does to the lists of the document. It does not apply if what it needs is not there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Patch {
    None,
    /// Puts an empty list there.
    Put(u8),
    /// Appends the name to the list.
    Push(u8),
    /// Removes the first one of the list.
    Take(u8),
    /// Moves the list elsewhere.
    Move(u8, u8),
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Applied,
    Skipped,
    Repeated,
    Void,
}

/// The document, in the simplest way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    lists: BTreeMap<u8, Vec<Name>>,
    applied: BTreeSet<Name>,
}

impl Record {
    pub fn stamp(&self) -> Name {
        Name { source: self.place.source.clone(), id: self.place.id }
    }
}

impl Patch {
    /// One at random.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        let (one, other) = (random.u8(..3), random.u8(..3));
        match random.u8(..8) {
            0 => Self::None,
            1 => Self::Put(one),
            2..5 => Self::Push(one),
            5..7 => Self::Take(one),
            _ => Self::Move(one, other),
        }
    }

    /// The transaction of this name, which nobody has stamped.
    pub fn fresh(self, name: &Name) -> Transaction {
        let own = key(name);
        let first = match self {
            Self::None => String::new(),
            Self::Put(list) => format!(r#"{{"op":"add","path":"/{list}","value":[]}},"#),
            Self::Push(list) => format!(r#"{{"op":"add","path":"/{list}/-","value":"{own}"}},"#),
            Self::Take(list) => format!(r#"{{"op":"remove","path":"/{list}/0"}},"#),
            Self::Move(from, to) => format!(r#"{{"op":"move","from":"/{from}","path":"/{to}"}},"#),
        };
        let member = own.replace('~', "~0");
        let last = format!(r#"{{"op":"add","path":"/{member}","value":1}}"#);
        Transaction::fresh(name.source.clone(), name.id, format!("[{first}{last}]"))
    }
}

impl Document {
    /// Applies a patch. Says whether it applies.
    pub fn apply(&mut self, name: &Name, patch: Patch) -> bool {
        let lists = &mut self.lists;
        let applies = match patch {
            Patch::None => true,
            Patch::Put(list) => {
                lists.insert(list, Vec::new());
                true
            }
            Patch::Push(list) => lists.get_mut(&list).map(|list| list.push(name.clone())).is_some(),
            Patch::Take(list) => {
                let list = lists.get_mut(&list).filter(|list| !list.is_empty());
                list.map(|list| list.remove(0)).is_some()
            }
            Patch::Move(from, to) => {
                lists.remove(&from).map(|list| lists.insert(to, list)).is_some()
            }
        };
        if applies {
            self.applied.insert(name.clone());
        }
        applies
    }

    /// Its text.
    pub fn json(&self) -> String {
        let mut members: BTreeMap<String, String> = BTreeMap::new();
        for (list, names) in &self.lists {
            let names: Vec<_> = names.iter().map(|name| format!("{:?}", key(name))).collect();
            members.insert(list.to_string(), format!("[{}]", names.join(",")));
        }
        members.extend(self.applied.iter().map(|name| (key(name), "1".into())));
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

fn key(name: &Name) -> String {
    format!("{}#{}", name.source, name.id)
}

/// The state at a commit.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub document: Document,
    /// Next Id and last time.
    pub clock: BTreeMap<Source, (u64, Time)>,
    /// The names that are known, and by the source of each the last time.
    pub names: BTreeSet<Name>,
    pub last: BTreeMap<Source, Time>,
    pub floor: Time,
}

/// All that follows from a set of transactions.
#[derive(Debug, Default)]
pub struct Definition {
    /// The source of the chain's end.
    pub tip: Option<Source>,
    pub chain: Vec<Name>,
    /// The history without commits. A segment is the number of the commit that covers it; that of what none
    /// does is the length of the chain.
    pub history: Vec<(usize, Place, Name, Fate)>,
    /// The state at each commit, and at the end.
    pub states: Vec<State>,
    /// By the stamp.
    pub patches: BTreeMap<(Source, u64), Patch>,
}

/// The commits that count, of all these.
pub fn chain(commits: &[(Place, Commit)]) -> (Option<Source>, Vec<Name>) {
    let of = |source: &Source, upto: u64| -> Vec<&(Place, Commit)> {
        let is_of = |(place, _): &&(Place, Commit)| place.source == *source && place.id <= upto;
        let mut found: Vec<_> = commits.iter().filter(is_of).collect();
        found.sort_by_key(|(place, _)| place.id);
        found
    };
    let sources: BTreeSet<_> = commits.iter().map(|(place, _)| &place.source).collect();
    let Some(epoch) = commits.iter().map(|(_, commit)| commit.epoch).max() else {
        return (None, Vec::new());
    };
    let greatest = sources.into_iter().filter(|source| of(source, u64::MAX)[0].1.epoch == epoch);
    let tip = greatest.min_by_key(|source| (of(source, u64::MAX)[0].0.time, *source));
    let (mut chain, mut way) = (Vec::new(), tip.map(|tip| (tip.clone(), u64::MAX)));
    while let Some((source, upto)) = way.take() {
        let part = of(&source, upto);
        let after = part.first().and_then(|(_, commit)| commit.after.clone());
        way = after.map(|after| (after.source, after.id));
        let names = part.iter().map(|(place, _)| Name { source: source.clone(), id: place.id });
        chain.splice(0..0, names);
    }
    (tip.cloned(), chain)
}

/// Whether a commit covers a stamp.
pub fn covers(at: &Place, commit: &Commit, stamp: &Place) -> bool {
    let upto = |name: &Name| name.source == stamp.source && stamp.id <= name.id;
    commit.clock.get(&stamp.source).is_some_and(|next| stamp.id < *next)
        || upto(&Name { source: at.source.clone(), id: at.id })
        || commit.after.as_ref().is_some_and(upto)
}

impl Definition {
    pub fn of(records: &[Rc<Record>]) -> Self {
        let commits = records.iter().filter_map(|r| Some((r.place.clone(), r.commit.clone()?)));
        let commits: Vec<_> = commits.collect();
        let (tip, chain) = chain(&commits);
        let mut left: Vec<_> = records.to_vec();
        left.sort_by(|a, b| a.place.cmp(&b.place));
        let patch =
            |record: &Rc<Record>| ((record.place.source.clone(), record.place.id), record.patch);
        let patches = records.iter().map(patch).collect();
        let mut made = Self { tip, patches, ..Self::default() };
        let mut state = State::default();
        for (segment, name) in chain.iter().enumerate() {
            let find =
                |(place, _): &&(Place, Commit)| place.source == name.source && place.id == name.id;
            let (at, commit) = commits.iter().find(find).expect("it is one of them");
            let clock = commit.clock.iter().map(|(source, next)| (source, *next));
            let names = commit.after.iter().chain([name]).map(|name| (&name.source, name.id + 1));
            for (source, next) in clock.chain(names) {
                let entry = state.clock.entry(source.clone()).or_default();
                if entry.0 < next {
                    *entry = (next, entry.1.max(at.time));
                }
            }
            let covered = |record: &Rc<Record>| covers(at, commit, &record.place);
            let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(covered);
            left = later;
            for record in now.iter().filter(|r| r.commit.is_none() && r.place.time >= state.floor) {
                let last = state.last.entry(record.name.source.clone()).or_default();
                *last = (*last).max(at.time);
            }
            made.put(&mut state, segment, &now);
            let horizon_micros = commit.horizon * 1_000_000;
            let before = |time: Time| {
                Time::from_micros(time.as_micros().saturating_sub(horizon_micros)).expect("less")
            };
            state.floor = state.floor.max(before(commit.until));
            let floor = state.floor;
            state.clock.retain(|source, (_, last)| *last >= floor || source.epoch().is_some());
            let is_plain = |source: &Source| source.life_name().is_none();
            let names_floor = before(floor);
            state.last.retain(|source, last| *last >= names_floor || is_plain(source));
            let State { names, last, .. } = &mut state;
            names.retain(|name| last.contains_key(&name.source));
            // Of a plain source only the next Id stays: all below it are known.
            let past = last.iter().filter(|(_, last)| **last < names_floor);
            for source in past.map(|(source, _)| source) {
                let ids = names.iter().filter(|name| name.source == *source).map(|name| name.id);
                let next = ids.max().map_or(0, |id| id + 1);
                names.extend((0..next).map(|id| Name { source: source.clone(), id }));
            }
            made.states.push(state.clone());
        }
        made.chain = chain;
        let end = made.chain.len();
        made.put(&mut state, end, &left);
        for record in &left {
            if record.place.time >= state.floor || record.commit.is_some() {
                let entry = state.clock.entry(record.place.source.clone()).or_default();
                entry.0 = entry.0.max(record.place.id + 1);
            }
        }
        made.states.push(state);
        made
    }

    /// Puts a segment, which is sorted, at the end.
    fn put(&mut self, state: &mut State, segment: usize, records: &[Rc<Record>]) {
        for record in records.iter().filter(|record| record.commit.is_none()) {
            let Record { place, name, patch, .. } = &**record;
            let fate = if place.time < state.floor {
                Fate::Void
            } else if !state.names.insert(name.clone()) {
                Fate::Repeated
            } else if state.document.apply(name, *patch) {
                Fate::Applied
            } else {
                Fate::Skipped
            };
            self.history.push((segment, place.clone(), name.clone(), fate));
        }
    }
}
