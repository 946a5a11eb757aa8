//! From values to JSON text.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::Value;
use super::value::Repr;

/// About how many bytes are written at once.
const PIECE_BYTES: usize = 64 << 10;

impl Value {
    /// Its JSON text.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        write(self, &mut Writer { text: &mut text, most: usize::MAX, to: Vec::new() }, &[]);
        text
    }

    /// Its JSON text in pieces.
    pub fn pieces(&self) -> Pieces {
        self.pieces_of(PIECE_BYTES)
    }

    /// Its JSON text in pieces of at least so many bytes each, but for the last one.
    pub(crate) fn pieces_of(&self, bytes: usize) -> Pieces {
        Pieces { value: Some(self.clone()), from: Vec::new(), bytes }
    }
}

/// The JSON text of a value, in pieces of about 64 KiB: more only for a text that is longer itself. It
/// holds the value as it was, and no piece.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// None after the last piece.
    value: Option<Value>,
    /// Where to go on: which item of the value, which of that one, and so on.
    from: Vec<usize>,
    bytes: usize,
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let value = self.value.as_ref()?;
        let mut text = Vec::with_capacity(self.bytes + self.bytes / 8);
        let mut writer = Writer { text: &mut text, most: self.bytes, to: Vec::new() };
        if write(value, &mut writer, &self.from) {
            self.value = None;
        } else {
            // The innermost container has put its place first.
            self.from = writer.to;
            self.from.reverse();
        }
        Some(text)
    }
}

struct Writer<'a> {
    text: &'a mut Vec<u8>,
    /// From this length on no further item is begun.
    most: usize,
    /// Where the writing was left, from the inside out.
    to: Vec<usize>,
}

/// Writes a value, from the place `from` in it on; whether it is complete.
fn write(value: &Value, writer: &mut Writer, from: &[usize]) -> bool {
    let text = &mut *writer.text;
    match &value.0 {
        Repr::Null => text.extend_from_slice(b"null"),
        Repr::Bool(true) => text.extend_from_slice(b"true"),
        Repr::Bool(false) => text.extend_from_slice(b"false"),
        Repr::Int(number) => push_number(text, *number),
        Repr::Uint(number) => push_number(text, *number),
        Repr::Float(number) => {
            serde_json::to_writer(text, number).expect("a finite number always has a text");
        }
        Repr::Short(..) | Repr::Text(_) => push_text(text, value.text().unwrap_or_default()),
        Repr::Array { .. } | Repr::LongArray { .. } => {
            let Some(items) = value.array_items() else { return true };
            let rows = |at| items.rows(at);
            return write_items(rows, b"[]", writer, from, |element, writer, from, _| {
                write(element, writer, from)
            });
        }
        Repr::Object { .. } | Repr::LongObject { .. } => {
            let Some(items) = value.object_items() else { return true };
            let rows = |at| items.rows(at);
            return write_items(rows, b"{}", writer, from, |member, writer, from, is_begun| {
                if !is_begun {
                    push_text(writer.text, member.name.bytes());
                    writer.text.push(b':');
                }
                write(&member.value, writer, from)
            });
        }
    }
    true
}

fn write_items<'a, T: 'a, R: Iterator<Item = &'a [T]>>(
    rows: impl FnOnce(usize) -> R,
    [open, close]: &[u8; 2],
    writer: &mut Writer,
    from: &[usize],
    write_item: impl Fn(&T, &mut Writer, &[usize], bool) -> bool,
) -> bool {
    let (mut at, mut inside) = match from.split_first() {
        None => {
            writer.text.push(*open);
            (0, &[][..])
        }
        Some((at, inside)) => (*at, inside),
    };
    for item in rows(at).flatten() {
        let is_begun = !inside.is_empty();
        if !is_begun {
            if writer.text.len() >= writer.most {
                writer.to.push(at);
                return false;
            }
            if at > 0 {
                writer.text.push(b',');
            }
        }
        if !write_item(item, writer, std::mem::take(&mut inside), is_begun) {
            writer.to.push(at);
            return false;
        }
        at += 1;
    }
    writer.text.push(*close);
    true
}

fn push_number(text: &mut Vec<u8>, number: impl itoa::Integer) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a string as serde_json does.
fn push_text(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push(b'"');
    let mut rest = bytes;
    while let Some(plain) = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        text.extend_from_slice(&rest[..plain]);
        let byte = rest[plain];
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            0x08 => text.extend_from_slice(b"\\b"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            0x0c => text.extend_from_slice(b"\\f"),
            b'\r' => text.extend_from_slice(b"\\r"),
            _ => {
                text.extend_from_slice(b"\\u00");
                let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
                text.extend_from_slice(&digits);
            }
        }
        rest = &rest[plain + 1..];
    }
    text.extend_from_slice(rest);
    text.push(b'"');
}

/// Shows it as JSON text, a piece at a time, so that whoever wants its beginning only can stop.
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
