//! Which tentative transactions one more commit covers, and which it leaves.
//!
//! The journal's index knows the sources, Ids and times of records in a row: a stretch. A stretch that is covered as a
//! whole, or left as a whole, is not read.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use crate::commit::{Chain, Segment};
use crate::replica::past::{Past, PastPlace, Stretch};
use crate::source::Source;
use crate::transaction::{Place, name};

/// What one more commit covers and leaves, apart from void transactions.
pub struct Survey {
    /// The last place that it covers.
    pub last_covered: Option<Place>,
    /// The sources of the names that it covers.
    pub names: BTreeSet<Source>,
    /// The first place that it leaves.
    pub first_left: Option<Place>,
    /// The least position of what it leaves.
    pub position: u64,
}

impl Survey {
    /// Looks at the journal from `position` to `end`, for the commit of this number. Of stretches only as many are read
    /// as have to be.
    pub fn make(
        chain: &Chain,
        number: u64,
        position: u64,
        end: u64,
        past: &dyn Past,
    ) -> io::Result<Self> {
        let mut survey =
            Self { last_covered: None, names: BTreeSet::new(), first_left: None, position: end };
        // The stretches that are covered as a whole, each with its last time; those left, with the first.
        let (mut covered, mut left) = (Vec::new(), Vec::new());
        walk(position, past, |position, met| {
            let stretch = match met {
                Met::Stretch(stretch) => stretch,
                Met::Place(at) => return survey.count(chain, number, position, at),
            };
            let Some((least, greatest)) = segments(chain, stretch) else { return false };
            let (first, last) = stretch.times;
            let this = Segment::Commit(number);
            if greatest < this {
                return true;
            }
            if first < chain.floor() || (least <= this && (least, greatest) != (this, this)) {
                return false;
            }
            let positions = position..position + stretch.length;
            if least > this {
                survey.position = survey.position.min(position);
                left.push((positions, first));
            } else {
                survey.names.extend(stretch.names.iter().cloned());
                covered.push((positions, last));
            }
            true
        })?;
        // The last place that is covered and the first one that is left matter if they may be in the wrong order.
        let last = survey.last_covered.as_ref().map(|last| last.time);
        let last = covered.iter().map(|(_, last)| *last).chain(last).max();
        let (near, far): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, first)| Some(*first) <= last);
        for (positions, _) in near {
            survey.read(chain, number, positions, past)?;
        }
        let first = survey.first_left.as_ref().map(|first| first.time);
        let first = far.iter().map(|(_, first)| *first).chain(first).min();
        for (positions, until) in covered {
            if Some(until) == last || first.is_some_and(|first| first <= until) {
                survey.read(chain, number, positions, past)?;
            }
        }
        Ok(survey)
    }

    /// Counts a record of a stretch that is neither covered nor left as a whole.
    fn count(&mut self, chain: &Chain, number: u64, position: u64, at: &PastPlace) -> bool {
        let PastPlace { place, named, .. } = at;
        let segment = chain.segment_of(place);
        if segment < Segment::Commit(number) || place.source.epoch().is_some() {
            return true;
        }
        if place.time < chain.floor_before(number) {
            return true;
        }
        if segment == Segment::Commit(number) {
            let (source, _) = name(place, named.as_deref());
            if !self.names.contains(source) {
                self.names.insert(source.clone());
            }
        } else {
            self.position = self.position.min(position);
        }
        self.note(chain, number, place);
        true
    }

    /// Notes a place if it is the last that is covered, or the first that is left, so far.
    fn note(&mut self, chain: &Chain, number: u64, place: &Place) {
        if place.time < chain.floor_before(number) {
            return;
        }
        if chain.segment_of(place) == Segment::Commit(number) {
            if self.last_covered.as_ref().is_none_or(|last| last < place) {
                self.last_covered = Some(place.clone());
            }
        } else if self.first_left.as_ref().is_none_or(|first| place < first) {
            self.first_left = Some(place.clone());
        }
    }

    /// Notes the places of a stretch that was counted.
    fn read(
        &mut self,
        chain: &Chain,
        number: u64,
        mut positions: Range<u64>,
        past: &dyn Past,
    ) -> io::Result<()> {
        while !positions.is_empty() {
            let places = past.places(positions.start)?;
            if places.is_empty() {
                break;
            }
            for at in places.iter().take((positions.end - positions.start) as usize) {
                self.note(chain, number, &at.place);
                positions.start += 1;
            }
        }
        Ok(())
    }
}

/// A step of a walk through the journal.
pub enum Met<'a> {
    /// A stretch. If the visitor says that this is not enough, its places follow.
    Stretch(&'a Stretch),
    /// One record.
    Place(&'a PastPlace),
}

/// Walks through the journal from `position` on. `meet` says of a stretch whether that is enough.
pub fn walk(
    mut position: u64,
    past: &dyn Past,
    mut meet: impl FnMut(u64, Met) -> bool,
) -> io::Result<()> {
    loop {
        if let Some(stretch) = past.stretch(position)
            && meet(position, Met::Stretch(&stretch))
        {
            position += stretch.length;
            continue;
        }
        let places = past.places(position)?;
        if places.is_empty() {
            return Ok(());
        }
        for at in places {
            meet(position, Met::Place(&at));
            position += 1;
            if past.stretch(position).is_some() {
                break;
            }
        }
    }
}

/// The first and the last segment of the records of a stretch; none if there are commits among them.
fn segments(chain: &Chain, stretch: &Stretch) -> Option<(Segment, Segment)> {
    let mut found: Option<(Segment, Segment)> = None;
    for (source, least, greatest) in &stretch.stamps {
        if source.epoch().is_some() {
            return None;
        }
        let first = chain.segment_of_stamp(source, *least);
        let last = chain.segment_of_stamp(source, *greatest);
        let (least, greatest) = found.unwrap_or((first, last));
        found = Some((least.min(first), greatest.max(last)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::commit::{Commit, PlacedCommit};
    use crate::transaction::{Name, Transaction};
    use std::collections::BTreeMap;

    /// A journal of which each `.1` records in a row are known without being read.
    struct KnownStretches<'a>(&'a Vec<Transaction>, usize);

    impl Past for KnownStretches<'_> {
        fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
            self.0.places(position)
        }

        fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
            self.0.payloads(position, most)
        }

        fn stretch(&self, position: u64) -> Option<Stretch> {
            let from = position as usize;
            if self.1 == 0 || !from.is_multiple_of(self.1) || from + self.1 > self.0.len() {
                return None;
            }
            let records = &self.0[from..from + self.1];
            let times = records.iter().filter_map(|record| record.time);
            let mut ids: BTreeMap<&Source, (u64, u64)> = BTreeMap::new();
            for (source, id) in records.iter().map(Transaction::stamp) {
                let (least, greatest) = ids.entry(source).or_insert((id, id));
                (*least, *greatest) = (id.min(*least), id.max(*greatest));
            }
            let stamp = |(source, (least, greatest)): (&Source, (u64, u64))| {
                (source.clone(), least, greatest)
            };
            Some(Stretch {
                length: self.1 as u64,
                times: (times.clone().min()?, times.max()?),
                stamps: ids.into_iter().map(stamp).collect(),
                names: records.iter().map(|record| record.source.clone()).collect(),
            })
        }
    }

    /// A journal of some sources, one after another, with commits in it.
    fn journal(random: &mut fastrand::Rng) -> (Vec<Transaction>, Chain) {
        let (mut journal, mut chain) = (Vec::new(), Chain::default());
        let committer: Source = "p~00000000^1".parse().unwrap();
        let sources: [Source; 3] =
            ["a~00000000", "b~00000000", "c~00000000"].map(|name| name.parse().unwrap());
        let (mut next, mut covered, mut id) = ([1; 3], [1; 3], 1);
        for at in 1000..1000 + random.u64(1..200) {
            if random.u8(..20) == 0 {
                for (covered, next) in covered.iter_mut().zip(next) {
                    *covered += (next - *covered) * random.u64(0..4) / 3;
                }
                let clock: BTreeMap<_, _> = sources.iter().cloned().zip(covered).collect();
                let until = Time::from_micros(at - random.u64(..9)).unwrap();
                let commit = Commit { epoch: 1, after: None, until, clock, horizon: 1, hash: None };
                let name = Name { source: committer.clone(), id };
                let commit = Transaction::commit(name, Time::from_micros(at).unwrap(), commit);
                let place = commit.place().unwrap();
                let position = journal.len() as u64;
                chain.add(PlacedCommit {
                    place,
                    position,
                    commit: *commit.commit.clone().unwrap(),
                });
                journal.push(commit);
                id += 1;
                continue;
            }
            let which = random.usize(..3);
            let mut transaction = Transaction::fresh(sources[which].clone(), next[which], "[]");
            next[which] += random.u64(1..3);
            transaction.time = Time::from_micros(at - which as u64 * random.u64(..9));
            if random.u8(..4) == 0 {
                transaction.by = Some(transaction.name());
                transaction.source = "client~1".parse().unwrap();
            }
            journal.push(transaction);
        }
        (journal, chain)
    }

    #[test]
    fn what_a_commit_covers_is_found_without_reading_whole_stretches() {
        let (mut covered, mut left) = (0, 0);
        for seed in 0..600 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (journal, chain) = journal(&mut random);
            let end = journal.len() as u64;
            for number in 0..chain.next_number() {
                let from = random.u64(..=end) / 8 * 8;
                let plain =
                    Survey::make(&chain, number, from, end, &KnownStretches(&journal, 0)).unwrap();
                for length in [1, 2, 4, 8] {
                    let known = KnownStretches(&journal, length);
                    let quick = Survey::make(&chain, number, from, end, &known).unwrap();
                    assert_eq!(quick.position, plain.position, "{seed}");
                    assert_eq!(
                        (&quick.names, &quick.last_covered),
                        (&plain.names, &plain.last_covered)
                    );
                    let is_in_order = |survey: &Survey| {
                        let Survey { first_left, last_covered, .. } = survey;
                        first_left.is_none() || last_covered.is_none() || last_covered < first_left
                    };
                    assert_eq!(is_in_order(&quick), is_in_order(&plain), "seed {seed}");
                    covered += usize::from(is_in_order(&plain) && plain.last_covered.is_some());
                    left += usize::from(!is_in_order(&plain));
                }
            }
        }
        assert!(covered > 30 && left > 1000, "{covered} {left}");
    }
}
