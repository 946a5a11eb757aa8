//! The commits that count, of all that are known.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::committed::Committed;
use super::coverage::Coverage;
use crate::clock::{Time, VectorClock};
use crate::source::{FIRST_ID, Source};
use crate::transaction::{Commit, Name, Place};

/// A commit, and its places in history and journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedCommit {
    /// Its place, which has its name.
    pub place: Place,
    /// Where it is in this node's journal: behind all that it covers, except void transactions.
    pub position: u64,
    /// The commit.
    pub commit: Commit,
}

/// The part of the history in which a transaction is; within a part its time decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// The base covers it.
    Base,
    /// The chain's commit of this number covers it, and none before. The numbers go on after a fold.
    Commit(u64),
    /// No commit covers it.
    Tentative,
}

/// The rank of a branch: a chain ends with the branch of the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank<'a> {
    epoch: u64,
    first: Reverse<(Time, &'a Source)>,
}

/// How a commit that became known has changed the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainChange {
    /// Not at all: it is known, or void for now.
    Nothing,
    /// It is the chain's new end; what was committed stays as it was.
    Extended,
    /// The chain is another one.
    Rewritten {
        /// The commits before this number count as before, and those from it on do not.
        kept: u64,
        /// Whether the chain ends with another source: then streams have to be dialed anew.
        tip_changed: bool,
    },
}

/// The commits of one source.
#[derive(Clone, Debug, Default)]
struct Branch(BTreeMap<u64, Arc<PlacedCommit>>);

/// A branch that the chain goes through, and up to which Id, if another branch comes after it. It may be still
/// unknown.
type ChainLink = (Source, Option<u64>);

/// All commits that are known after a base, and which of them count.
///
/// Invariant: all fields after `branches` follow from `base` and `branches` by the rule.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    base: Committed,
    branches: BTreeMap<Source, Branch>,
    /// How many of the chain's commits were replaced by a base: the number of the first one after it.
    folded: u64,
    /// The chain's commits after the base, in their order.
    commits: Vec<Arc<PlacedCommit>>,
    /// The branches of the chain, from the end back.
    links: Vec<ChainLink>,
    coverage: Coverage,
    /// The floor at each of `commits`.
    floors: Vec<Time>,
    is_outside: bool,
}

impl<'a> Rank<'a> {
    /// The rank of a branch whose first commit has this time.
    pub fn new(source: &'a Source, first: Time) -> Self {
        let epoch = source.epoch().map_or(0, |epoch| epoch.number);
        Self { epoch, first: Reverse((first, source)) }
    }

    fn source(self) -> &'a Source {
        self.first.0.1
    }
}

impl PlacedCommit {
    /// Its name.
    pub fn name(&self) -> Name {
        Name { source: self.place.source.clone(), id: self.place.id }
    }

    /// Whether it has this name.
    pub fn is_named(&self, name: &Name) -> bool {
        self.place.source == name.source && self.place.id == name.id
    }

    /// Calls `each` for what it covers, in no order: sources, and the Ids up to which (exclusive) they are covered.
    pub fn for_each_covered(&self, mut each: impl FnMut(&Source, u64)) {
        for (source, next) in &self.commit.clock {
            each(source, *next);
        }
        each(&self.place.source, self.place.id + 1);
        if let Some(Name { source, id }) = self.after() {
            each(source, id + 1);
        }
    }

    /// Whether a node with this clock has all that it covers, as far as a clock can tell. If not when the commit
    /// arrives, and the commit counts, the node must take a base.
    pub fn is_backed_by(&self, clock: &VectorClock) -> bool {
        // Commits that do not count have no effect, and a fold forgets them.
        let mut covered = self.commit.clock.iter().filter(|(source, _)| source.epoch().is_none());
        covered.all(|(source, next)| clock.next_id(source) >= *next)
            && self.after().is_none_or(|after| clock.has_seen(&after.source, after.id))
    }

    /// The commit of a lesser epoch that it comes after.
    fn after(&self) -> Option<&Name> {
        let is_lesser = |name: &&Name| {
            name.source.epoch().is_some_and(|epoch| epoch.number < self.commit.epoch)
        };
        self.commit.after.as_ref().filter(is_lesser)
    }
}

impl Branch {
    fn first_time(&self) -> Option<Time> {
        self.0.values().next().map(|first| first.place.time)
    }
}

impl Chain {
    /// The chain after a base.
    pub fn new(base: Committed) -> Self {
        let mut chain = Self { base, ..Self::default() };
        chain.rebuild();
        chain
    }

    /// Adds a commit. They may come in any order.
    pub fn add(&mut self, added: PlacedCommit) -> ChainChange {
        let Place { source, id, .. } = &added.place;
        let (source, id) = (source.clone(), *id);
        let is_in_base = |base: &Name| base.source == source && id <= base.id;
        if self.base.commit.as_ref().is_some_and(is_in_base) {
            return ChainChange::Nothing;
        }
        let branch = self.branches.entry(source.clone()).or_default();
        if branch.0.contains_key(&id) {
            return ChainChange::Nothing;
        }
        let added = Arc::new(added);
        branch.0.insert(id, added.clone());
        let is_end = |end: &Arc<PlacedCommit>| end.place.source == source && end.place.id < id;
        if self.tip() == Some(&source) && self.commits.last().is_some_and(is_end) {
            self.push(added);
            return ChainChange::Extended;
        }
        let is_way = |(way, upto): &ChainLink| *way == source && upto.is_none_or(|upto| id <= upto);
        if self.tip() == self.winner() && !self.links.iter().any(is_way) {
            return ChainChange::Nothing;
        }
        let (tip, before) = (self.tip().cloned(), std::mem::take(&mut self.commits));
        self.rebuild();
        let same = |(before, now): &(&Arc<PlacedCommit>, &Arc<PlacedCommit>)| before == now;
        let kept = before.iter().zip(&self.commits).take_while(same).count();
        let tip_changed = tip.as_ref() != self.tip();
        if kept == before.len() && kept == self.commits.len() && !tip_changed {
            return ChainChange::Nothing;
        }
        ChainChange::Rewritten { kept: self.folded + kept as u64, tip_changed }
    }

    /// Replaces all up to one of its commits by a base: the result of [`Committed::advance`] there. What counts after
    /// it, now and later, stays the same.
    pub fn fold(&mut self, base: Committed) {
        let Some(name) = &base.commit else { return };
        let Name { source, id } = name;
        let epoch = source.epoch().map(|epoch| epoch.number);
        // No way back goes through the others and then through the base.
        self.branches
            .retain(|other, _| other == source || other.epoch().map(|other| other.number) > epoch);
        if let Some(branch) = self.branches.get_mut(source) {
            branch.0.retain(|known, _| known > id);
        }
        let index = self.commits.iter().position(|commit| commit.is_named(name));
        self.folded += index.map_or(0, |index| index as u64 + 1);
        self.base = base;
        self.rebuild();
    }

    /// The base.
    pub fn base(&self) -> &Committed {
        &self.base
    }

    /// The commits that count after the base, in their order.
    pub fn commits(&self) -> &[Arc<PlacedCommit>] {
        &self.commits
    }

    /// The commit of this number.
    pub fn commit(&self, number: u64) -> Option<&Arc<PlacedCommit>> {
        self.commits.get(usize::try_from(number.checked_sub(self.folded)?).ok()?)
    }

    /// The number of the first commit after the base.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// The number that the next commit will have.
    pub fn next_number(&self) -> u64 {
        self.folded + self.commits.len() as u64
    }

    /// The least position of a commit that is after this number in the chain, or that no commit up to it covers.
    pub fn position_after(&self, number: u64) -> Option<u64> {
        let next = self.commit(number + 1).map(|next| next.position);
        let is_loose = |source: &Source, id: u64| {
            let link = self.links.iter().find(|(way, _)| way == source);
            self.is_outside || link.is_none_or(|(_, upto)| upto.is_some_and(|upto| id > upto))
        };
        // All of the last link counts.
        let others = self
            .branches
            .iter()
            .filter(|(source, _)| self.is_outside || self.tip() != Some(*source));
        let others =
            others.flat_map(|(source, branch)| branch.0.values().map(move |at| (source, at)));
        let loose = others.filter(|(source, at)| {
            is_loose(source, at.place.id) && self.segment_of(&at.place) > Segment::Commit(number)
        });
        loose.map(|(_, at)| at.position).chain(next).min()
    }

    /// All commits that are known after the base, those that do not count included.
    pub fn held(&self) -> impl Iterator<Item = &Arc<PlacedCommit>> {
        self.branches.values().flat_map(|branch| branch.0.values())
    }

    /// The sources of all commits that are known after the base, and the last Id of each.
    pub fn ends(&self) -> impl Iterator<Item = (&Source, u64)> {
        let end = |(source, branch): (_, &Branch)| Some((source, *branch.0.keys().next_back()?));
        self.branches.iter().filter_map(end)
    }

    /// The source of the chain's end; none if no commit is known.
    pub fn tip(&self) -> Option<&Source> {
        self.links.first().map(|(source, _)| source)
    }

    /// The name of the last commit that counts.
    pub fn last(&self) -> Option<Name> {
        self.commits.last().map(|last| last.name()).or_else(|| self.base.commit.clone())
    }

    /// Whether this is one of the commits that count, the base's included.
    pub fn counts(&self, name: &Name) -> bool {
        self.base.commit.as_ref() == Some(name)
            || self.commits.iter().any(|commit| commit.is_named(name))
    }

    /// The last commit that is known of the branch with which the chain ends, whether or not it counts.
    pub fn known_end(&self) -> Option<Name> {
        let source = self.tip()?;
        let base = self.base.clock.get(source).and_then(|covered| covered.next.checked_sub(1));
        let known =
            self.branches.get(source).and_then(|branch| branch.0.keys().next_back().copied());
        Some(Name { source: source.clone(), id: known.max(base)? })
    }

    /// Whether the commits that count do not contain the base: the node has to take another one.
    pub fn is_outside(&self) -> bool {
        self.is_outside
    }

    /// Whether commits of this life are known, which count or not.
    pub fn has_life(&self, life: &Source) -> bool {
        let is_of_life =
            |source: &Source| source.epoch().is_some_and(|epoch| epoch.life == life.as_str());
        self.branches.keys().chain(self.base.clock.keys()).any(is_of_life)
    }

    /// The least Id that a source of commits may use for another one.
    pub fn next_id(&self, source: &Source) -> u64 {
        let branch = self.branches.get(source).and_then(|branch| branch.0.keys().next_back());
        let base = self.base.clock.get(source).map_or(0, |covered| covered.next);
        branch.map_or(0, |id| id + 1).max(base).max(FIRST_ID)
    }

    /// The segment of the transaction with this place. It must not be one that the base covers and whose source may
    /// have left the clock: that is not known here any more.
    pub fn segment_of(&self, place: &Place) -> Segment {
        self.segment_of_stamp(&place.source, place.id)
    }

    /// The same by the stamp alone. Of one source the segments increase with the Ids.
    pub fn segment_of_stamp(&self, source: &Source, id: u64) -> Segment {
        if self.base.clock.get(source).is_some_and(|covered| covered.next > id) {
            return Segment::Base;
        }
        let first = self.coverage.first(source, id);
        first.map_or(Segment::Tentative, |index| Segment::Commit(self.folded + index as u64))
    }

    /// The key by which the history is ordered, of the transaction with this place.
    pub fn order<'a>(&self, place: &'a Place) -> (Segment, &'a Place) {
        (self.segment_of(place), place)
    }

    /// Whether a transaction whose stamp the base does not cover does not count after it all the same: its source has
    /// left the clock, or it is void for ever, whatever commit covers it later.
    pub fn is_behind_base(&self, place: &Place) -> bool {
        place.time < self.base.floor && place.source.epoch().is_none()
    }

    /// Whether the base stands for the transaction with this place, or that is void for ever after it.
    pub fn is_folded(&self, place: &Place) -> bool {
        self.is_folded_in(self.segment_of(place), place)
    }

    /// The same if the segment is known.
    pub fn is_folded_in(&self, segment: Segment, place: &Place) -> bool {
        segment == Segment::Base || self.is_behind_base(place)
    }

    /// The floor at the end of the chain.
    pub fn floor(&self) -> Time {
        self.floors.last().copied().unwrap_or(self.base.floor)
    }

    /// The floor before one of the chain's commits.
    pub fn floor_before(&self, number: u64) -> Time {
        let before = number.checked_sub(self.folded + 1);
        let before = before.and_then(|before| self.floors.get(usize::try_from(before).ok()?));
        before.copied().unwrap_or(self.base.floor)
    }

    /// Whether the transaction with this place is skipped because of its time, whatever its patch is.
    pub fn is_void(&self, place: &Place) -> bool {
        self.is_void_in(self.segment_of(place), place)
    }

    /// The same if the segment is known.
    pub fn is_void_in(&self, segment: Segment, place: &Place) -> bool {
        let floor = match segment {
            Segment::Base => return false,
            Segment::Commit(commit) => self.floor_before(commit),
            Segment::Tentative => self.floor(),
        };
        place.time < floor && place.source.epoch().is_none()
    }

    /// Whether a transaction with this place, which the node's clock does not count, is to be dropped if it
    /// arrives now, covered or not.
    pub fn is_too_late(&self, place: &Place) -> bool {
        place.time < self.floor() && place.source.epoch().is_none()
    }

    /// The rank of the branch with which the chain ends. No base is taken from a node with a lesser one.
    pub fn rank(&self) -> Option<Rank<'_>> {
        let base = self.base.rank();
        let others = self
            .branches
            .iter()
            .filter(|(source, _)| base.is_none_or(|base| base.source() != *source));
        let ranks =
            others.filter_map(|(source, branch)| Some(Rank::new(source, branch.first_time()?)));
        ranks.chain(base).max()
    }

    fn winner(&self) -> Option<&Source> {
        self.rank().map(Rank::source)
    }

    /// Goes back from the end through the branches, and derives all else from them.
    fn rebuild(&mut self) {
        let base = self.base.commit.clone();
        let (mut parts, mut links) = (Vec::new(), Vec::new());
        let mut has_base = base.is_none();
        let mut way = self.winner().cloned().map(|source| (source, None));
        while let Some((source, upto)) = way.take() {
            let last = upto.unwrap_or(u64::MAX);
            let base = base.as_ref().filter(|base| base.source == source);
            let from = base.map_or(0, |base| base.id + 1);
            has_base |= base.is_some_and(|base| base.id <= last);
            let branch = self.branches.get(&source).filter(|_| from <= last);
            let part = branch.map(|branch| branch.0.range(from..=last).map(|(_, known)| known));
            let part: Vec<_> = part.into_iter().flatten().cloned().collect();
            if base.is_none() {
                let after = part.first().and_then(|first| first.after());
                way = after.map(|after| (after.source.clone(), Some(after.id)));
            }
            parts.push(part);
            links.push((source, upto));
        }
        self.links = links;
        self.is_outside = !has_base;
        (self.commits, self.floors, self.coverage) = Default::default();
        for commit in parts.into_iter().rev().flatten().filter(|_| has_base) {
            self.push(commit);
        }
    }

    fn push(&mut self, commit: Arc<PlacedCommit>) {
        let index = self.commits.len();
        commit.for_each_covered(|source, next| self.coverage.add(index, source, next));
        self.floors.push(self.floor().max(commit.commit.floor()));
        self.commits.push(commit);
    }
}
