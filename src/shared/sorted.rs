//! A sorted list.

use std::sync::Arc;

/// How many entries a row has at most.
const ROW: usize = 128;

/// Two neighbouring rows that have no more entries together are put into one.
const FEW: usize = ROW / 2;

/// Entries in an order that the owner of the list keeps. A change copies one row and the list of rows, if a
/// clone shares them.
///
/// Invariants: no row is empty, and `len` is the number of entries in all rows.
#[derive(Clone, Debug)]
pub struct Sorted<T> {
    rows: Arc<Vec<SortedRow<T>>>,
    len: usize,
}

type SortedRow<T> = Arc<Vec<T>>;

/// A place in a list: that of an entry, or the end. It holds until the list is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    row: usize,
    index: usize,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { rows: Arc::default(), len: 0 }
    }
}

impl<T: PartialEq> PartialEq for Sorted<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rows, &other.rows) || self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Sorted<T> {}

impl<T> Sorted<T> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The place of the first entry for which `is_before` does not hold, if those for which it holds come
    /// first.
    pub fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> At {
        let is_row_before = |row: &SortedRow<T>| row.last().is_some_and(&is_before);
        let row = self.rows.partition_point(is_row_before);
        let index = self.rows.get(row).map_or(0, |row| row.partition_point(is_before));
        At { row, index }
    }

    /// The entry at a place; none at the end.
    pub fn get(&self, at: At) -> Option<&T> {
        self.rows.get(at.row)?.get(at.index)
    }

    /// The place before; none at the beginning.
    pub fn before(&self, at: At) -> Option<At> {
        if at.index > 0 {
            return Some(At { index: at.index - 1, ..at });
        }
        let row = at.row.checked_sub(1)?;
        Some(At { row, index: self.rows[row].len() - 1 })
    }

    /// The place after that of an entry.
    pub fn after(&self, at: At) -> At {
        if at.index + 1 < self.rows[at.row].len() {
            At { index: at.index + 1, ..at }
        } else {
            At { row: at.row + 1, index: 0 }
        }
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.iter().flat_map(|row| row.iter())
    }

    /// The entries from an index on.
    pub fn iter_from(&self, mut index: usize) -> impl Iterator<Item = &T> {
        let is_before = |row: &&SortedRow<T>| {
            let is_before = row.len() <= index;
            if is_before {
                index -= row.len();
            }
            is_before
        };
        let row = self.rows.iter().take_while(is_before).count();
        self.rows[row..].iter().flat_map(|row| row.iter()).skip(index)
    }
}

impl<T: Clone> Sorted<T> {
    /// The entry at a place, to be changed. The order must stay right.
    pub fn get_mut(&mut self, at: At) -> Option<&mut T> {
        self.row_mut(at.row)?.get_mut(at.index)
    }

    /// Inserts an entry at a place, before the one that is there.
    pub fn insert(&mut self, at: At, entry: T) {
        self.len += 1;
        let rows = Arc::make_mut(&mut self.rows);
        let At { row: at, index } = match rows.last() {
            // An entry at the end is put into the last row.
            Some(last) if at.row == rows.len() => At { row: rows.len() - 1, index: last.len() },
            _ => at,
        };
        let Some(row) = rows.get_mut(at) else { return rows.push(Arc::new(vec![entry])) };
        if row.len() < ROW {
            return Arc::make_mut(row).insert(index, entry);
        }
        // A list that grows at its end has full rows.
        let half = if index == ROW { ROW } else { ROW / 2 };
        let row = Arc::make_mut(row);
        let mut right = row.split_off(half);
        if index < half {
            row.insert(index, entry)
        } else {
            right.insert(index - half, entry)
        }
        rows.insert(at + 1, Arc::new(right));
    }

    /// Removes the entry at a place.
    pub fn remove(&mut self, at: At) -> Option<T> {
        self.get(at)?;
        let rows = Arc::make_mut(&mut self.rows);
        let row = Arc::make_mut(&mut rows[at.row]);
        let entry = row.remove(at.index);
        self.len -= 1;
        if row.is_empty() {
            rows.remove(at.row);
            return Some(entry);
        }
        let mut pairs = [at.row.checked_sub(1), Some(at.row)].into_iter().flatten();
        let fits = |left: &usize| {
            rows.get(left + 1).is_some_and(|next| rows[*left].len() + next.len() <= FEW)
        };
        if let Some(left) = pairs.find(fits) {
            let next = rows.remove(left + 1);
            Arc::make_mut(&mut rows[left]).extend_from_slice(&next);
        }
        Some(entry)
    }

    /// Removes the first entry.
    pub fn remove_first(&mut self) -> Option<T> {
        self.remove(At { row: 0, index: 0 })
    }

    fn row_mut(&mut self, row: usize) -> Option<&mut Vec<T>> {
        Arc::make_mut(&mut self.rows).get_mut(row).map(Arc::make_mut)
    }
}

impl<T> FromIterator<T> for Sorted<T> {
    /// The entries are in order.
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        let (mut entries, mut rows, mut len) = (entries.into_iter(), Vec::new(), 0);
        loop {
            let row: Vec<T> = entries.by_ref().take(ROW).collect();
            if row.is_empty() {
                return Self { rows: Arc::new(rows), len };
            }
            len += row.len();
            rows.push(Arc::new(row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_list_is_sorted_and_its_clones_stay_what_they_are() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut list, mut set) = (Sorted::<u32>::default(), BTreeSet::new());
            let mut kept = Vec::new();
            let range = [100, 5000][random.usize(..2)];
            let removals = random.u8(1..6);
            for _ in 0..2000 {
                let number = random.u32(..range);
                let at = list.partition_point(|entry| *entry < number);
                if random.u8(..8) >= removals {
                    if set.insert(number) {
                        list.insert(at, number);
                    }
                } else if set.remove(&number) {
                    assert_eq!(list.remove(at), Some(number));
                }
                match random.u16(..200) {
                    0 => kept.push((list.clone(), set.clone())),
                    1 => assert_eq!(list.remove_first(), set.pop_first()),
                    _ => (),
                }
                let at = list.partition_point(|entry| *entry < number);
                assert_eq!(list.get(at), set.range(number..).next());
                let before = list.before(at).and_then(|at| list.get(at));
                assert_eq!(before, set.range(..number).next_back(), "seed {seed}");
                if list.get(at).is_some() {
                    assert_eq!(list.get(list.after(at)), set.range(number..).nth(1));
                }
                assert_eq!(list.len(), set.len());
            }
            kept.push((list, set));
            for (list, set) in kept {
                assert!(list.iter().eq(&set), "seed {seed}");
                let from = random.usize(..set.len() + 2);
                assert!(list.iter_from(from).eq(set.iter().skip(from)));
                assert_eq!(set.into_iter().collect::<Sorted<u32>>(), list);
                assert!(list.rows.iter().all(|row| (1..=ROW).contains(&row.len())));
            }
        }
    }

    #[test]
    fn a_list_that_grows_at_its_end_or_shrinks_has_few_rows() {
        let mut list = Sorted::default();
        for number in 0..10 * ROW {
            list.insert(list.partition_point(|_| true), number);
        }
        assert_eq!(list.rows.len(), 10);
        for number in (0..10 * ROW).filter(|number| number % 16 > 0) {
            let at = list.partition_point(|entry| *entry < number);
            *list.get_mut(at).unwrap() = number;
            list.remove(at);
        }
        assert_eq!(list.len(), 10 * ROW / 16);
        assert!(list.rows.len() <= 5, "{}", list.rows.len());
    }
}
