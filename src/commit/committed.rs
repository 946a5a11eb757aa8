//! What a commit leaves of the history up to it, besides the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chain::{PlacedCommit, Rank};
use crate::clock::Time;
use crate::source::Source;
use crate::transaction::Name;

/// What is known at a commit of all that it and those before it cover: what a base says besides the document and
/// the names. The default is the beginning, where there is no commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The commit; none at the beginning.
    pub commit: Option<Name>,
    /// The time of the first commit of its source.
    pub first: Time,
    /// What is covered, of the sources that have not left.
    pub clock: BTreeMap<Source, Covered>,
    /// The time of the last commit that covers something of this name first that is not void; of the sources
    /// whose names are known.
    pub names: BTreeMap<Source, Time>,
    /// What is below this time and is not covered is void.
    pub floor: Time,
}

/// How far a source is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The Id up to which, exclusive.
    pub next: u64,
    /// The time of the last commit that covers more of it than those before: what it covers is earlier.
    pub last: Time,
}

/// What is forgotten at a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The sources that leave the clock.
    pub sources: Vec<Source>,
    /// The sources whose names go. Of a plain one, which may repeat its Ids for ever, all below the next Id are
    /// known from then on; it is said again at each commit.
    pub names: Vec<Source>,
}

impl Committed {
    /// The rank of the branch in which the commit is; none at the beginning.
    pub fn rank(&self) -> Option<Rank<'_>> {
        self.commit.as_ref().map(|commit| Rank::new(&commit.source, self.first))
    }

    /// Goes on to the next commit of the chain. `names` are the sources of the names of what it covers first, but
    /// for commits and what is void.
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

    /// Commits stay known for ever: a node that was away tells by them what it lacks.
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
