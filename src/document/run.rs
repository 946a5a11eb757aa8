//! The items of a small container, in one allocation.

use triomphe::{Arc, ThinArc};

use super::item::Item;

/// Some items in a row, which may be shared. A row that was read takes exactly the memory of its items and
/// sixteen bytes. A row that has grown has room at its end, filled with default items. The owner knows how
/// many items there are.
///
/// No function returns a mutable reference to an item: a closure changes it, and the sums of all containers
/// around it are brought up to date on the way back.
pub struct Run<T>(ThinArc<(), T>);

impl<T> Clone for Run<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Item> Run<T> {
    pub fn new(items: impl ExactSizeIterator<Item = T>) -> Self {
        Self(ThinArc::from_header_and_iter((), items))
    }

    #[inline]
    pub fn items(&self, length: u8) -> &[T] {
        &self.0.slice[..usize::from(length)]
    }

    pub fn is_shared(&self) -> bool {
        ThinArc::strong_count(&self.0) != 1
    }

    #[cold]
    #[inline(never)]
    fn unshare(&mut self, length: u8) {
        *self = Self::new(self.items(length).iter().cloned());
    }

    /// Changes all of the room, which must not be shared.
    #[inline]
    fn change_all<R>(&mut self, change: impl FnOnce(&mut [T]) -> R) -> R {
        self.0.with_arc_mut(|items| {
            change(Arc::get_mut(items).expect("nobody else holds it").slice_mut())
        })
    }

    /// Changes an item, in place if the row is not shared.
    #[inline]
    pub fn change<R>(&mut self, length: u8, at: usize, change: impl FnOnce(&mut T) -> R) -> R {
        if self.is_shared() {
            self.unshare(length);
        }
        self.change_all(|items| change(&mut items[at]))
    }

    /// The items, moved out if the row is not shared.
    pub fn into_items(mut self, length: u8) -> Vec<T> {
        if self.is_shared() {
            return self.items(length).to_vec();
        }
        let items =
            |all: &mut [T]| all[..usize::from(length)].iter_mut().map(std::mem::take).collect();
        self.change_all(items)
    }

    /// Inserts an item.
    pub fn insert(&mut self, length: u8, at: usize, item: T) {
        let count = usize::from(length);
        if self.is_shared() || self.0.slice.len() == count {
            self.grow(count);
        }
        self.change_all(|items| {
            items[count] = item;
            items[at..=count].rotate_right(1);
        });
    }

    /// Makes room for more items.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, count: usize) {
        let room = count + count / 2 + 2;
        let mut grown = Self::new((0..room).map(|_| T::default()));
        grown.change_all(|all| match self.is_shared() {
            true => all[..count].clone_from_slice(&self.0.slice[..count]),
            false => self.change_all(|items| all[..count].swap_with_slice(&mut items[..count])),
        });
        *self = grown;
    }

    /// Removes an item, and puts it into `taken`.
    pub fn remove(&mut self, length: u8, at: usize, taken: &mut T) {
        let count = usize::from(length);
        if self.is_shared() {
            let items = self.items(length);
            *taken = items[at].clone();
            let left = (0..count - 1).map(|index| items[index + usize::from(index >= at)].clone());
            *self = Self::new(left);
            return;
        }
        self.change_all(|items| {
            items[at..count].rotate_left(1);
            *taken = std::mem::take(&mut items[count - 1]);
        });
        if self.0.slice.len() > 2 * count + 2 {
            *self = self
                .change_all(|items| Self::new(items[..count - 1].iter_mut().map(std::mem::take)));
        }
    }
}
