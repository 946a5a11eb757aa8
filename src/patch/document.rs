//! The document, and the limits that it and its patches keep.

mod application;
mod measure;
mod place;

use json_patch::Patch;
use serde_json::{Map, Value};

use super::Pointer;
use super::error::PatchError;
use application::Application;
use measure::{Measure, VALUE_WEIGHT};
use place::resolve;

pub use measure::weight;

/// How many arrays and objects may lie in one another. With the value in the innermost one this
/// makes 128 levels, the most that serde_json reads back.
pub const MAX_DEPTH: usize = 127;

/// The greatest weight of a document: 1 GiB. Every value weighs 32 bytes and those of its string,
/// every member's name 32 bytes and its own. This is about the memory that the
/// document takes, and independent of the machine.
pub const MAX_WEIGHT: u64 = 1 << 30;

/// The greatest effort that one patch may be: the weight of what it copies or has to measure to
/// move, and one for each array element that it shifts. Without it a patch of a megabyte could copy
/// and remove gigabytes thousands of times over.
pub const MAX_EFFORT: u64 = 1 << 30;

/// A JSON value that patches are applied to; at first `{}`.
///
/// Invariants: `weight` is the weight of `root` and at most [`MAX_WEIGHT`]; `root` is at most
/// [`MAX_DEPTH`] deep. Its JSON text can therefore always be read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    root: Value,
    weight: u64,
}

impl Default for Document {
    fn default() -> Self {
        Self { root: Value::Object(Map::new()), weight: VALUE_WEIGHT }
    }
}

impl Document {
    /// A document with this content; none where it passes [`MAX_DEPTH`] or [`MAX_WEIGHT`].
    pub fn new(root: Value) -> Option<Self> {
        let Measure { weight, depth } = Measure::of(&root);
        (weight <= MAX_WEIGHT && depth <= MAX_DEPTH).then_some(Self { root, weight })
    }

    /// The content.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The part of the content at `pointer`; none where there is nothing.
    pub fn get(&self, pointer: &Pointer) -> Option<&Value> {
        resolve(&self.root, pointer.as_str()).ok()
    }

    /// Its weight, as [`MAX_WEIGHT`] defines it.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Applies the operations of `patch` in their order, all of them or none, and gives back the
    /// inverse: the patch that makes the new document the old one again.
    ///
    /// # Errors
    /// The first operation that does not apply. The document is then what it was.
    pub fn apply(&mut self, patch: Patch) -> Result<Patch, PatchError> {
        let mut application = Application::new(self, patch, MAX_EFFORT);
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
        // Every state on the way back is one from the way forth, so no limit is passed.
        let mut application = Application::new(self, inverse, u64::MAX);
        application.run().expect("an inverse applies to what its patch left");
    }
}
