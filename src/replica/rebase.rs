//! Taking a base from a peer: what the base covers goes, and the rest stays.
//!
//! What stays is written again, behind all that the journal has, and the base stands for all before that. If the
//! old base had more of a source than the new one, a clock could not say what is held of that source. Then that is
//! stamped anew, by a new life, with the old names and times, and commits are dropped: they come again, behind what
//! they cover.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::base::Base;
use super::{Difference, Life, Past, Replica};
use crate::clock::Time;
use crate::source::{FIRST_ID, Source};
use crate::transaction::{DecodeError, Name, Place, Record, Transaction};

/// Why a base is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node has all that it covers.
    Needless,
    /// Its chain loses against the one that is known here.
    Loses,
    /// It is before the commit at which this node differs.
    TooEarly,
}

/// A base that is being taken.
#[derive(Debug)]
pub struct Rebase {
    base: Base,
    /// From which position on the journal has to be looked through.
    begin: u64,
    /// The sources of which the old base had more than the new one, and the Id up to which.
    holes: BTreeMap<Source, u64>,
    /// The records that stay, by their stamps.
    kept: BTreeMap<(Source, u64), Record>,
    /// The transactions that are to be stamped anew.
    unstamped: BTreeMap<Place, Transaction>,
    /// The records that go since they are below the floor, although the base does not know their names.
    below_floor: Vec<Record>,
}

/// Transactions that only the old base had: of this source those from the first Id up to the second, exclusive, that
/// are not in the journal.
pub type Lost = (Source, u64, u64);

impl Replica {
    /// Begins to take a base.
    ///
    /// # Errors
    /// If it is not to be taken.
    pub fn rebase(&self, base: Base) -> Result<Rebase, Refusal> {
        let chain = self.history.chain();
        let rank = base.committed.rank();
        let commit = base.committed.commit.as_ref().ok_or(Refusal::Needless)?;
        if rank < chain.rank() {
            return Err(Refusal::Loses);
        }
        let has_it = chain.counts(commit)
            || chain
                .base()
                .clock
                .get(&commit.source)
                .is_some_and(|covered| covered.next > commit.id && !chain.is_outside());
        match self.difference.as_ref().map(Difference::commit) {
            None if has_it => return Err(Refusal::Needless),
            Some(Some(at)) if rank == chain.rank() && !is_behind(commit, at) => {
                return Err(Refusal::TooEarly);
            }
            _ => (),
        }
        let new = &base.committed;
        let before = chain.base().clock.iter().filter(|(source, covered)| {
            let next = new.clock.get(*source).map_or(0, |covered| covered.next);
            // A source that has left the clock is below the floor.
            next < covered.next && (next > 0 || covered.last >= new.floor)
        });
        let holes = before.map(|(source, covered)| (source.clone(), covered.next)).collect();
        let begin = self.history.begin().position;
        let (kept, unstamped, below_floor) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Ok(Rebase { base, begin, holes, kept, unstamped, below_floor })
    }

    /// Accepts what was written again at the journal's end, from `position` on, for a base that then could not be
    /// kept: most of it is known, but not what was stamped anew.
    ///
    /// # Errors
    /// If the journal had to be read and could not be. Then go on with a clone from before.
    pub fn go_on_without(
        &mut self,
        kept: &[Record],
        position: u64,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<()> {
        let transactions = kept.iter().filter_map(|record| record.transaction().ok()).collect();
        self.recover(position, transactions, &mut None, now, past)
    }

    /// Goes on from a base; what stays is in the journal from `position` on, at its end.
    ///
    /// # Errors
    /// If the journal had to be read and could not be. Then this replica is as before.
    pub fn enter(
        &mut self,
        base: Base,
        kept: &[Record],
        position: u64,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<()> {
        let (bounds, life) = (self.history.bounds(), self.life.clone());
        let (mut replica, resume) = Self::after(life, base, position, bounds);
        replica.own = self.own.clone();
        replica.clock.observe(self.clock.next(Time::default()));
        let transactions = kept.iter().filter_map(|record| record.transaction().ok()).collect();
        replica.recover(position, transactions, &mut Some(resume), now, past)?;
        replica.history.go_on_from(&self.history);
        *self = replica;
        Ok(())
    }
}

/// Whether a base at the commit `base` is at `at` or behind it, as far as their names say.
fn is_behind(base: &Name, at: &Name) -> bool {
    let epoch = |name: &Name| name.source.epoch().map(|epoch| epoch.number);
    if base.source == at.source { base.id >= at.id } else { epoch(base) > epoch(at) }
}

impl Rebase {
    /// From which position on the journal has to be looked through.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Whether a new life has to stamp something anew.
    pub fn needs_life(&self) -> bool {
        !self.holes.is_empty()
    }

    /// Looks at the next record of the journal.
    ///
    /// # Errors
    /// If it is no transaction.
    pub fn look_at(&mut self, record: &Record) -> Result<(), DecodeError> {
        let Place { time, source, id } = &record.place;
        let committed = &self.base.committed;
        let is_commit = source.epoch().is_some();
        let is_covered = committed.clock.get(source).is_some_and(|covered| covered.next > *id);
        if !is_commit && *time < committed.floor {
            // A clock also counts void ones between others of their source.
            let (source, id) = record.name();
            if !self.base.names.contains(source, id) {
                self.below_floor.push(record.clone());
            }
            return Ok(());
        }
        if is_covered || (is_commit && self.needs_life()) {
            return Ok(());
        }
        if self.holes.contains_key(source) {
            self.unstamped.insert(record.place.clone(), record.transaction()?);
        } else {
            self.kept.entry((source.clone(), *id)).or_insert_with(|| record.clone());
        }
        Ok(())
    }

    /// The records below the floor that were never final, as far as the base and this replica know.
    pub fn take_void(&mut self, replica: &Replica) -> Vec<Record> {
        let mut void = std::mem::take(&mut self.below_floor);
        void.retain(|record| !replica.history().is_committed(&record.place));
        void
    }

    /// The base, the records that are to be written again, and what is lost. `next` is the next Id by which `life`
    /// stamps.
    pub fn finish(self, life: &Life, next: u64) -> (Base, Vec<Record>, Vec<Lost>) {
        let Self { base, holes, kept, unstamped, .. } = self;
        let held: HashSet<_> = unstamped.keys().map(|at| (&at.source, at.id)).collect();
        // Commits of a chain that lost are void.
        let others = holes.iter().filter(|(source, _)| source.epoch().is_none());
        let lost = others.filter_map(|(source, old)| {
            let new = base.committed.clock.get(source).map_or(FIRST_ID, |covered| covered.next);
            let mut ids = (new..*old).filter(|id| !held.contains(&(source, *id)));
            ids.next().map(|first| (source.clone(), first, *old))
        });
        let lost = lost.collect();
        let named = |name: &Name| base.names.contains(&name.source, name.id);
        let unstamped =
            unstamped.into_iter().filter(|(_, transaction)| !named(&transaction.name()));
        let mut kept = in_order(kept);
        for (id, (place, transaction)) in (next..).zip(unstamped) {
            let at = Place { time: place.time, source: life.stamper().clone(), id };
            let (name, request) = (transaction.name(), transaction.request.as_deref());
            kept.push(Record::of(at, Some(name), &transaction.payload, request));
        }
        (base, kept, lost)
    }
}

/// The records in the order of their times, but each source's in the order of its Ids: so each of them is new to a
/// clock, and a commit stands behind what it covers. The journal may have some twice, since a base could not be kept,
/// and the first of these may have been folded. Then it has them in another order.
fn in_order(kept: BTreeMap<(Source, u64), Record>) -> Vec<Record> {
    let mut timed: Vec<(Time, Record)> = Vec::with_capacity(kept.len());
    for record in kept.into_values() {
        let Place { time, source, .. } = &record.place;
        let time = match timed.last() {
            Some((latest, before)) if before.place.source == *source => *time.max(latest),
            _ => *time,
        };
        timed.push((time, record));
    }
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, record)| record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Commit;
    use crate::patch::Document;
    use crate::replica::Bounds;

    const BASE: &str = concat!(
        r#"{"Commit":{"Source":"p~00000000^1","Id":2},"First":10,"#,
        r#""Clock":{"a~00000000":[3,20],"p~00000000^1":[3,20]},"#,
        r#""Names":{"a~00000000":[20,[[1,3]]]},"Floor":0,"Length":2}"#
    );

    fn time(micros: u64) -> Time {
        Time::from_micros(micros).unwrap()
    }

    fn record(source: &str, id: u64, micros: u64) -> Record {
        let place = Place { time: time(micros), source: source.parse().unwrap(), id };
        let payload = format!(r#"[{{"op":"add","path":"/{source}{id}","value":0}}]"#);
        Record::of(place, None, &payload.replacen('~', "~0", 1), None)
    }

    fn commit(next: u64, micros: u64) -> Record {
        let clock = [("a~00000000".parse().unwrap(), next)].into();
        let (until, horizon) = (time(micros), 60);
        let commit = Commit { epoch: 1, after: None, until, clock, horizon, hash: None };
        let name = Name { source: "p~00000000^1".parse().unwrap(), id: 3 };
        let transaction = Transaction::commit(name, until, commit);
        Record::read(&transaction.encode()).unwrap().unwrap()
    }

    /// A base was not kept after what stays had been written again, and the journal before that was folded in part.
    #[test]
    fn what_the_journal_has_twice_and_not_in_order_stays() {
        let mut replica =
            Replica::new(Life::new("me~00000000".parse().unwrap()).unwrap(), Bounds::default());
        let base = Base::read(BASE, Document::default()).unwrap();
        let mut rebase = replica.rebase(base).unwrap();
        let (late, early) = (record("b~00000000^s", 1, 50), record("b~00000000^s", 2, 30));
        for record in [
            &record("a~00000000", 5, 45),
            &commit(5, 40),
            &record("a~00000000", 2, 20),
            &late,
            &record("a~00000000", 3, 35),
            &record("a~00000000", 4, 38),
            &record("a~00000000", 5, 45),
            &early,
        ] {
            rebase.look_at(record).unwrap();
        }
        let (base, kept, lost) = rebase.finish(replica.life(), 1);
        let stamps: Vec<_> =
            kept.iter().map(|at| (at.place.source.as_str(), at.place.id)).collect();
        let (a, b) = ("a~00000000", "b~00000000^s");
        let expected = [(a, 3), (a, 4), ("p~00000000^1", 3), (a, 5), (b, 1), (b, 2)];
        assert_eq!((&stamps[..], lost), (&expected[..], Vec::new()));

        let journal: Vec<_> = kept.iter().map(|record| record.transaction().unwrap()).collect();
        replica.enter(base, &kept, 0, time(60), &journal).unwrap();
        assert_eq!(replica.history().length(), 2 + 5, "none is taken for one that was seen");
        assert_eq!(replica.difference(), None, "the commit has all that it covers");
    }
}
