//! JSON values that take little memory, change in little time, and are shared.
//!
//! # The shape
//!
//! A [`Value`] takes 16 bytes. Short content is in place: null, booleans, numbers, a text of up to 14 bytes.
//! Anything longer is behind one counted reference:
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
//! tree also has a byte of a hash of each of its names. So a member is found by a look at 64 bytes in a row
//! and then, nearly always, at one name. In a row of at most 32 members all names are compared, and no branch
//! depends on which one is found; sorted rows are searched without such branches too.
//!
//! **Sharing.** A clone of a value is one more reference to the same memory. A change copies the rows on its
//! way if they are shared, and is done in place if not. So a reader keeps a clone, and neither readers nor
//! writers wait.
//!
//! **Changes.** No function returns a mutable reference to an item. A change is a closure that is handed down
//! to the item ([`Value::change_member`]), so that the sums of all containers around it are brought up to
//! date on the way back. Values are swapped with those of the caller ([`Value::swap_member`]).
//!
//! **Sums.** Every container knows its weight and its depth, and a tree also those of its parts. Both depend
//! on the value alone, never on the shape of its memory: nodes decide by them whether a patch applies.
//!
//! **Text.** Values are read from JSON text and written as JSON text directly: members sorted by the bytes of
//! their names, of several members of one name the last one, numbers exact. The text is byte for byte that of
//! serde_json's `Value`. The rows of a long container are made while it is read. [`TextPieces`] writes at a
//! reader's pace.
//!
//! **Freeing.** To free 100 MB takes 50 ms and more. That is for a thread outside this module, and
//! [`Value::has_alone_more_than`] says, without a walk over the whole value, whether the thread is worth it.
//!
//! `cargo bench --bench document` compares all of that with serde_json's `Value`.
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
//! imbl's vector takes 158 µs for an insertion inside a million elements; this takes 0.5 µs. To share the
//! names of equal objects, a table of all lists of names is needed, and each insertion has to leave its list:
//! not worth it. Rows of 32, 128 or 256 made no difference. If the hashes of names are in the parent of a row
//! instead of beside it, a row of trees takes 7 KiB instead of 3, and a write beside a clone copies that.
//! Mutable references to items instead of closures would need `unsafe` code, or a second allocation for each
//! small container.

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
pub use value::{Value, ValueKind};

use name::INLINE_BYTES;

/// Bytes behind one reference.
type Bytes = triomphe::ThinArc<(), u8>;

/// The weight of every value, and of every member's name.
const VALUE_WEIGHT: u32 = 16;

/// The additional weight of an array or an object.
const CONTAINER_WEIGHT: u32 = 24;

/// The additional weight of a name or a text that is not in place, besides its length.
const LONG_WEIGHT: u32 = 16;

/// The weight of a name of this many bytes.
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
