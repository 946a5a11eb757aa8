//! JSON values that take little memory, change in little time, and are shared.
//!
//! # The shape
//!
//! A [`Value`] takes 16 bytes. What is short is in it: null, booleans, numbers, a text of up to 14 bytes.
//! What is not is behind one reference, which is counted:
//!
//! ```text
//! "a text that is longer"   → its bytes
//! [1,2,3]                   → up to 64 elements in a row, 16 bytes each
//! {"a":1,"b":[]}            → up to 64 members in a row, sorted by name: 16 bytes for the name, which is in
//!                             place up to 14 bytes, and 16 for the value
//! larger ones               → a row of trees ─┬─ a row of up to 64 items
//!                                             ├─ a row of up to 64 items
//!                                             └─ ...   (a B+-tree: all rows of items are equally deep)
//! ```
//!
//! A small container has a row of its own length, with some room at its end once it has grown. A row of a
//! tree has a byte of a hash of each of its names, so that a member is found by looking at 64 bytes in a row
//! and, as good as always, at one name. In a row of at most 32 members all names are compared, with no branch
//! that depends on which is found; what is ordered is searched without such branches too.
//!
//! **Sharing.** A clone of a value is one more reference to the same memory. A change copies the rows on
//! the way to what it changes, if somebody else holds them too, and is done in place if nobody does. So
//! whoever reads keeps a clone and nobody waits for anybody.
//!
//! **Changes.** Nothing hands out a reference to an item that could be changed: the change is a closure which
//! is handed down to the item ([`Value::change_member`]), so that the sums of all containers around it are
//! settled on the way back. Values change places with those of the caller ([`Value::swap_member`]).
//!
//! **Sums.** Every container knows its weight and its depth, and a tree those of its parts; a change brings
//! them up to date on its way back. Both are functions of the value alone, never of the shape that its
//! history left: nodes decide by them whether a patch applies.
//!
//! **Text.** Values are read from and written as JSON text without anything in between: sorted by the bytes
//! of the names, of several members of one name the last one, numbers exact. What is written is byte for
//! byte what serde_json's `Value` would be. The rows of a long container are made while it is read.
//! [`TextPieces`] writes at a reader's pace.
//!
//! **The end.** To free what nobody holds any more takes 50 ms and more for 100 MB: that is for a thread
//! outside this module, and [`Value::has_alone_more_than`] says without a walk over everything whether it is worth it.
//!
//! `cargo bench --bench document` measures all of that beside serde_json's `Value`.
//!
//! # What else was tried
//!
//! Measured on a document of 200,000 members such as `{"online":true,"at":1763888400,"cursor":{"x":1,"y":2}}`,
//! in bytes of memory for each byte of text, and for a replacement by name in 100 MB:
//!
//! | | memory | replace |
//! | --- | --- | --- |
//! | serde_json's `Value` | 20.2 | 2.1 µs |
//! | ecow's vectors and strings, imbl's maps and vectors | 5.7 | 1.9 µs |
//! | B+-trees of `EcoVec`, values of 24 bytes | 4.5 | 2.0 µs |
//! | B+-trees of `ThinArc` everywhere, no hashes of names | 3.7 | 1.4 µs |
//! | this | 3.7 | 1.0 µs |
//! | this, with the names of equal objects shared | 2.6 | 1.0 µs |
//!
//! imbl's vector takes 158 µs for an insertion inside a million elements, this 0.5. Sharing the names of
//! objects that are alike needs a table of all such lists, and makes each insertion dissolve one: not worth
//! it. Rows of 32, 128 or 256 made no difference. With the hashes of names in the parent of a row instead of
//! beside it, a row of trees takes 7 KiB instead of 3, which a write beside a clone copies. References to items
//! instead of closures would need `unsafe` code, or a second allocation for each small container.

mod alone;
mod btree;
mod digest;
mod equality;
mod from_text;
mod item;
mod name;
mod run;
#[cfg(test)]
mod tests;
mod to_text;
mod value;

pub use digest::{Digest, Hash};
pub use equality::equal;
pub use to_text::TextPieces;
pub use value::{Kind, Value};

use name::INLINE_BYTES;

/// Bytes behind one reference.
type Bytes = triomphe::ThinArc<(), u8>;

/// What every value weighs, and every member's name.
const VALUE_WEIGHT: u32 = 16;

/// What an array or an object weighs besides.
const CONTAINER_WEIGHT: u32 = 24;

/// What a name or a text that is not in place weighs besides itself.
const LONG_WEIGHT: u32 = 16;

/// What a name of so many bytes weighs.
fn name_weight(bytes: usize) -> u32 {
    VALUE_WEIGHT + long_weight(bytes)
}

#[inline]
fn long_weight(bytes: usize) -> u32 {
    if bytes <= INLINE_BYTES {
        0
    } else {
        u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(LONG_WEIGHT)
    }
}
