//! A replica as it is saved, to go on from after a restart.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::bounds::Bounds;
use super::difference::Difference;
use super::floor::{Counted, Floor};
use super::history::{Bits, History, HistoryBegin, PlacedSkip, Skips};
use super::past::{ExtendedJournal, Past};
use super::placed::Placed;
use super::{Life, Replica, Turn};
use crate::clock::{HybridClock, Time, VectorClock};
use crate::commit::{Chain, Commit, Committed, PlacedCommit};
use crate::document::Value;
use crate::names::Names;
use crate::patch::Document;
use crate::transaction::{Place, Transaction};

/// A replica at a floor, without its base, and without what the journal has after the floor.
#[derive(Clone, Debug)]
pub struct Saved {
    /// All that is not the document, as JSON.
    pub summary: String,
    /// The document at the floor that it goes on from.
    pub document: Document,
    /// Up to which position of the journal it counts.
    pub length: u64,
    /// From which position on the journal has to be read.
    pub position: u64,
}

/// Where the journal goes on after a [`Saved`] or a [`Base`].
#[derive(Clone, Debug)]
pub struct Resume {
    /// The last transaction that is counted, and how many are.
    end: Option<Place>,
    index: u64,
    /// Which commits counted.
    chain: Arc<Chain>,
    /// How many records the journal had.
    pub length: u64,
    /// From here on the journal has to be read.
    pub position: u64,
    /// Those that were accepted again of the ones that the journal had, which it may have twice.
    taken: BTreeSet<Place>,
}

#[derive(Serialize, Deserialize)]
struct SavedSummary {
    /// The floor that it goes on from: its last transaction, how many there are up to it, and from which position
    /// on the journal has all others.
    end: Option<Place>,
    index: u64,
    position: u64,
    skipped_count: u64,
    repeated_count: u64,
    /// The names of those up to there.
    names: Names,
    /// How many records the journal had. Those from `position` on may belong before the floor.
    length: u64,
    /// The positions of the skipped and of the repeated ones, each as the runs of a set.
    skipped_positions: Vec<u64>,
    repeated_positions: Vec<u64>,
    /// The reasons of the latest skipped ones.
    reasons: Vec<PlacedSkip>,
    vclock: VectorClock,
    own: VectorClock,
    /// The commits; none if none is known.
    commits: Option<Commits>,
}

#[derive(Serialize, Deserialize)]
struct Commits {
    begin: HistoryBegin,
    base: Committed,
    /// All that are known after the base.
    held: Vec<(Place, u64, Commit)>,
    /// How many of the chain's commits are passed at the floor, and what remains of the past there.
    passed: u64,
    committed: Committed,
    is_verified: bool,
    difference: Option<Difference>,
}

impl Replica {
    /// What is to be saved; none if there is nothing yet.
    pub fn save(&self) -> Option<Saved> {
        let (length, history) = (self.length, &self.history);
        let chain = history.chain();
        let has_commits = chain.tip().is_some();
        let floor = match has_commits {
            true => Floor::clone(history.committed()),
            false if history.length() == 0 => return None,
            false => history.last_lasting(length),
        };
        let (skipped, repeated) = history.skips().positions();
        let held = chain.held().map(|at| (at.place.clone(), at.position, at.commit.clone()));
        let commits = has_commits.then(|| Commits {
            begin: history.begin(),
            base: chain.base().clone(),
            held: held.collect(),
            passed: floor.passed - chain.folded(),
            committed: Committed::clone(&floor.committed),
            is_verified: history.verified().is_some_and(|at| at.passed == floor.passed),
            difference: self.difference.clone(),
        });
        let Counted { names, skipped: skipped_count, repeated: repeated_count } = floor.counted;
        let summary = SavedSummary {
            end: floor.end,
            index: floor.index,
            position: floor.position,
            skipped_count,
            repeated_count,
            names,
            length,
            skipped_positions: skipped.runs(),
            repeated_positions: repeated.runs(),
            reasons: history.skipped().iter().cloned().collect(),
            vclock: self.vclock.clone(),
            own: self.own.clone(),
            commits,
        };
        Some(Saved {
            summary: serde_json::to_string(&summary).expect("a summary always has a JSON text"),
            document: floor.document,
            length,
            position: floor.position,
        })
    }

    /// The replica as it was saved, and where the journal goes on.
    ///
    /// # Errors
    /// If this cannot have been saved; in words.
    pub fn load(
        life: Life,
        summary: &str,
        document: &[u8],
        bounds: Bounds,
    ) -> Result<(Self, Resume), String> {
        let summary: SavedSummary =
            serde_json::from_str(summary).map_err(|error| error.to_string())?;
        let root: Value = serde_json::from_slice(document).map_err(|error| error.to_string())?;
        let document = Document::new(root).ok_or("the document is too large")?;
        let SavedSummary { end, index, position, length, vclock, own, .. } = summary;
        let counted = Counted {
            names: summary.names,
            skipped: summary.skipped_count,
            repeated: summary.repeated_count,
        };
        let mut clock = HybridClock::default();
        end.iter().for_each(|end| clock.observe(end.time));
        let positions = |runs: &[u64]| {
            let positions = Bits::from_runs(runs, length);
            positions.ok_or("it does not say which transactions are skipped or repeated")
        };
        let skips = Skips::new(
            positions(&summary.skipped_positions)?,
            positions(&summary.repeated_positions)?,
            summary.reasons,
        );
        let floor = Floor { end, index, position, counted, document, ..Floor::default() };
        let (history, difference) = match summary.commits {
            None => (History::resume(bounds, floor, skips), None),
            Some(commits) => {
                let Commits { begin, base, held, passed, committed, .. } = commits;
                // This is all that is left of the times of what is folded.
                for covered in base.clock.values().chain(committed.clock.values()) {
                    clock.observe(covered.last);
                }
                let mut chain = Chain::new(base);
                for (place, position, commit) in held {
                    clock.observe(place.time);
                    chain.add(PlacedCommit { place, position, commit });
                }
                let committed = Arc::new(committed);
                let floor = Floor { passed, committed, is_boundary: true, ..floor };
                if passed != chain.next_number() {
                    return Err("its commits are not those that lead to its document".into());
                }
                let floor = Arc::new(floor);
                let history = History::after(bounds, floor, Arc::new(chain));
                let history = history.stored(begin, skips, commits.is_verified);
                (history, commits.difference)
            }
        };
        let resume = Resume {
            end: history.end().cloned(),
            index: history.length(),
            chain: history.chain().clone(),
            length,
            position,
            taken: BTreeSet::new(),
        };
        Ok((Self { life, vclock, own, clock, history, length, difference }, resume))
    }

    /// The replica that begins with a base, which stands for all that the journal has before `position`; and where
    /// the journal goes on.
    pub fn after(life: Life, base: Base, position: u64, bounds: Bounds) -> (Self, Resume) {
        let chain = Arc::new(Chain::new(base.committed.clone()));
        let mut clock = HybridClock::default();
        for covered in base.committed.clock.values() {
            clock.observe(covered.last);
        }
        let floor = Arc::new(base.floor(position));
        let history = History::after(bounds, floor, chain.clone());
        let own = VectorClock::default();
        let vclock = history.committed_clock();
        let taken = BTreeSet::new();
        let index = history.length();
        let resume = Resume { end: None, index, chain, length: position, position, taken };
        let difference = None;
        (Self { life, vclock, own, clock, history, length: position, difference }, resume)
    }

    /// Accepts again what the journal has from `position` on. `resume` is from [`load`](Self::load) or
    /// [`after`](Self::after), and counts nothing any more after a replay from before it. All of the journal
    /// before was accepted again already, and `past` can read it.
    ///
    /// # Errors
    /// If the journal had to be read and could not be.
    pub fn recover(
        &mut self,
        position: u64,
        transactions: Vec<Transaction>,
        resume: &mut Option<Resume>,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<()> {
        let length = position;
        let mut turn = Turn::new(position, self.vclock.clone(), now);
        for (position, transaction) in (position..).zip(&transactions) {
            let Some(place) = transaction.place() else { continue };
            self.clock.observe(place.time);
            let chain = self.history.chain();
            let is_dropped = match resume {
                Some(resume) if position < resume.length => {
                    resume.counts(position, transaction, &place) || chain.is_void(&place)
                }
                // It was written twice, or a base stands for it.
                _ => self.vclock.has_seen(&place.source, place.id) || chain.is_too_late(&place),
            };
            if is_dropped {
                continue;
            }
            if let Some(commit) = &transaction.commit {
                // The transactions after the commit are not there yet.
                let count = usize::try_from(position - length).unwrap_or(usize::MAX);
                let past = ExtendedJournal { past, length, new: &&transactions[..=count] };
                self.recover_all(&mut turn, resume, &past)?;
                let commit = PlacedCommit { place, position, commit: Commit::clone(commit) };
                self.commit(commit, turn.journal_length, now, &past)?;
                self.note_made_anew(resume);
                continue;
            }
            self.count(&place);
            let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
            let payload = transaction.payload.clone();
            turn.ordered.push(Placed { place, named, position, payload });
        }
        let past = ExtendedJournal { past, length, new: &transactions };
        self.recover_all(&mut turn, resume, &past)?;
        self.length = position + transactions.len() as u64;
        // The saved replica may count transactions that are read only after these.
        self.history.checkpoint_where_due(self.length);
        Ok(())
    }

    /// A late arrival may cause a replay from a floor before the saved one, of what was read so far. Then what was
    /// saved counts nothing any more.
    fn note_made_anew(&self, resume: &mut Option<Resume>) {
        if let Some(resume) = resume
            && self.history.made_from() < resume.index
        {
            (resume.end, resume.position) = (None, 0);
        }
    }

    /// Puts the gathered transactions to their places.
    fn recover_all(
        &mut self,
        turn: &mut Turn,
        resume: &mut Option<Resume>,
        past: &dyn Past,
    ) -> io::Result<()> {
        let mut ordered = std::mem::take(&mut turn.ordered);
        Placed::sort(&mut ordered, self.history.chain());
        self.put_in(ordered, turn.journal_length, turn.now, past)?;
        self.note_made_anew(resume);
        Ok(())
    }
}

impl Resume {
    /// Whether the saved replica counts a record that the journal had then.
    fn counts(&mut self, position: u64, transaction: &Transaction, place: &Place) -> bool {
        let Self { end, chain, taken, .. } = self;
        let is_behind = || end.as_ref().is_some_and(|end| chain.order(place) <= chain.order(end));
        transaction.commit.is_some()
            || position < self.position
            || is_behind()
            || chain.is_folded(place)
            || !taken.insert(place.clone())
    }
}
