//! JSON Patch (RFC 6902): reading one, and applying it to a document whole or not at all.
//!
//! Rules:
//! - [`Document::apply`] gives back the patch's inverse, which is a JSON Patch too; or an error, and
//!   then the document is what it was, byte for byte.
//! - No input panics, and no input makes it work without bound: a document has a greatest depth
//!   ([`MAX_DEPTH`]) and weight ([`MAX_WEIGHT`]), a patch a greatest effort ([`MAX_EFFORT`]).
//! - Whether a patch applies depends on the patch and the document alone. These limits are part of
//!   the protocol: a node with others would come to another document than its peers.
//!
//! The types of a patch and of its pointers are json-patch's and jsonptr's. Their reader is not used,
//! since it takes `["add","/a",1]` for an operation and overlooks members given twice; nor is
//! json-patch's `patch`, which loses values where it fails (see README).

mod build;
mod document;
mod equality;
mod error;
mod merge;
mod parse;
mod part;

pub use build::assert_json_is_as_agreed;
pub use document::{Document, MAX_DEPTH, MAX_EFFORT, MAX_WEIGHT, weight};
pub use equality::equal;
pub use error::{PatchError, Reason};
pub use json_patch::jsonptr::{Pointer, PointerBuf};
pub use json_patch::{Patch, PatchOperation};
pub use merge::merge;
pub use parse::parse;
pub use part::{merge_part, of_part};
