//! Reads values from JSON text directly.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Value;
use super::btree::{Builder, Rows};
use super::item::{Member, ROW};
use super::name::{INLINE_BYTES, StoredName};
use super::value::Repr;

/// How many long names are kept for sharing while a value is read.
const NAMES: usize = 256;

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValueSeed(&mut ValueReader::default()).deserialize(deserializer)
    }
}

/// The items of all containers that are not read to their end. The items of an inner container come after
/// those of the outer one, so all share two lists, and each container is made in its exact size when it is
/// complete. The rows of a long container are made on the way, unless its members are not sorted.
#[derive(Default)]
struct ValueReader {
    elements: Vec<Value>,
    members: Vec<Member>,
    /// Some of the long names that were read last, each at the index of its tag: similar objects share them.
    names: Vec<Option<StoredName>>,
}

impl ValueReader {
    fn name(&mut self, text: &str) -> StoredName {
        let new = StoredName::new(text);
        if text.len() <= INLINE_BYTES {
            return new;
        }
        self.names.resize(NAMES, None);
        let known = &mut self.names[usize::from(new.tag())];
        match known {
            Some(known) if *known == new => known.clone(),
            _ => known.insert(new).clone(),
        }
    }
}

struct ValueSeed<'a>(&'a mut ValueReader);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value(Repr::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        // As in serde_json. No JSON text has such a number.
        Ok(Value(if number.is_finite() { Repr::Float(number) } else { Repr::Null }))
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Self(reader) = self;
        let start = reader.elements.len();
        let mut rows: Option<Builder<Value>> = None;
        while let Some(element) = access.next_element_seed(ValueSeed(reader))? {
            reader.elements.push(element);
            if reader.elements.len() - start == 2 * ROW {
                rows.get_or_insert_default().push(reader.elements.drain(start..start + ROW));
            }
        }
        let left = reader.elements.drain(start..);
        Ok(match rows {
            Some(rows) => Value::of_long_array(rows.finish(left)),
            None => Value::of_elements(left),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Self(reader) = self;
        let start = reader.members.len();
        let mut is_sorted = true;
        let mut rows: Option<Builder<Member>> = None;
        while let Some(name) = access.next_key_seed(NameSeed(reader))? {
            let value = access.next_value_seed(ValueSeed(reader))?;
            let before = reader.members[start..].last();
            is_sorted &= before.is_none_or(|before| before.name < name);
            reader.members.push(Member { name, value });
            if !is_sorted && let Some(rows) = rows.take() {
                // The places of members are not known before the end.
                let left: Vec<_> = reader.members.drain(start..).collect();
                let rows = rows.finish(left.into_iter());
                reader.members.extend(Rows::new(&rows, 0).flatten().cloned());
            } else if is_sorted && reader.members.len() - start == 2 * ROW {
                rows.get_or_insert_default().push(reader.members.drain(start..start + ROW));
            }
        }
        if !is_sorted {
            sort(&mut reader.members, start);
        }
        let left = reader.members.drain(start..);
        Ok(match rows {
            Some(rows) => Value::of_long_object(rows.finish(left)),
            None => Value::of_members(left),
        })
    }
}

/// Sorts the members from `start` on by name. Of several members of one name the last one stays.
fn sort(members: &mut Vec<Member>, start: usize) {
    members[start..].sort_by(|left, right| left.name.cmp(&right.name));
    let mut last = start;
    for at in start + 1..members.len() {
        if members[at].name != members[last].name {
            last += 1;
        }
        members.swap(last, at);
    }
    members.truncate(last + 1);
}

struct NameSeed<'a>(&'a mut ValueReader);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = StoredName;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<StoredName, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = StoredName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> Result<StoredName, E> {
        Ok(self.0.name(text))
    }
}
