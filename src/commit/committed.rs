//! What remains of the past at a commit, besides the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chain::{PlacedCommit, Rank};
use crate::clock::Time;
use crate::source::Source;
use crate::transaction::Name;

/// What remains at a commit of all that it and those before it cover: what a base has besides the document and
/// the names. The default is the beginning, before any commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The commit; none at the beginning.
    pub commit: Option<Name>,
    /// The time of the first commit of its source.
    pub first: Time,
    /// How far each source is covered, of those that have not left.
    pub clock: BTreeMap<Source, Covered>,
    /// For each source whose names are known, the time of the last commit that was the first to cover one of them
    /// that is not void.
    pub names: BTreeMap<Source, Time>,
    /// What has an earlier time and is not covered is void.
    pub floor: Time,
}

/// How far a source is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The Id up to which it is covered, exclusive.
    pub next: u64,
    /// The time of the last commit that covers more of it than those before. All that is covered is earlier.
    pub last: Time,
}

/// What is forgotten at a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The sources that leave the clock.
    pub sources: Vec<Source>,
    /// The sources whose names are forgotten. Of a plain one, which may repeat its Ids for ever, all below the next Id
    /// are known from then on; it is in this list at each later commit again.
    pub names: Vec<Source>,
}

impl Committed {
    /// The rank of the commit's branch; none at the beginning.
    pub fn rank(&self) -> Option<Rank<'_>> {
        self.commit.as_ref().map(|commit| Rank::new(&commit.source, self.first))
    }

    /// Goes on to the next commit of the chain. `names` are the sources of the names of the transactions that it is the
    /// first to cover, without commits and void ones.
    pub fn advance<'a>(
        &mut self,
        next: &PlacedCommit,
        names: impl IntoIterator<Item = &'a Source>,
    ) -> Forgotten {
        let PlacedCommit { place, commit, .. } = next;
        next.for_each_covered(|source, next| {
            let covered = self.clock.entry(source.clone()).or_default();
            if covered.next < next {
                *covered = Covered { next, last: covered.last.max(place.time) };
            }
        });
        if self.commit.as_ref().is_none_or(|before| before.source != place.source) {
            self.first = place.time;
        }
        self.commit = Some(next.name());
        self.floor = self.floor.max(commit.floor());
        for source in names {
            let last = self.names.entry(source.clone()).or_default();
            *last = (*last).max(place.time);
        }
        self.forget(commit.horizon_micros())
    }

    /// Sources of commits stay for ever: by them a node that was away finds out what it lacks.
    fn forget(&mut self, horizon_micros: u64) -> Forgotten {
        let floor = self.floor;
        let leaves = |source: &Source, covered: &mut Covered| {
            covered.last < floor && source.epoch().is_none()
        };
        let sources = self.clock.extract_if(.., leaves).map(|(source, _)| source).collect();
        let names_floor = floor.minus_micros(horizon_micros);
        let is_past = |last: &Time| *last < names_floor;
        let go = |source: &Source, last: &mut Time| is_past(last) && source.life_name().is_some();
        let mut names: Vec<Source> =
            self.names.extract_if(.., go).map(|(source, _)| source).collect();
        let plain = self.names.iter().filter(|(_, last)| is_past(last));
        names.extend(plain.map(|(source, _)| source.clone()));
        Forgotten { sources, names }
    }
}
