//! A set of names: for each source, its Ids as ranges.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shared::{At, Sorted};
use crate::source::Source;

/// A set of names. A clone shares its memory, and still most of its ranges after one of the two has changed.
/// As JSON an object with a list for each source: for each range its first Id, and the one after its last.
///
/// Invariant: the ranges are sorted and not empty, and two of one source do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Sorted<IdRange>);

/// The Ids of `source` from `from` up to `next`, which is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IdRange {
    source: Source,
    from: u64,
    next: u64,
}

impl Names {
    /// Whether this name is in the set.
    pub fn contains(&self, source: &Source, id: u64) -> bool {
        self.up_to(source, id).is_some_and(|(_, range)| id < range.next)
    }

    /// One more than the greatest Id of `source`; 0 if there is none.
    pub fn next_id(&self, source: &Source) -> u64 {
        self.up_to(source, u64::MAX).map_or(0, |(_, range)| range.next)
    }

    /// How many ranges there are.
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.ranges() * size_of::<IdRange>()
    }

    /// A set of these ranges: of each the source, the first Id and the one after the last. None if a range is
    /// empty, or is not after the one before it, or touches it.
    pub fn from_ranges(ranges: Vec<(Source, u64, u64)>) -> Option<Self> {
        let is_behind = |pair: &[(Source, u64, u64)]| {
            let [(before, _, next), (source, from, _)] = pair else { return true };
            before < source || (before == source && next < from)
        };
        let are_ranges = ranges.iter().all(|(_, from, next)| from < next);
        let range = |(source, from, next)| IdRange { source, from, next };
        (are_ranges && ranges.windows(2).all(is_behind))
            .then(|| Self(ranges.into_iter().map(range).collect()))
    }

    /// The ranges after the one that begins with this name, or all of them: of each the source, the first Id
    /// and the one after the last.
    pub fn ranges_behind(
        &self,
        begin: Option<(&Source, u64)>,
    ) -> impl Iterator<Item = (&Source, u64, u64)> {
        let mut at = match begin {
            Some((source, from)) => self.behind(source, from),
            None => self.0.partition_point(|_| false),
        };
        std::iter::from_fn(move || {
            let range = self.0.get(at)?;
            at = self.0.after(at);
            Some((&range.source, range.from, range.next))
        })
    }

    /// The sources, and one more than the greatest Id of each.
    pub fn next_ids(&self) -> impl Iterator<Item = (&Source, u64)> {
        let mut begin = self.0.partition_point(|_| false);
        std::iter::from_fn(move || {
            let source = &self.0.get(begin)?.source;
            begin = self.0.partition_point(|range| range.source <= *source);
            let last = self.0.get(self.0.before(begin)?)?;
            Some((source, last.next))
        })
    }

    /// Adds a name. Returns whether it is new.
    pub fn insert(&mut self, source: &Source, id: u64) -> bool {
        let before = self.up_to(source, id).map(|(at, range)| (at, range.next));
        if before.is_some_and(|(_, next)| id < next) {
            return false;
        }
        let behind = before.map_or_else(|| self.behind(source, id), |(at, _)| self.0.after(at));
        let touching = self.0.get(behind).filter(|range| range.is_of(source, id + 1));
        let touching = touching.map(|range| range.next);
        match before.filter(|(_, next)| *next == id) {
            Some((at, _)) => {
                if let Some(range) = self.0.get_mut(at) {
                    range.next = touching.unwrap_or(id + 1);
                }
                if touching.is_some() {
                    self.0.remove(behind);
                }
            }
            None if touching.is_some() => {
                if let Some(range) = self.0.get_mut(behind) {
                    range.from = id;
                }
            }
            None => {
                let range = IdRange { source: source.clone(), from: id, next: id + 1 };
                self.0.insert(behind, range);
            }
        }
        true
    }

    /// Adds others, none of which is in the set.
    pub fn extend(&mut self, others: &Self) {
        for IdRange { source, from, next } in others.0.iter() {
            self.insert(source, *from);
            let Some((at, _)) = self.up_to(source, *from) else { continue };
            let behind = self.0.after(at);
            let touching = self.0.get(behind).filter(|range| range.is_of(source, *next));
            let end = touching.map(|range| range.next);
            if let Some(range) = self.0.get_mut(at).filter(|range| range.next < *next) {
                range.next = end.unwrap_or(*next);
                if end.is_some() {
                    self.0.remove(behind);
                }
            }
        }
    }

    /// Removes a name, if it is there.
    pub fn remove(&mut self, source: &Source, id: u64) {
        let Some((at, range)) = self.up_to(source, id) else { return };
        let (from, next) = (range.from, range.next);
        if id >= next {
            return;
        }
        match self.0.get_mut(at) {
            Some(range) if from < id => range.next = id,
            Some(range) if id + 1 < next => range.from = id + 1,
            _ => drop(self.0.remove(at)),
        }
        if from < id && id + 1 < next {
            let range = IdRange { source: source.clone(), from: id + 1, next };
            self.0.insert(self.0.after(at), range);
        }
    }

    /// Removes all names of `source`. A plain source may repeat its Ids for ever, so all its Ids below the
    /// next one stay in the set, or come into it.
    pub fn forget(&mut self, source: &Source) {
        let keeps_below = source.life_name().is_none();
        let next = self.next_id(source);
        let is_whole = |(_, range): (At, &IdRange)| range.from == 0 && range.next == next;
        if keeps_below && self.up_to(source, 0).is_some_and(is_whole) {
            return;
        }
        while let Some((at, _)) = self.up_to(source, u64::MAX) {
            self.0.remove(at);
        }
        if keeps_below && next > 0 {
            let range = IdRange { source: source.clone(), from: 0, next };
            self.0.insert(self.behind(source, 0), range);
        }
    }

    /// The last range of `source` that begins with `id` or before it.
    fn up_to(&self, source: &Source, id: u64) -> Option<(At, &IdRange)> {
        let at = self.0.before(self.behind(source, id))?;
        let range = self.0.get(at)?;
        (range.source == *source).then_some((at, range))
    }

    /// The place after all ranges that begin with that name or before it.
    fn behind(&self, source: &Source, id: u64) -> At {
        self.0.partition_point(|range| (&range.source, range.from) <= (source, id))
    }
}

impl IdRange {
    fn is_of(&self, source: &Source, from: u64) -> bool {
        self.source == *source && self.from == from
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lists: BTreeMap<&Source, Vec<(u64, u64)>> = BTreeMap::new();
        for IdRange { source, from, next } in self.0.iter() {
            lists.entry(source).or_default().push((*from, *next));
        }
        lists.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lists: BTreeMap<Source, Vec<(u64, u64)>> = BTreeMap::deserialize(deserializer)?;
        let ranges = lists.iter().flat_map(|(source, list)| {
            let range = |(from, next): &(u64, u64)| IdRange {
                source: source.clone(),
                from: *from,
                next: *next,
            };
            list.iter().map(range)
        });
        Ok(Self(ranges.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// As README says.
    #[test]
    fn a_range_takes_thirty_two_bytes() {
        assert_eq!(size_of::<IdRange>(), 32);
    }

    #[test]
    fn a_set_is_made_of_ranges_that_are_in_order() {
        for (ranges, is_set) in [
            (&[][..], true),
            (&[("a", 0, 3), ("a", 4, 5), ("b", 0, 1)], true),
            (&[("a", 0, 0)], false),
            (&[("a", 2, 1)], false),
            (&[("a", 0, 3), ("a", 3, 5)], false),
            (&[("a", 4, 5), ("a", 0, 3)], false),
            (&[("b", 0, 1), ("a", 2, 3)], false),
        ] {
            let range =
                |(source, from, next): &(&str, _, _)| (source.parse().unwrap(), *from, *next);
            let names = Names::from_ranges(ranges.iter().map(range).collect());
            assert_eq!(names.is_some(), is_set, "{ranges:?}");
        }
    }

    #[test]
    fn a_set_is_extended_by_others_in_as_few_ranges_as_there_can_be() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let sources: [Source; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
            let mut sets = [Names::default(), Names::default(), Names::default()];
            for source in &sources {
                for id in 0..random.u64(..30) {
                    let part = random.usize(..3);
                    if part < 2 {
                        sets[part].insert(source, id);
                        sets[2].insert(source, id);
                    }
                }
            }
            let [mut names, others, expected] = sets;
            names.extend(&others);
            assert_eq!(names, expected, "seed {seed}");
        }
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
                let ranges: Vec<_> = names.0.iter().collect();
                assert!(ranges.iter().all(|range| range.from < range.next));
                assert!(ranges.windows(2).all(|pair| {
                    pair[0].source < pair[1].source || pair[0].next < pair[1].from
                }));
                let listed = |begin: Option<(&Source, u64)>| -> Vec<_> {
                    let listed = names.ranges_behind(begin);
                    listed.map(|(source, from, next)| (source.clone(), from, next)).collect()
                };
                let all = listed(None);
                assert_eq!(Names::from_ranges(all.clone()).as_ref(), Some(&names));
                for (at, (source, from, _)) in all.iter().enumerate() {
                    assert_eq!(listed(Some((source, *from))), all[at + 1..]);
                }
                let next_ids = names.next_ids().map(|(source, next)| (source.clone(), next));
                let in_set = |of: &&Source| names.next_id(of) > 0;
                let next_id = |of: &Source| (of.clone(), names.next_id(of));
                assert!(next_ids.eq(sources.iter().filter(in_set).map(next_id)));
            }
            let (names, set) = kept;
            assert!(set.iter().all(|(source, id)| names.contains(source, *id)), "a clone stays");
            let text = serde_json::to_string(&names).unwrap();
            assert_eq!(serde_json::from_str::<Names>(&text).unwrap(), names);
        }
    }
}
