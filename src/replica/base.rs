//! What stands for the history up to a commit: on disk, and on the way to another node.
//!
//! All but the document is one JSON text:
//!
//! ```json
//! {"Commit":{"Source":"main~k3x9q2pd^1","Id":9},"First":1763888400123456,
//!  "Clock":{"a~k3x9q2pd":[17,1763888400123400]},
//!  "Names":{"a~k3x9q2pd":[1763888400123400,[[1,5],[6,17]]]},
//!  "Floor":1761296400123456,"Length":15}
//! ```
//!
//! `Clock` has for each source the Id up to which (exclusive) it is covered and the last time; `Names` has the last
//! time of those that count and the ranges of Ids, from the first to the one behind the last. Of a plain source
//! whose names are forgotten but for the next Id the time is null, and there is one range, from 0.
//!
//! The reader ignores members that it does not know. What it does know has to be right: from what is
//! wrong here a node would go on for ever.

#[cfg(test)]
pub mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};

use crate::clock::{MAX_SAFE_INTEGER, Time};
use crate::commit::{Committed, Covered};
use crate::names::Names;
use crate::patch::Document;
use crate::source::Source;
use crate::transaction::Name;

/// What stands for the history up to and with a commit.
///
/// Invariant: there is a commit, and a source has names if and only if `committed` has their last time or it is
/// a plain one of which only the next Id is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// What is known at the commit of all that it and those before it cover.
    pub committed: Committed,
    /// The names that are known at the commit.
    pub names: Names,
    /// How many transactions of the history it stands for. Commits are not part of that.
    pub length: u64,
    /// The document at the commit.
    pub document: Document,
}

/// How far a source is covered, and when: `[17,1763888400123400]`.
type Reach = (u64, u64);

/// The last time of a source's names, if it is known, and their ranges.
type Known = (Option<u64>, Vec<(u64, u64)>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    commit: CommitName,
    first: u64,
    clock: Map<Reach>,
    names: Map<Known>,
    floor: u64,
    length: u64,
}

/// A name as an object: elsewhere it is an array.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommitName {
    source: Source,
    id: u64,
}

impl Base {
    /// All but the document, as JSON.
    pub fn summary(&self) -> String {
        serde_json::to_string(&Summary(self)).expect("a summary always has a JSON text")
    }

    /// The base with this [`summary`](Self::summary) and document.
    ///
    /// # Errors
    /// If this is no summary, or one that no base can have: what is wrong and where, for a person.
    pub fn read(summary: &str, document: Document) -> Result<Self, String> {
        let members: Members = serde_json::from_str(summary).map_err(|error| error.to_string())?;
        let Members { commit, first, clock, names, floor, length } = members;
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
        Ok(Self { committed, names, length, document })
    }
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
    // One more than an Id, since it is not covered itself.
    if !(1..=MAX_SAFE_INTEGER + 1).contains(&next) {
        return Err(format!("{whose}: the next Id is from 1 to 2^53, this one is {next}"));
    }
    let last = time(last, whose)?;
    if last < floor && source.epoch().is_none() {
        return Err(format!("{whose}: a source that was last heard before the Floor has left"));
    }
    Ok(Covered { next, last })
}

fn read_names(lists: Map<Known>) -> Result<(Names, BTreeMap<Source, Time>), String> {
    let (mut names, mut times) = (Vec::new(), BTreeMap::new());
    for (source, (last, ranges)) in lists.0 {
        let whose = format_args!("Names, {:?}", source.as_str());
        let is_rest = matches!(ranges[..], [(0, _)]) && source.life_name().is_none();
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
        match last {
            _ if ranges.is_empty() => return Err(format!("{whose}: there is no range of Ids")),
            Some(last) => {
                times.insert(source.clone(), time(last, whose)?);
            }
            None if is_rest => {}
            None => {
                return Err(format!(
                    "{whose}: only a plain source with one range from 0 has no last time"
                ));
            }
        }
        names.extend(ranges.into_iter().map(|(from, next)| (source.clone(), from, next)));
    }
    let names = Names::from_ranges(names).expect("the ranges of each source are in order");
    Ok((names, times))
}

/// An object of what is said of each source, no one of which is there twice.
struct Map<T>(BTreeMap<Source, T>);

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

struct Summary<'a>(&'a Base);

impl Serialize for Summary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Base { committed, length, .. } = self.0;
        let commit = committed.commit.clone();
        let commit = commit.map(|Name { source, id }| CommitName { source, id });
        let mut members = serializer.serialize_struct("Summary", 6)?;
        members.serialize_field("Commit", &commit)?;
        members.serialize_field("First", &committed.first)?;
        members.serialize_field("Clock", &ClockMap(committed))?;
        members.serialize_field("Names", &NamesMap(self.0))?;
        members.serialize_field("Floor", &committed.floor)?;
        members.serialize_field("Length", length)?;
        members.end()
    }
}

struct ClockMap<'a>(&'a Committed);

impl Serialize for ClockMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reach = |covered: &Covered| (covered.next, covered.last);
        serializer
            .collect_map(self.0.clock.iter().map(|(source, covered)| (source, reach(covered))))
    }
}

struct NamesMap<'a>(&'a Base);

impl Serialize for NamesMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Base { committed, names, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (source, _) in names.next_ids() {
            let ranges: Vec<_> = names.ranges_of(source).collect();
            map.serialize_entry(source, &(committed.names.get(source), ranges))?;
        }
        map.end()
    }
}
