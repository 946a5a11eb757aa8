//! The text of a journal on disk, to the byte.
//!
//! A file of lines, each with its checksum, that `less` shows and `jq objects` reads:
//!
//! ```text
//! {"patchmesh":"journal","version":1,"source":"filonenko~k3x9q2pd"} "0.1/1.5d1c2a90"
//! {"Source":"filonenko~k3x9q2pd","Id":1,"Payload":"[...]","Time":1763888400123456} "1.1/2.07f9b3c4"
//! {"Source":"filonenko~k3x9q2pd","Id":2,"Payload":"[...]","Time":1763888400123457} "1.2/2.91be0d22"
//! ```
//!
//! A line is a JSON object, a space, a JSON string and a line feed. The string is
//! `BATCH.LINE/LINES.CHECKSUM`:
//! - `BATCH`, decimal: which batch the line belongs to. The header is batch 0; batches count up by one.
//! - `LINE`, decimal: which line of its batch it is, from 1 on.
//! - `LINES`, decimal: how many lines the batch has. It is complete with the line that is the last of
//!   them.
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
//! the file ends early, or whole sectors of it are NUL bytes. Where a line is wrong, and the end of a
//! line of a later batch follows, or nothing is missing in this way, then what is there was changed
//! after it was written: it is damaged.
//!
//! Where nothing is missing of the last batch but its first byte, alone in its sector, or its last line
//! feed, the batch is complete: what these are is known, and the checksums say that all else is right.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source::Source;

/// The version of the format.
pub const VERSION: u32 = 1;

/// What a disk writes whole or not at all, at the least, in bytes.
pub const SECTOR_BYTES: u64 = 512;

/// What every line begins with.
pub const FIRST_BYTE: u8 = b'{';

/// How many bytes a line has beside its object, at the most.
pub const MAX_SEAL_BYTES: usize = 80;

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

/// Which line of which batch a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The batch.
    pub batch: u64,
    /// Which line of it, from 1 on.
    pub line: u64,
    /// How many lines it has.
    pub lines: u64,
}

/// One line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The JSON object.
    pub object: &'a str,
    /// Which line it is.
    pub seal: Seal,
}

impl Seal {
    /// The next line of the same batch; none after the last one.
    pub fn next(self) -> Option<Self> {
        (self.line < self.lines).then_some(Self { line: self.line + 1, ..self })
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {} of batch {}", self.line, self.lines, self.batch)
    }
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
        push_line(&mut line, &object, Seal { batch: 0, line: 1, lines: 1 });
        line
    }
}

/// Appends a line.
pub fn push_line(out: &mut Vec<u8>, object: &str, seal: Seal) {
    let start = out.len();
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b" \"");
    for (number, end) in [(seal.batch, b'.'), (seal.line, b'/'), (seal.lines, b'.')] {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        out.push(end);
    }
    let checksum = crc32fast::hash(&out[start..]);
    let digits: [u8; 8] = std::array::from_fn(|index| {
        b"0123456789abcdef"[(checksum >> (28 - 4 * index) & 15) as usize]
    });
    out.extend_from_slice(&digits);
    out.extend_from_slice(b"\"\n");
}

/// Appends a batch of at least one line.
pub fn push_batch<'a>(
    out: &mut Vec<u8>,
    objects: impl ExactSizeIterator<Item = &'a str>,
    batch: u64,
) {
    let lines = objects.len() as u64;
    for (line, object) in (1..).zip(objects) {
        push_line(out, object, Seal { batch, line, lines });
    }
}

/// Reads a line, without its line feed.
///
/// # Errors
/// Where it is none.
pub fn read_line(line: &[u8]) -> Result<Line<'_>, LineError> {
    let (sealed, seal, checksum) = split(line).ok_or(LineError::Unsealed)?;
    if crc32fast::hash(sealed) != checksum {
        return Err(LineError::Checksum);
    }
    let object = sealed.iter().rposition(|byte| *byte == b' ').map(|end| &sealed[..end]);
    let object = object.and_then(|object| std::str::from_utf8(object).ok());
    let object = object.ok_or(LineError::Unsealed)?;
    Ok(Line { object, seal })
}

/// Which line it is whose end `text` has, by its own account.
pub fn read_seal(text: &[u8]) -> Option<Seal> {
    split(text).map(|(_, seal, _)| seal)
}

/// What the checksum is of, the seal, and the checksum.
fn split(line: &[u8]) -> Option<(&[u8], Seal, u32)> {
    const CHECKSUM: usize = "00000000\"".len();
    let (sealed, checksum) = line.split_at_checked(line.len().checked_sub(CHECKSUM)?)?;
    let checksum = parse_checksum(checksum.strip_suffix(b"\"")?)?;
    let seal = sealed.iter().rposition(|byte| *byte == b' ').map(|start| &sealed[start..])?;
    let seal = std::str::from_utf8(seal).ok()?.strip_prefix(" \"")?.strip_suffix('.')?;
    let (batch, lines) = seal.split_once('.')?;
    let (line, lines) = lines.split_once('/')?;
    let [batch, line, lines] = [batch, line, lines].map(parse_number);
    Some((sealed, Seal { batch: batch?, line: line?, lines: lines? }, checksum))
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

/// Decimal digits only: no sign, which the standard parser takes.
fn parse_number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: &str, seal: Seal) -> Vec<u8> {
        let mut line = Vec::new();
        push_line(&mut line, object, seal);
        line
    }

    #[test]
    fn a_line_reads_back() {
        let object = r#"{"Payload":"[] \"1.2/2.3\""}"#;
        let seal = Seal { batch: 17, line: 3, lines: 12 };
        let text = line(object, seal);
        assert!(text.starts_with(br#"{"Payload":"[] \"1.2/2.3\""} "17.3/12."#));
        let (end, text) = text.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert_eq!(read_line(text), Ok(Line { object, seal }));
        assert_eq!(read_seal(&text[10..]), Some(seal));
    }

    #[test]
    fn no_byte_can_be_another_one() {
        let text = line(r#"{"a":1}"#, Seal { batch: 1, line: 1, lines: 1 });
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
