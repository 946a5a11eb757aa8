//! Passing commits: tentative transactions become committed.
//!
//! Mostly a commit covers exactly the first of the tentative ones. Then nothing has to be applied again, and it is
//! enough to look through their places. Else all that is tentative is replayed.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::super::floor::Floor;
use super::super::past::{Past, Stretch};
use super::at::PastFloor;
use super::replay::Replay;
use super::survey::{Met, Survey, walk};
use super::{ChainProgress, Counted, FateChanges, History, HistoryBegin};
use crate::clock::{Time, VectorClock};
use crate::commit::{ChainChange, Committed, Forgotten, PlacedCommit, Segment};
use crate::source::Source;
use crate::transaction::{Name, Place, name};

/// The result of passing a commit.
#[derive(Debug, Default)]
pub struct Committing {
    /// The transactions whose fate changed.
    pub changes: FateChanges,
    /// Whether the vector clock has to be made anew: sources may have left it.
    pub has_forgotten: bool,
    /// Whether the chain ends with another source than before: streams have to be dialed anew.
    pub has_other_end: bool,
}

/// A document whose hash a commit says.
#[derive(Clone, Debug)]
pub struct Check {
    floor: Arc<Floor>,
    commit: Name,
    hash: Box<str>,
}

impl Check {
    /// The commit.
    pub fn commit(&self) -> &Name {
        &self.commit
    }

    /// The weight of the document, on which the time to hash it depends.
    pub fn weight(&self) -> u64 {
        self.floor.document.weight()
    }

    /// Whether the document has that hash.
    pub fn is_right(&self) -> bool {
        *self.hash == *self.floor.document.root().digest().hash().as_str()
    }
}

impl History {
    /// Passes a commit, which `past` can read. The records from the position `new` on arrived with it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn commit(
        &mut self,
        commit: PlacedCommit,
        new: u64,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<Committing> {
        let end = commit.position + 1;
        let mut committing = Committing::default();
        // With the first commit of all no stream is wrong.
        let had_end = self.chain.tip().is_some();
        let passed = match Arc::make_mut(&mut self.chain).add(commit) {
            ChainChange::Nothing => return Ok(committing),
            ChainChange::Extended => {
                if let Some(forgotten) = self.pass_in_place(end, past)? {
                    committing.has_forgotten = !forgotten.sources.is_empty();
                    return Ok(committing);
                }
                self.progress.passed
            }
            ChainChange::Rewritten { kept, tip_changed } => {
                committing.has_other_end = tip_changed && had_end;
                self.expected = None;
                kept
            }
        };
        let floor = self.floor_at_commit(passed, past)?;
        let (history, replayed) = Replay::new(self, floor, new, now, past).run()?;
        (*self, committing.changes) = (history, replayed.changes);
        committing.has_forgotten = true;
        Ok(committing)
    }

    /// Passes the next commit if it covers just the first of the tentative transactions; none if with it some of
    /// the history has another order or another effect.
    fn pass_in_place(&mut self, end: u64, past: &dyn Past) -> io::Result<Option<Forgotten>> {
        let (number, from) = (self.progress.passed, self.committed.position);
        let Survey { last_covered, names, first_left, position } =
            Survey::make(&self.chain, number, from, end, past)?;
        let is_in_order = first_left
            .as_ref()
            .is_none_or(|left| last_covered.as_ref().is_none_or(|covered| covered < left));
        let is_void = first_left.as_ref().is_some_and(|left| left.time < self.chain.floor());
        if !is_in_order || is_void {
            return Ok(None);
        }
        let before = self.progress.clone();
        let forgotten = self.progress_over(&names);
        if !forgotten.names.is_empty() && self.is_named_later(number, &forgotten, from, past)? {
            self.progress = before;
            return Ok(None);
        }
        self.forget(number, &forgotten);
        let tried = self.expected.take().filter(|tried| tried.passed == self.progress.passed);
        let mut floor = match (&last_covered, tried) {
            // A trial has found the floor there.
            (Some(last), Some(tried)) if tried.end.as_ref() == Some(last) => Floor::clone(&tried),
            (Some(last), _) => self.floor_up_to(last, past)?,
            (None, _) => Floor::clone(&self.committed),
        };
        for source in &forgotten.names {
            floor.counted.names.forget(source);
        }
        let after = self.chain.position_after(number).unwrap_or(u64::MAX);
        let ChainProgress { passed, committed } = self.progress.clone();
        let floor = Floor {
            end: last_covered.or_else(|| self.committed.end.clone()),
            position: position.min(after),
            is_boundary: true,
            passed,
            committed,
            ..floor
        };
        self.checkpoints.pass(&floor, &forgotten.names);
        self.committed = Arc::new(floor);
        self.keep_commit();
        Ok(Some(forgotten))
    }

    /// Passes the next commit, which covers these names.
    pub(super) fn pass_one(&mut self, names: &BTreeSet<Source>) {
        let number = self.progress.passed;
        let forgotten = self.progress_over(names);
        self.forget(number, &forgotten);
    }

    fn progress_over(&mut self, names: &BTreeSet<Source>) -> Forgotten {
        let chain = self.chain.clone();
        let commit =
            chain.commit(self.progress.passed).expect("only the chain's commits are passed");
        self.progress.passed += 1;
        Arc::make_mut(&mut self.progress.committed).advance(commit, names)
    }

    /// Forgets names at a commit.
    fn forget(&mut self, number: u64, forgotten: &Forgotten) {
        for source in &forgotten.names {
            self.counted.names.forget(source);
        }
        if !forgotten.names.is_empty() {
            Arc::make_mut(&mut self.forgotten).insert(number, forgotten.names.clone());
        } else if self.forgotten.contains_key(&number) {
            Arc::make_mut(&mut self.forgotten).remove(&number);
        }
    }

    /// Whether a transaction that this commit leaves has a name that is forgotten at it.
    fn is_named_later(
        &self,
        number: u64,
        forgotten: &Forgotten,
        position: u64,
        past: &dyn Past,
    ) -> io::Result<bool> {
        let mut is_named = false;
        walk(position, past, |_, met| {
            let names: Vec<&Source> = match &met {
                Met::Stretch(stretch) => stretch.names.iter().collect(),
                Met::Place(at) => vec![name(&at.place, at.named.as_deref()).0],
            };
            if !names.into_iter().any(|source| forgotten.names.contains(source)) {
                return true;
            }
            if let Met::Place(at) = met {
                is_named |= self.chain.segment_of(&at.place) > Segment::Commit(number);
            }
            false
        })?;
        Ok(is_named)
    }

    /// Keeps the floor at the last commit as a checkpoint, if one is due.
    pub(super) fn keep_commit(&mut self) {
        let committed = self.committed.clone();
        if self.checkpoints.is_commit_due(committed.index, self.bounds.checkpoint_spacing) {
            self.checkpoints.add(Floor::clone(&committed), &self.bounds);
        }
    }

    /// The floor behind `last`, which is in the history after the last commit.
    fn floor_up_to(&self, last: &Place, past: &dyn Past) -> io::Result<Floor> {
        if !self.is_past(last) {
            let mut history = Self { changes: super::Changes::default(), ..self.clone() };
            history.take_back(self.recent_before(last) + 1);
            return Ok(history.as_floor(0));
        }
        let checkpoint = self.checkpoints.up_to_place(&self.chain, last);
        let checkpoint = checkpoint.filter(|floor| floor.index >= self.committed.index);
        let floor = checkpoint.unwrap_or(&self.committed).clone();
        let (chain, forgotten) = (self.chain.clone(), self.forgotten.clone());
        PastFloor { floor: Some(floor), chain, forgotten }.up_to(last, self.progress.passed, past)
    }

    /// The document that is to be compared with the last commit's hash, if it has one and that was not done yet.
    pub fn check(&self) -> Option<Check> {
        let last = self.chain.commits().last()?;
        let is_done = |verified: &Arc<Floor>| verified.passed >= self.committed.passed;
        if self.verified.as_ref().is_some_and(is_done) {
            return None;
        }
        let hash = last.commit.hash.clone()?;
        Some(Check { floor: self.committed.clone(), commit: last.name(), hash })
    }

    /// Notes that a hash was right.
    pub fn note_right(&mut self, check: &Check) {
        let is_later = |verified: &Arc<Floor>| verified.passed >= check.floor.passed;
        if !self.verified.as_ref().is_some_and(is_later) {
            self.verified = Some(check.floor.clone());
        }
    }

    /// The vector clock of what is committed and of what is tentative and not void, without the sources that have left.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn clock(&self, past: &dyn Past) -> io::Result<VectorClock> {
        let mut clock = self.committed_clock();
        for at in self.tentative(Time::MAX, past)?.iter().filter(|at| !self.chain.is_too_late(at)) {
            clock.advance(&at.source, at.id);
        }
        for (source, id) in self.chain.ends() {
            clock.advance(source, id);
        }
        Ok(clock)
    }

    /// The vector clock of what is committed.
    pub fn committed_clock(&self) -> VectorClock {
        let committed = self.committed.committed.clock.iter();
        committed.map(|(source, covered)| (source.clone(), covered.next)).collect()
    }

    /// Places that no commit covers, those of commits that do not count included. Of records in a row that are all up
    /// to the time `until`, or all after it, only the first and the last of each source are returned.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn tentative(&self, until: Time, past: &dyn Past) -> io::Result<Vec<Place>> {
        let mut places = Vec::new();
        let chain = &self.chain;
        walk(self.committed.position, past, |_, met| match met {
            Met::Stretch(Stretch { times: (first, last), stamps, .. }) => {
                let is_tentative = |(source, least, _): &(Source, u64, u64)| {
                    source.epoch().is_none()
                        && chain.segment_of_stamp(source, *least) == Segment::Tentative
                };
                let is_apart = *last <= until || *first > until;
                if !is_apart || *first < chain.floor() || !stamps.iter().all(is_tentative) {
                    return false;
                }
                for (source, least, greatest) in stamps {
                    for (time, id) in [(*first, *least), (*last, *greatest)] {
                        places.push(Place { time, source: source.clone(), id });
                    }
                }
                true
            }
            Met::Place(at) => {
                let is_tentative = chain.segment_of(&at.place) == Segment::Tentative;
                if is_tentative && !chain.is_behind_base(&at.place) {
                    places.push(at.place.clone());
                }
                true
            }
        })?;
        Ok(places)
    }

    /// Replaces all up to a floor at a commit by that floor. Returns whether it did: the commit must be one of the
    /// chain after the base.
    pub fn fold(&mut self, floor: &Arc<Floor>) -> bool {
        let Some(name) = &floor.committed.commit else { return false };
        let number = floor.passed.checked_sub(1);
        let commit = number.and_then(|number| self.chain.commit(number));
        if !commit.is_some_and(|commit| commit.is_named(name)) {
            return false;
        }
        Arc::make_mut(&mut self.chain).fold(Committed::clone(&floor.committed));
        let base = Arc::new(Floor { end: None, ..Floor::clone(floor) });
        if self.committed.passed == floor.passed {
            self.committed = base.clone();
        } else if self.committed.index == floor.index {
            Arc::make_mut(&mut self.committed).end = None;
        }
        if self.past_length <= floor.index {
            self.past_end = None;
            while self.past_length < floor.index {
                let Some(oldest) = self.recent.front() else { break };
                self.recent_bytes -= oldest.bytes;
                self.past_length += 1;
                self.recent.drop_front();
            }
        }
        self.checkpoints.drop_up_to(floor.index);
        Arc::make_mut(&mut self.forgotten).retain(|at, _| *at >= floor.passed);
        let chain = self.chain.clone();
        self.skips.fold(base.position, |place| chain.is_folded(place));
        let Counted { skipped, repeated, .. } = base.counted;
        let (index, position) = (base.index, base.position);
        self.begin = HistoryBegin { index, position, skipped, repeated };
        self.base = Some(base);
        true
    }
}
