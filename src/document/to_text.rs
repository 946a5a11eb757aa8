//! Writes values as JSON text.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::Value;
use super::item::Member;
use super::value::Repr;
use crate::json_text::{plain_length, push_escape};

/// About how many bytes a piece has.
const PIECE_BYTES: usize = 64 << 10;

impl Value {
    /// Its JSON text.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        write(self, &mut TextWriter { text: &mut text, most: usize::MAX, to: Vec::new() }, &[]);
        text
    }

    /// Its JSON text in pieces.
    pub fn pieces(&self) -> TextPieces {
        self.pieces_of(PIECE_BYTES)
    }

    /// Its JSON text in pieces of at least this many bytes each, except the last one.
    pub(crate) fn pieces_of(&self, bytes: usize) -> TextPieces {
        TextPieces { value: Some(self.clone()), from: TextPosition::new(), bytes }
    }
}

/// The JSON text of a value, in pieces of 64 KiB and a little more. No piece ends inside a character. This
/// holds the value as it was, and no piece of the text.
#[derive(Clone, Debug)]
pub struct TextPieces {
    /// None after the last piece.
    value: Option<Value>,
    /// Where the next piece begins.
    from: TextPosition,
    bytes: usize,
}

/// A position in the text of a value, from the outside in: in an array, which element; in an object, which
/// member, and whether in its name or in its value ([`IN_NAME`], [`IN_VALUE`]); in a string or a name, which
/// byte. It ends with the last container or string that is begun, so the beginning of the text is empty.
type TextPosition = Vec<usize>;

const IN_NAME: usize = 0;
const IN_VALUE: usize = 1;

impl Iterator for TextPieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let value = self.value.as_ref()?;
        let mut text = Vec::with_capacity(self.bytes + self.bytes / 8);
        let mut writer = TextWriter { text: &mut text, most: self.bytes, to: Vec::new() };
        if write(value, &mut writer, &self.from) {
            self.value = None;
        } else {
            // The innermost container has put its part first.
            self.from = writer.to;
            self.from.reverse();
        }
        Some(text)
    }
}

struct TextWriter<'a> {
    text: &'a mut Vec<u8>,
    /// From this length on no further item is begun.
    most: usize,
    /// The [`TextPosition`] at which writing stopped, from the inside out.
    to: TextPosition,
}

impl TextWriter<'_> {
    fn is_full(&self) -> bool {
        self.text.len() >= self.most
    }

    /// Stops writing at this item, and returns that the value is not complete.
    fn leave(&mut self, at: usize) -> bool {
        self.to.push(at);
        false
    }
}

/// Writes a value, from its beginning or from a position in it. Returns whether it is complete.
fn write(value: &Value, writer: &mut TextWriter, from: &[usize]) -> bool {
    let text = &mut *writer.text;
    match &value.0 {
        Repr::Null => text.extend_from_slice(b"null"),
        Repr::Bool(true) => text.extend_from_slice(b"true"),
        Repr::Bool(false) => text.extend_from_slice(b"false"),
        Repr::Int(number) => write_number(number, text),
        Repr::Uint(number) => write_number(number, text),
        Repr::Float(number) => write_number(number, text),
        Repr::Short(..) | Repr::Text(_) => {
            return write_text(value.text().unwrap_or_default(), writer, from);
        }
        Repr::Array { .. } | Repr::LongArray { .. } => {
            let Some(items) = value.array_items() else { return true };
            return write_items(|at| items.rows(at), b"[]", writer, from, write);
        }
        Repr::Object { .. } | Repr::LongObject { .. } => {
            let Some(items) = value.object_items() else { return true };
            return write_items(|at| items.rows(at), b"{}", writer, from, write_member);
        }
    }
    true
}

fn write_items<'a, T: 'a, R: Iterator<Item = &'a [T]>>(
    rows: impl FnOnce(usize) -> R,
    [open, close]: &[u8; 2],
    writer: &mut TextWriter,
    from: &[usize],
    write_item: impl Fn(&T, &mut TextWriter, &[usize]) -> bool,
) -> bool {
    let (mut at, mut inside) = match from {
        [] => {
            writer.text.push(*open);
            (0, &[][..])
        }
        [at, inside @ ..] => (*at, inside),
    };
    for item in rows(at).flatten() {
        let inside = std::mem::take(&mut inside);
        if inside.is_empty() {
            if writer.is_full() {
                return writer.leave(at);
            }
            if at > 0 {
                writer.text.push(b',');
            }
        }
        if !write_item(item, writer, inside) {
            return writer.leave(at);
        }
        at += 1;
    }
    writer.text.push(*close);
    true
}

fn write_member(member: &Member, writer: &mut TextWriter, from: &[usize]) -> bool {
    let (part, inside) = from.split_first().unwrap_or((&IN_NAME, &[]));
    if *part == IN_VALUE {
        return write(&member.value, writer, inside) || writer.leave(IN_VALUE);
    }
    if !write_text(member.name.bytes(), writer, inside) {
        return writer.leave(IN_NAME);
    }
    writer.text.push(b':');
    write(&member.value, writer, &[]) || writer.leave(IN_VALUE)
}

fn write_number(number: &impl Serialize, text: &mut Vec<u8>) {
    serde_json::to_writer(text, number).expect("a finite number always has a text");
}

/// Writes a string as serde_json does, from its beginning or from a byte in it. Returns whether it is
/// complete.
fn write_text(bytes: &[u8], writer: &mut TextWriter, from: &[usize]) -> bool {
    let text = &mut *writer.text;
    let mut rest = match from {
        [] => {
            text.push(b'"');
            bytes
        }
        [at, ..] => &bytes[*at..],
    };
    loop {
        let room = writer.most.saturating_sub(text.len());
        let near = &rest[..whole_characters(rest, room)];
        let plain = plain_length(near);
        text.extend_from_slice(&near[..plain]);
        let Some(byte) = near.get(plain) else {
            rest = &rest[plain..];
            break;
        };
        push_escape(text, *byte);
        rest = &rest[plain + 1..];
    }
    if !rest.is_empty() {
        return writer.leave(bytes.len() - rest.len());
    }
    text.push(b'"');
    true
}

/// The length of the characters that begin within the first `most` bytes.
fn whole_characters(bytes: &[u8], most: usize) -> usize {
    let Some(behind) = bytes.get(most..) else { return bytes.len() };
    most + behind.iter().take_while(|byte| **byte & 0xc0 == 0x80).count()
}

/// Shows a value as JSON text, a piece at a time, so that a caller who wants only the beginning can stop.
pub fn show(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut pieces = value.pieces();
    pieces.try_for_each(|piece| f.write_str(&String::from_utf8_lossy(&piece)))
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Null => serializer.serialize_unit(),
            Repr::Bool(value) => serializer.serialize_bool(*value),
            Repr::Int(number) => serializer.serialize_i64(*number),
            Repr::Uint(number) => serializer.serialize_u64(*number),
            Repr::Float(number) => serializer.serialize_f64(*number),
            Repr::Short(..) | Repr::Text(_) => {
                serializer.serialize_str(self.as_str().unwrap_or_default())
            }
            Repr::Array { .. } | Repr::LongArray { .. } => {
                let mut sequence = serializer.serialize_seq(Some(self.len()))?;
                self.elements().try_for_each(|element| sequence.serialize_element(element))?;
                sequence.end()
            }
            Repr::Object { .. } | Repr::LongObject { .. } => {
                let mut map = serializer.serialize_map(Some(self.len()))?;
                self.members().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}
