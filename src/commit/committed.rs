//! What a commit leaves of the history up to it, besides the document.

use std::collections::BTreeMap;

use super::chain::{PlacedCommit, Rank};
use crate::clock::Time;
use crate::source::Source;
use crate::transaction::{Name, Place};

/// What is known at a commit of all that it and those before it cover: what a base says besides the document and
/// the names. The default is the beginning, where there is no commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The commit; none at the beginning.
    pub commit: Option<Name>,
    /// The time of the first commit of its source.
    pub first: Time,
    /// What is covered, of the sources that have not left.
    pub clock: BTreeMap<Source, Covered>,
    /// The last time of those that count, by the source of the name; of the sources whose names are known.
    pub names: BTreeMap<Source, Time>,
    /// What is below this time and is not covered is void.
    pub floor: Time,
}

/// How far a source is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// The Id up to which, exclusive.
    pub next: u64,
    /// The time of the last transaction that is covered.
    pub last: Time,
}

/// What is forgotten at a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The sources that leave the clock.
    pub sources: Vec<Source>,
    /// The sources whose names go. Of one that has not the form of a life, whose Ids nobody can draw anew, the
    /// next Id stays known.
    pub names: Vec<Source>,
}

impl Committed {
    /// The rank of the branch in which the commit is; none at the beginning.
    pub fn rank(&self) -> Option<Rank<'_>> {
        self.commit.as_ref().map(|commit| Rank::new(&commit.source, self.first))
    }

    /// Goes on to the next commit of the chain. `segment` is what it covers first, in any order: each place, and
    /// the source of the name if it counts (it is neither a commit nor void nor repeated).
    pub fn advance<'a>(
        &mut self,
        next: &PlacedCommit,
        segment: impl IntoIterator<Item = (&'a Place, Option<&'a Source>)>,
    ) -> Forgotten {
        let PlacedCommit { place, commit } = next;
        next.for_each_covered(|source, next| {
            let covered = self.clock.entry(source.clone()).or_default();
            covered.next = covered.next.max(next);
        });
        if self.commit.as_ref().is_none_or(|before| before.source != place.source) {
            self.first = place.time;
        }
        self.commit = Some(Name { source: place.source.clone(), id: place.id });
        self.floor = self.floor.max(commit.floor());
        for (place, named) in segment {
            if let Some(covered) = self.clock.get_mut(&place.source) {
                covered.last = covered.last.max(place.time);
            }
            if let Some(source) = named {
                let last = self.names.entry(source.clone()).or_default();
                *last = (*last).max(place.time);
            }
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
        let go = |_: &Source, last: &mut Time| *last < names_floor;
        let names = self.names.extract_if(.., go).map(|(source, _)| source).collect();
        Forgotten { sources, names }
    }
}
