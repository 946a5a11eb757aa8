//! The part of the history that comes after a floor, read from the journal.

use std::io;

use super::floor::Floor;
use super::past::{Past, PastPlace};
use super::placed::Placed;
use crate::clock::Time;
use crate::commit::{Chain, Segment};
use crate::transaction::Place;

/// How many transactions, and about how many bytes of them, are read ahead in the order of the history.
/// What was written at the same time can have arrived at very different times, so that it is far apart in the
/// journal; each part of that is read once, however many such parts there are.
const AHEAD_TRANSACTIONS: usize = 8192;
const AHEAD_BYTES: usize = 8 << 20;

/// The transactions after a floor, in the order of the history; commits are none of it.
///
/// First only their places are collected, and sorted; their payloads are read when their turn comes.
pub struct Suffix {
    /// The transactions that are left, the next one last.
    rest: Vec<Left>,
    /// For each of the rest the least position of it and of those after it, without void ones.
    least: Vec<u64>,
    /// The void ones of the rest: how many are left up to it and with it, its time, and its position.
    void: Vec<(usize, Time, u64)>,
    read: u64,
    /// The payloads of the next ones, the next one last.
    ahead: Vec<Box<str>>,
}

/// A transaction that is left.
struct Left {
    segment: Segment,
    at: PastPlace,
    position: u64,
}

impl Left {
    fn order(&self) -> (Segment, &Place) {
        (self.segment, &self.at.place)
    }
}

impl Suffix {
    /// All after the floor, void ones included.
    pub fn collect(past: &dyn Past, chain: &Chain, floor: &Floor) -> io::Result<Self> {
        Self::collect_if(past, chain, floor, u64::MAX, None, |_, _| true)
    }

    /// The first `most` after the floor. All of the journal that may be so early is read for that, since any of it may
    /// be late; but only about so many places are kept.
    pub fn collect_first(
        past: &dyn Past,
        chain: &Chain,
        floor: &Floor,
        most: u64,
    ) -> io::Result<Self> {
        let is_wanted = |segment, place: &Place| !chain.is_void_in(segment, place);
        Self::collect_if(past, chain, floor, most, None, is_wanted)
    }

    /// Those after the floor, up to `last`.
    pub fn collect_up_to(
        past: &dyn Past,
        chain: &Chain,
        floor: &Floor,
        last: &Place,
    ) -> io::Result<Self> {
        let (segment, time) = (chain.segment_of(last), last.time);
        let is_wanted =
            |of, place: &Place| (of, place) <= (segment, last) && !chain.is_void_in(of, place);
        Self::collect_if(past, chain, floor, u64::MAX, Some((segment, time)), is_wanted)
    }

    /// At most the first `most` of those that are wanted. None of them is later than the `bound`.
    fn collect_if(
        past: &dyn Past,
        chain: &Chain,
        floor: &Floor,
        most: u64,
        mut bound: Option<(Segment, Time)>,
        is_wanted: impl Fn(Segment, &Place) -> bool,
    ) -> io::Result<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let position = floor.position;
        let after = floor.end.as_ref().map(|end| chain.order(end));
        // All that is behind the last commit in the journal is tentative.
        let last = chain.commits().last().map_or(0, |last| last.position);
        let mut rest: Vec<Left> = Vec::new();
        let mut read = 0;
        loop {
            if most == 0 {
                break;
            }
            match bound {
                Some((Segment::Tentative, time)) if position + read >= last => {
                    read = past.next_up_to(position + read, time) - position;
                }
                Some((Segment::Commit(number), _))
                    if chain.commit(number).is_some_and(|at| position + read > at.position) =>
                {
                    break;
                }
                _ => (),
            }
            let stretch = past.places(position + read)?;
            if stretch.is_empty() {
                break;
            }
            for at in stretch {
                let segment = chain.segment_of(&at.place);
                let is_none = at.place.source.epoch().is_some()
                    || chain.is_folded_in(segment, &at.place)
                    || !is_wanted(segment, &at.place);
                if !is_none && after.is_none_or(|after| (segment, &at.place) > after) {
                    rest.push(Left { segment, at, position: position + read });
                }
                read += 1;
            }
            if rest.len() >= most && (bound.is_none() || rest.len() / 2 > most) {
                keep_first(&mut rest, most);
                let last = rest.last().filter(|_| rest.len() == most);
                bound = last.map(|last| (last.segment, last.at.place.time));
            }
        }
        keep_first(&mut rest, most);
        rest.reverse();
        let (mut least, mut void) = (Vec::with_capacity(rest.len()), Vec::new());
        let mut least_yet = u64::MAX;
        for (count, left) in (1..).zip(&rest) {
            if chain.is_void_in(left.segment, &left.at.place) {
                void.push((count, left.at.place.time, left.position));
            } else {
                least_yet = left.position.min(least_yet);
            }
            least.push(least_yet);
        }
        Ok(Self { rest, least, void, read, ahead: Vec::new() })
    }

    /// How many transactions were read to collect it.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Leaves out the next `count` transactions.
    pub fn skip(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.rest.truncate(self.rest.len().saturating_sub(count));
        self.ahead.truncate(self.ahead.len().saturating_sub(count));
    }

    /// The segment of the next one.
    pub fn next_segment(&self) -> Option<Segment> {
        self.rest.last().map(|left| left.segment)
    }

    /// The least position of the transactions that are left and are not below this floor and void; none if there are
    /// none.
    pub fn least_position(&self, floor: Time) -> Option<u64> {
        let count = self.rest.len();
        let least = self.least.get(count.checked_sub(1)?).copied();
        let left = self.void.iter().filter(|(with, time, _)| *with <= count && *time >= floor);
        let least = left.map(|(.., position)| *position).chain(least).min();
        least.filter(|least| *least < u64::MAX)
    }

    /// The next transaction.
    pub fn next(&mut self, past: &dyn Past) -> io::Result<Option<Placed>> {
        if self.ahead.is_empty() {
            self.read_ahead(past)?;
        }
        let next = self.rest.pop().zip(self.ahead.pop());
        Ok(next.map(|(Left { at: PastPlace { place, named, .. }, position, .. }, payload)| {
            Placed { place, named, position, payload }
        }))
    }

    /// Reads the payloads of the next ones, in the order in which they are in the journal.
    fn read_ahead(&mut self, past: &dyn Past) -> io::Result<()> {
        let mut room = AHEAD_BYTES;
        let next = self.rest.iter().rev().take(AHEAD_TRANSACTIONS).take_while(|left| {
            let fits = room > 0;
            room = room.saturating_sub(left.at.bytes);
            fits
        });
        let mut wanted: Vec<(u64, usize)> =
            next.enumerate().map(|(index, left)| (left.position, index)).collect();
        wanted.sort_unstable();
        let count = wanted.len();
        let mut ahead = vec![Box::default(); count];
        for mut run in wanted.chunk_by(|(position, _), (next, _)| position + 1 == *next) {
            while let Some((position, _)) = run.first() {
                let payloads = past.payloads(*position, run.len())?;
                assert!(!payloads.is_empty(), "what was read once can be read again");
                let (now, later) = run.split_at(payloads.len());
                for ((_, index), payload) in now.iter().zip(payloads) {
                    ahead[count - 1 - index] = payload;
                }
                run = later;
            }
        }
        self.ahead = ahead;
        Ok(())
    }
}

/// Sorts the transactions, and keeps the first `most`. If a journal has one twice, the first counts.
fn keep_first(rest: &mut Vec<Left>, most: usize) {
    // A journal consists of stretches that are in order already, and this sort makes use of that. Those of one place
    // stay in the order of the journal.
    rest.sort_by(|left, right| left.order().cmp(&right.order()));
    rest.dedup_by(|again, first| again.order() == first.order());
    rest.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Transaction;
    use std::cell::Cell;

    #[test]
    fn what_came_long_after_one_another_is_read_in_the_order_of_the_history() {
        // More stretches than a reader would keep open, and more transactions than are read ahead.
        const STRETCHES: u64 = 100;
        const LENGTH: u64 = 3 * AHEAD_TRANSACTIONS as u64 / STRETCHES;
        let journal: Vec<Transaction> = (0..STRETCHES)
            .flat_map(|stretch| (0..LENGTH).map(move |count| count * STRETCHES + stretch))
            .map(|micros| Transaction {
                time: Time::from_micros(micros),
                ..Transaction::fresh("a".parse().unwrap(), micros, micros.to_string())
            })
            .collect();
        let mut suffix = Suffix::collect(&journal, &Chain::default(), &Floor::beginning()).unwrap();
        let mut expected = 0;
        while let Some(placed) = suffix.next(&journal).unwrap() {
            assert_eq!(placed.place.time.as_micros(), expected);
            assert_eq!(placed.payload.parse(), Ok(expected));
            assert_eq!(journal[placed.position as usize].id, expected);
            expected += 1;
        }
        assert_eq!(expected, STRETCHES * LENGTH);
    }

    /// A journal of which it is known how early each ten transactions are.
    struct Indexed(Vec<Transaction>, Cell<usize>);

    impl Past for Indexed {
        fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
            let mut places = self.0.places(position)?;
            places.truncate(10);
            self.1.set(self.1.get() + places.len());
            Ok(places)
        }

        fn next_up_to(&self, position: u64, time: Time) -> u64 {
            let may_be = |part: &[Transaction]| part.iter().any(|early| early.time <= Some(time));
            let first = position as usize / 10;
            let found = (first..).zip(self.0.chunks(10).skip(first)).find(|(_, part)| may_be(part));
            found.map_or(self.0.len() as u64, |(part, _)| part as u64 * 10).max(position)
        }

        fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
            self.0.payloads(position, most)
        }
    }

    #[test]
    fn the_first_ones_are_found_without_reading_what_is_later() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let length = random.u64(..400);
            let transaction = |id| {
                let late = if random.u8(..20) == 0 { random.u64(..=id) } else { 0 };
                let time = Time::from_micros(1000 + id / 3 - late / 3);
                Transaction { time, ..Transaction::fresh("a".parse().unwrap(), id, id.to_string()) }
            };
            let journal: Vec<_> = (0..length).map(transaction).collect();
            let most = random.usize(..50);
            let mut order: Vec<_> = journal.iter().collect();
            order.sort_by_key(|transaction| transaction.place());
            let indexed = Indexed(journal.clone(), Cell::new(0));
            let mut suffix = Suffix::collect_first(
                &indexed,
                &Chain::default(),
                &Floor::beginning(),
                most as u64,
            )
            .unwrap();
            let mut found = Vec::new();
            while let Some(placed) = suffix.next(&indexed).unwrap() {
                found.push(placed.place.id);
            }
            let expected = order.iter().take(most).map(|transaction| transaction.id);
            assert!(found.into_iter().eq(expected), "seed {seed}");
            let early = |part: &&[Transaction]| {
                part.iter().any(|early| early.time <= order[most.min(order.len() - 1)].time)
            };
            let parts = if most == 0 { 0 } else { journal.chunks(10).filter(early).count() };
            assert!(
                indexed.1.get() <= 10 * (parts + 6),
                "seed {seed}: {} {parts}",
                indexed.1.get()
            );
        }
    }
}
