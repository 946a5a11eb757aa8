//! Late arrivals: what comes after them is taken back and applied again, or the history is replayed from a floor.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::super::floor::Floor;
use super::super::past::Past;
use super::replay::{Replay, Replayed};
use super::{
    Appended, Contradiction, Counted, Effect, Entry, Fate, FateChange, FateChanges, History,
    HistoryBegin, Insertion, Placed, Repetition,
};
use crate::clock::Time;
use crate::commit::Segment;
use crate::patch::{Patch, PatchError};
use crate::source::Source;
use crate::transaction::Place;

/// A transaction on its way back into the history.
pub struct TakenBack {
    pub placed: Placed,
    /// Its fate before; none if it is new.
    pub fate: Option<Fate>,
}

impl History {
    /// Puts transactions to their places, all in one pass. They are in the journal from the position `new` on, and
    /// `past` can read them already.
    ///
    /// # Errors
    /// If the journal has to be read, for a place before the recent part, and cannot be.
    pub fn insert(
        &mut self,
        mut late: Vec<Placed>,
        new: u64,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<Insertion> {
        Placed::sort(&mut late, &self.chain);
        let Some(first) = late.first().map(|placed| placed.place.clone()) else {
            return Ok(Insertion::default());
        };
        let mut added: Vec<Place> = late.iter().map(|placed| placed.place.clone()).collect();
        added.sort_unstable();
        let Replayed { changes, repetitions } = if self.is_past(&first) || self.is_committed(&first)
        {
            let floor = self.floor_before(&first, past)?;
            let (history, replayed) = Replay::new(self, floor, new, now, past).run_for(&late)?;
            *self = history;
            replayed
        } else {
            self.merge(&first, late, now)
        };
        let is_new = |contradiction: &Contradiction| {
            let Contradiction { earlier, repeated } = contradiction;
            [&earlier.place, repeated].iter().any(|place| added.binary_search(place).is_ok())
        };
        let contradictions = repetitions.into_iter().filter_map(Repetition::contradiction);
        Ok(Insertion { changes, contradictions: contradictions.filter(is_new).collect() })
    }

    /// Takes back the recent part from `first` on, and applies it again together with the late arrivals.
    fn merge(&mut self, first: &Place, late: Vec<Placed>, now: Time) -> Replayed {
        let index = self.recent_before(first);
        self.lateness = self.lateness.max(self.recent.len() - index);
        self.checkpoints.invalidate(&self.chain, first);
        let tail = self.take_back(index);
        let late = late.into_iter().map(|placed| TakenBack { placed, fate: None }).collect();
        let mut changes = FateChanges::default();
        let repetitions = merge(tail, late).filter_map(|taken| self.put(taken, now, &mut changes));
        let repetitions = repetitions.collect();
        Replayed { changes, repetitions }
    }

    /// Appends a transaction that was taken back, or a late arrival, and notes a change of its fate.
    pub(super) fn put(
        &mut self,
        taken: TakenBack,
        now: Time,
        changes: &mut FateChanges,
    ) -> Option<Repetition> {
        let TakenBack { placed, fate } = taken;
        let since = match &fate {
            Some(Fate::Skipped(skip)) => skip.as_ref().and_then(|skip| skip.since),
            Some(Fate::Applied | Fate::Repeated) | None => Some(now),
        };
        let place = placed.place.clone();
        let skipped = match (self.append(placed, since), fate) {
            // It is not skipped any more, nor is it applied: the first of its name stands for it.
            (Appended::Repeated(repetition), _) => return Some(repetition),
            (Appended::Void, Some(Fate::Applied | Fate::Repeated)) => {
                changes.newly_skipped += 1;
                Some(PatchError::VOID)
            }
            (Appended::Skipped(error), Some(Fate::Applied | Fate::Repeated)) => {
                changes.newly_skipped += 1;
                Some(error)
            }
            (Appended::Applied, Some(Fate::Skipped(_))) => {
                changes.newly_applied += 1;
                None
            }
            _ => return None,
        };
        if changes.listed.len() < self.bounds.skipped_listed {
            changes.listed.push(FateChange { place, skipped });
        }
        None
    }

    /// How many transactions of the recent part have to be applied again for a late arrival at `place`, and for
    /// the checkpoint after it, if one is due.
    pub fn rework(&self, place: Option<&Place>) -> usize {
        let late = place.map_or(0, |place| self.recent.len() - self.recent_before(place));
        let back = (2 * self.lateness.max(late)).min(self.recent.len());
        let is_due = self.checkpoints.is_due(back, &self.bounds);
        late + if is_due { back } else { 0 }
    }

    /// Takes back the recent part from `index` on.
    pub(super) fn take_back(&mut self, index: usize) -> Vec<TakenBack> {
        let mut tail = Vec::with_capacity(self.recent.len() - index);
        while self.recent.len() > index {
            let Some(Entry { placed, effect, bytes }) = self.recent.pop() else { break };
            self.recent_bytes -= bytes;
            let fate = self.skips.take_back(&placed);
            match effect {
                Effect::Applied(inverse) => {
                    self.changes.note(|| text(&inverse).into());
                    self.document.revert(inverse);
                    self.forget_name(&placed);
                }
                Effect::Skipped => {
                    self.counted.skipped -= 1;
                    self.forget_name(&placed);
                }
                // Its name is that of one before it.
                Effect::Repeated => self.counted.repeated -= 1,
            }
            tail.push(TakenBack { placed, fate: Some(fate) });
        }
        tail.reverse();
        tail
    }

    fn forget_name(&mut self, placed: &Placed) {
        let (source, id) = placed.name();
        self.counted.names.remove(source, id);
    }

    /// A floor before `place` for a replay: one at a commit, if a commit covers `place`.
    fn floor_before(&self, place: &Place, past: &dyn Past) -> io::Result<Floor> {
        match self.chain.segment_of(place) {
            Segment::Tentative => {
                let checkpoint = self.checkpoints.before(&self.chain, place, self.progress.passed);
                let checkpoint = checkpoint.filter(|floor| floor.index >= self.committed.index);
                Ok(checkpoint.unwrap_or(&self.committed).clone())
            }
            Segment::Commit(number) => self.floor_at_commit(number, past),
            Segment::Base => self.floor_at_commit(0, past),
        }
    }

    /// A floor at a commit that has passed no more than those before number `passed`.
    pub(super) fn floor_at_commit(&self, passed: u64, past: &dyn Past) -> io::Result<Floor> {
        if self.committed.passed <= passed {
            return Ok(Floor::clone(&self.committed));
        }
        match (self.checkpoints.at_commit(passed), &self.base) {
            (Some(floor), _) => Ok(floor.clone()),
            (None, Some(base)) => Ok(Floor::clone(base)),
            (None, None) => {
                let HistoryBegin { index, position, skipped, repeated } = self.begin;
                let base = past.base()?;
                let counted = Counted { skipped, repeated, ..base.counted };
                Ok(Floor { index, position, counted, ..base })
            }
        }
    }

    /// Passes the commits before number `upto`; the first of them covers `names`, the others nothing. Later
    /// transactions that are no commits are in the journal from `position` on.
    pub(super) fn pass(&mut self, upto: u64, mut names: BTreeSet<Source>, position: u64) {
        while self.progress.passed < upto {
            self.pass_one(&std::mem::take(&mut names));
        }
        let after = self.chain.position_after(upto - 1).unwrap_or(u64::MAX);
        self.committed =
            Arc::new(Floor { is_boundary: true, ..self.as_floor(position.min(after)) });
        self.keep_commit();
    }

    /// The history as it was at a floor. The fates of later transactions stay noted until they are appended
    /// again.
    pub(super) fn at(&self, floor: &Floor) -> Self {
        let mut history = self.clone();
        history.changes = super::Changes::default();
        history.checkpoints.truncate(floor.index);
        history.lateness = 0;
        history.made_from = history.made_from.min(floor.index);
        if floor.passed < self.committed.passed || floor.is_boundary {
            history.committed = Arc::new(floor.clone());
        }
        let is_before = |verified: &Arc<Floor>| verified.passed <= floor.passed;
        history.verified = self.verified.clone().filter(is_before);
        history.go_to(floor);
        history
    }
}

impl Repetition {
    pub(super) fn contradiction(self) -> Option<Contradiction> {
        let Self { place: repeated, differs } = self;
        Some(Contradiction { earlier: differs?, repeated })
    }
}

fn text(patch: &Patch) -> String {
    serde_json::to_string(patch).expect("a patch always has a JSON text")
}

/// Merges two sorted lists of what is tentative.
fn merge(left: Vec<TakenBack>, right: Vec<TakenBack>) -> impl Iterator<Item = TakenBack> {
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(first), Some(second)) if first.placed.place < second.placed.place => left.next(),
        (_, Some(_)) => right.next(),
        (_, None) => left.next(),
    })
}
