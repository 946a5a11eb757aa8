//! A JSON Patch and its operations, whose values share memory with the documents that they are put into
//! and taken from.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::PointerBuf;
use crate::document::Value;

/// A JSON Patch: operations that are applied in their order, all of them or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch(pub Vec<Operation>);

/// One operation (RFC 6902 section 4). `path` is the place at which it works.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Adds a value, or replaces a member or the whole document.
    Add {
        /// The place.
        path: PointerBuf,
        /// The value to add.
        value: Value,
    },
    /// Removes the value there.
    Remove {
        /// The place.
        path: PointerBuf,
    },
    /// Replaces the value there.
    Replace {
        /// The place.
        path: PointerBuf,
        /// The new value.
        value: Value,
    },
    /// Removes the value at `from` and adds it at `path`.
    Move {
        /// The place from which the value is taken.
        from: PointerBuf,
        /// The place at which it is added.
        path: PointerBuf,
    },
    /// Adds the value at `from` also at `path`.
    Copy {
        /// The place of the value.
        from: PointerBuf,
        /// The place at which it is added.
        path: PointerBuf,
    },
    /// Fails unless the value there is equal to this one.
    Test {
        /// The place.
        path: PointerBuf,
        /// The value to compare with.
        value: Value,
    },
}

/// What is left in place of an operation that was taken.
impl Default for Operation {
    fn default() -> Self {
        Self::Remove { path: PointerBuf::new() }
    }
}

impl Patch {
    /// About the memory that it takes, in bytes, if it shares none of its values.
    pub fn weight(&self) -> u64 {
        self.0.iter().map(Operation::weight).sum()
    }
}

impl Operation {
    /// The place at which it works.
    pub fn path(&self) -> &PointerBuf {
        match self {
            Self::Add { path, .. }
            | Self::Remove { path }
            | Self::Replace { path, .. }
            | Self::Move { path, .. }
            | Self::Copy { path, .. }
            | Self::Test { path, .. } => path,
        }
    }

    /// Its name in JSON, its `from` and its `value`.
    fn parts(&self) -> (&'static str, Option<&PointerBuf>, Option<&Value>) {
        match self {
            Self::Add { value, .. } => ("add", None, Some(value)),
            Self::Remove { .. } => ("remove", None, None),
            Self::Replace { value, .. } => ("replace", None, Some(value)),
            Self::Move { from, .. } => ("move", Some(from), None),
            Self::Copy { from, .. } => ("copy", Some(from), None),
            Self::Test { value, .. } => ("test", None, Some(value)),
        }
    }

    fn weight(&self) -> u64 {
        let (_, from, value) = self.parts();
        let pointers = self.path().len() + from.map_or(0, |from| from.len());
        (size_of::<Self>() + pointers) as u64 + value.map_or(0, |value| value.weight())
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (op, from, value) = self.parts();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("op", op)?;
        if let Some(from) = from {
            map.serialize_entry("from", from.as_str())?;
        }
        map.serialize_entry("path", self.path().as_str())?;
        if let Some(value) = value {
            map.serialize_entry("value", value)?;
        }
        map.end()
    }
}

impl From<json_patch::Patch> for Patch {
    fn from(patch: json_patch::Patch) -> Self {
        Self(patch.0.into_iter().map(Operation::from).collect())
    }
}

impl From<json_patch::PatchOperation> for Operation {
    fn from(operation: json_patch::PatchOperation) -> Self {
        use json_patch::PatchOperation::{Add, Copy, Move, Remove, Replace, Test};
        match operation {
            Add(add) => Self::Add { path: add.path, value: add.value.into() },
            Remove(remove) => Self::Remove { path: remove.path },
            Replace(replace) => Self::Replace { path: replace.path, value: replace.value.into() },
            Move(moving) => Self::Move { from: moving.from, path: moving.path },
            Copy(copy) => Self::Copy { from: copy.from, path: copy.path },
            Test(test) => Self::Test { path: test.path, value: test.value.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::parse;

    #[test]
    fn a_patch_of_json_patch_becomes_that_of_its_text() {
        let text = r#"[{"op":"add","path":"/a","value":[1.5,null]},{"op":"remove","path":"/b"},{"op":"replace","path":"","value":{}},{"op":"move","from":"/a","path":"/c/-"},{"op":"copy","from":"/c","path":"/~1"},{"op":"test","path":"/x","value":"y"}]"#;
        let patch = parse(text).unwrap();
        let theirs: json_patch::Patch = serde_json::from_str(text).unwrap();
        assert_eq!(Patch::from(theirs), patch);
        assert_eq!(serde_json::to_string(&patch).unwrap(), text);
    }
}
