//! The items of a large container: a B+-tree whose rows are shared.

use triomphe::Arc;

use super::item::{Item, ROW, Seek, Sum};

/// A row with fewer items is joined with its neighbour, if both together have at most `ROOM`.
const FEW: usize = ROW / 4;
const ROOM: usize = ROW * 3 / 4;

/// A row of items, and what helps to find one of them.
#[derive(Clone)]
struct Leaf<T: Item> {
    tags: T::Tags,
    row: Vec<T>,
}

/// A row of subtrees; also the root of a container.
pub type Kids<T> = Arc<Vec<Kid<T>>>;

#[derive(Clone)]
enum Subtree<T: Item> {
    Leaf(Arc<Leaf<T>>),
    Branch(Kids<T>),
}

/// A subtree of a container, with its sums.
#[derive(Clone)]
pub struct Kid<T: Item> {
    /// A key that is not after its items, and after all items before it. Items before those of the first kid
    /// belong to the first kid in any case.
    pub first: T::Key,
    /// How many items it has.
    pub len: u32,
    sum: Sum,
    node: Subtree<T>,
}

/// The result of a change, and the sums of the changed item before and after it.
pub struct ChangedItem<R> {
    pub result: R,
    pub before: Sum,
    pub after: Sum,
}

/// Brings the sums of what an item is in up to date. `depths` are those of all items there.
#[inline]
pub fn settle(sum: &mut Sum, before: Sum, after: Sum, depths: impl Iterator<Item = u8>) {
    sum.weight = (sum.weight - before.weight).saturating_add(after.weight);
    if after.depth >= sum.depth {
        sum.depth = after.depth;
    } else if before.depth == sum.depth {
        sum.depth = deepest(depths, sum.depth);
    }
}

/// The greatest of these depths, which are at most `most`: often the first one is `most` itself.
fn deepest(depths: impl Iterator<Item = u8>, most: u8) -> u8 {
    let mut deepest = 0;
    for depth in depths {
        deepest = deepest.max(depth);
        if deepest == most {
            break;
        }
    }
    deepest
}

/// The depths of the items.
pub fn depths<T: Item>(row: &[T]) -> impl Iterator<Item = u8> {
    row.iter().map(|item| item.sum().depth)
}

/// The depths of the kids.
pub fn kid_depths<T: Item>(kids: &[Kid<T>]) -> impl Iterator<Item = u8> {
    kids.iter().map(|kid| kid.sum.depth)
}

/// What a reference points to, copied first if it is shared.
#[inline]
fn unshared<T: Clone>(shared: &mut Arc<T>) -> &mut T {
    if !shared.is_unique() {
        copy(shared);
    }
    Arc::get_mut(shared).expect("nobody else holds it")
}

#[cold]
#[inline(never)]
fn copy<T: Clone>(shared: &mut Arc<T>) {
    *shared = Arc::new(T::clone(shared));
}

/// Makes room for one more at that place: only a little, since most rows never grow again, but more if the
/// row grows at its end.
fn reserve<T>(row: &mut Vec<T>, at: usize) {
    if row.len() == row.capacity() {
        let more = if at == row.len() { row.len() } else { row.len() / 8 };
        row.reserve_exact(more.clamp(1, ROW - row.len()));
    }
}

impl<T: Item> Kid<T> {
    fn leaf(row: Vec<T>) -> Self {
        let (first, sum, len) = (row[0].key(), Sum::of(&row), row.len() as u32);
        Self { first, len, sum, node: Subtree::Leaf(Arc::new(Leaf { tags: T::tags(&row), row })) }
    }

    fn branch(kids: Vec<Self>) -> Self {
        let mut sum = Sum::default();
        kids.iter().for_each(|kid| sum.add(kid.sum));
        let len = kids.iter().map(|kid| kid.len).sum();
        Self { first: kids[0].first.clone(), len, sum, node: Subtree::Branch(Arc::new(kids)) }
    }

    /// How many items or kids its own row has.
    fn width(&self) -> usize {
        match &self.node {
            Subtree::Leaf(leaf) => leaf.row.len(),
            Subtree::Branch(kids) => kids.len(),
        }
    }

    fn change<R>(
        &mut self,
        seek: impl Seek<T>,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<ChangedItem<R>> {
        let changed = match &mut self.node {
            Subtree::Leaf(leaf) => {
                let at = seek.find(&leaf.row, &leaf.tags)?;
                let row = &mut unshared(leaf).row;
                let item = &mut row[at];
                let before = item.sum();
                let result = change(item);
                let after = item.sum();
                settle(&mut self.sum, before, after, depths(row));
                ChangedItem { result, before, after }
            }
            Subtree::Branch(kids) => {
                let changed = self::change(kids, seek, change)?;
                settle(&mut self.sum, changed.before, changed.after, kid_depths(kids));
                changed
            }
        };
        Some(changed)
    }

    /// Inserts an item. If it replaces one, `item` is the old one afterwards.
    fn insert(&mut self, seek: impl Seek<T>, item: &mut T) -> Inserted<Self> {
        let sum = item.sum();
        let inserted = match &mut self.node {
            Subtree::Leaf(leaf) => insert_into_leaf(leaf, seek, item),
            Subtree::Branch(kids) => match insert(kids, seek, item) {
                Inserted::InPlace => Inserted::InPlace,
                Inserted::Anew => Inserted::Anew,
                Inserted::Split(kids) => Inserted::Split(Self::branch(kids)),
            },
        };
        match (&inserted, &self.node) {
            (Inserted::InPlace, Subtree::Leaf(leaf)) => {
                settle(&mut self.sum, item.sum(), sum, depths(&leaf.row));
            }
            (Inserted::InPlace, Subtree::Branch(kids)) => {
                settle(&mut self.sum, item.sum(), sum, kid_depths(kids));
            }
            (Inserted::Anew, _) => {
                self.len += 1;
                self.sum.add(sum);
            }
            (Inserted::Split(_), _) => self.count_anew(),
        }
        inserted
    }

    /// Removes the wanted item, and puts it into `taken`. Returns whether it was there.
    fn remove(&mut self, seek: impl Seek<T>, taken: &mut T) -> bool {
        match &mut self.node {
            Subtree::Leaf(leaf) => {
                let Some(at) = seek.find(&leaf.row, &leaf.tags) else { return false };
                let Leaf { row, tags } = unshared(leaf);
                *taken = row.remove(at);
                T::tag_removed(tags, row, at);
                settle(&mut self.sum, taken.sum(), Sum::default(), depths(row));
            }
            Subtree::Branch(kids) => {
                if !remove(kids, seek, taken) {
                    return false;
                }
                settle(&mut self.sum, taken.sum(), Sum::default(), kid_depths(kids));
            }
        }
        self.len -= 1;
        true
    }

    /// Computes its length and its sums anew.
    fn count_anew(&mut self) {
        match &mut self.node {
            Subtree::Leaf(leaf) => {
                (self.len, self.sum) = (leaf.row.len() as u32, Sum::of(&leaf.row))
            }
            Subtree::Branch(kids) => {
                (self.len, self.sum) = (0, Sum::default());
                for kid in kids.iter() {
                    self.len += kid.len;
                    self.sum.add(kid.sum);
                }
            }
        }
    }

    /// Takes over the content of the next kid.
    fn join(&mut self, mut next: Self) {
        match (&mut self.node, &mut next.node) {
            (Subtree::Leaf(leaf), Subtree::Leaf(more)) => {
                let Leaf { row, tags } = unshared(leaf);
                row.append(&mut unshared(more).row);
                *tags = T::tags(row);
            }
            (Subtree::Branch(kids), Subtree::Branch(more)) => {
                let more = unshared(more);
                // This kid is not the first any more, so its key has to be right.
                more[0].first = next.first;
                unshared(kids).append(more);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
        self.count_anew();
    }
}

/// The result of an insertion.
enum Inserted<R> {
    /// The item was swapped with an old one.
    InPlace,
    /// There is one item more.
    Anew,
    /// There is one item more, and this is what does not fit into the row.
    Split(R),
}

fn insert_into_leaf<T: Item>(
    leaf: &mut Arc<Leaf<T>>,
    seek: impl Seek<T>,
    item: &mut T,
) -> Inserted<Kid<T>> {
    let found = if is_one(&seek) { seek.find(&leaf.row, &leaf.tags) } else { None };
    let Leaf { row, tags } = unshared(leaf);
    if let Some(at) = found {
        std::mem::swap(&mut row[at], item);
        return Inserted::InPlace;
    }
    let (Ok(at) | Err(at)) = seek.place(row);
    let item = std::mem::take(item);
    if row.len() == ROW {
        let right = Kid::leaf(split(row, at, item));
        *tags = T::tags(row);
        return Inserted::Split(right);
    }
    reserve(row, at);
    row.insert(at, item);
    T::tag_inserted(tags, row, at);
    Inserted::Anew
}

fn is_one<T: Item, S: Seek<T>>(_: &S) -> bool {
    S::IS_ONE
}

/// Inserts into a full row, and returns its second part. A row that grows at its end stays full.
fn split<T>(row: &mut Vec<T>, at: usize, new: T) -> Vec<T> {
    if at == row.len() {
        return vec![new];
    }
    let half = row.len() / 2;
    let mut right = row.split_off(half);
    let (part, at) = if at <= half { (&mut *row, at) } else { (&mut right, at - half) };
    part.insert(at, new);
    row.shrink_to(row.len() + row.len() / 8);
    right.shrink_to(right.len() + right.len() / 8);
    right
}

/// Makes a tree of items in their order, a row at a time.
pub struct Builder<T: Item> {
    /// For each level from the leaves up, the kids that are in no branch yet.
    levels: Vec<Vec<Kid<T>>>,
}

impl<T: Item> Default for Builder<T> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<T: Item> Builder<T> {
    /// Adds a row of at most [`ROW`] items.
    pub fn push(&mut self, row: impl Iterator<Item = T>) {
        self.push_kid(0, Kid::leaf(row.collect()));
    }

    fn push_kid(&mut self, level: usize, kid: Kid<T>) {
        if level == self.levels.len() {
            self.levels.push(Vec::new());
        }
        let kids = &mut self.levels[level];
        kids.push(kid);
        // At least a full row stays, so that no row is nearly empty in the end.
        if kids.len() == 2 * ROW {
            let branch = Kid::branch(kids.drain(..ROW).collect());
            self.push_kid(level + 1, branch);
        }
    }

    /// Adds the rest, which is at least one item, and returns the tree.
    pub fn finish(mut self, items: impl ExactSizeIterator<Item = T>) -> Kids<T> {
        in_rows(items, |row| self.push_kid(0, Kid::leaf(row)));
        let mut level = 0;
        loop {
            let mut kids = std::mem::take(&mut self.levels[level]);
            level += 1;
            if kids.len() <= ROW && level == self.levels.len() {
                kids.shrink_to_fit();
                return Arc::new(kids);
            }
            in_rows(kids.into_iter(), |row| self.push_kid(level, Kid::branch(row)));
        }
    }
}

/// Divides items into as few rows as possible, all about equally long.
fn in_rows<T>(mut items: impl ExactSizeIterator<Item = T>, mut each: impl FnMut(Vec<T>)) {
    let mut rows = items.len().div_ceil(ROW);
    while rows > 0 {
        let count = items.len().div_ceil(rows);
        each(items.by_ref().take(count).collect());
        rows -= 1;
    }
}

/// A tree of these items, which are more than one row.
pub fn build<T: Item>(items: impl ExactSizeIterator<Item = T>) -> Kids<T> {
    Builder::default().finish(items)
}

/// How many items there are, and their sum.
pub fn total<T: Item>(kids: &Kids<T>) -> (usize, Sum) {
    let mut sum = Sum::default();
    kids.iter().for_each(|kid| sum.add(kid.sum));
    (kids.iter().map(|kid| kid.len as usize).sum(), sum)
}

/// Whether there are at most this many items.
pub fn is_at_most<T: Item>(kids: &Kids<T>, most: usize) -> bool {
    // No kid is empty.
    let mut left = if kids.len() > most { None } else { Some(most) };
    let mut kids = kids.iter();
    while let (Some(some), Some(kid)) = (left, kids.next()) {
        left = some.checked_sub(kid.len as usize);
    }
    left.is_some()
}

/// The wanted item.
#[inline]
pub fn get<T: Item>(kids: &Kids<T>, mut seek: impl Seek<T>) -> Option<&T> {
    let mut kids: &[Kid<T>] = kids;
    loop {
        let kid = &kids[seek.kid(kids)];
        match &kid.node {
            Subtree::Leaf(leaf) => return seek.find(&leaf.row, &leaf.tags).map(|at| &leaf.row[at]),
            Subtree::Branch(below) => kids = below,
        }
    }
}

/// Changes the wanted item, if it is there.
pub fn change<T: Item, R>(
    kids: &mut Kids<T>,
    mut seek: impl Seek<T>,
    change: impl FnOnce(&mut T) -> R,
) -> Option<ChangedItem<R>> {
    let at = seek.kid(kids);
    unshared(kids)[at].change(seek, change)
}

fn insert<T: Item>(
    kids: &mut Kids<T>,
    mut seek: impl Seek<T>,
    item: &mut T,
) -> Inserted<Vec<Kid<T>>> {
    let at = seek.kid(kids);
    let kids = unshared(kids);
    match kids[at].insert(seek, item) {
        Inserted::InPlace => Inserted::InPlace,
        Inserted::Anew => Inserted::Anew,
        Inserted::Split(right) if kids.len() < ROW => {
            reserve(kids, at + 1);
            kids.insert(at + 1, right);
            Inserted::Anew
        }
        Inserted::Split(right) => Inserted::Split(split(kids, at + 1, right)),
    }
}

/// Inserts an item. Returns whether it replaced one, which `item` then is.
pub fn insert_at_root<T: Item>(kids: &mut Kids<T>, seek: impl Seek<T>, item: &mut T) -> bool {
    match insert(kids, seek, item) {
        Inserted::InPlace => return true,
        Inserted::Anew => {}
        Inserted::Split(right) => {
            let left = std::mem::take(unshared(kids));
            *kids = Arc::new(vec![Kid::branch(left), Kid::branch(right)]);
        }
    }
    false
}

fn remove<T: Item>(kids: &mut Kids<T>, mut seek: impl Seek<T>, taken: &mut T) -> bool {
    let at = seek.kid(kids);
    let kids = unshared(kids);
    if !kids[at].remove(seek, taken) {
        return false;
    }
    let width = kids[at].width();
    if width == 0 {
        let gone = kids.remove(at);
        // Items before those of the first kid belong to it in any case.
        if at == 0
            && let Some(first) = kids.first_mut()
        {
            first.first = gone.first;
        }
    } else if width < FEW && kids.len() > 1 {
        let left = at.saturating_sub(1);
        if kids[left].width() + kids[left + 1].width() <= ROOM {
            let next = kids.remove(left + 1);
            kids[left].join(next);
        }
    }
    true
}

/// Removes the wanted item, and puts it into `taken`. Returns whether it was there.
pub fn remove_at_root<T: Item>(kids: &mut Kids<T>, seek: impl Seek<T>, taken: &mut T) -> bool {
    if !remove(kids, seek, taken) {
        return false;
    }
    while let [Kid { node: Subtree::Branch(only), .. }] = kids.as_slice() {
        *kids = only.clone();
    }
    true
}

/// Whether `check` holds for all items in rows that are not shared.
pub fn all_alone<T: Item>(kids: &Kids<T>, check: &mut impl FnMut(&T) -> bool) -> bool {
    if !kids.is_unique() {
        return true;
    }
    kids.iter().all(|kid| match &kid.node {
        Subtree::Leaf(leaf) => !leaf.is_unique() || leaf.row.iter().all(&mut *check),
        Subtree::Branch(below) => all_alone(below, check),
    })
}

/// The rows of items.
pub struct Rows<'a, T: Item> {
    /// The rows that are still to come, the next one last.
    left: Vec<&'a [Kid<T>]>,
    skip: usize,
}

impl<'a, T: Item> Rows<'a, T> {
    /// The rows from the item at index `from` on.
    pub fn new(kids: &'a Kids<T>, from: usize) -> Self {
        Self { left: vec![kids], skip: from }
    }
}

impl<'a, T: Item> Iterator for Rows<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<&'a [T]> {
        loop {
            let kids = self.left.last_mut()?;
            let Some((kid, rest)) = kids.split_first() else {
                self.left.pop();
                continue;
            };
            *kids = rest;
            if self.skip >= kid.len as usize {
                self.skip -= kid.len as usize;
                continue;
            }
            match &kid.node {
                Subtree::Leaf(leaf) => return Some(&leaf.row[std::mem::take(&mut self.skip)..]),
                Subtree::Branch(below) => self.left.push(below),
            }
        }
    }
}
