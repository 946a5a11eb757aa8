//! The items of containers: the elements of arrays, and the members of objects.

use super::btree::Kid;
use super::name::{Short, StoredName, WantedName};
use super::{Value, name_weight};

/// How many items a row has at most.
pub const ROW: usize = 64;

/// The sums of some items, which are known without a look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Their weight.
    pub weight: u32,
    /// How deep arrays and objects are nested in them.
    pub depth: u8,
}

impl Sum {
    #[inline]
    pub fn add(&mut self, other: Self) {
        self.weight = self.weight.saturating_add(other.weight);
        self.depth = self.depth.max(other.depth);
    }

    pub fn of<T: Item>(items: &[T]) -> Self {
        let mut sum = Self::default();
        items.iter().for_each(|item| sum.add(item.sum()));
        sum
    }
}

/// An item of a container.
pub trait Item: Clone + Default {
    /// The key by which items are ordered.
    type Key: Clone;
    /// What helps to find an item in a row of at most [`ROW`].
    type Tags: Clone;

    fn key(&self) -> Self::Key;
    fn sum(&self) -> Sum;
    fn tags(row: &[Self]) -> Self::Tags;
    /// Brings the tags up to date after an item was put into the row.
    fn tag_inserted(tags: &mut Self::Tags, row: &[Self], at: usize);
    /// Brings the tags up to date after the item at that place was taken from the row.
    fn tag_removed(tags: &mut Self::Tags, row: &[Self], at: usize);
}

impl Item for Value {
    type Key = ();
    type Tags = ();

    fn key(&self) {}

    #[inline]
    fn sum(&self) -> Sum {
        Value::sum(self)
    }

    fn tags(_: &[Self]) {}
    fn tag_inserted((): &mut (), _: &[Self], _: usize) {}
    fn tag_removed((): &mut (), _: &[Self], _: usize) {}
}

/// A member of an object.
#[derive(Clone)]
pub struct Member {
    pub name: StoredName,
    pub value: Value,
}

impl Default for Member {
    fn default() -> Self {
        Self { name: StoredName::Short(Short::default()), value: Value::default() }
    }
}

impl Item for Member {
    type Key = StoredName;
    type Tags = [u8; ROW];

    fn key(&self) -> StoredName {
        self.name.clone()
    }

    #[inline]
    fn sum(&self) -> Sum {
        let Sum { weight, depth } = self.value.sum();
        Sum { weight: weight.saturating_add(name_weight(self.name.len())), depth }
    }

    fn tags(row: &[Self]) -> [u8; ROW] {
        let mut tags = [0; ROW];
        for (tag, member) in tags.iter_mut().zip(row) {
            *tag = member.name.tag();
        }
        tags
    }

    fn tag_inserted(tags: &mut [u8; ROW], row: &[Self], at: usize) {
        tags.copy_within(at..row.len() - 1, at + 1);
        tags[at] = row[at].name.tag();
    }

    fn tag_removed(tags: &mut [u8; ROW], row: &[Self], at: usize) {
        tags.copy_within(at + 1..=row.len(), at);
    }
}

/// How to find an item.
pub trait Seek<T: Item> {
    /// Whether there can be only one such item, so that a second one replaces the first.
    const IS_ONE: bool;

    /// In which of these subtrees the item is, or would be. From then on this says where it is in that
    /// subtree.
    fn kid(&mut self, kids: &[Kid<T>]) -> usize;
    /// Where the item is in a row, or would be.
    fn place(&self, row: &[T]) -> Result<usize, usize>;
    /// Where the item is in a row with these tags.
    fn find(&self, row: &[T], tags: &T::Tags) -> Option<usize>;
}

/// The item at an index.
#[derive(Clone, Copy)]
pub struct Nth(pub usize);

impl<T: Item> Seek<T> for Nth {
    const IS_ONE: bool = false;

    #[inline]
    fn kid(&mut self, kids: &[Kid<T>]) -> usize {
        let mut at = 0;
        while at + 1 < kids.len() && self.0 >= kids[at].len as usize {
            self.0 -= kids[at].len as usize;
            at += 1;
        }
        at
    }

    #[inline]
    fn place(&self, row: &[T]) -> Result<usize, usize> {
        if self.0 < row.len() { Ok(self.0) } else { Err(self.0) }
    }

    #[inline]
    fn find(&self, row: &[T], _: &T::Tags) -> Option<usize> {
        (self.0 < row.len()).then_some(self.0)
    }
}

/// In a row of at most this many members all names are compared at once, and not one after the other, so that
/// no branch depends on which one is found.
const FEW: usize = 32;

impl WantedName<'_> {
    /// Where the name is in a row without tags.
    #[inline]
    pub fn find_untagged(&self, row: &[Member]) -> Option<usize> {
        if row.len() > FEW {
            return self.place(row).ok();
        }
        let found =
            |found, (at, member): (usize, &Member)| found | u32::from(member.name.is(self)) << at;
        let found = row.iter().enumerate().fold(0, found);
        (found != 0).then(|| found.trailing_zeros() as usize)
    }
}

/// The last of this many places for which `holds` is true, if those come first; 0 if there is none. No branch
/// depends on what is found.
#[inline]
fn last_place(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut at, mut count) = (0, count);
    while count > 1 {
        let half = count / 2;
        at = std::hint::select_unpredictable(holds(at + half), at + half, at);
        count -= half;
    }
    at
}

/// The first place for which `holds` is false.
#[inline]
fn first_place(row: &[Member], holds: impl Fn(&Member) -> bool) -> usize {
    let last = last_place(row.len(), |at| holds(&row[at]));
    last + usize::from(row.get(last).is_some_and(holds))
}

impl Seek<Member> for WantedName<'_> {
    const IS_ONE: bool = true;

    #[inline]
    fn kid(&mut self, kids: &[Kid<Member>]) -> usize {
        match self.packed() {
            Some(packed) => last_place(kids.len(), |at| kids[at].first.floor() <= packed),
            None => last_place(kids.len(), |at| kids[at].first.compare(self).is_le()),
        }
    }

    #[inline]
    fn place(&self, row: &[Member]) -> Result<usize, usize> {
        let at = match self.packed() {
            Some(packed) => first_place(row, |member| member.name.floor() < packed),
            None => first_place(row, |member| member.name.compare(self).is_lt()),
        };
        match row.get(at) {
            Some(member) if member.name.is(self) => Ok(at),
            _ => Err(at),
        }
    }

    /// Compares the names that have its tag. Nearly always that is only the wanted one, so that little memory
    /// is touched.
    #[inline]
    fn find(&self, row: &[Member], tags: &[u8; ROW]) -> Option<usize> {
        let tag = self.tag();
        let mut from = 0;
        while let Some(found) = memchr::memchr(tag, &tags[from..row.len()]) {
            let at = from + found;
            if row[at].name.is(self) {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }
}
