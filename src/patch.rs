//! JSON Patch (RFC 6902): reading one, and applying it to a document whole or not at all.
//!
//! Rules:
//! - [`Document::apply`] gives back the patch's inverse, which is a JSON Patch too; or an error, and
//!   then the document is what it was, byte for byte.
//! - No input panics, and no input makes it work without bound: a document has a greatest depth
//!   ([`MAX_DEPTH`]) and weight ([`MAX_WEIGHT`]), and a patch copies a greatest weight ([`MAX_COPIED`]).
//! - Whether a patch applies depends on the patch and the document alone. These limits are part of
//!   the protocol: a node with others would come to another document than its peers.
//!
//! A patch's values share memory with the documents that they are put into and taken from, so its types are
//! our own; those of json-patch become them. Its pointers are jsonptr's. json-patch's reader is not used,
//! since it takes `["add","/a",1]` for an operation and overlooks members given twice; nor is its
//! `patch`, which loses values if it fails (see README).

mod build;
mod cut;
mod document;
mod error;
mod merge;
mod need;
mod operation;
mod parse;
mod part;
mod relative;

pub use build::assert_json_is_as_agreed;
pub use cut::Cut;
pub use document::{Document, MAX_COPIED, MAX_DEPTH, MAX_WEIGHT, find};
pub use error::{PatchError, Reason};
pub use json_patch::jsonptr::{Pointer, PointerBuf};
pub use merge::merge;
pub use need::{Finding, NoRequirement, Requirement};
pub use operation::{Operation, Patch};
pub use parse::parse;
pub use part::{merge_part, of_part};
pub use relative::within_part;
