//! A JSON value.

use std::fmt;

use super::btree::{self, ChangedItem, Kids, Rows, depths, kid_depths, settle};
use super::item::{Item, Member, Nth, ROW, Seek, Sum};
use super::name::{Short, StoredName, WantedName};
use super::run::Run;
use super::{Bytes, CONTAINER_WEIGHT, VALUE_WEIGHT, long_weight};

/// A large container with so few items becomes a small one.
const SMALL: usize = ROW / 2;

/// A JSON value. A clone costs a reference.
#[derive(Clone, Default)]
pub struct Value(pub(super) Repr);

/// The content of a value.
///
/// Invariants: `weight` and `depth` of a container are those of its items and of itself. Members are sorted
/// by name, and no two have the same. A run has `length` items, at most [`ROW`], and so has each row of a
/// tree, none of which is empty. An integer that fits an `i64` is an [`Int`](Self::Int).
#[derive(Clone, Default)]
pub enum Repr {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Short(Short),
    Text(Bytes),
    Array {
        depth: u8,
        length: u8,
        weight: u32,
        items: Run<Value>,
    },
    LongArray {
        depth: u8,
        weight: u32,
        kids: Kids<Value>,
    },
    Object {
        depth: u8,
        length: u8,
        weight: u32,
        items: Run<Member>,
    },
    LongObject {
        depth: u8,
        weight: u32,
        kids: Kids<Member>,
    },
}

/// What kind of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// The items of a container, small or large.
pub enum Items<'a, T: Item> {
    Run(&'a [T]),
    Kids(&'a Kids<T>),
}

impl<'a, T: Item> Items<'a, T> {
    pub fn len(&self) -> usize {
        match self {
            Self::Run(items) => items.len(),
            Self::Kids(kids) => btree::total(kids).0,
        }
    }

    /// The rows from the item at index `from` on.
    pub fn rows(self, from: usize) -> impl Iterator<Item = &'a [T]> {
        let (run, rows) = match self {
            Self::Run(items) => (items.get(from..), None),
            Self::Kids(kids) => (None, Some(Rows::new(kids, from))),
        };
        run.into_iter().chain(rows.into_iter().flatten())
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'a T> {
        self.rows(0).flatten()
    }

    /// Whether both are the same memory.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Run(left), Self::Run(right)) => std::ptr::eq(*left, *right),
            (Self::Kids(left), Self::Kids(right)) => triomphe::Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

fn with_base(mut sum: Sum) -> (u8, u32) {
    sum.add(Sum { weight: VALUE_WEIGHT + CONTAINER_WEIGHT, depth: 0 });
    (sum.depth.saturating_add(1), sum.weight)
}

fn without_base(depth: u8, weight: u32) -> Sum {
    Sum { weight: weight - (VALUE_WEIGHT + CONTAINER_WEIGHT), depth: depth.saturating_sub(1) }
}

impl Repr {
    fn array(length: u8, items: Run<Value>) -> Self {
        let (depth, weight) = with_base(Sum::of(items.items(length)));
        Self::Array { depth, length, weight, items }
    }

    fn object(length: u8, items: Run<Member>) -> Self {
        let (depth, weight) = with_base(Sum::of(items.items(length)));
        Self::Object { depth, length, weight, items }
    }

    fn long_array(kids: Kids<Value>) -> Self {
        let (depth, weight) = with_base(btree::total(&kids).1);
        Self::LongArray { depth, weight, kids }
    }

    fn long_object(kids: Kids<Member>) -> Self {
        let (depth, weight) = with_base(btree::total(&kids).1);
        Self::LongObject { depth, weight, kids }
    }
}

impl Value {
    /// `{}`.
    pub fn object() -> Self {
        Self::of_members(std::iter::empty())
    }

    /// An array of these items.
    pub(super) fn of_elements(items: impl ExactSizeIterator<Item = Value>) -> Self {
        Self(match items.len() <= ROW {
            true => Repr::array(items.len() as u8, Run::new(items)),
            false => Repr::long_array(btree::build(items)),
        })
    }

    /// An array of these items, which are more than one row.
    pub(super) fn of_long_array(kids: Kids<Value>) -> Self {
        Self(Repr::long_array(kids))
    }

    /// An object of these members, which are sorted by name; no two names are the same.
    pub(super) fn of_members(items: impl ExactSizeIterator<Item = Member>) -> Self {
        Self(match items.len() <= ROW {
            true => Repr::object(items.len() as u8, Run::new(items)),
            false => Repr::long_object(btree::build(items)),
        })
    }

    /// An object of these members, which are more than one row.
    pub(super) fn of_long_object(kids: Kids<Member>) -> Self {
        Self(Repr::long_object(kids))
    }

    /// What kind of value it is.
    pub fn kind(&self) -> ValueKind {
        match &self.0 {
            Repr::Null => ValueKind::Null,
            Repr::Bool(_) => ValueKind::Bool,
            Repr::Int(_) | Repr::Uint(_) | Repr::Float(_) => ValueKind::Number,
            Repr::Short(..) | Repr::Text(_) => ValueKind::String,
            Repr::Array { .. } | Repr::LongArray { .. } => ValueKind::Array,
            Repr::Object { .. } | Repr::LongObject { .. } => ValueKind::Object,
        }
    }

    #[inline]
    pub(super) fn sum(&self) -> Sum {
        match &self.0 {
            Repr::Text(text) => {
                let weight = VALUE_WEIGHT.saturating_add(long_weight(text.slice.len()));
                Sum { weight, depth: 0 }
            }
            Repr::Array { depth, weight, .. }
            | Repr::LongArray { depth, weight, .. }
            | Repr::Object { depth, weight, .. }
            | Repr::LongObject { depth, weight, .. } => Sum { weight: *weight, depth: *depth },
            _ => Sum { weight: VALUE_WEIGHT, depth: 0 },
        }
    }

    /// Its weight: about the memory that it takes if it shares none.
    #[inline]
    pub fn weight(&self) -> u64 {
        self.sum().weight.into()
    }

    /// How deep arrays and objects are nested in it, itself included.
    #[inline]
    pub fn depth(&self) -> usize {
        self.sum().depth.into()
    }

    /// A text's bytes.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Short(short) => Some(short.bytes()),
            Repr::Text(bytes) => Some(&bytes.slice),
            _ => None,
        }
    }

    /// A string's characters.
    pub fn as_str(&self) -> Option<&str> {
        self.text().map(|bytes| std::str::from_utf8(bytes).expect("it was made of characters"))
    }

    pub(super) fn array_items(&self) -> Option<Items<'_, Value>> {
        match &self.0 {
            Repr::Array { length, items, .. } => Some(Items::Run(items.items(*length))),
            Repr::LongArray { kids, .. } => Some(Items::Kids(kids)),
            _ => None,
        }
    }

    pub(super) fn object_items(&self) -> Option<Items<'_, Member>> {
        match &self.0 {
            Repr::Object { length, items, .. } => Some(Items::Run(items.items(*length))),
            Repr::LongObject { kids, .. } => Some(Items::Kids(kids)),
            _ => None,
        }
    }

    /// How many elements or members it has.
    pub fn len(&self) -> usize {
        let elements = self.array_items().map(|items| items.len());
        elements.or_else(|| self.object_items().map(|items| items.len())).unwrap_or(0)
    }

    /// Whether it has no elements and no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An object's member.
    #[inline]
    pub fn member(&self, name: &str) -> Option<&Value> {
        let key = WantedName::new(name);
        let member = match &self.0 {
            Repr::Object { length, items, .. } => {
                let items = items.items(*length);
                key.find_untagged(items).map(|at| &items[at])
            }
            Repr::LongObject { kids, .. } => btree::get(kids, key),
            _ => None,
        };
        member.map(|member| &member.value)
    }

    /// An array's element.
    #[inline]
    pub fn element(&self, index: usize) -> Option<&Value> {
        match &self.0 {
            Repr::Array { length, items, .. } => items.items(*length).get(index),
            Repr::LongArray { kids, .. } => btree::get(kids, Nth(index)),
            _ => None,
        }
    }

    /// An object's members in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members_from(0)
    }

    /// An object's members in the order of their names, from the one at `index` on.
    pub fn members_from(&self, index: usize) -> impl Iterator<Item = (&str, &Value)> {
        let text = |bytes| std::str::from_utf8(bytes).expect("it was made of characters");
        let items = self.object_items();
        let items = items.into_iter().flat_map(move |items| items.rows(index).flatten());
        items.map(move |member| (text(member.name.bytes()), &member.value))
    }

    /// An array's elements.
    pub fn elements(&self) -> impl Iterator<Item = &Value> {
        self.array_items().into_iter().flat_map(Items::iter)
    }

    /// Changes an object's member, if it is there.
    #[inline]
    pub fn change_member<R>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Value) -> R,
    ) -> Option<R> {
        let (key, change) =
            (WantedName::new(name), |member: &mut Member| change(&mut member.value));
        match &mut self.0 {
            Repr::Object { depth, length, weight, items } => {
                let at = key.find_untagged(items.items(*length))?;
                Some(change_run(depth, *length, weight, items, at, change))
            }
            Repr::LongObject { depth, weight, kids } => {
                change_kids(depth, weight, kids, key, change)
            }
            _ => None,
        }
    }

    /// Changes an array's element, if it is there.
    #[inline]
    pub fn change_element<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Value) -> R,
    ) -> Option<R> {
        match &mut self.0 {
            Repr::Array { depth, length, weight, items } if index < usize::from(*length) => {
                Some(change_run(depth, *length, weight, items, index, change))
            }
            Repr::LongArray { depth, weight, kids } => {
                change_kids(depth, weight, kids, Nth(index), change)
            }
            _ => None,
        }
    }

    /// Sets a member of an object, and returns its old value.
    ///
    /// # Panics
    /// If this is no object.
    pub fn set_member(&mut self, name: &str, mut value: Value) -> Option<Value> {
        self.swap_member(name, &mut value).then_some(value)
    }

    /// Sets a member of an object. If there is such a member already, its value is swapped with `value`, and
    /// this returns true; else `value` is `null` afterwards.
    ///
    /// Values that are swapped in place are faster than values that are returned, which each function on the
    /// way unpacks and packs again.
    ///
    /// # Panics
    /// If this is no object.
    pub fn swap_member(&mut self, name: &str, value: &mut Value) -> bool {
        let key = WantedName::new(name);
        if let Repr::Object { depth, length, weight, items } = &mut self.0 {
            match key.place(items.items(*length)) {
                Ok(at) => {
                    let swap = |member: &mut Member| std::mem::swap(&mut member.value, value);
                    change_run(depth, *length, weight, items, at, swap);
                    return true;
                }
                Err(at) if usize::from(*length) < ROW => {
                    let member =
                        Member { name: StoredName::new(name), value: std::mem::take(value) };
                    (*depth, *weight) = grown(*depth, *weight, member.sum());
                    items.insert(*length, at, member);
                    *length += 1;
                    return false;
                }
                Err(_) => self.widen(),
            }
        }
        let Repr::LongObject { depth, weight, kids } = &mut self.0 else {
            panic!("only objects have members")
        };
        let mut member = Member { name: StoredName::new(name), value: std::mem::take(value) };
        let added = member.sum();
        let is_swapped = btree::insert_at_root(kids, key, &mut member);
        if is_swapped {
            settle_container(depth, weight, [member.sum(), added], kid_depths(kids));
            *value = member.value;
        } else {
            (*depth, *weight) = grown(*depth, *weight, added);
        }
        is_swapped
    }

    /// Inserts an element into an array, before the one at `index`.
    ///
    /// # Panics
    /// If this is no array, or one shorter than `index`.
    pub fn insert_element(&mut self, index: usize, mut value: Value) {
        let added = value.sum();
        if matches!(&self.0, Repr::Array { length, .. } if usize::from(*length) == ROW) {
            self.widen();
        }
        match &mut self.0 {
            Repr::Array { depth, length, weight, items } => {
                (*depth, *weight) = grown(*depth, *weight, added);
                items.insert(*length, index, value);
                *length += 1;
            }
            Repr::LongArray { depth, weight, kids } => {
                (*depth, *weight) = grown(*depth, *weight, added);
                btree::insert_at_root(kids, Nth(index), &mut value);
            }
            _ => panic!("only arrays have elements"),
        };
    }

    /// Turns a small container into a large one.
    #[cold]
    fn widen(&mut self) {
        self.0 = match std::mem::take(&mut self.0) {
            Repr::Array { depth, length, weight, items } => {
                let kids = btree::build(items.into_items(length).into_iter());
                Repr::LongArray { depth, weight, kids }
            }
            Repr::Object { depth, length, weight, items } => {
                let kids = btree::build(items.into_items(length).into_iter());
                Repr::LongObject { depth, weight, kids }
            }
            other => other,
        };
    }

    /// Removes a member from an object, if it is there.
    pub fn remove_member(&mut self, name: &str) -> Option<Value> {
        let mut taken = Value::default();
        self.take_member(name, &mut taken).then_some(taken)
    }

    /// Removes a member from an object, and puts its value into `taken`. Returns whether it was there.
    pub fn take_member(&mut self, name: &str, taken: &mut Value) -> bool {
        let (key, mut member) = (WantedName::new(name), Member::default());
        match &mut self.0 {
            Repr::Object { depth, length, weight, items } => {
                let Some(at) = key.find_untagged(items.items(*length)) else { return false };
                remove_from_run(depth, length, weight, items, at, &mut member);
            }
            Repr::LongObject { depth, weight, kids } => {
                if !remove_from_kids(depth, weight, kids, key, &mut member) {
                    return false;
                }
                if let Some((length, items)) = small(kids) {
                    self.0 = Repr::Object { depth: *depth, length, weight: *weight, items };
                }
            }
            _ => return false,
        }
        *taken = member.value;
        true
    }

    /// Removes an element from an array, and puts it into `taken`. Returns whether it was there.
    pub fn take_element(&mut self, index: usize, taken: &mut Value) -> bool {
        match &mut self.0 {
            Repr::Array { depth, length, weight, items } if index < usize::from(*length) => {
                remove_from_run(depth, length, weight, items, index, taken);
                true
            }
            Repr::LongArray { depth, weight, kids } => {
                let is_there = remove_from_kids(depth, weight, kids, Nth(index), taken);
                if let Some((length, items)) = small(kids) {
                    self.0 = Repr::Array { depth: *depth, length, weight: *weight, items };
                }
                is_there
            }
            _ => false,
        }
    }
}

/// Brings the sums of a container up to date after one item has changed.
#[inline]
fn settle_container(
    depth: &mut u8,
    weight: &mut u32,
    [before, after]: [Sum; 2],
    depths: impl Iterator<Item = u8>,
) {
    let mut sum = without_base(*depth, *weight);
    settle(&mut sum, before, after, depths);
    (*depth, *weight) = with_base(sum);
}

fn grown(depth: u8, weight: u32, added: Sum) -> (u8, u32) {
    let mut sum = without_base(depth, weight);
    sum.add(added);
    with_base(sum)
}

#[inline]
fn change_run<T: Item, R>(
    depth: &mut u8,
    length: u8,
    weight: &mut u32,
    items: &mut Run<T>,
    at: usize,
    change: impl FnOnce(&mut T) -> R,
) -> R {
    let (result, sums) = items.change(length, at, |item| {
        let before = item.sum();
        let result = change(item);
        (result, [before, item.sum()])
    });
    settle_container(depth, weight, sums, depths(items.items(length)));
    result
}

#[inline]
fn change_kids<T: Item, R>(
    depth: &mut u8,
    weight: &mut u32,
    kids: &mut Kids<T>,
    seek: impl Seek<T>,
    change: impl FnOnce(&mut T) -> R,
) -> Option<R> {
    let ChangedItem { result, before, after } = btree::change(kids, seek, change)?;
    settle_container(depth, weight, [before, after], kid_depths(kids));
    Some(result)
}

fn remove_from_run<T: Item>(
    depth: &mut u8,
    length: &mut u8,
    weight: &mut u32,
    items: &mut Run<T>,
    at: usize,
    taken: &mut T,
) {
    items.remove(*length, at, taken);
    *length -= 1;
    settle_container(depth, weight, [taken.sum(), Sum::default()], depths(items.items(*length)));
}

fn remove_from_kids<T: Item>(
    depth: &mut u8,
    weight: &mut u32,
    kids: &mut Kids<T>,
    seek: impl Seek<T>,
    taken: &mut T,
) -> bool {
    let is_there = btree::remove_at_root(kids, seek, taken);
    if is_there {
        settle_container(depth, weight, [taken.sum(), Sum::default()], kid_depths(kids));
    }
    is_there
}

/// The items as those of a small container, if they are few.
fn small<T: Item>(kids: &Kids<T>) -> Option<(u8, Run<T>)> {
    btree::is_at_most(kids, SMALL).then(|| {
        let items: Vec<T> = Rows::new(kids, 0).flatten().cloned().collect();
        (items.len() as u8, Run::new(items.into_iter()))
    })
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(Repr::Bool(value))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self(Repr::Int(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(i64::try_from(number).map_or(Repr::Uint(number), Repr::Int))
    }
}

impl From<&str> for Value {
    #[inline]
    fn from(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self(match Short::new(bytes) {
            Some(short) => Repr::Short(short),
            None => Repr::Text(Bytes::from_header_and_slice((), bytes)),
        })
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self(Repr::Null),
            serde_json::Value::Bool(value) => value.into(),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => number.into(),
                (None, Some(number)) => number.into(),
                (None, None) => Self(number.as_f64().map_or(Repr::Null, Repr::Float)),
            },
            serde_json::Value::String(text) => text.as_str().into(),
            serde_json::Value::Array(elements) => {
                Self::of_elements(elements.into_iter().map(Self::from))
            }
            serde_json::Value::Object(members) => {
                let members = members.into_iter();
                Self::of_members(members.map(|(name, value)| Member {
                    name: StoredName::new(&name),
                    value: value.into(),
                }))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::to_text::show(self, f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::to_text::show(self, f)
    }
}
