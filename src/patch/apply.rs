//! Applies patches to a document, within the limits of the protocol.

use super::Pointer;
use super::application::Application;
use super::error::PatchError;
use super::operation::Patch;
use super::pointer::resolve;
use crate::document::Value;

/// How deep arrays and objects may be nested. With the value in the innermost one this
/// makes 128 levels, the most that serde_json reads back.
pub const MAX_DEPTH: usize = 127;

/// The greatest weight of a document: 1 GiB. That is about the memory that it takes if it shares none, but
/// the same on every machine: 16 for each value and each member's name, 24 more for an array or an object, 16
/// and its length more for a text or a name of over 14 bytes.
pub const MAX_WEIGHT: u64 = 1 << 30;

/// The greatest weight that one patch may copy. A copy shares its memory at first, and takes memory of its
/// own when it is changed: without this limit a patch of a megabyte could make gigabytes by copying and
/// changing in turns, and its inverse would keep them.
pub const MAX_COPIED: u64 = 1 << 30;

/// A JSON value that patches are applied to; at first `{}`. A clone costs a reference.
///
/// Invariant: it weighs at most [`MAX_WEIGHT`] and is at most [`MAX_DEPTH`] deep. Its JSON text can
/// therefore always be read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(super) root: Value,
}

/// The part of a value at `pointer`; none if there is nothing.
pub fn find<'a>(value: &'a Value, pointer: &Pointer) -> Option<&'a Value> {
    resolve(value, pointer.as_str()).ok()
}

impl Default for Document {
    fn default() -> Self {
        Self { root: Value::object() }
    }
}

impl Document {
    /// A document with this content; none if it passes [`MAX_DEPTH`] or [`MAX_WEIGHT`].
    pub fn new(root: impl Into<Value>) -> Option<Self> {
        let root = root.into();
        (root.weight() <= MAX_WEIGHT && root.depth() <= MAX_DEPTH).then_some(Self { root })
    }

    /// The content.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The part of the content at `pointer`; none if there is nothing.
    pub fn get(&self, pointer: &Pointer) -> Option<&Value> {
        find(&self.root, pointer)
    }

    /// Its weight, as [`MAX_WEIGHT`] defines it.
    pub fn weight(&self) -> u64 {
        self.root.weight()
    }

    /// Applies the operations of `patch` in their order, all of them or none, and returns the inverse: the
    /// patch that makes the new document the old one again.
    ///
    /// # Errors
    /// The first operation that does not apply. The document is then what it was.
    pub fn apply(&mut self, patch: Patch) -> Result<Patch, PatchError> {
        let mut application = Application::new(self, patch, MAX_COPIED);
        let applied = application.run();
        let inverse = application.inverse();
        match applied {
            Ok(()) => Ok(inverse),
            Err(error) => {
                self.revert(inverse);
                Err(error)
            }
        }
    }

    /// Takes back a patch by the inverse that [`apply`](Self::apply) gave for it. The document must
    /// be the one which that patch left.
    pub fn revert(&mut self, inverse: Patch) {
        // Every state on the way back was one on the way forward, so no limit is passed.
        let mut application = Application::new(self, inverse, u64::MAX);
        application.run().expect("an inverse applies to what its patch left");
    }
}
