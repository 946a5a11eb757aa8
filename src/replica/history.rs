//! The history: the transactions of the journal in the order in which they count.
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
//! Commits order it further: see [`crate::commit`]. What is committed stays as it is, and a late arrival costs a
//! replay of the tentative part at most. Commits themselves are not part of the history, and void transactions are
//! not: a node that is told of one later than others never gets it.
//!
//! Two nodes may have stamped one and the same transaction, if a plain node or a client brought it to both.
//! Of several of one name the first counts, whether or not it applies, and the others are repeated:
//! they have no effect.

pub mod at;
pub mod cause;
pub mod changes;
mod commits;
mod replay;
mod rewrite;
mod skips;
mod survey;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use super::checkpoint::{CHANGED_BYTES, Checkpoints};
use super::floor::{Counted, Floor};
use super::placed::Placed;
use crate::clock::Time;
use crate::commit::{Chain, Committed, Segment};
use crate::names::Names;
use crate::patch::{Document, Patch, PatchError, parse};
use crate::shared::{Sequence, Sorted};
use crate::source::Source;
use crate::transaction::Place;
use changes::Changes;

pub use commits::{Check, Committing};
pub use skips::{Bits, Fate, PlacedSkip, Skip, Skips};

/// A transaction whose fate changed because another one was put before it.
#[derive(Clone, Debug, PartialEq)]
pub struct FateChange {
    /// The transaction.
    pub place: Place,
    /// Why it is skipped now; none if it was skipped and is applied now.
    pub skipped: Option<PatchError>,
}

/// The transactions whose fate changed because others were put before them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FateChanges {
    /// How many were applied and are skipped now.
    pub newly_skipped: u64,
    /// How many were skipped and are applied now.
    pub newly_applied: u64,
    /// The first of them in the history, at most [`Bounds::skipped_listed`].
    pub listed: Vec<FateChange>,
}

impl FateChanges {
    /// Adds later ones.
    pub fn extend(&mut self, later: Self) {
        self.newly_skipped += later.newly_skipped;
        self.newly_applied += later.newly_applied;
        self.listed.extend(later.listed);
    }
}

/// Among how many of the latest transactions an earlier one of the same name is searched.
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
    /// It is void, and not part of the history.
    Void,
}

/// A transaction that is repeated.
#[derive(Debug)]
struct Repetition {
    place: Place,
    /// The earlier one of its name, if that is near and has another payload.
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

/// The result of putting transactions to their places.
#[derive(Debug, Default)]
pub struct Insertion {
    /// The transactions whose fate changed.
    pub changes: FateChanges,
    /// The contradictions in which the new ones take part.
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

/// How far the chain is passed.
#[derive(Clone, Debug, Default)]
struct ChainProgress {
    /// The commits before this number are passed.
    passed: u64,
    /// What remains of the past at the last of them.
    committed: Arc<Committed>,
}

/// Where the history begins, after the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryBegin {
    /// How many transactions the base stands for.
    pub index: u64,
    /// All others are in the journal from here on.
    pub position: u64,
    /// How many were counted as skipped and repeated up to there.
    skipped: u64,
    repeated: u64,
}

/// Document and history of one replica.
///
/// Invariants: `recent` is in the order of the `chain`, and all of the history that is not in it comes before it.
/// `document` is the fold of the whole history. Each checkpoint is the fold of the history up to its end.
/// `committed` is what the last commit that counts covers, with those before it. `skips` and `counted` are of the
/// whole history after the base; `progress` has passed the whole chain.
#[derive(Clone, Debug)]
pub struct History {
    bounds: Bounds,
    chain: Arc<Chain>,
    begin: HistoryBegin,
    /// None if it is stored elsewhere; a replay that goes back so far reads it.
    base: Option<Arc<Floor>>,
    committed: Arc<Floor>,
    /// The last commit whose hash was found to be right.
    verified: Option<Arc<Floor>>,
    /// The floor at the next commit, as a trial has found it.
    expected: Option<Arc<Floor>>,
    progress: ChainProgress,
    /// Which names were forgotten at which of the chain's commits after the base.
    forgotten: Arc<BTreeMap<u64, Vec<Source>>>,
    document: Document,
    recent: Sequence<Entry>,
    recent_bytes: u64,
    /// The last place before the recent part; none at the beginning and at a base.
    past_end: Option<Place>,
    /// How many transactions are before the recent part.
    past_length: u64,
    /// The least index of a floor from which it was replayed, or begun.
    made_from: u64,
    checkpoints: Checkpoints,
    skips: Skips,
    counted: Counted,
    /// The last steps that led to the document.
    changes: Changes,
    /// About how many bytes of documents have been replaced by others.
    displaced: u64,
    /// How far before the end the late arrivals of the last time had their places; a checkpoint nearer to the end
    /// would not last.
    lateness: usize,
}

impl History {
    /// An empty history.
    pub fn new(bounds: Bounds) -> Self {
        Self::after(bounds, Arc::new(Floor::beginning()), Arc::default())
    }

    /// A history of which nothing but a base is known, and the chain after that.
    pub fn after(bounds: Bounds, base: Arc<Floor>, chain: Arc<Chain>) -> Self {
        let Counted { skipped, repeated, .. } = base.counted;
        let begin = HistoryBegin { index: base.index, position: base.position, skipped, repeated };
        let mut history = Self {
            bounds,
            chain,
            begin,
            committed: base.clone(),
            verified: base.committed.commit.is_some().then(|| base.clone()),
            expected: None,
            base: None,
            progress: ChainProgress::default(),
            forgotten: Arc::default(),
            document: Document::default(),
            recent: Sequence::default(),
            recent_bytes: 0,
            past_end: None,
            past_length: 0,
            made_from: base.index,
            checkpoints: Checkpoints::default(),
            skips: Skips::default(),
            counted: Counted::default(),
            changes: Changes::default(),
            displaced: 0,
            lateness: 0,
        };
        history.go_to(&base);
        history.base = Some(base);
        history
    }

    /// The history up to a floor, where no commit is known.
    pub fn resume(bounds: Bounds, floor: Floor, skips: Skips) -> Self {
        let mut history = Self { skips, made_from: floor.index, ..Self::new(bounds) };
        history.go_to(&floor);
        history.checkpoints.add(floor, &bounds);
        history
    }

    /// The same history, whose base is another one that is stored elsewhere.
    pub fn stored(mut self, begin: HistoryBegin, skips: Skips, is_verified: bool) -> Self {
        (self.begin, self.skips, self.base) = (begin, skips, None);
        self.verified = self.verified.filter(|_| is_verified);
        self
    }

    /// Becomes the history up to a floor.
    fn go_to(&mut self, floor: &Floor) {
        let Floor { end, index, counted, passed, committed, document, .. } = floor.clone();
        (self.past_end, self.past_length, self.counted) = (end, index, counted);
        self.document = document;
        self.progress = ChainProgress { passed, committed };
        self.recent = Sequence::default();
        self.recent_bytes = 0;
    }

    /// How much of it is kept in memory.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Takes over the numbers that readers have of another history, which this one replaces.
    pub fn go_on_from(&mut self, other: &Self) {
        self.changes = other.changes.clone();
        self.changes.cut();
        self.displaced = other.displaced + other.document.weight();
    }

    /// Which commits count.
    pub fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// Where it begins, after the base.
    pub fn begin(&self) -> HistoryBegin {
        self.begin
    }

    /// The history up to the last commit that counts; up to the base if there is none.
    pub fn committed(&self) -> &Arc<Floor> {
        &self.committed
    }

    /// Keeps the floor at which the next commit ended in a trial.
    pub fn expect(&mut self, floor: Arc<Floor>) {
        self.expected = Some(floor);
    }

    /// The history up to the last commit whose hash was found to be right, or to the base if it has a commit.
    pub fn verified(&self) -> Option<&Arc<Floor>> {
        self.verified.as_ref()
    }

    /// The least index of a floor from which it was replayed, or begun.
    pub fn made_from(&self) -> u64 {
        self.made_from
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

    /// How many transactions there are, those that the base stands for included.
    pub fn length(&self) -> u64 {
        self.past_length + self.recent.len() as u64
    }

    /// The last place.
    pub fn end(&self) -> Option<&Place> {
        self.recent.back().map(|entry| &entry.placed.place).or(self.past_end.as_ref())
    }

    /// The last place before the recent part; none if the recent part begins at the base.
    pub fn past_end(&self) -> Option<&Place> {
        self.past_end.as_ref()
    }

    /// The fates of those that are not applied.
    pub fn skips(&self) -> &Skips {
        &self.skips
    }

    /// The skipped transactions, void ones included, and why each is skipped; at most the
    /// [`Bounds::skipped_listed`] latest.
    pub fn skipped(&self) -> &Sorted<PlacedSkip> {
        self.skips.reasons()
    }

    /// How many transactions after the base are skipped.
    pub fn skipped_count(&self) -> u64 {
        self.counted.skipped - self.begin.skipped
    }

    /// How many transactions after the base are repeated.
    pub fn repeated_count(&self) -> u64 {
        self.counted.repeated - self.begin.repeated
    }

    /// The fate of the transaction at `place`, which is in the journal at `position`.
    pub fn fate(&self, place: &Place, position: u64) -> Fate {
        self.skips.fate(place, position)
    }

    /// The names of all transactions, but for those that were forgotten.
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

    /// The last steps that led to the document.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Notes the steps from now on, since somebody reads them.
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

    /// Appends a transaction whose place is after all others. It is repeated if its name is not new, and skipped,
    /// `since` that time, if its patch does not apply. If it is void, only that is noted.
    fn append(&mut self, placed: Placed, since: Option<Time>) -> Appended {
        // The floor never goes back: what is not below the last one is void nowhere.
        if placed.place.time < self.chain.floor() && self.chain.is_void(&placed.place) {
            let skip = Arc::new(Skip { error: PatchError::VOID, since });
            self.skips.push_skipped(&placed, skip, self.bounds.skipped_listed);
            return Appended::Void;
        }
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
            Err(error) => Appended::Skipped(self.skip(placed, error, since)),
        }
    }

    fn skip(&mut self, placed: Placed, error: PatchError, since: Option<Time>) -> PatchError {
        self.counted.skipped += 1;
        let skip = Arc::new(Skip { error, since }.cut());
        let error = skip.error.clone();
        self.skips.push_skipped(&placed, skip, self.bounds.skipped_listed);
        self.push(placed, Effect::Skipped);
        error
    }

    fn repetition(&self, placed: &Placed) -> Repetition {
        let mut near = self.recent_from_end().take(NAME_SEARCH);
        let earlier = near.find(|earlier| earlier.name() == placed.name());
        let differs = earlier.filter(|earlier| earlier.payload != placed.payload).cloned();
        Repetition { place: placed.place.clone(), differs }
    }

    /// Appends transactions in their order, whose places are after all others. Returns the contradictions
    /// with earlier ones.
    pub fn append_all(&mut self, list: Vec<Placed>, now: Time) -> Vec<Contradiction> {
        let repetitions =
            list.into_iter().filter_map(|placed| match self.append(placed, Some(now)) {
                Appended::Repeated(repetition) => Some(repetition),
                Appended::Applied | Appended::Skipped(_) | Appended::Void => None,
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

    /// Takes a checkpoint if one is due, as far before the end as transactions have been late.
    /// `journal_length` is the position after all transactions of the history.
    pub fn checkpoint_where_due(&mut self, journal_length: u64) {
        if !self.checkpoints.is_due(self.likely_late(), &self.bounds) {
            return;
        }
        let floor = self.last_lasting(journal_length);
        self.checkpoints.add(floor, &self.bounds);
        self.lateness /= 2;
    }

    /// The floor nearest to the end that late arrivals are likely to leave as it is. `journal_length` is the position
    /// after all transactions of the history.
    pub fn last_lasting(&self, journal_length: u64) -> Floor {
        let tentative = self.length() - self.committed.index;
        let back = self.likely_late().min(usize::try_from(tentative).unwrap_or(usize::MAX));
        if back == 0 {
            return self.as_floor(journal_length);
        }
        let mut history = Self { changes: Changes::default(), ..self.clone() };
        let tail = history.take_back(self.recent.len() - back);
        let positions = tail.iter().map(|taken| taken.placed.position);
        history.as_floor(positions.min().unwrap_or(journal_length))
    }

    /// How many of the last transactions late arrivals are likely to take back.
    fn likely_late(&self) -> usize {
        (2 * self.lateness).min(self.recent.len())
    }

    /// The end as a floor. All that comes after it is in the journal from `position` on.
    fn as_floor(&self, position: u64) -> Floor {
        let ChainProgress { passed, committed } = self.progress.clone();
        let index = self.length();
        Floor {
            end: self.end().cloned(),
            index,
            position,
            counted: self.counted.clone(),
            is_boundary: passed == self.committed.passed && index == self.committed.index,
            passed,
            committed,
            document: self.document.clone(),
        }
    }

    /// The transaction at `place` in the recent part.
    pub fn recent(&self, place: &Place) -> Option<&Placed> {
        let index = self.recent_before(place);
        self.recent.get(index).map(|entry| &entry.placed).filter(|placed| placed.place == *place)
    }

    /// The transactions of the recent part, from the end.
    pub fn recent_from_end(&self) -> impl Iterator<Item = &Placed> {
        self.recent.iter().rev().map(|entry| &entry.placed)
    }

    /// The Id of the first transaction of the recent part that `source` has stamped; none if there is none.
    pub fn least_recent_id(&self, source: &Source) -> Option<u64> {
        let mut places = self.recent.iter().map(|entry| &entry.placed.place);
        places.find(|place| place.source == *source).map(|place| place.id)
    }

    /// Whether `place` is before the recent part, so that what is there has to be read from the
    /// journal.
    pub fn is_past(&self, place: &Place) -> bool {
        self.past_end
            .as_ref()
            .is_some_and(|past_end| self.chain.order(place) <= self.chain.order(past_end))
    }

    /// Whether something tentative at `place` comes after all others.
    pub fn is_at_end(&self, place: &Place) -> bool {
        let is_tentative = self.length() > self.committed.index;
        !is_tentative || self.end().is_none_or(|end| end < place)
    }

    /// How many transactions are before the one at `place`, which is in the history; none if it is before the
    /// recent part.
    pub fn recent_index(&self, place: &Place) -> Option<u64> {
        (!self.is_past(place)).then(|| self.past_length + self.recent_before(place) as u64)
    }

    /// Whether the transaction at `place` is covered by a commit that counts.
    pub fn is_committed(&self, place: &Place) -> bool {
        self.chain.segment_of(place) < Segment::Tentative
    }

    fn recent_before(&self, place: &Place) -> usize {
        let order = self.chain.order(place);
        self.recent.partition_point(|entry| self.chain.order(&entry.placed.place) < order)
    }
}
