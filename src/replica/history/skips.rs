//! Which transactions are skipped, and why.
//!
//! One bit for each transaction says whether it is skipped, and one whether it is repeated, so the answer is right
//! however far back it is. The reason is kept for the skipped ones that are latest in the history.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::patch::PatchError;
use crate::replica::placed::Placed;
use crate::shared::{At, Sorted};
use crate::transaction::Place;

/// How many bytes of a path or of another text are kept of why a transaction is skipped.
const TEXT_BYTES: usize = 200;

/// Why a transaction is skipped, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skip {
    /// Why its patch does not apply; long texts are cut.
    pub error: PatchError,
    /// When this node began to skip it; none if that was forgotten, as too many were skipped then.
    pub since: Option<Time>,
}

impl Skip {
    /// The same with long texts cut.
    pub fn cut(mut self) -> Self {
        self.error.cut(TEXT_BYTES);
        self
    }
}

/// The effect of a transaction of the history.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is applied.
    Applied,
    /// It is skipped. The reason is forgotten if too many later ones are skipped, too.
    Skipped(Option<Arc<Skip>>),
    /// It is repeated: one of the same name is before it.
    Repeated,
}

/// Where a transaction is skipped, and why.
pub type PlacedSkip = (Place, Arc<Skip>);

/// The transactions of one history that are not applied.
///
/// Invariants: `skipped` and `repeated` have their positions in the journal. `reasons` has the latest
/// skipped ones in the history, sorted by place.
#[derive(Clone, Debug, Default)]
pub struct Skips {
    skipped: Bits,
    repeated: Bits,
    reasons: Sorted<PlacedSkip>,
}

impl Skips {
    /// The skipped and the repeated ones by their positions in the journal, and the reasons of the latest skipped ones.
    pub fn new(skipped: Bits, repeated: Bits, mut reasons: Vec<PlacedSkip>) -> Self {
        reasons.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        Self { skipped, repeated, reasons: reasons.into_iter().collect() }
    }

    /// The latest skipped ones, each with its reason.
    pub fn reasons(&self) -> &Sorted<PlacedSkip> {
        &self.reasons
    }

    /// The positions of the skipped ones, and of the repeated ones.
    pub fn positions(&self) -> (&Bits, &Bits) {
        (&self.skipped, &self.repeated)
    }

    /// The fate of the transaction at this place and position.
    pub fn fate(&self, place: &Place, position: u64) -> Fate {
        if self.skipped.get(position) {
            Fate::Skipped(self.reason(place).map(|(_, skip)| skip))
        } else if self.repeated.get(position) {
            Fate::Repeated
        } else {
            Fate::Applied
        }
    }

    /// Notes that one at the end of the history is applied.
    pub fn push_applied(&mut self, placed: &Placed) {
        self.take_back(placed);
    }

    /// Notes that one at the end of the history is skipped. The reasons of at most `most` are kept.
    pub fn push_skipped(&mut self, placed: &Placed, skip: Arc<Skip>, most: usize) {
        self.take_back(placed);
        self.skipped.set(placed.position, true);
        let at = self.reasons.partition_point(|(place, _)| *place < placed.place);
        self.reasons.insert(at, (placed.place.clone(), skip));
        if self.reasons.len() > most {
            self.reasons.remove_first();
        }
    }

    /// Notes that one at the end of the history is repeated.
    pub fn push_repeated(&mut self, placed: &Placed) {
        self.take_back(placed);
        self.repeated.set(placed.position, true);
    }

    /// Forgets the fate of one, and returns it.
    pub fn take_back(&mut self, placed: &Placed) -> Fate {
        let (skipped, repeated) =
            (self.skipped.get(placed.position), self.repeated.get(placed.position));
        self.skipped.set(placed.position, false);
        self.repeated.set(placed.position, false);
        match (skipped, repeated) {
            (true, _) => {
                let found = self.reason(&placed.place);
                Fate::Skipped(
                    found.and_then(|(at, _)| self.reasons.remove(at)).map(|(_, skip)| skip),
                )
            }
            (false, true) => Fate::Repeated,
            (false, false) => Fate::Applied,
        }
    }

    /// Forgets what the journal has before a position, and the reasons of those that are `gone`.
    pub fn fold(&mut self, position: u64, gone: impl Fn(&Place) -> bool) {
        self.skipped.drop_before(position);
        self.repeated.drop_before(position);
        if self.reasons.iter().any(|(place, _)| gone(place)) {
            self.reasons = self.reasons.iter().filter(|(place, _)| !gone(place)).cloned().collect();
        }
    }

    fn reason(&self, place: &Place) -> Option<(At, Arc<Skip>)> {
        let at = self.reasons.partition_point(|(before, _)| before < place);
        let (found, skip) = self.reasons.get(at)?;
        (found == place).then(|| (at, skip.clone()))
    }
}

/// How many words lie in one row of a set.
const ROW: usize = 512;

/// How many numbers a row has.
const ROW_BITS: u64 = 64 * ROW as u64;

/// A set of numbers, one bit for each between the least that matters and the greatest. A clone is shared, and so
/// are most rows when one of the two changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bits {
    rows: Arc<Vec<Arc<[u64; ROW]>>>,
    /// How many rows were dropped before these.
    dropped: u64,
}

impl Bits {
    /// Whether `number` is in the set.
    pub fn get(&self, number: u64) -> bool {
        self.word(number) >> (number % 64) & 1 == 1
    }

    /// Puts `number` in, or takes it out. What was dropped stays so.
    pub fn set(&mut self, number: u64, is_in: bool) {
        if self.get(number) == is_in {
            return;
        }
        let Some(row) = (number / ROW_BITS).checked_sub(self.dropped) else { return };
        let row = usize::try_from(row).expect("what is at this position is in memory");
        let rows = Arc::make_mut(&mut self.rows);
        while rows.len() <= row {
            rows.push(Arc::new([0; ROW]));
        }
        Arc::make_mut(&mut rows[row])[(number / 64) as usize % ROW] ^= 1 << (number % 64);
    }

    /// Drops what is less than `begin`: some of it may stay.
    pub fn drop_before(&mut self, begin: u64) {
        let count = (begin / ROW_BITS).saturating_sub(self.dropped);
        if count > 0 {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.rows.len());
            Arc::make_mut(&mut self.rows).drain(..count);
            self.dropped = begin / ROW_BITS;
        }
    }

    /// How many are in the set.
    #[cfg(test)]
    pub fn count(&self) -> u64 {
        let words = self.rows.iter().flat_map(|row| row.iter());
        words.map(|word| u64::from(word.count_ones())).sum()
    }

    /// The 64 bits of which one is that of `number`.
    fn word(&self, number: u64) -> u64 {
        let row = (number / ROW_BITS).checked_sub(self.dropped);
        let row = row.and_then(|row| self.rows.get(usize::try_from(row).ok()?));
        row.map_or(0, |row| row[(number / 64) as usize % ROW])
    }

    /// The set as the lengths of its runs: how many in a row are not in it, then how many are, and so on.
    pub fn runs(&self) -> Vec<u64> {
        let mut runs = Vec::new();
        let (mut is_in, mut begin, mut at) = (false, 0, self.dropped * ROW_BITS);
        let end = at + self.rows.len() as u64 * ROW_BITS;
        while at < end {
            // The bits of this word from here on, and how many of them are alike.
            let bits = self.word(at) >> (at % 64);
            let alike = if is_in { bits.trailing_ones() } else { bits.trailing_zeros() };
            let left = 64 - at % 64;
            if u64::from(alike) >= left {
                at += left;
                continue;
            }
            at += u64::from(alike);
            runs.push(at - begin);
            (is_in, begin) = (!is_in, at);
        }
        if is_in {
            runs.push(end - begin);
        }
        runs
    }

    /// The set of which these are the runs; none if it has something at `end` or beyond.
    pub fn from_runs(runs: &[u64], end: u64) -> Option<Self> {
        let first = runs.first().copied().unwrap_or_default();
        let mut bits = Self { dropped: first / ROW_BITS, ..Self::default() };
        let mut at = 0u64;
        for (count, run) in runs.iter().enumerate() {
            let next = at.checked_add(*run).filter(|next| *next <= end)?;
            if count % 2 == 1 {
                (at..next).for_each(|number| bits.set(number, true));
            }
            at = next;
        }
        Some(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn bits_are_a_set_of_numbers_and_come_back_from_their_runs() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut bits, mut set) = (Bits::default(), BTreeSet::new());
            let greatest = [3, 64, 130, 1000][random.usize(..4)];
            let greatest = if seed % 50 == 0 { 100_000 } else { greatest };
            let mut begin = 0;
            for _ in 0..random.usize(..400) {
                let number = random.u64(..greatest);
                // Runs are as likely as single ones.
                for number in number..number + [1, 70][random.usize(..2)] {
                    let is_in = random.u8(..4) > 0;
                    bits.set(number, is_in);
                    if is_in && number >= begin {
                        set.insert(number)
                    } else {
                        set.remove(&number)
                    };
                }
                if random.u8(..200) == 0 {
                    begin = begin.max(random.u64(..greatest) / ROW_BITS * ROW_BITS);
                    bits.drop_before(begin);
                    set.retain(|number| *number >= begin);
                    if begin > 0 {
                        bits.set(begin - 1, true);
                    }
                }
            }
            assert_eq!(bits.count(), set.len() as u64);
            assert!((0..2000).all(|number| bits.get(number) == set.contains(&number)));
            let again = Bits::from_runs(&bits.runs(), greatest + 70).expect("none is beyond");
            assert!((0..2000).all(|number| again.get(number) == set.contains(&number)), "{seed}");
            if let Some(last) = set.last() {
                assert!(Bits::from_runs(&bits.runs(), *last).is_none());
            }
        }
        assert_eq!(Bits::from_runs(&[1, u64::MAX], u64::MAX), None);
        assert!(!Bits::default().get(u64::MAX));
    }
}
