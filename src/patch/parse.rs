//! Text to patch, strictly as RFC 6902 has it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::{PatchError, Reason};
use super::operation::{Operation, Patch};
use super::{Pointer, PointerBuf};
use crate::document::Value;

/// Reads a JSON Patch document (RFC 6902 section 3).
///
/// An operation is an object. Members that the RFC does not define for it are ignored; one that it defines
/// must not be there twice.
///
/// # Errors
/// [`Reason::Malformed`], with the operation that is wrong, if it is one.
pub fn parse(text: &str) -> Result<Patch, PatchError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut progress = ParsePlace::default();
    let patch = PatchSeed(&mut progress).deserialize(&mut reader);
    // What follows the patch belongs to none of its operations.
    if patch.is_ok() {
        progress = ParsePlace::default();
    }
    patch.and_then(|patch| reader.end().map(|()| Patch(patch))).map_err(|error| PatchError {
        operation: progress.operation,
        path: progress.path,
        reason: Reason::Malformed(format!("not a JSON Patch: {error}")),
    })
}

/// Where the reader is, for the error.
#[derive(Default)]
struct ParsePlace {
    operation: Option<usize>,
    path: Option<String>,
}

struct PatchSeed<'a>(&'a mut ParsePlace);

impl<'de> DeserializeSeed<'de> for PatchSeed<'_> {
    type Value = Vec<Operation>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PatchSeed<'_> {
    type Value = Vec<Operation>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        // Most patches have one operation, and a history keeps the room for it.
        let mut operations = Vec::with_capacity(1);
        loop {
            *self.0 = ParsePlace { operation: Some(operations.len()), path: None };
            match elements.next_element_seed(OperationSeed(self.0))? {
                Some(operation) => operations.push(operation),
                None => return Ok(operations),
            }
        }
    }
}

/// A member's name, borrowed from the text if it has no escapes.
#[derive(Deserialize)]
struct MemberName<'a>(#[serde(borrow)] Cow<'a, str>);

struct OperationSeed<'a>(&'a mut ParsePlace);

impl<'de> DeserializeSeed<'de> for OperationSeed<'_> {
    type Value = Operation;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OperationSeed<'_> {
    type Value = Operation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Operation, A::Error> {
        let mut kind: Option<OperationKind> = None;
        let mut path: Option<PointerBuf> = None;
        let mut from: Option<Value> = None;
        let mut value: Option<Value> = None;
        while let Some(MemberName(name)) = members.next_key()? {
            match &*name {
                "op" => set_once(&mut kind, members.next_value()?, "op")?,
                "path" => {
                    let pointer = pointer(members.next_value()?, "path")?;
                    set_once(&mut path, pointer, "path")?;
                }
                // Whether it must be a pointer depends on `op`, which may come later.
                "from" => set_once(&mut from, members.next_value()?, "from")?,
                "value" => set_once(&mut value, members.next_value()?, "value")?,
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        let kind = kind.ok_or_else(|| A::Error::missing_field("op"))?;
        let path = path.ok_or_else(|| A::Error::missing_field("path"))?;
        let from = |path: &Pointer, progress: &mut ParsePlace| {
            let from = match from {
                Some(from) => match from.as_str() {
                    Some(from) => pointer(from.to_owned(), "from"),
                    None => Err(A::Error::custom("`from` is not a string")),
                },
                None => Err(A::Error::missing_field("from")),
            };
            from.inspect_err(|_| progress.path = Some(path.as_str().to_owned()))
        };
        let value = |path: &Pointer, progress: &mut ParsePlace| {
            let value = value.ok_or_else(|| A::Error::missing_field("value"));
            value.inspect_err(|_| progress.path = Some(path.as_str().to_owned()))
        };
        let progress = &mut *self.0;
        Ok(match kind {
            OperationKind::Add => Operation::Add { value: value(&path, progress)?, path },
            OperationKind::Remove => Operation::Remove { path },
            OperationKind::Replace => Operation::Replace { value: value(&path, progress)?, path },
            OperationKind::Move => Operation::Move { from: from(&path, progress)?, path },
            OperationKind::Copy => Operation::Copy { from: from(&path, progress)?, path },
            OperationKind::Test => Operation::Test { value: value(&path, progress)?, path },
        })
    }
}

fn set_once<T, E: Error>(member: &mut Option<T>, value: T, name: &'static str) -> Result<(), E> {
    match member.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn pointer<E: Error>(text: String, name: &str) -> Result<PointerBuf, E> {
    if !text.is_empty() && !text.starts_with('/') {
        return Err(E::custom(format_args!(
            "`{name}` is {text:?}, but a JSON Pointer is empty or begins with /"
        )));
    }
    PointerBuf::parse(text).map_err(|error| {
        let text = error.decompose().1;
        E::custom(format_args!(
            "`{name}` is {text:?}, but in a JSON Pointer ~ is followed by 0 or 1"
        ))
    })
}

/// What an operation does.
enum OperationKind {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

impl<'de> Deserialize<'de> for OperationKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OperationKindVisitor;
        impl Visitor<'_> for OperationKindVisitor {
            type Value = OperationKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an operation, which is a string")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<OperationKind, E> {
                Ok(match name {
                    "add" => OperationKind::Add,
                    "remove" => OperationKind::Remove,
                    "replace" => OperationKind::Replace,
                    "move" => OperationKind::Move,
                    "copy" => OperationKind::Copy,
                    "test" => OperationKind::Test,
                    _ => {
                        return Err(E::custom(format_args!(
                            "`op` is {name:?}, but it is one of add, remove, replace, move, copy, test"
                        )));
                    }
                })
            }
        }
        deserializer.deserialize_str(OperationKindVisitor)
    }
}
