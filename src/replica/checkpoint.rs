//! Checkpoints: the document as it was at some places of the history before its recent part.
//!
//! They share with each other, and with the document as it is, what has not changed. They are bounded in
//! number and in bytes. What has to go is the one that is least missed, which leaves many near the end and
//! few far from it.

use std::sync::Arc;

use super::bounds::Bounds;
use crate::names::Names;
use crate::patch::Document;
use crate::transaction::Place;

/// How many transactions are between two at least, for each that has to be applied again.
const SPACING_REWORKS: u64 = 8;

/// About how many bytes a transaction makes that what was before it and what is after it do not share.
pub const CHANGED_BYTES: u64 = 4 << 10;

/// The document at one place of the history.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The last transaction that counts.
    pub place: Place,
    /// How many transactions count.
    pub index: u64,
    /// All transactions that do not count are in the journal from here on; some that do may be too.
    pub position: u64,
    /// What is known of those that count.
    pub counted: Counted,
    /// The document.
    pub document: Document,
}

/// What is known of the transactions up to a place of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Their names.
    pub names: Names,
    /// How many of them are skipped.
    pub skipped: u64,
    /// How many of them are repeated: one of the same name is before them.
    pub repeated: u64,
}

impl Checkpoint {
    /// About how many bytes it takes that no other one takes, if so many `later` transactions came before
    /// the next one.
    fn bytes(&self, later: u64) -> u64 {
        let all = self.document.weight() + self.counted.names.bytes() as u64;
        later.saturating_mul(CHANGED_BYTES).min(all)
    }
}

/// The checkpoints of one history, sorted by place.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    list: Arc<Vec<Checkpoint>>,
    /// How many transactions have come since one was last taken.
    transactions: u64,
}

impl Checkpoints {
    /// Takes note of a transaction that was appended.
    pub fn count(&mut self) {
        self.transactions += 1;
    }

    /// Whether enough has come since the last one, if taking it means to apply `rework`
    /// transactions again.
    pub fn is_due(&self, rework: usize, bounds: &Bounds) -> bool {
        self.transactions >= bounds.checkpoint_spacing + SPACING_REWORKS * rework as u64
    }

    /// Adds one, if it is after all others. It may be before one of them, since what was taken back
    /// and applied again was counted again: then there is one that is better.
    pub fn add(&mut self, checkpoint: Checkpoint, bounds: &Bounds) {
        self.transactions = 0;
        if self.list.last().is_some_and(|last| last.place >= checkpoint.place) {
            return;
        }
        Arc::make_mut(&mut self.list).push(checkpoint);
        let most = bounds.checkpoint_bytes as u64;
        while self.list.len() > bounds.checkpoints || (self.list.len() > 1 && self.bytes() > most) {
            let least_missed = self.least_missed(bounds.checkpoint_spacing);
            Arc::make_mut(&mut self.list).remove(least_missed);
        }
    }

    /// Drops those at or after `place`: a transaction comes in there, and they lack it.
    pub fn invalidate(&mut self, place: &Place) {
        let count = self.list.partition_point(|checkpoint| checkpoint.place < *place);
        if count < self.list.len() {
            Arc::make_mut(&mut self.list).truncate(count);
        }
    }

    /// The last one.
    pub fn last(&self) -> Option<&Checkpoint> {
        self.list.last()
    }

    /// The last one before `place`.
    pub fn before(&self, place: &Place) -> Option<&Checkpoint> {
        let count = self.list.partition_point(|checkpoint| checkpoint.place < *place);
        self.list[..count].last()
    }

    /// The last one up to which at most `count` transactions count.
    pub fn up_to(&self, count: u64) -> Option<&Checkpoint> {
        self.list[..self.list.partition_point(|checkpoint| checkpoint.index <= count)].last()
    }

    fn bytes(&self) -> u64 {
        let next = self.list.iter().skip(1).map(|next| next.index);
        let next = next.chain(self.list.last().map(|last| last.index));
        let list = self.list.iter().zip(next);
        list.map(|(checkpoint, next)| checkpoint.bytes(next.saturating_sub(checkpoint.index))).sum()
    }

    /// The one without which a replay would be longer by the least part of itself: a replay that
    /// would begin at it begins at the one before it instead.
    fn least_missed(&self, spacing: u64) -> usize {
        let end = self.list.last().map_or(0, |last| last.index) + spacing;
        let longer = |at: usize| {
            let before = if at == 0 { 0 } else { self.list[at - 1].index };
            (end - before) as f64 / (end - self.list[at].index) as f64
        };
        (0..self.list.len())
            .min_by(|left, right| longer(*left).total_cmp(&longer(*right)))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    fn place(micros: u64) -> Place {
        Place { time: Time::from_micros(micros).unwrap(), source: "a".parse().unwrap(), id: 1 }
    }

    fn checkpoint(index: u64) -> Checkpoint {
        Checkpoint {
            place: place(index),
            index,
            position: index,
            counted: Counted::default(),
            document: Document::default(),
        }
    }

    #[test]
    fn they_thin_out_with_age() {
        let (mut checkpoints, bounds) = (Checkpoints::default(), Bounds::default());
        for count in 1..=10_000 {
            checkpoints.add(checkpoint(count * bounds.checkpoint_spacing), &bounds);
        }
        assert_eq!(checkpoints.list.len(), bounds.checkpoints);
        let end = 10_001 * bounds.checkpoint_spacing;
        let distances: Vec<u64> =
            checkpoints.list.iter().map(|checkpoint| end - checkpoint.index).collect();
        assert_eq!(distances.last(), Some(&bounds.checkpoint_spacing));
        // From any place, a replay is at most about twice as long as it has to be.
        for pair in distances.windows(2) {
            assert!(pair[0] <= 2 * pair[1], "{distances:?}");
        }
        assert!(distances[0] > end / 4, "{distances:?}");
    }

    #[test]
    fn they_are_bounded_by_what_they_do_not_share() {
        let bounds = Bounds { checkpoint_bytes: 10 << 20, ..Bounds::default() };
        let mut counted = Counted::default();
        let source = "a".parse().unwrap();
        // No two of them make a range, so they have 4 MiB.
        (0..1 << 17).for_each(|id| assert!(counted.names.insert(&source, 2 * id)));
        for (spacing, expected) in [(1, bounds.checkpoints), (1 << 20, 3)] {
            let mut checkpoints = Checkpoints::default();
            for index in 1..=100 {
                let checkpoint = checkpoint(index * spacing);
                checkpoints.add(Checkpoint { counted: counted.clone(), ..checkpoint }, &bounds);
            }
            assert_eq!(checkpoints.list.len(), expected, "every {spacing}");
        }
    }

    #[test]
    fn those_after_a_late_transaction_are_dropped() {
        let mut checkpoints = Checkpoints::default();
        (1..=5).for_each(|index| checkpoints.add(checkpoint(index), &Bounds::default()));
        assert_eq!(checkpoints.before(&place(3)).unwrap().index, 2);
        checkpoints.invalidate(&place(3));
        assert_eq!(checkpoints.last().unwrap().index, 2);
        assert!(checkpoints.before(&place(1)).is_none());
    }

    #[test]
    fn one_that_is_not_after_all_others_is_not_added() {
        let mut checkpoints = Checkpoints::default();
        for index in [5, 3, 5, 7, 6] {
            checkpoints.add(checkpoint(index), &Bounds::default());
        }
        let indexes: Vec<u64> =
            checkpoints.list.iter().map(|checkpoint| checkpoint.index).collect();
        assert_eq!(indexes, [5, 7]);
        assert!(checkpoints.before(&place(5)).is_none());
    }
}
