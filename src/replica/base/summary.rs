//! A base without its document, as JSON:
//!
//! ```json
//! {"Commit":{"Source":"main~k3x9q2pd^1","Id":9},"First":1763888400123456,
//!  "Clock":{"a~k3x9q2pd":[17,1763888400123400]},
//!  "Names":{"a~k3x9q2pd":[1763888400123400,[[1,5],[6,17]]]},
//!  "Floor":1761296400123456,"Length":15}
//! ```
//!
//! `Clock` has for each source the Id up to which (exclusive) it is covered and the time of the last commit that
//! covers more of it than those before; `Names` has for each source the time of the last commit that covers one of
//! its names first, and the ranges of Ids, from the first to the one behind the last.
//!
//! The reader ignores members that it does not know, and refuses what is wrong in those that it knows: a node would
//! go on with an error for ever.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Base;
use crate::clock::{MAX_SAFE_INTEGER, Time};
use crate::commit::{Committed, Covered};
use crate::names::Names;
use crate::patch::Document;
use crate::source::Source;
use crate::transaction::Name;

/// All of a base but its document, or the first part of that, as it was read: not checked yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BaseSummary {
    commit: CommitName,
    first: u64,
    clock: Map<Reach>,
    names: Map<KnownNames>,
    floor: u64,
    length: u64,
    /// How many bytes the text of the document has that follows; only on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Further sources and names: `{"Clock":{...},"Names":{...}}`. The names of one source may be in several parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct More {
    clock: Map<Reach>,
    names: Map<KnownNames>,
}

/// How far a source is covered, and the time of the last commit that covers more of it: `[17,1763888400123400]`.
type Reach = (u64, u64);

/// The time of the last commit that covers one of a source's names first, and their ranges.
type KnownNames = (u64, Vec<(u64, u64)>);

/// A name as an object: elsewhere it is an array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommitName {
    source: Source,
    id: u64,
}

/// An object with a member for each source, none of which is there twice.
#[derive(Clone, Debug, PartialEq)]
struct Map<T>(BTreeMap<Source, T>);

impl BaseSummary {
    /// All of a base but the document, with a part of its sources and names.
    pub(super) fn new(commit: Name, committed: &Committed, length: u64, part: More) -> Self {
        let Name { source, id } = commit;
        let More { clock, names } = part;
        Self {
            commit: CommitName { source, id },
            first: committed.first.as_micros(),
            clock,
            names,
            floor: committed.floor.as_micros(),
            length,
            bytes: None,
        }
    }

    /// How many entries of the clock and ranges of names it has.
    pub fn entries(&self) -> usize {
        entries(&self.clock, &self.names)
    }

    /// Adds a part that follows it.
    ///
    /// # Errors
    /// If that has something a second time.
    pub fn add(&mut self, more: More) -> Result<(), String> {
        for (source, reach) in more.clock.0 {
            match self.clock.0.entry(source) {
                Entry::Vacant(entry) => entry.insert(reach),
                Entry::Occupied(entry) => {
                    return Err(format!("Clock: {:?} is there twice", entry.key().as_str()));
                }
            };
        }
        for (source, (last, ranges)) in more.names.0 {
            match self.names.0.entry(source) {
                Entry::Vacant(entry) => drop(entry.insert((last, ranges))),
                Entry::Occupied(entry) if entry.get().0 != last => {
                    return Err(format!(
                        "Names, {:?}: there are two last times",
                        entry.key().as_str()
                    ));
                }
                Entry::Occupied(entry) => entry.into_mut().1.extend(ranges),
            }
        }
        Ok(())
    }

    /// The base of which it is the summary, with an empty document.
    ///
    /// # Errors
    /// If no base can have it: for a person, what is wrong and where.
    pub fn base(self) -> Result<Base, String> {
        let Self { commit, first, clock, names, floor, length, .. } = self;
        let commit = commit.read()?;
        let first = time(first, "First")?;
        let floor = time(floor, "Floor")?;
        let clock = clock.0.into_iter().map(|(source, reach)| {
            let covered = covered(&source, reach, floor)?;
            Ok((source, covered))
        });
        let clock: BTreeMap<_, _> = clock.collect::<Result<_, String>>()?;
        if clock.get(&commit.source).is_none_or(|covered| covered.next <= commit.id) {
            return Err("Clock does not cover the Commit".into());
        }
        if length > MAX_SAFE_INTEGER {
            return Err(format!("Length is below 2^53, and is {length}"));
        }
        let (names, times) = read_names(names)?;
        let committed = Committed { commit: Some(commit), first, clock, names: times, floor };
        Ok(Base { committed, names, length, document: Document::default() })
    }
}

impl More {
    /// How many entries of the clock and ranges of names it has.
    pub fn entries(&self) -> usize {
        entries(&self.clock, &self.names)
    }

    pub(super) fn last_source(&self) -> Option<&Source> {
        self.clock.0.last_key_value().map(|(source, _)| source)
    }

    /// The source and the first Id of the last range.
    pub(super) fn last_name(&self) -> Option<(&Source, u64)> {
        let (source, (_, ranges)) = self.names.0.last_key_value()?;
        ranges.last().map(|(from, _)| (source, *from))
    }

    pub(super) fn add_covered(&mut self, source: &Source, next: u64, last: Time) {
        self.clock.0.insert(source.clone(), (next, last.as_micros()));
    }

    pub(super) fn add_names(&mut self, source: &Source, last: Time, range: (u64, u64)) {
        let known = || (last.as_micros(), Vec::new());
        self.names.0.entry(source.clone()).or_insert_with(known).1.push(range);
    }
}

/// The entries of the clock and the ranges of names. A source without ranges, which is wrong, counts as one.
fn entries(clock: &Map<Reach>, names: &Map<KnownNames>) -> usize {
    let ranges = names.0.values().map(|(_, ranges)| ranges.len().max(1));
    clock.0.len() + ranges.sum::<usize>()
}

impl CommitName {
    fn read(self) -> Result<Name, String> {
        let Self { source, id } = self;
        if source.epoch().is_none() {
            return Err(format!("Commit: {:?} is no source of commits", source.as_str()));
        }
        if id > MAX_SAFE_INTEGER {
            return Err(format!("Commit: an Id is below 2^53, this one is {id}"));
        }
        Ok(Name { source, id })
    }
}

fn time(micros: u64, whose: impl fmt::Display) -> Result<Time, String> {
    let time = Time::from_micros(micros);
    time.ok_or_else(|| format!("{whose}: a time is below 2^53, this one is {micros}"))
}

fn covered(source: &Source, (next, last): Reach, floor: Time) -> Result<Covered, String> {
    let whose = format_args!("Clock, {:?}", source.as_str());
    // It may be one more than an Id, since it is not covered itself.
    if !(1..=MAX_SAFE_INTEGER + 1).contains(&next) {
        return Err(format!("{whose}: the next Id is from 1 to 2^53, this one is {next}"));
    }
    let last = time(last, whose)?;
    if last < floor && source.epoch().is_none() {
        return Err(format!("{whose}: a source that was last heard before the Floor has left"));
    }
    Ok(Covered { next, last })
}

fn read_names(lists: Map<KnownNames>) -> Result<(Names, BTreeMap<Source, Time>), String> {
    let (mut names, mut times) = (Vec::new(), BTreeMap::new());
    for (source, (last, ranges)) in lists.0 {
        let whose = format_args!("Names, {:?}", source.as_str());
        let mut least = 0;
        for (from, next) in &ranges {
            if from >= next || *next > MAX_SAFE_INTEGER + 1 {
                return Err(format!("{whose}: [{from},{next}] is no range of Ids below 2^53"));
            }
            if *from < least {
                return Err(format!(
                    "{whose}: [{from},{next}] touches the range before it, or is not behind it"
                ));
            }
            least = next + 1;
        }
        if ranges.is_empty() {
            return Err(format!("{whose}: there is no range of Ids"));
        }
        times.insert(source.clone(), time(last, whose)?);
        names.extend(ranges.into_iter().map(|(from, next)| (source.clone(), from, next)));
    }
    let names = Names::from_ranges(names).expect("the ranges of each source are in order");
    Ok((names, times))
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Serialize> Serialize for Map<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(BTreeMap::new()))
    }
}

struct MapVisitor<T>(BTreeMap<Source, T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
    type Value = Map<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of sources")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Map<T>, A::Error> {
        while let Some((source, said)) = members.next_entry::<Source, T>()? {
            match self.0.entry(source) {
                Entry::Vacant(entry) => entry.insert(said),
                Entry::Occupied(entry) => {
                    let source = entry.key().as_str();
                    return Err(A::Error::custom(format_args!("{source:?} is there twice")));
                }
            };
        }
        Ok(Map(self.0))
    }
}
