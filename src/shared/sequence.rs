//! A sequence that mostly grows at its end.

use std::sync::{Arc, OnceLock};

/// How many entries a row has at most.
const ROW: usize = 128;

/// A row with this many entries is left as it is if it has no free slot for the next one.
const MANY: usize = 32;

/// A row that has this many bytes takes no more entries, so that large entries are freed one by one.
const ROW_BYTES: usize = 128 << 10;

/// Entries that are appended at the end, and removed at the front and at the end.
///
/// An entry is in a slot that is written once. Each clone knows which slots are its own, so an append copies
/// nothing and is not seen by other clones. If the slot is not free any more, since another clone has written
/// it, or since it holds a removed entry that others still have, the row is copied, or the next row is begun.
///
/// Invariants: the slots from `first` up to `end` are written. Each row of `rows` has one of them at least,
/// and the rows follow one another.
#[derive(Clone, Debug)]
pub struct Sequence<T> {
    rows: Arc<Vec<SlotRow<T>>>,
    /// The number of the first entry, counted since the beginning, and that of the next one to come.
    first: u64,
    end: u64,
    /// About how many bytes the entries of the last row have.
    last_bytes: usize,
}

#[derive(Clone, Debug)]
struct SlotRow<T> {
    /// The number of the entry in the first slot.
    start: u64,
    slots: Arc<[OnceLock<T>]>,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self { rows: Arc::default(), first: 0, end: 0, last_bytes: 0 }
    }
}

impl<T: Clone> Sequence<T> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        (self.end - self.first) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// The entry at an index.
    pub fn get(&self, index: usize) -> Option<&T> {
        let number = self.first + index as u64;
        if number >= self.end {
            return None;
        }
        let row = &self.rows[self.row_of(number)];
        row.slots[(number - row.start) as usize].get()
    }

    /// The first entry.
    pub fn front(&self) -> Option<&T> {
        let row = self.rows.first()?;
        row.slots[(self.first - row.start) as usize].get()
    }

    /// The last entry.
    pub fn back(&self) -> Option<&T> {
        let row = self.rows.last()?;
        row.slots[(self.end - row.start) as usize - 1].get()
    }

    /// The entries from an index on.
    pub fn iter_from(&self, index: usize) -> impl DoubleEndedIterator<Item = &T> {
        let from = self.end.min(self.first + index as u64);
        let row = if from < self.end { self.row_of(from) } else { self.rows.len() };
        (row..self.rows.len()).flat_map(move |at| {
            let row = &self.rows[at];
            let end = self.rows.get(at + 1).map_or(self.end, |next| next.start);
            let (begin, end) = (from.saturating_sub(row.start), end - row.start);
            row.slots[begin as usize..end as usize].iter().filter_map(OnceLock::get)
        })
    }

    /// All entries.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.iter_from(0)
    }

    /// The index of the first entry for which `is_before` does not hold, if those for which it holds come
    /// first.
    pub fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Appends an entry of about this many bytes.
    pub fn push(&mut self, entry: T, bytes: usize) {
        let free = self.rows.last().filter(|_| self.last_bytes < ROW_BYTES);
        let slot = free.and_then(|row| row.slots.get((self.end - row.start) as usize));
        if let Some(slot) = slot {
            match slot.set(entry) {
                Ok(()) => {
                    self.end += 1;
                    self.last_bytes += bytes;
                }
                Err(entry) if self.kept_in_last_row() < MANY => self.push_into_copy(entry, bytes),
                Err(entry) => self.push_row(entry, bytes),
            }
            return;
        }
        self.push_row(entry, bytes);
    }

    fn push_row(&mut self, entry: T, bytes: usize) {
        let slots = row_of_entries(std::iter::once(entry));
        Arc::make_mut(&mut self.rows).push(SlotRow { start: self.end, slots });
        self.end += 1;
        self.last_bytes = bytes;
    }

    fn kept_in_last_row(&self) -> usize {
        self.rows.last().map_or(0, |row| (self.end - row.start.max(self.first)) as usize)
    }

    /// Appends an entry for which the last row has no free slot, though it has room.
    fn push_into_copy(&mut self, entry: T, bytes: usize) {
        let Some(row) = Arc::make_mut(&mut self.rows).last_mut() else { return };
        let first = self.first.saturating_sub(row.start) as usize;
        let kept = row.slots[first..(self.end - row.start) as usize].iter();
        let kept = kept.map_while(OnceLock::get).cloned();
        row.slots = row_of_entries(kept.chain(std::iter::once(entry)));
        row.start += first as u64;
        self.end += 1;
        self.last_bytes += bytes;
    }

    /// Removes the first entry.
    pub fn drop_front(&mut self) {
        if self.is_empty() {
            return;
        }
        self.first += 1;
        let is_done = match &self.rows[..] {
            [_, second, ..] => second.start <= self.first,
            _ => self.is_empty(),
        };
        if is_done {
            Arc::make_mut(&mut self.rows).remove(0);
        }
    }

    /// Removes the last entry.
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let number = self.end - 1;
        let row = self.rows.last()?;
        let at = (number - row.start) as usize;
        let alone = Arc::get_mut(&mut self.rows).and_then(|rows| rows.last_mut());
        let entry = match alone.and_then(|row| Arc::get_mut(&mut row.slots)) {
            // Then the slot is free again.
            Some(slots) => slots[at].take(),
            None => self.rows.last()?.slots[at].get().cloned(),
        };
        self.end = number;
        if at == 0 || self.is_empty() {
            Arc::make_mut(&mut self.rows).pop();
            // How many bytes the row before it has is not known any more.
            self.last_bytes = ROW_BYTES;
        }
        entry
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The index of the row with the entry of that number, which is there.
    fn row_of(&self, number: u64) -> usize {
        self.rows.partition_point(|row| row.start <= number) - 1
    }
}

fn row_of_entries<T>(entries: impl Iterator<Item = T>) -> Arc<[OnceLock<T>]> {
    let free = std::iter::repeat_with(OnceLock::new);
    entries.map(OnceLock::from).chain(free).take(ROW).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn a_sequence_and_its_clones_stay_what_they_are() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut sequence, mut list) = (Sequence::default(), VecDeque::new());
            let mut kept = Vec::new();
            let growth = random.u8(1..4);
            for number in 0..2000u32 {
                match random.u8(..8) {
                    0..4 => {
                        for number in number..number + u32::from(growth) {
                            let bytes = [1, ROW_BYTES][usize::from(random.u8(..30) == 0)];
                            sequence.push(number, bytes);
                            list.push_back(number);
                        }
                    }
                    4 => {
                        let most = random.choice([3, 100]).unwrap();
                        for _ in 0..random.usize(..most) {
                            assert_eq!(sequence.pop(), list.pop_back());
                        }
                    }
                    5 => {
                        sequence.drop_front();
                        list.pop_front();
                    }
                    6 => kept.push((sequence.clone(), list.clone())),
                    _ => {
                        // An older clone may go on.
                        if let Some((other, its)) = kept.get(random.usize(..kept.len().max(1))) {
                            (sequence, list) = (other.clone(), its.clone());
                        }
                    }
                }
                let at = random.usize(..list.len() + 2);
                assert_eq!(
                    (sequence.len(), sequence.get(at)),
                    (list.len(), list.get(at)),
                    "seed {seed}"
                );
                assert_eq!((sequence.front(), sequence.back()), (list.front(), list.back()));
            }
            kept.push((sequence, list));
            for (sequence, list) in kept {
                assert!(sequence.iter().eq(&list) && sequence.iter().rev().eq(list.iter().rev()));
                assert_eq!(sequence.is_empty(), list.is_empty());
                let from = random.usize(..list.len() + 2);
                assert!(sequence.iter_from(from).eq(list.iter().skip(from)), "seed {seed}");
                assert!(sequence.rows.len() <= list.len());
            }
        }
    }

    #[test]
    fn an_append_copies_nothing() {
        let mut sequence = Sequence::default();
        (0..10).for_each(|number| sequence.push(number, 1));
        let earlier = sequence.clone();
        sequence.push(10, 1);
        assert!(Arc::ptr_eq(&earlier.rows, &sequence.rows));
        assert_eq!((earlier.len(), sequence.len()), (10, 11));
    }

    #[test]
    fn large_entries_are_let_go_one_by_one() {
        let mut sequence = Sequence::default();
        let large = Arc::new(());
        for _ in 0..3 {
            sequence.push(large.clone(), ROW_BYTES);
        }
        sequence.drop_front();
        assert_eq!(Arc::strong_count(&large), 3);
    }

    #[test]
    fn a_place_in_order_is_found() {
        let mut sequence = Sequence::default();
        (0..200).for_each(|number| sequence.push(number * 2, 1));
        (0..50).for_each(|_| sequence.drop_front());
        assert_eq!(sequence.partition_point(|number| *number < 101), 1);
        assert_eq!(sequence.partition_point(|number| *number < 0), 0);
        assert_eq!(sequence.partition_point(|_| true), 150);
    }
}
