//! What a replica writes down to go on from after a restart.

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use super::checkpoint::Counted;
use super::history::{Bits, History, Reason, Skips, Whereabouts};
use super::past::Past;
use super::placed::Placed;
use super::{Life, Replica};
use crate::clock::{HybridClock, Time, VectorClock};
use crate::document::Value;
use crate::names::Names;
use crate::patch::Document;
use crate::transaction::{Place, Transaction};

/// A replica as it was, but for what its journal has after that.
#[derive(Clone, Debug)]
pub struct Saved {
    /// All that is not the document, as JSON.
    pub summary: String,
    /// The document at `place`.
    pub document: Document,
    /// How much of the journal it takes note of.
    pub length: u64,
    /// Where the journal has to be read on from.
    pub position: u64,
}

/// Where the journal goes on after a [`Saved`].
#[derive(Clone, Debug)]
pub struct Resume {
    place: Place,
    /// How many transactions the journal had.
    pub length: u64,
    /// From here on the journal has to be read.
    pub position: u64,
}

#[derive(Serialize, Deserialize)]
struct Summary {
    /// The last transaction of the history whose patch the document has.
    place: Place,
    /// How many there are up to it.
    index: u64,
    /// All others are in the journal from here on.
    position: u64,
    /// How many transactions the journal had. Those that it has from there on may belong before
    /// `place`.
    length: u64,
    skipped_count: u64,
    repeated_count: u64,
    /// Which ones are skipped and which are repeated, each as the runs of a set of positions.
    skipped_positions: Vec<u64>,
    repeated_positions: Vec<u64>,
    /// Why the latest skipped ones are.
    reasons: Vec<Reason>,
    /// The names of those up to `place`.
    names: Names,
    vclock: VectorClock,
}

impl Replica {
    /// What to write down; none where there is nothing yet.
    pub fn save(&self) -> Option<Saved> {
        let length = self.history.length();
        let (checkpoint, skips) = self.history.last_lasting(length)?;
        let (skipped, repeated) = skips.positions();
        let summary = Summary {
            index: checkpoint.index,
            position: checkpoint.position,
            length,
            skipped_count: checkpoint.counted.skipped,
            repeated_count: checkpoint.counted.repeated,
            names: checkpoint.counted.names.clone(),
            skipped_positions: skipped.runs(),
            repeated_positions: repeated.runs(),
            reasons: skips.reasons().iter().cloned().collect(),
            vclock: self.vclock.clone(),
            place: checkpoint.place.clone(),
        };
        Some(Saved {
            summary: serde_json::to_string(&summary).expect("a summary always has a JSON text"),
            document: checkpoint.document,
            length,
            position: checkpoint.position,
        })
    }

    /// The replica as it was saved, and where to read on.
    ///
    /// # Errors
    /// Where this cannot have been saved; in words.
    pub fn load(
        life: Life,
        summary: &str,
        document: &[u8],
        bounds: Bounds,
    ) -> Result<(Self, Resume), String> {
        let summary: Summary = serde_json::from_str(summary).map_err(|error| error.to_string())?;
        let root: Value = serde_json::from_slice(document).map_err(|error| error.to_string())?;
        let document = Document::new(root).ok_or("the document is too large")?;
        let Summary { place, index, position, length, vclock, .. } = summary;
        let counted = Counted {
            names: summary.names,
            skipped: summary.skipped_count,
            repeated: summary.repeated_count,
        };
        let mut clock = HybridClock::default();
        clock.observe(place.time);
        let resume = Resume { place: place.clone(), length, position };
        let positions = |runs: &[u64], count| {
            let positions = Bits::from_runs(runs, length).filter(|bits| bits.count() == count);
            positions.ok_or("it does not say which transactions are skipped or repeated")
        };
        let skips = Skips::new(
            positions(&summary.skipped_positions, counted.skipped)?,
            positions(&summary.repeated_positions, counted.repeated)?,
            summary.reasons,
        );
        let history = History::resume(bounds, document, place, (index, position), counted, skips);
        Ok((Self { life, vclock, clock, history }, resume))
    }

    /// Takes in again what the journal has from `position` on. `resume` is where this replica was
    /// loaded, if it was, and is taken away once all is made anew from before that. All of the journal
    /// before has been taken in again already, and `past` can read it.
    ///
    /// # Errors
    /// Where the journal had to be read and could not be.
    pub fn recover<P: Past>(
        &mut self,
        position: u64,
        transactions: Vec<Transaction>,
        resume: &mut Option<Resume>,
        now: Time,
        past: &P,
    ) -> Result<(), P::Error> {
        let end = position + transactions.len() as u64;
        let mut ordered = Vec::with_capacity(transactions.len());
        let mut counted = Vec::new();
        for (position, transaction) in (position..).zip(transactions) {
            let Some(place) = transaction.place() else { continue };
            self.vclock.advance(&place.source, place.id);
            self.clock.observe(place.time);
            let is_counted = resume.as_ref().is_some_and(|resume| {
                position < resume.position || (position < resume.length && place <= resume.place)
            });
            let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
            let placed = Placed { place, named, position, payload: transaction.payload };
            if is_counted { &mut counted } else { &mut ordered }.push(placed);
        }
        // A late one may have all made anew after a checkpoint before the saved place, of what `past` can
        // read. What was saved counts no more then, and what it took note of is put in again.
        if let Some(first) = ordered.iter().map(|placed| &placed.place).min()
            && let Whereabouts::Past { after, .. } = self.history.whereabouts(first)
            && resume.take_if(|resume| after.as_ref() < Some(&resume.place)).is_some()
        {
            counted.retain(|placed| Some(&placed.place) > after.as_ref());
            ordered.append(&mut counted);
        }
        ordered.sort_by(|left, right| left.place.cmp(&right.place));
        self.put_in(ordered, now, past)?;
        // What was saved may count transactions that come only after these.
        self.history.checkpoint_where_due(end);
        Ok(())
    }
}
