//! Which transactions are skipped, and why.
//!
//! That a transaction is skipped or repeated is kept for all of them, in one bit each, so that what is told
//! of a transaction is true however far back it is. Why is kept for the skipped ones that are latest in the
//! history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::patch::PatchError;
use crate::replica::placed::Placed;
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

/// What becomes of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is applied.
    Applied,
    /// It is skipped. Why is not known any more if too many later ones are skipped, too.
    Skipped(Option<Skip>),
    /// It is repeated: one of the same name is before it.
    Repeated,
}

/// What becomes of the transactions of one history that are not applied.
///
/// Invariants: `skipped` and `repeated` have their positions in the journal. `reasons` has the latest
/// skipped ones in the history.
#[derive(Clone, Debug, Default)]
pub struct Skips {
    skipped: Bits,
    repeated: Bits,
    reasons: BTreeMap<Place, Skip>,
}

impl Skips {
    /// Those at these positions of the journal, and why the latest of the skipped ones are.
    pub fn new(skipped: Bits, repeated: Bits, reasons: BTreeMap<Place, Skip>) -> Self {
        Self { skipped, repeated, reasons }
    }

    /// Why the latest ones are skipped.
    pub fn reasons(&self) -> &BTreeMap<Place, Skip> {
        &self.reasons
    }

    /// The positions of the skipped ones, and of the repeated ones.
    pub fn positions(&self) -> (&Bits, &Bits) {
        (&self.skipped, &self.repeated)
    }

    /// What becomes of the transaction at this place and position.
    pub fn fate(&self, place: &Place, position: u64) -> Fate {
        if self.skipped.get(position) {
            Fate::Skipped(self.reasons.get(place).cloned())
        } else if self.repeated.get(position) {
            Fate::Repeated
        } else {
            Fate::Applied
        }
    }

    /// Takes note of one at the end of the history that is applied.
    pub fn push_applied(&mut self, placed: &Placed) {
        self.skipped.set(placed.position, false);
        self.repeated.set(placed.position, false);
    }

    /// Takes note of one at the end of the history that is skipped. The reasons of at most `most` are kept.
    pub fn push_skipped(&mut self, placed: &Placed, skip: Skip, most: usize) {
        self.skipped.set(placed.position, true);
        self.repeated.set(placed.position, false);
        self.reasons.insert(placed.place.clone(), skip);
        if self.reasons.len() > most {
            self.reasons.pop_first();
        }
    }

    /// Takes note of one at the end of the history that is repeated.
    pub fn push_repeated(&mut self, placed: &Placed) {
        self.skipped.set(placed.position, false);
        self.repeated.set(placed.position, true);
    }

    /// Takes back the last one of the history, and says what became of it.
    pub fn take_back(&mut self, placed: &Placed) -> Fate {
        let (skipped, repeated) =
            (self.skipped.get(placed.position), self.repeated.get(placed.position));
        self.push_applied(placed);
        match (skipped, repeated) {
            (true, _) => Fate::Skipped(self.reasons.remove(&placed.place)),
            (false, true) => Fate::Repeated,
            (false, false) => Fate::Applied,
        }
    }

    /// The skips up to a place, or to the beginning. What comes after that stays noted, until it is
    /// pushed again.
    pub fn up_to(&self, place: Option<&Place>) -> Self {
        let reasons = place.map(|place| {
            let kept = self.reasons.range(..=place);
            kept.map(|(place, skip)| (place.clone(), skip.clone())).collect()
        });
        let (skipped, repeated) = (self.skipped.clone(), self.repeated.clone());
        Self { skipped, repeated, reasons: reasons.unwrap_or_default() }
    }

    /// Forgets what is in the journal from `position` on.
    pub fn truncate(&mut self, position: u64) {
        self.skipped.truncate(position);
        self.repeated.truncate(position);
    }
}

/// A set of numbers, one bit for each up to the greatest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Whether `number` is in the set.
    pub fn get(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|at| self.0.get(at));
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Puts `number` in, or takes it out.
    pub fn set(&mut self, number: u64, is_in: bool) {
        if self.get(number) != is_in {
            let at = usize::try_from(number / 64).expect("what is at this position is in memory");
            if at >= self.0.len() {
                self.0.resize(at + 1, 0);
            }
            self.0[at] ^= 1 << (number % 64);
        }
    }

    /// Takes out `end` and all that are greater.
    pub fn truncate(&mut self, end: u64) {
        let Ok(whole) = usize::try_from(end / 64) else { return };
        if let Some(word) = self.0.get_mut(whole) {
            *word &= (1 << (end % 64)) - 1;
            self.0.truncate(whole + 1);
        }
    }

    /// How many are in the set.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The set as the lengths of its runs: how many in a row are not in it, then how many are, and so on.
    pub fn runs(&self) -> Vec<u64> {
        let mut runs = Vec::new();
        let (mut is_in, mut begin, mut at) = (false, 0, 0);
        let end = self.0.len() as u64 * 64;
        while at < end {
            // The bits of this word from here on, and how many of them are alike.
            let bits = self.0[(at / 64) as usize] >> (at % 64);
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
        let mut bits = Self::default();
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
            for _ in 0..random.usize(..400) {
                let number = random.u64(..greatest);
                // Runs are as likely as single ones.
                for number in number..number + [1, 70][random.usize(..2)] {
                    let is_in = random.u8(..4) > 0;
                    bits.set(number, is_in);
                    if is_in {
                        set.insert(number)
                    } else {
                        set.remove(&number)
                    };
                }
                if random.u8(..50) == 0 {
                    let end = random.u64(..greatest + 100);
                    bits.truncate(end);
                    set.retain(|number| *number < end);
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
