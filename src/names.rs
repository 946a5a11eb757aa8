//! Sets of names: for each source the Ids that are in the set, as ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::source::Source;

/// A set of names. A clone shares the ranges until one of the two changes.
///
/// Invariant: the ranges of a source are not empty, do not touch, and increase; a source has at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(BTreeMap<Source, Arc<Vec<Range>>>);

/// The Ids from the first up to the second, exclusive.
type Range = (u64, u64);

/// About how many bytes a source takes beside its ranges.
const SOURCE_BYTES: usize = 64;

impl Names {
    /// Whether there is this one.
    pub fn contains(&self, source: &Source, id: u64) -> bool {
        let Some(ranges) = self.0.get(source) else { return false };
        let at = ranges.partition_point(|(_, next)| *next <= id);
        ranges.get(at).is_some_and(|(from, _)| *from <= id)
    }

    /// One more than the greatest Id of `source`; 0 if there is none.
    pub fn next_id(&self, source: &Source) -> u64 {
        self.0.get(source).and_then(|ranges| ranges.last()).map_or(0, |(_, next)| *next)
    }

    /// How many ranges there are.
    pub fn ranges(&self) -> usize {
        self.0.values().map(|ranges| ranges.len()).sum()
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.0.len() * SOURCE_BYTES + self.ranges() * size_of::<Range>()
    }

    /// The sources, and one more than the greatest Id of each.
    pub fn next_ids(&self) -> impl Iterator<Item = (&Source, u64)> {
        self.0.keys().map(|source| (source, self.next_id(source)))
    }

    /// Takes one in. Says whether it is new.
    pub fn insert(&mut self, source: &Source, id: u64) -> bool {
        let Some(ranges) = self.0.get_mut(source) else {
            self.0.insert(source.clone(), Arc::new(vec![(id, id + 1)]));
            return true;
        };
        // Mostly it follows the last one.
        let at = match ranges.last() {
            Some((_, next)) if *next < id => ranges.len(),
            Some((_, next)) if *next == id => ranges.len() - 1,
            _ => ranges.partition_point(|(_, next)| *next < id),
        };
        let ranges = Arc::make_mut(ranges);
        let after = ranges.get(at + 1).map(|(from, _)| *from);
        match ranges.get_mut(at) {
            Some((from, next)) if *from <= id && id < *next => return false,
            Some((_, next)) if *next == id => {
                *next = id + 1;
                if after == Some(id + 1) {
                    ranges[at].1 = ranges[at + 1].1;
                    ranges.remove(at + 1);
                }
            }
            Some((from, _)) if *from == id + 1 => *from = id,
            _ => ranges.insert(at, (id, id + 1)),
        }
        true
    }

    /// Takes one out that is there.
    pub fn remove(&mut self, source: &Source, id: u64) {
        let Some(ranges) = self.0.get_mut(source) else { return };
        let ranges = Arc::make_mut(ranges);
        let at = ranges.partition_point(|(_, next)| *next <= id);
        let Some((from, next)) = ranges.get(at).copied().filter(|(from, _)| *from <= id) else {
            return;
        };
        let left = [(from, id), (id + 1, next)].into_iter().filter(|(from, next)| from < next);
        ranges.splice(at..=at, left);
        if ranges.is_empty() {
            self.0.remove(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// As README says.
    #[test]
    fn a_range_takes_sixteen_bytes() {
        assert_eq!(size_of::<Range>(), 16);
    }

    #[test]
    fn names_are_a_set_in_as_few_ranges_as_there_can_be() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let sources: [Source; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
            let (mut names, mut set) = (Names::default(), BTreeSet::new());
            let mut kept = (names.clone(), set.clone());
            for _ in 0..200 {
                let (source, id) = (random.choice(&sources).unwrap(), random.u64(..20));
                if random.u8(..3) > 0 {
                    assert_eq!(names.insert(source, id), set.insert((source.clone(), id)));
                } else {
                    names.remove(source, id);
                    set.remove(&(source.clone(), id));
                }
                if random.u8(..20) == 0 {
                    kept = (names.clone(), set.clone());
                }
                for source in &sources {
                    let ids = || set.iter().filter(|(of, _)| of == source).map(|(_, id)| *id);
                    assert_eq!(names.next_id(source), ids().max().map_or(0, |id| id + 1));
                    let has = |id: &u64| names.contains(source, *id);
                    assert!((0..25).filter(has).eq(ids()), "seed {seed}: {names:?}");
                }
                let ranges = |of: &Source| {
                    let starts = |id: &u64| {
                        names.contains(of, *id) && (*id == 0 || !names.contains(of, id - 1))
                    };
                    (0..25).filter(starts).count()
                };
                assert_eq!(names.ranges(), sources.iter().map(ranges).sum::<usize>());
                for ranges in names.0.values() {
                    assert!(ranges.iter().all(|(from, next)| from < next) && !ranges.is_empty());
                    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{names:?}");
                }
            }
            let (names, set) = kept;
            assert!(set.iter().all(|(source, id)| names.contains(source, *id)), "a clone stays");
            let text = serde_json::to_string(&names).unwrap();
            assert_eq!(serde_json::from_str::<Names>(&text).unwrap(), names);
        }
    }
}
