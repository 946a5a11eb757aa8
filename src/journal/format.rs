//! The text of a journal on disk, to the byte.
//!
//! A file of lines, each with its checksum, that `less` shows and `jq objects` reads:
//!
//! ```text
//! {"patchmesh":"journal","version":1,"source":"filonenko~k3x9q2pd"} "0.0.5d1c2a90"
//! {"Source":"filonenko~k3x9q2pd","Id":1,"Payload":"[...]","Time":1763888400123456} "1.1.07f9b3c4"
//! {"Source":"filonenko~k3x9q2pd","Id":2,"Payload":"[...]","Time":1763888400123457} "1.0.91be0d22"
//! ```
//!
//! A line is a JSON object, a space, a JSON string and a line feed. The string is `BATCH.LEFT.CHECKSUM`:
//! - `BATCH`, decimal: which batch the line belongs to. The header is batch 0; batches count up by one.
//! - `LEFT`, decimal: how many lines of this batch are left after this one. A batch is complete with
//!   the line that says 0.
//! - `CHECKSUM`, eight lower-case hexadecimal digits: CRC-32 (ISO-HDLC, that of gzip) of the line's
//!   bytes before it, from the object's `{` to the dot.
//!
//! No line has a NUL byte. Space may be reserved after the last line, which then is NUL bytes to the
//! end of the file.
//!
//! # Torn or damaged
//!
//! A batch is written when the one before it is durable. So only the last batch can be torn, by a crash
//! before it was durable, and then nobody was told of it; and what is missing of it was never written:
//! the file ends early, or whole sectors of it are NUL bytes. Where a line is wrong, and a line of a
//! later batch follows, or nothing is missing in this way, then what is there was changed after it was
//! written: it is damaged.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source::Source;

/// The version of the format.
pub const VERSION: u32 = 1;

/// What a disk writes whole or not at all, at the least, in bytes.
pub const SECTOR_BYTES: u64 = 512;

/// How many bytes a line has beside its object, at the most.
pub const MAX_SEAL_BYTES: usize = 64;

/// The object of the first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    patchmesh: String,
    version: u32,
    /// The source of the node whose journal this is.
    pub source: Source,
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It does not end as a line does.
    Unsealed,
    /// Its checksum is another one.
    Checksum,
}

/// One line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The JSON object.
    pub object: &'a str,
    /// Which batch it belongs to.
    pub batch: u64,
    /// How many lines of the batch are left.
    pub left: u64,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsealed => "the line has no batch and checksum at its end",
            Self::Checksum => "the line does not have its checksum",
        })
    }
}

impl Header {
    /// The header of a journal of this source.
    pub fn new(source: Source) -> Self {
        Self { patchmesh: "journal".into(), version: VERSION, source }
    }

    /// Reads the object of the first line.
    ///
    /// # Errors
    /// Where it is no header, or one of another version; in words.
    pub fn read(object: &str) -> Result<Self, String> {
        let header: Self =
            serde_json::from_str(object).map_err(|error| format!("not a header: {error}"))?;
        if header.patchmesh != "journal" {
            return Err(format!("not the header of a journal but of a {:?}", header.patchmesh));
        }
        if header.version != VERSION {
            return Err(format!(
                "a journal of version {}, and this program knows version {VERSION}",
                header.version
            ));
        }
        Ok(header)
    }

    /// The first line.
    pub fn line(&self) -> Vec<u8> {
        let object = serde_json::to_string(self).expect("a header always has a JSON text");
        let mut line = Vec::new();
        push_line(&mut line, &object, 0, 0);
        line
    }
}

/// Appends a line.
pub fn push_line(out: &mut Vec<u8>, object: &str, batch: u64, left: u64) {
    let start = out.len();
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(format!(" \"{batch}.{left}.").as_bytes());
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(format!("{checksum:08x}\"\n").as_bytes());
}

/// Appends a batch of at least one line.
pub fn push_batch<'a>(
    out: &mut Vec<u8>,
    objects: impl ExactSizeIterator<Item = &'a str>,
    batch: u64,
) {
    let count = objects.len() as u64;
    for (at, object) in objects.enumerate() {
        push_line(out, object, batch, count - 1 - at as u64);
    }
}

/// Reads a line, without its line feed.
///
/// # Errors
/// Where it is none.
pub fn read_line(line: &[u8]) -> Result<Line<'_>, LineError> {
    const CHECKSUM: usize = "00000000\"".len();
    let (sealed, checksum) = line
        .len()
        .checked_sub(CHECKSUM)
        .and_then(|at| line.split_at_checked(at))
        .ok_or(LineError::Unsealed)?;
    let checksum = checksum.strip_suffix(b"\"").and_then(parse_checksum);
    let checksum = checksum.ok_or(LineError::Unsealed)?;
    let line = parse_seal(sealed).ok_or(LineError::Unsealed)?;
    if crc32fast::hash(sealed) == checksum { Ok(line) } else { Err(LineError::Checksum) }
}

/// Exactly eight lower-case digits, so that no changed byte means the same.
fn parse_checksum(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |checksum: u32, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(checksum << 4 | u32::from(digit))
    })
}

fn parse_seal(sealed: &[u8]) -> Option<Line<'_>> {
    let sealed = std::str::from_utf8(sealed).ok()?.strip_suffix('.')?;
    let (rest, left) = sealed.rsplit_once('.')?;
    let (object, batch) = rest.rsplit_once(" \"")?;
    Some(Line { object, batch: parse_number(batch)?, left: parse_number(left)? })
}

/// Decimal digits only: no sign, which the standard parser takes.
fn parse_number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: &str, batch: u64, left: u64) -> Vec<u8> {
        let mut line = Vec::new();
        push_line(&mut line, object, batch, left);
        line
    }

    #[test]
    fn a_line_reads_back() {
        let object = r#"{"Payload":"[] \"1.2.3\""}"#;
        let text = line(object, 17, 3);
        assert!(text.starts_with(br#"{"Payload":"[] \"1.2.3\""} "17.3."#));
        let (end, text) = text.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert_eq!(read_line(text), Ok(Line { object, batch: 17, left: 3 }));
    }

    #[test]
    fn no_byte_can_be_another_one() {
        let text = line(r#"{"a":1}"#, 1, 0);
        let text = text.strip_suffix(b"\n").unwrap();
        for at in 0..text.len() {
            for byte in (0..=255).filter(|byte| *byte != text[at]) {
                let mut changed = text.to_vec();
                changed[at] = byte;
                assert!(read_line(&changed).is_err(), "{byte} at {at}");
            }
        }
        for length in 0..text.len() {
            assert!(read_line(&text[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_header_is_one_of_this_version() {
        let header = Header::new("a~1".parse().unwrap());
        let text = header.line();
        let text = text.strip_suffix(b"\n").unwrap();
        assert_eq!(Header::read(read_line(text).unwrap().object), Ok(header));
        let other = r#"{"patchmesh":"journal","version":2,"source":"a~1"}"#;
        assert!(Header::read(other).unwrap_err().contains("version 2"));
        assert!(Header::read(r#"{"a":1}"#).is_err());
    }
}
