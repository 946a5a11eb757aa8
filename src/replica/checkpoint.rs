//! Checkpoints: the document as it was at some places of the history before its recent part.
//!
//! They share with each other, and with the document as it is, what has not changed. They are bounded in number and
//! in bytes. The one that is least missed goes first, so many are near the end and few far from it.

use std::sync::Arc;

use super::bounds::Bounds;
use super::floor::Floor;
use crate::commit::Chain;
use crate::source::Source;
use crate::transaction::Place;

/// For each transaction that is applied again to take a checkpoint, so many come before the next one.
const SPACING_REWORKS: u64 = 8;

/// About how many bytes the documents before and after a transaction do not share.
pub const CHANGED_BYTES: u64 = 4 << 10;

/// About how many bytes a floor takes that the next one does not share, if so many `later` transactions are between
/// them.
fn bytes(floor: &Floor, later: u64) -> u64 {
    let all = floor.document.weight() + floor.counted.names.bytes() as u64;
    later.saturating_mul(CHANGED_BYTES).min(all)
}

/// The checkpoints of one history, sorted by place.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    list: Arc<Vec<Floor>>,
    /// How many transactions were appended since the last one was taken.
    transactions: u64,
}

impl Checkpoints {
    /// Counts a transaction that was appended.
    pub fn count(&mut self) {
        self.transactions += 1;
    }

    /// Whether enough were appended since the last one, if `rework` transactions have to be applied again to
    /// take one.
    pub fn is_due(&self, rework: usize, bounds: &Bounds) -> bool {
        self.transactions >= bounds.checkpoint_spacing + SPACING_REWORKS * rework as u64
    }

    /// Adds one, unless there is one at that index. It may be before others: transactions that are applied again are
    /// counted again, and the end of what is committed is before the end.
    pub fn add(&mut self, checkpoint: Floor, bounds: &Bounds) {
        self.transactions = 0;
        let at = self.list.partition_point(|other| other.index < checkpoint.index);
        if self.list.get(at).is_some_and(|other| other.index == checkpoint.index) {
            // More replays can begin at one at a commit.
            if checkpoint.is_boundary {
                Arc::make_mut(&mut self.list)[at] = checkpoint;
            }
            return;
        }
        Arc::make_mut(&mut self.list).insert(at, checkpoint);
        let most = bounds.checkpoint_bytes as u64;
        while self.list.len() > bounds.checkpoints || (self.list.len() > 1 && self.bytes() > most) {
            let least_missed = self.least_missed(bounds.checkpoint_spacing);
            Arc::make_mut(&mut self.list).remove(least_missed);
        }
    }

    /// Whether the last one at a commit is at least `spacing` transactions before `index`.
    pub fn is_commit_due(&self, index: u64, spacing: u64) -> bool {
        let last = self.list.iter().rev().find(|floor| floor.is_boundary);
        index >= last.map_or(0, |last| last.index) + spacing
    }

    /// Drops those of more than `count` transactions.
    pub fn truncate(&mut self, count: u64) {
        let kept = self.list.partition_point(|floor| floor.index <= count);
        if kept < self.list.len() {
            Arc::make_mut(&mut self.list).truncate(kept);
        }
    }

    /// Drops those at `place` or after it: they lack a late arrival.
    pub fn invalidate(&mut self, chain: &Chain, place: &Place) {
        let count = self.before_count(chain, place);
        if count < self.list.len() {
            Arc::make_mut(&mut self.list).truncate(count);
        }
    }

    /// Drops those before a base of so many transactions, or at it.
    pub fn drop_up_to(&mut self, index: u64) {
        let count = self.list.partition_point(|floor| floor.index <= index);
        if count > 0 {
            Arc::make_mut(&mut self.list).drain(..count);
        }
    }

    /// Notes in those after a commit that it is passed, and which names are forgotten there.
    pub fn pass(&mut self, passed: &Floor, forgotten: &[Source]) {
        let count = passed.index;
        if self.list.last().is_none_or(|last| last.index <= count) {
            return;
        }
        for floor in Arc::make_mut(&mut self.list).iter_mut().filter(|floor| floor.index > count) {
            floor.passed = passed.passed;
            floor.committed = passed.committed.clone();
            for source in forgotten {
                floor.counted.names.forget(source);
            }
        }
    }

    /// The last one before `place`, if just the commits before number `passed` are passed at it.
    pub fn before(&self, chain: &Chain, place: &Place, passed: u64) -> Option<&Floor> {
        self.last_before(chain, place).filter(|floor| floor.passed == passed)
    }

    /// The last one before `place`.
    pub fn last_before(&self, chain: &Chain, place: &Place) -> Option<&Floor> {
        self.list[..self.before_count(chain, place)].last()
    }

    /// Those behind `place`.
    pub fn behind(&self, chain: &Chain, place: &Place) -> &[Floor] {
        &self.list[self.up_to_place_count(chain, place)..]
    }

    /// `floor`, which is one of these, and those after it.
    pub fn from(&self, floor: &Floor) -> &[Floor] {
        &self.list[self.list.partition_point(|other| other.index < floor.index)..]
    }

    /// As many transactions were appended since the last one as since that of others.
    pub fn count_as(&mut self, others: &Self) {
        self.transactions = others.transactions;
    }

    /// The last one at a commit at which no more than the commits before number `passed` are passed.
    pub fn at_commit(&self, passed: u64) -> Option<&Floor> {
        self.list.iter().rev().find(|floor| floor.is_boundary && floor.passed <= passed)
    }

    fn before_count(&self, chain: &Chain, place: &Place) -> usize {
        let order = chain.order(place);
        self.list
            .partition_point(|floor| floor.end.as_ref().is_none_or(|end| chain.order(end) < order))
    }

    /// The last one at which at most `count` transactions count.
    pub fn up_to(&self, count: u64) -> Option<&Floor> {
        self.list[..self.list.partition_point(|checkpoint| checkpoint.index <= count)].last()
    }

    /// The last one up to `place`.
    pub fn up_to_place(&self, chain: &Chain, place: &Place) -> Option<&Floor> {
        self.list[..self.up_to_place_count(chain, place)].last()
    }

    fn up_to_place_count(&self, chain: &Chain, place: &Place) -> usize {
        let order = chain.order(place);
        self.list
            .partition_point(|floor| floor.end.as_ref().is_none_or(|end| chain.order(end) <= order))
    }

    fn bytes(&self) -> u64 {
        let next = self.list.iter().skip(1).map(|next| next.index);
        let next = next.chain(self.list.last().map(|last| last.index));
        let list = self.list.iter().zip(next);
        list.map(|(floor, next)| bytes(floor, next.saturating_sub(floor.index))).sum()
    }

    /// The one without which replays get longer by the least factor: a replay that would begin at it begins
    /// at the one before it instead.
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

    fn checkpoint(index: u64) -> Floor {
        Floor { end: Some(place(index)), index, position: index, ..Floor::default() }
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
        let mut counted = crate::replica::floor::Counted::default();
        let source = "a".parse().unwrap();
        // No two of them make a range, so they have 4 MiB.
        (0..1 << 17).for_each(|id| assert!(counted.names.insert(&source, 2 * id)));
        for (spacing, expected) in [(1, bounds.checkpoints), (1 << 20, 3)] {
            let mut checkpoints = Checkpoints::default();
            for index in 1..=300 {
                let checkpoint = checkpoint(index * spacing);
                checkpoints.add(Floor { counted: counted.clone(), ..checkpoint }, &bounds);
            }
            assert_eq!(checkpoints.list.len(), expected, "every {spacing}");
        }
    }

    #[test]
    fn those_after_a_late_transaction_are_dropped() {
        let (mut checkpoints, chain) = (Checkpoints::default(), Chain::default());
        (1..=5).for_each(|index| checkpoints.add(checkpoint(index), &Bounds::default()));
        assert_eq!(checkpoints.before(&chain, &place(3), 0).unwrap().index, 2);
        checkpoints.invalidate(&chain, &place(3));
        assert_eq!(checkpoints.list.last().unwrap().index, 2);
        assert!(checkpoints.before(&chain, &place(1), 0).is_none());
        assert!(checkpoints.before(&chain, &place(3), 1).is_none(), "a commit is between");
    }

    #[test]
    fn they_are_sorted_whatever_the_order_in_which_they_are_added() {
        let mut checkpoints = Checkpoints::default();
        for index in [5, 3, 5, 7, 6] {
            checkpoints.add(checkpoint(index), &Bounds::default());
        }
        let indexes = |checkpoints: &Checkpoints| -> Vec<u64> {
            checkpoints.list.iter().map(|checkpoint| checkpoint.index).collect()
        };
        assert_eq!(indexes(&checkpoints), [3, 5, 6, 7]);
        checkpoints.drop_up_to(3);
        checkpoints.truncate(6);
        assert_eq!(indexes(&checkpoints), [5, 6]);
    }
}
