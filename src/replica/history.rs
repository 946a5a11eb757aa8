//! The history: the same transactions as in the journal, in the order in which they count.
//!
//! The document is, by definition, `{}` with the patches of the history applied in its order, where a
//! patch that does not apply is skipped whole (Bayou; Terry et al., SOSP 1995). A transaction that
//! belongs before the end is put there by taking back what comes after it, applying it, and applying
//! the rest again.
//!
//! Taking back needs the inverses of what was applied. They are kept for the recent part of the
//! history; a place before that is reached from a checkpoint, and what comes after the checkpoint is
//! read from the journal. So what a history takes in memory does not grow with its age.
//!
//! Two nodes may have stamped one and the same transaction, if a plain node or a client brought it to both.
//! Of several of one name the first counts, whether or not it applies, and the others are repeated:
//! they have no effect.

pub mod at;
pub mod changes;
mod skips;

use std::sync::Arc;

use super::bounds::Bounds;
use super::checkpoint::{CHANGED_BYTES, Checkpoint, Checkpoints, Counted};
use super::past::{Past, Suffix};
use super::placed::Placed;
use crate::clock::Time;
use crate::names::Names;
use crate::patch::{Document, Patch, PatchError, parse};
use crate::shared::{Sequence, Sorted};
use crate::transaction::Place;
use changes::Changes;

pub use skips::{Bits, Fate, Reason, Skip, Skips};

/// A transaction whose fate changed because another one came in before it.
#[derive(Clone, Debug, PartialEq)]
pub struct FateChange {
    /// The transaction.
    pub place: Place,
    /// Why it is skipped now; none if it was skipped and is applied now.
    pub skipped: Option<PatchError>,
}

/// The transactions whose fate changed because others came in before them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FateChanges {
    /// How many were applied and are skipped now.
    pub newly_skipped: u64,
    /// How many were skipped and are applied now.
    pub newly_applied: u64,
    /// The first of them in the history, at most [`Bounds::skipped_listed`].
    pub listed: Vec<FateChange>,
}

/// Where a transaction of the history is.
#[derive(Clone, Debug, PartialEq)]
pub enum Whereabouts {
    /// In the recent part.
    Recent {
        /// How many transactions are before it in the history.
        index: u64,
    },
    /// Before the recent part: this many transactions are before or at the place `after`, which is
    /// before it, and all others that are before it are in the journal from `position` on.
    Past {
        /// The place counted up to; none for the beginning.
        after: Option<Place>,
        /// How many transactions are up to there.
        index: u64,
        /// Where in the journal the others begin.
        position: u64,
    },
}

/// How many of the latest transactions are looked through for the one before of a name.
const NAME_SEARCH: usize = 4096;

/// What a transaction did to the document.
#[derive(Clone, Debug)]
enum Effect {
    /// It is applied, and this takes it back.
    Applied(Patch),
    /// It is skipped.
    Skipped,
    /// It is repeated.
    Repeated,
}

/// What became of a transaction that was appended.
enum Appended {
    Applied,
    Skipped(PatchError),
    Repeated(Repetition),
}

/// A transaction on its way back into the history.
struct TakenBack {
    placed: Placed,
    /// What became of it before; none if it was not there.
    fate: Option<Fate>,
}

/// A transaction that is repeated.
#[derive(Debug)]
struct Repetition {
    place: Place,
    /// The one of the name before it, if that is near and has another payload.
    differs: Option<Placed>,
}

/// Two transactions of one name with different payloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The earlier one.
    pub earlier: Placed,
    /// The place of the later one, which is repeated.
    pub repeated: Place,
}

/// What came of putting transactions where they belong.
#[derive(Debug, Default)]
pub struct Insertion {
    /// Whose fate it changed.
    pub changes: FateChanges,
    /// Which of them contradict others, or are contradicted.
    pub contradictions: Vec<Contradiction>,
}

/// One transaction of the recent part.
#[derive(Clone, Debug)]
struct Entry {
    placed: Placed,
    effect: Effect,
    /// Its share of [`Bounds::recent_bytes`].
    bytes: u64,
}

/// Document and history of one replica.
///
/// Invariants: `recent` is sorted by place, and all of the history that is not in it comes before it.
/// `document` is the fold of the whole history. Each checkpoint is the fold of the history up to its
/// place. `skips` and `counted` are of the whole history.
#[derive(Clone, Debug, Default)]
pub struct History {
    bounds: Bounds,
    document: Document,
    recent: Sequence<Entry>,
    recent_bytes: u64,
    /// The greatest place before the recent part.
    past_end: Option<Place>,
    /// How many transactions are before the recent part.
    past_length: u64,
    checkpoints: Checkpoints,
    skips: Skips,
    counted: Counted,
    /// What was done to the document of late.
    changes: Changes,
    /// About how many bytes of documents have been replaced by others.
    displaced: u64,
    /// How far before the end transactions have come in of late; a checkpoint nearer to the end
    /// would not last.
    lateness: usize,
}

impl History {
    /// An empty history.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// About how many bytes of documents have been replaced by others since this began: a document that is
    /// held as it was takes no more, besides what it shares, than what has been added here since.
    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    /// The fold of the history.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// How many transactions there are.
    pub fn length(&self) -> u64 {
        self.past_length + self.recent.len() as u64
    }

    /// The greatest place.
    pub fn end(&self) -> Option<&Place> {
        self.recent.back().map(|entry| &entry.placed.place).or(self.past_end.as_ref())
    }

    /// The greatest place before the recent part; none if all is recent.
    pub fn past_end(&self) -> Option<&Place> {
        self.past_end.as_ref()
    }

    /// The skipped transactions, or the [`Bounds::skipped_listed`] latest of them, and why they are.
    pub fn skipped(&self) -> &Sorted<Reason> {
        self.skips.reasons()
    }

    /// How many transactions are skipped.
    pub fn skipped_count(&self) -> u64 {
        self.counted.skipped
    }

    /// How many transactions are repeated.
    pub fn repeated_count(&self) -> u64 {
        self.counted.repeated
    }

    /// What becomes of the transaction at `place`, which is in the journal at `position`.
    pub fn fate(&self, place: &Place, position: u64) -> Fate {
        self.skips.fate(place, position)
    }

    /// The names of all transactions.
    pub fn names(&self) -> &Names {
        &self.counted.names
    }

    /// Applies a patch at the end. [`append_applied`](Self::append_applied) must follow.
    ///
    /// # Errors
    /// If it does not apply. The history is then what it was.
    pub fn apply(&mut self, payload: &str) -> Result<Patch, PatchError> {
        let inverse = parse(payload).and_then(|patch| self.document.apply(patch))?;
        self.changes.note(|| payload.into());
        Ok(inverse)
    }

    /// What was done to the document of late.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Takes note that somebody reads what is done to the document.
    pub fn want_changes(&mut self) {
        self.changes.want();
    }

    /// Appends the transaction whose patch was just applied with this inverse; its place is after all
    /// others, and its name is new.
    pub fn append_applied(&mut self, placed: Placed, inverse: Patch) {
        let (source, id) = placed.name();
        self.counted.names.insert(source, id);
        self.skips.push_applied(&placed);
        self.push(placed, Effect::Applied(inverse));
    }

    /// Appends a transaction whose place is after all others. It is repeated if its name is not new, and
    /// skipped if its patch does not apply; then it is so `since` that time.
    fn append(&mut self, placed: Placed, since: Option<Time>) -> Appended {
        let (source, id) = placed.name();
        if !self.counted.names.insert(source, id) {
            let repetition = self.repetition(&placed);
            self.counted.repeated += 1;
            self.skips.push_repeated(&placed);
            self.push(placed, Effect::Repeated);
            return Appended::Repeated(repetition);
        }
        match self.apply(&placed.payload) {
            Ok(inverse) => {
                self.skips.push_applied(&placed);
                self.push(placed, Effect::Applied(inverse));
                Appended::Applied
            }
            Err(error) => {
                self.counted.skipped += 1;
                let skip = Arc::new(Skip { error, since }.cut());
                let error = skip.error.clone();
                self.skips.push_skipped(&placed, skip, self.bounds.skipped_listed);
                self.push(placed, Effect::Skipped);
                Appended::Skipped(error)
            }
        }
    }

    fn repetition(&self, placed: &Placed) -> Repetition {
        let mut near = self.recent_from_end().take(NAME_SEARCH);
        let earlier = near.find(|earlier| earlier.name() == placed.name());
        let differs = earlier.filter(|earlier| earlier.payload != placed.payload).cloned();
        Repetition { place: placed.place.clone(), differs }
    }

    /// Appends transactions in their order, whose places are after all others, and says which of them
    /// contradict others.
    pub fn append_all(&mut self, list: Vec<Placed>, now: Time) -> Vec<Contradiction> {
        let repetitions =
            list.into_iter().filter_map(|placed| match self.append(placed, Some(now)) {
                Appended::Repeated(repetition) => Some(repetition),
                Appended::Applied | Appended::Skipped(_) => None,
            });
        repetitions.filter_map(Repetition::contradiction).collect()
    }

    fn push(&mut self, placed: Placed, effect: Effect) {
        let inverse = match &effect {
            Effect::Applied(inverse) => inverse.weight(),
            Effect::Skipped | Effect::Repeated => 0,
        };
        let bytes = (size_of::<Entry>() + placed.payload.len()) as u64 + inverse;
        self.recent_bytes += bytes;
        self.displaced += inverse + CHANGED_BYTES;
        self.checkpoints.count();
        self.recent
            .push(Entry { placed, effect, bytes }, usize::try_from(bytes).unwrap_or(usize::MAX));
        while self.recent.len() > self.bounds.recent_transactions
            || self.recent_bytes > self.bounds.recent_bytes
        {
            let Some(oldest) = self.recent.front() else { break };
            self.recent_bytes -= oldest.bytes;
            self.past_length += 1;
            self.past_end = Some(oldest.placed.place.clone());
            self.recent.drop_front();
        }
    }

    /// Puts transactions where they belong, all in one pass, and says whose fate that changed.
    ///
    /// # Errors
    /// If the journal cannot be read, for a place before the recent part. The history is then
    /// what it was.
    pub fn insert<P: Past>(
        &mut self,
        mut late: Vec<Placed>,
        now: Time,
        past: &P,
    ) -> Result<Insertion, P::Error> {
        late.sort_by(|left, right| left.place.cmp(&right.place));
        let Some(first) = late.first().map(|placed| placed.place.clone()) else {
            return Ok(Insertion::default());
        };
        let added: Vec<Place> = late.iter().map(|placed| placed.place.clone()).collect();
        let (changes, repetitions) = self.rewrite(&first, late, u64::MAX, now, past)?;
        let is_new = |contradiction: &Contradiction| {
            let Contradiction { earlier, repeated } = contradiction;
            [&earlier.place, repeated].iter().any(|place| added.binary_search(place).is_ok())
        };
        let contradictions = repetitions.into_iter().filter_map(Repetition::contradiction);
        Ok(Insertion { changes, contradictions: contradictions.filter(is_new).collect() })
    }

    /// Takes transactions out again, from `first` on those whose position is not before `end`: what
    /// could not be journaled after all.
    ///
    /// # Errors
    /// If the journal cannot be read, for a place before the recent part. The history is then
    /// what it was.
    pub fn remove<P: Past>(
        &mut self,
        first: &Place,
        end: u64,
        now: Time,
        past: &P,
    ) -> Result<(), P::Error> {
        self.rewrite(first, Vec::new(), end, now, past).map(|_| ())
    }

    /// Makes the history from `first` on anew: of what is there, what is before the position `end`, and
    /// `late`, which is sorted. Says whose fate that changed, and which ones are repeated, in their order.
    fn rewrite<P: Past>(
        &mut self,
        first: &Place,
        late: Vec<Placed>,
        end: u64,
        now: Time,
        past: &P,
    ) -> Result<(FateChanges, Vec<Repetition>), P::Error> {
        if self.is_past(first) {
            let rewritten = self.replay(first, late, now, past)?;
            self.skips.truncate(end);
            return Ok(rewritten);
        }
        let index = self.recent.partition_point(|entry| entry.placed.place < *first);
        self.lateness = self.lateness.max(self.recent.len() - index);
        self.checkpoints.invalidate(first);
        let mut tail = self.take_back(index);
        tail.retain(|taken| taken.placed.position < end);
        let late = late.into_iter().map(|placed| TakenBack { placed, fate: None }).collect();
        let mut changes = FateChanges::default();
        let repetitions = merge(tail, late).filter_map(|taken| self.put(taken, now, &mut changes));
        let repetitions = repetitions.collect();
        Ok((changes, repetitions))
    }

    /// Appends what was taken back, or came late, and takes note if its fate changed.
    fn put(
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

    /// How many transactions of the recent part have to be applied again if one comes in at `place`, and
    /// if a checkpoint is to be taken then.
    pub fn rework(&self, place: Option<&Place>) -> usize {
        let before =
            |place: &Place| self.recent.partition_point(|entry| entry.placed.place < *place);
        let late = place.map_or(0, |place| self.recent.len() - before(place));
        let back = (2 * self.lateness.max(late)).min(self.recent.len());
        let is_due = self.checkpoints.is_due(back, &self.bounds);
        late + if is_due { back } else { 0 }
    }

    /// Takes back the recent part from `index` on.
    fn take_back(&mut self, index: usize) -> Vec<TakenBack> {
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

    /// Makes the history anew from the last checkpoint before `first`, with what the journal has
    /// after that, and `late`. What the journal does not have is gone. Says which ones are repeated.
    fn replay<P: Past>(
        &mut self,
        first: &Place,
        late: Vec<Placed>,
        now: Time,
        past: &P,
    ) -> Result<(FateChanges, Vec<Repetition>), P::Error> {
        let mut changes = FateChanges::default();
        let mut history = self.at_checkpoint(first);
        let mut repetitions = Vec::new();
        let base = history.checkpoints.last();
        let (after, position) =
            base.map_or((None, 0), |base| (Some(base.place.clone()), base.position));
        let mut suffix = Suffix::collect(past, after.as_ref(), position)?;
        let end = position + suffix.read();
        let mut late = late.into_iter().peekable();
        loop {
            let (next, is_late) = match (suffix.peek(), late.peek()) {
                (Some(kept), Some(late)) if *kept < late.place => (suffix.next(past)?, false),
                (_, Some(_)) => (late.next(), true),
                (Some(_), None) => (suffix.next(past)?, false),
                (None, None) => break,
            };
            let Some(placed) = next else { break };
            let fate = (!is_late).then(|| self.fate(&placed.place, placed.position));
            repetitions.extend(history.put(TakenBack { placed, fate }, now, &mut changes));
            if history.checkpoints.is_due(0, &history.bounds) {
                // What comes after this place is in the journal from the least position of the rest
                // on, or will be appended to it.
                history.checkpoint(suffix.least_position().unwrap_or(end).min(end));
            }
        }
        history.changes = std::mem::take(&mut self.changes);
        history.changes.cut();
        *self = history;
        Ok((changes, repetitions))
    }

    /// The history as it was at the last checkpoint before `first`. What becomes of the later ones stays
    /// noted until they are appended again.
    fn at_checkpoint(&self, first: &Place) -> Self {
        let mut checkpoints = self.checkpoints.clone();
        checkpoints.invalidate(first);
        let mut history = Self::new(self.bounds);
        if let Some(base) = checkpoints.last() {
            history.document = base.document.clone();
            history.past_end = Some(base.place.clone());
            history.past_length = base.index;
            history.counted = base.counted.clone();
        }
        history.skips = self.skips.up_to(history.past_end.as_ref());
        history.checkpoints = checkpoints;
        history.displaced = self.displaced;
        history
    }

    /// A history up to a checkpoint: its document, the place of its last transaction, how many there
    /// are, where in the journal the others begin, what is known of them, and which are skipped.
    pub fn resume(
        bounds: Bounds,
        document: Document,
        place: Place,
        (index, position): (u64, u64),
        counted: Counted,
        skips: Skips,
    ) -> Self {
        let mut history = Self {
            document,
            past_end: Some(place.clone()),
            past_length: index,
            skips,
            counted,
            ..Self::new(bounds)
        };
        history.checkpoint(position);
        history
    }

    /// A checkpoint so far before the end that it is likely to last, and what is skipped up to there; none if
    /// there is nothing. `journal_length` is the position after all transactions of the history.
    pub fn last_lasting(&self, journal_length: u64) -> Option<(Checkpoint, Skips)> {
        let mut history = Self { changes: Changes::default(), ..self.clone() };
        let tail = history.take_back(self.recent.len() - self.likely_late());
        let positions = tail.iter().map(|taken| taken.placed.position);
        let position = positions.min().unwrap_or(journal_length);
        history.as_checkpoint(position).map(|checkpoint| (checkpoint, history.skips))
    }

    /// Takes a checkpoint if one is due, as far before the end as transactions have been late.
    /// `journal_length` is the position after all transactions of the history.
    pub fn checkpoint_where_due(&mut self, journal_length: u64) {
        if !self.checkpoints.is_due(self.likely_late(), &self.bounds) {
            return;
        }
        if let Some((checkpoint, _)) = self.last_lasting(journal_length) {
            self.checkpoints.add(checkpoint, &self.bounds);
        }
        self.lateness /= 2;
    }

    /// How many of the last transactions are likely to be taken back once more.
    fn likely_late(&self) -> usize {
        (2 * self.lateness).min(self.recent.len())
    }

    /// Takes a checkpoint at the end. All that comes after it is in the journal from `position` on.
    fn checkpoint(&mut self, position: u64) {
        if let Some(checkpoint) = self.as_checkpoint(position) {
            self.checkpoints.add(checkpoint, &self.bounds);
        }
    }

    /// What it is, as a checkpoint; none if there is nothing.
    fn as_checkpoint(&self, position: u64) -> Option<Checkpoint> {
        Some(Checkpoint {
            place: self.end()?.clone(),
            index: self.length(),
            position,
            counted: self.counted.clone(),
            document: self.document.clone(),
        })
    }

    /// The transaction at `place` in the recent part.
    pub fn recent(&self, place: &Place) -> Option<&Placed> {
        let index = self.recent.partition_point(|entry| entry.placed.place < *place);
        self.recent.get(index).map(|entry| &entry.placed).filter(|placed| placed.place == *place)
    }

    /// The transactions of the recent part, from the end.
    pub fn recent_from_end(&self) -> impl Iterator<Item = &Placed> {
        self.recent.iter().rev().map(|entry| &entry.placed)
    }

    /// Whether `place` is before the recent part, so that what is there has to be read from the
    /// journal.
    pub fn is_past(&self, place: &Place) -> bool {
        self.past_end.as_ref().is_some_and(|past_end| place <= past_end)
    }

    /// Where the transaction at `place` is, which is in the history.
    pub fn whereabouts(&self, place: &Place) -> Whereabouts {
        if !self.is_past(place) {
            let index = self.recent.partition_point(|entry| entry.placed.place < *place);
            return Whereabouts::Recent { index: self.past_length + index as u64 };
        }
        match self.checkpoints.before(place) {
            None => Whereabouts::Past { after: None, index: 0, position: 0 },
            Some(base) => Whereabouts::Past {
                after: Some(base.place.clone()),
                index: base.index,
                position: base.position,
            },
        }
    }
}

impl Repetition {
    fn contradiction(self) -> Option<Contradiction> {
        let Self { place: repeated, differs } = self;
        Some(Contradiction { earlier: differs?, repeated })
    }
}

fn text(patch: &Patch) -> String {
    serde_json::to_string(patch).expect("a patch always has a JSON text")
}

/// Merges two sorted lists.
fn merge(left: Vec<TakenBack>, right: Vec<TakenBack>) -> impl Iterator<Item = TakenBack> {
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(first), Some(second)) if first.placed.place < second.placed.place => left.next(),
        (_, Some(_)) => right.next(),
        (_, None) => left.next(),
    })
}
