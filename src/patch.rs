//! JSON Patch (RFC 6902): reading one, and applying it to a document whole or not at all.
//!
//! Rules:
//! - [`Document::apply`] returns the inverse of the patch, which is a JSON Patch too. If it returns an error,
//!   the document is what it was, byte for byte.
//! - No input causes a panic or unbounded work: the depth ([`MAX_DEPTH`]) and the weight ([`MAX_WEIGHT`]) of
//!   a document are limited, and so is the weight that a patch copies ([`MAX_COPIED`](apply::MAX_COPIED)).
//! - Whether a patch applies depends on the patch and the document alone. These limits are part of the
//!   protocol: a node with other limits would come to another document than its peers.
//!
//! The values of a patch share memory with the documents that they are put into and taken from. So the types
//! are our own, and those of json-patch can be converted; pointers are jsonptr's. json-patch's reader is not
//! used, since it accepts `["add","/a",1]` as an operation and overlooks a member that is given twice; nor is
//! its `patch`, which loses values when it fails (see README).

mod application;
mod apply;
mod build;
mod cut;
mod error;
mod merge;
mod need;
mod operation;
mod parse;
mod part;
mod pointer;
mod relative;

#[cfg(feature = "internals")]
pub use apply::MAX_COPIED;
pub use apply::{Document, MAX_DEPTH, MAX_WEIGHT, find};
pub use build::assert_json_is_as_agreed;
pub use cut::Cut;
#[cfg(test)]
pub use cut::tests::random_text;
pub use error::{PatchError, Reason};
pub use json_patch::jsonptr::{Pointer, PointerBuf};
#[cfg(feature = "internals")]
pub use merge::merge;
pub use need::{Finding, NoRequirement, Requirement};
pub use operation::{Operation, Patch};
pub use parse::parse;
pub use part::{merge_part, of_part};
pub use relative::within_part;
