//! Passing commits: what was tentative comes to be committed.
//!
//! Mostly a commit covers exactly the oldest of what is tentative: then nothing has to be applied again, and it
//! is enough to look through the places of what is tentative. Else all that is tentative is made anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::floor::Floor;
use super::super::past::{Past, PastPlace};
use super::at::PastFloor;
use super::{Begin, Counted, FateChanges, History, Progress};
use crate::clock::{Time, VectorClock};
use crate::commit::{Chain, Change, Committed, Forgotten, PlacedCommit, Segment};
use crate::source::Source;
use crate::transaction::{Name, Place, name};

/// What came of a commit.
#[derive(Debug, Default)]
pub struct Committing {
    /// Whose fate changed.
    pub changes: FateChanges,
    /// Whether the vector clock has to be made anew: sources may have left it.
    pub has_forgotten: bool,
    /// Whether the chain ends with another source than before: streams have to be dialed anew.
    pub has_other_end: bool,
}

/// What one more commit covers, and what it leaves.
struct Survey {
    covered: u64,
    last_covered: Option<Place>,
    names: BTreeSet<Source>,
    /// The first that is left.
    first_left: Option<Place>,
    /// The least position of what is left and not void.
    position: u64,
}

impl History {
    /// Takes in a commit, which `past` can read; what is there from the position `new` on came with it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn commit<P: Past>(
        &mut self,
        commit: PlacedCommit,
        new: u64,
        now: Time,
        past: &P,
    ) -> Result<Committing, P::Error> {
        let end = commit.position + 1;
        let mut committing = Committing::default();
        let passed = match Arc::make_mut(&mut self.chain).add(commit) {
            Change::Nothing => return Ok(committing),
            Change::Extended => {
                if let Some(forgotten) = self.pass_in_place(end, past)? {
                    committing.has_forgotten = !forgotten.sources.is_empty();
                    return Ok(committing);
                }
                self.progress.passed
            }
            Change::Rewritten { kept, tip_changed } => {
                committing.has_other_end = tip_changed;
                kept
            }
        };
        let floor = self.floor_at_commit(passed, past)?;
        (committing.changes, _) = self.replay(&floor, new, now, past)?;
        committing.has_forgotten = true;
        Ok(committing)
    }

    /// Passes the next commit if what it covers is just what comes next in the history; none if some of the
    /// history has another order or another effect with it.
    fn pass_in_place<P: Past>(
        &mut self,
        end: u64,
        past: &P,
    ) -> Result<Option<Forgotten>, P::Error> {
        let (number, from) = (self.progress.passed, self.committed.position);
        let Survey { covered, last_covered, names, first_left, position } =
            survey(&self.chain, number, from, end, past)?;
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
        let index = self.committed.index + covered;
        let after = self.chain.position_after(number).unwrap_or(u64::MAX);
        let Progress { passed, committed } = self.progress.clone();
        let floor = Floor {
            end: last_covered.or_else(|| self.committed.end.clone()),
            position: position.min(after),
            is_boundary: true,
            passed,
            committed,
            ..self.floor_after(index, past)?
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
            self.counted.names.forget(source, source.life_name().is_none());
        }
        if !forgotten.names.is_empty() {
            Arc::make_mut(&mut self.forgotten).insert(number, forgotten.names.clone());
        } else if self.forgotten.contains_key(&number) {
            Arc::make_mut(&mut self.forgotten).remove(&number);
        }
    }

    /// Whether something that this commit leaves is called by a name that is forgotten at it.
    fn is_named_later<P: Past>(
        &self,
        number: u64,
        forgotten: &Forgotten,
        position: u64,
        past: &P,
    ) -> Result<bool, P::Error> {
        let mut is_named = false;
        for_each_left(&self.chain, number, position, past, |_, at, _| {
            let (source, _) = name(&at.place, at.named.as_deref());
            is_named |= forgotten.names.contains(source);
        })?;
        Ok(is_named)
    }

    /// Keeps the last commit as a checkpoint if that is due.
    pub(super) fn keep_commit(&mut self) {
        let committed = self.committed.clone();
        if self.checkpoints.is_commit_due(committed.index, self.bounds.checkpoint_spacing) {
            self.checkpoints.add(Floor::clone(&committed), &self.bounds);
        }
    }

    /// Document and names after the first `index` transactions.
    fn floor_after<P: Past>(&self, index: u64, past: &P) -> Result<Floor, P::Error> {
        if let Some(kept) = index.checked_sub(self.past_length) {
            let mut history = Self { changes: super::Changes::default(), ..self.clone() };
            history.take_back(usize::try_from(kept).unwrap_or(usize::MAX).min(self.recent.len()));
            return Ok(history.as_floor(0));
        }
        let checkpoint = self.checkpoints.up_to(index);
        let floor = match checkpoint.filter(|floor| floor.index >= self.committed.index) {
            Some(floor) => floor.clone(),
            None => Floor::clone(&self.committed),
        };
        let (chain, forgotten) = (self.chain.clone(), self.forgotten.clone());
        PastFloor { floor: Some(floor), chain, forgotten }.up_to(index, self.progress.passed, past)
    }

    /// Compares the last commit's hash with that of the document there, if it says one; and takes note if it is
    /// right.
    ///
    /// # Errors
    /// The commit, if the document here is another one.
    pub fn verify(&mut self) -> Result<(), Name> {
        let Some(last) = self.chain.commits().last() else { return Ok(()) };
        let Some(hash) = &last.commit.hash else { return Ok(()) };
        if self.verified.as_ref().is_some_and(|verified| verified.passed >= self.committed.passed) {
            return Ok(());
        }
        if **hash != *self.committed.document.root().digest().hash().as_str() {
            return Err(Name { source: last.place.source.clone(), id: last.place.id });
        }
        self.verified = Some(self.committed.clone());
        Ok(())
    }

    /// What was seen of every source that has not left: of what is committed, and of what is not and not void.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn clock<P: Past>(&self, past: &P) -> Result<VectorClock, P::Error> {
        let mut clock = self.committed_clock();
        for at in self.tentative(past)?.iter().filter(|at| !self.chain.is_too_late(at)) {
            clock.advance(&at.source, at.id);
        }
        for (source, id) in self.chain.ends() {
            clock.advance(source, id);
        }
        Ok(clock)
    }

    /// What was seen of every source as far as it is committed.
    pub fn committed_clock(&self) -> VectorClock {
        let committed = self.committed.committed.clock.iter();
        committed.map(|(source, covered)| (source.clone(), covered.next)).collect()
    }

    /// The places of what no commit covers, commits that do not count included.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn tentative<P: Past>(&self, past: &P) -> Result<Vec<Place>, P::Error> {
        let mut places = Vec::new();
        let last = self.chain.next_number();
        for_each_left(&self.chain, last, self.committed.position, past, |_, at, _| {
            places.push(at.place.clone());
        })?;
        Ok(places)
    }

    /// Replaces all up to a floor at a commit by that floor. Says whether it could: the commit must be one of the
    /// chain's after the base.
    pub fn fold(&mut self, floor: &Arc<Floor>) -> bool {
        let Some(Name { source, id }) = &floor.committed.commit else { return false };
        let is_it = |at: &Arc<PlacedCommit>| at.place.source == *source && at.place.id == *id;
        let number = floor.passed.checked_sub(1);
        if !number.and_then(|number| self.chain.commit(number)).is_some_and(is_it) {
            return false;
        }
        Arc::make_mut(&mut self.chain).fold(Committed::clone(&floor.committed));
        let base = Arc::new(Floor { end: None, ..Floor::clone(floor) });
        if self.committed.passed == floor.passed {
            self.committed = base.clone();
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
        self.skips.fold(base.position, |place| {
            chain.segment_of(place) == Segment::Base || chain.is_behind_base(place)
        });
        let Counted { skipped, repeated, .. } = base.counted;
        let (index, position) = (base.index, base.position);
        self.begin = Begin { index, position, skipped, repeated };
        self.base = Some(base);
        true
    }
}

/// Looks at what the commit of this number covers first and at what it leaves, from `position` on.
fn survey<P: Past>(
    chain: &Chain,
    number: u64,
    position: u64,
    end: u64,
    past: &P,
) -> Result<Survey, P::Error> {
    let mut survey = Survey {
        covered: 0,
        last_covered: None,
        names: BTreeSet::new(),
        first_left: None,
        position: end,
    };
    let floor = chain.floor_before(number);
    for_each_from(position, past, |position, at| {
        let PastPlace { place, named, .. } = &at;
        let segment = chain.segment_of(place);
        if segment < Segment::Commit(number) || place.source.epoch().is_some() {
            return;
        }
        let is_void = place.time < floor;
        if segment == Segment::Commit(number) {
            survey.covered += 1;
            if survey.last_covered.as_ref().is_none_or(|last| last < place) {
                survey.last_covered = Some(place.clone());
            }
            let (source, _) = name(place, named.as_deref());
            if !is_void && !survey.names.contains(source) {
                survey.names.insert(source.clone());
            }
        } else if !is_void {
            survey.position = survey.position.min(position);
            if survey.first_left.as_ref().is_none_or(|first| place < first) {
                survey.first_left = Some(place.clone());
            }
        }
    })?;
    Ok(survey)
}

/// Shows what the commits up to that number leave, from `position` on, but for what is behind the base.
fn for_each_left<P: Past>(
    chain: &Chain,
    number: u64,
    position: u64,
    past: &P,
    mut each: impl FnMut(u64, &PastPlace, Segment),
) -> Result<(), P::Error> {
    for_each_from(position, past, |position, at| {
        let segment = chain.segment_of(&at.place);
        if segment > Segment::Commit(number) && !chain.is_behind_base(&at.place) {
            each(position, &at, segment);
        }
    })
}

fn for_each_from<P: Past>(
    mut position: u64,
    past: &P,
    mut each: impl FnMut(u64, PastPlace),
) -> Result<(), P::Error> {
    loop {
        let stretch = past.places(position)?;
        if stretch.is_empty() {
            return Ok(());
        }
        for at in stretch {
            each(position, at);
            position += 1;
        }
    }
}
