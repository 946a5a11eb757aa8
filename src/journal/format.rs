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
//! - `LINES`, decimal: how many lines the batch has. With the last of them it is complete.
//! - `CHECKSUM`, eight lower-case hexadecimal digits: CRC-32 (ISO-HDLC, that of gzip) of the line's
//!   bytes before it, from the object's `{` to the dot.
//!
//! # Versions
//!
//! The header has version 1 until the first line that needs version 2: a transaction with a member that older
//! programs must not leave out, or a note. Before that line is written, the header is written again in its
//! place with version 2. The line is as long as before and within one sector, so that after any crash it is
//! there whole, in the one version or the other.
//!
//! It has version 3 once the journal goes on in another file.
//!
//! # Segments
//!
//! A journal is one text in a row of files, the segments. Each begins with a header; its other lines continue
//! the text of the segment before it. Positions of transactions, numbers of batches and offsets in the text
//! go on too, and never change when segments are removed. The header of each segment except the first says
//! where the segment begins, and which life was the newest there:
//!
//! ```text
//! {"patchmesh":"journal","version":3,"source":"filonenko~k3x9q2pd","begin":{"position":70000,"batch":812,"offset":8388700,"after":0}} "0.1/1.6be0d01c"
//! ```
//!
//! `after` is the position at which the segment before it begins. Spaces after the object lengthen the
//! header, so that what follows is as far from the edge of a sector in the file as in the text. Only the last
//! segment is written to. It is begun when all before it is durable, so only the last segment can be torn.
//!
//! A note is a line that is no transaction. It is a batch of its own. It has no position, and readers of
//! transactions check it and then ignore it. There is one kind of note: the journal goes on under a new life
//! of its name, which is its source from then on.
//!
//! ```text
//! {"patchmesh":"life","source":"filonenko~a1b2c3d4"} "2.1/1.3f00c2d1"
//! ```
//!
//! No line has a NUL byte. After the last line space may be reserved: NUL bytes up to the end of the file.
//!
//! # Torn or damaged
//!
//! A batch is written when the one before it is durable. So only the last batch can be torn, by a crash
//! before it was durable, and it was never acknowledged. What is missing of a torn batch was never written:
//! the file ends early, or whole sectors are NUL bytes. A wrong line is damaged, which means changed after it
//! was written, if the end of a line of a later batch follows, or if nothing is missing in this way.
//!
//! If only the first byte of the last batch, alone in its sector, or its last line feed is missing, the batch
//! is complete: these bytes are known, and the checksums say that all others are right.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json_text::push_number;
use crate::source::Source;

/// The version that a journal begins with.
pub const FIRST_VERSION: u32 = 1;

/// The version of notes, and of members that older programs must not leave out.
pub const NOTES_VERSION: u32 = 2;

/// The version of segments, the newest.
pub const SEGMENTS_VERSION: u32 = 3;

/// The beginning of every note, and of no transaction.
const NOTE: &str = "{\"patchmesh\":";

/// How many bytes a disk writes whole or not at all, at least.
pub const SECTOR_BYTES: u64 = 512;

/// The first byte of every line.
pub const FIRST_BYTE: u8 = b'{';

/// How many bytes a line has beside its object, at most.
pub const MAX_SEAL_BYTES: usize = 80;

/// The object of the first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    patchmesh: String,
    version: u32,
    /// The source of the node's journal when the journal began.
    pub source: Source,
    /// The newest life that is noted before the segment; none if none is noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Source>,
    /// Where the segment begins; none if it is the first segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<SegmentBegin>,
}

/// Where a segment begins, if it is not the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentBegin {
    /// How many transactions are before it.
    pub position: u64,
    /// The number of its first batch.
    pub batch: u64,
    /// The offset of that batch in the journal's text.
    pub offset: u64,
    /// The position at which the segment before it begins.
    pub after: u64,
}

/// The object of the note that the journal goes on under this life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeNote {
    patchmesh: String,
    source: Source,
}

/// Whether the line with this object is a note.
pub fn is_note(object: &str) -> bool {
    object.starts_with(NOTE)
}

impl LifeNote {
    /// A note that `source` begins.
    pub fn new(source: Source) -> Self {
        Self { patchmesh: "life".into(), source }
    }

    /// The object's text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a note always has a JSON text")
    }

    /// Reads a note.
    ///
    /// # Errors
    /// If it is no note that this program knows; in words.
    pub fn read(object: &str) -> Result<Source, String> {
        let note: Self =
            serde_json::from_str(object).map_err(|error| format!("not a note: {error}"))?;
        if note.patchmesh != "life" {
            return Err(format!("not a note that this program knows: {:?}", note.patchmesh));
        }
        Ok(note.source)
    }
}

/// Why a text is not a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It does not end with a seal.
    Unsealed,
    /// Its checksum is wrong.
    Checksum,
}

/// Which line of its batch a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The number of the batch.
    pub batch: u64,
    /// Which line of it, from 1 on.
    pub line: u64,
    /// How many lines the batch has.
    pub lines: u64,
}

/// One line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedLine<'a> {
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
        let patchmesh = "journal".into();
        Self { patchmesh, version: FIRST_VERSION, source, life: None, begin: None }
    }

    /// The header of the next segment.
    pub fn next(&self, life: Option<Source>, begin: SegmentBegin) -> Self {
        Self { version: SEGMENTS_VERSION, life, begin: Some(begin), ..self.clone() }
    }

    /// The position at which the segment begins.
    pub fn position(&self) -> u64 {
        self.begin.map_or(0, |begin| begin.position)
    }

    /// The same header with the version `to`; none if it has that version or a newer one.
    pub fn raised(&self, to: u32) -> Option<Self> {
        (self.version < to).then(|| Self { version: to, ..self.clone() })
    }

    /// The header of a copy of the journal from this segment on, for another source.
    pub fn of_copy(&self, source: Source) -> Self {
        let version = match self.begin {
            None => self.version.min(NOTES_VERSION),
            Some(_) => self.version,
        };
        Self { version, source, life: None, ..self.clone() }
    }

    /// Reads the object of the first line.
    ///
    /// # Errors
    /// If it is no header, or has an unknown version; in words.
    pub fn read(object: &str) -> Result<Self, String> {
        let header: Self =
            serde_json::from_str(object).map_err(|error| format!("not a header: {error}"))?;
        if header.patchmesh != "journal" {
            return Err(format!("not the header of a journal but of a {:?}", header.patchmesh));
        }
        if !(FIRST_VERSION..=SEGMENTS_VERSION).contains(&header.version) {
            return Err(format!(
                "a journal of version {}, and this program knows versions {FIRST_VERSION} to \
                 {SEGMENTS_VERSION}",
                header.version
            ));
        }
        Ok(header)
    }

    /// The header's line.
    pub fn line(&self) -> Vec<u8> {
        let mut object = serde_json::to_string(self).expect("a header always has a JSON text");
        let seal = Seal { batch: 0, line: 1, lines: 1 };
        let mut line = Vec::new();
        push_line(&mut line, &object, seal);
        if let Some(begin) = &self.begin {
            let beyond = (begin.offset % SECTOR_BYTES + SECTOR_BYTES
                - line.len() as u64 % SECTOR_BYTES)
                % SECTOR_BYTES;
            object.extend(std::iter::repeat_n(' ', beyond as usize));
            line.clear();
            push_line(&mut line, &object, seal);
        }
        line
    }
}

/// Appends a line.
pub fn push_line(out: &mut Vec<u8>, object: &str, seal: Seal) {
    let start = out.len();
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b" \"");
    for (number, end) in [(seal.batch, b'.'), (seal.line, b'/'), (seal.lines, b'.')] {
        push_number(out, number);
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

/// Appends the note that the journal goes on under `life`, as the batch `batch`.
pub fn push_life(out: &mut Vec<u8>, life: &Source, batch: u64) {
    push_line(out, &LifeNote::new(life.clone()).text(), Seal { batch, line: 1, lines: 1 });
}

/// Reads a line, without its line feed.
///
/// # Errors
/// If it is not a valid line.
pub fn read_line(line: &[u8]) -> Result<SealedLine<'_>, LineError> {
    let (sealed, seal, checksum) = split(line).ok_or(LineError::Unsealed)?;
    if crc32fast::hash(sealed) != checksum {
        return Err(LineError::Checksum);
    }
    let object = sealed.iter().rposition(|byte| *byte == b' ').map(|end| &sealed[..end]);
    let object = object.and_then(|object| std::str::from_utf8(object).ok());
    let object = object.ok_or(LineError::Unsealed)?;
    Ok(SealedLine { object, seal })
}

/// The seal at the end of a text, without a look at the checksum.
pub fn read_seal(text: &[u8]) -> Option<Seal> {
    split(text).map(|(_, seal, _)| seal)
}

/// Checks a line that is not wholly in memory, and returns its seal. `end` is its last part, with
/// [`MAX_SEAL_BYTES`] bytes at least, or the whole line; `sum` is the checksum of what is before that.
///
/// # Errors
/// If it is not a valid line.
pub fn check_end(mut sum: crc32fast::Hasher, end: &[u8]) -> Result<Seal, LineError> {
    let (sealed, seal, checksum) = split(end).ok_or(LineError::Unsealed)?;
    sum.update(sealed);
    if sum.finalize() == checksum { Ok(seal) } else { Err(LineError::Checksum) }
}

/// The bytes under the checksum, the seal, and the checksum.
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

/// Exactly eight lower-case digits, so that every changed byte is found.
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

/// Decimal digits only: the standard parser would accept a sign.
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
        assert_eq!(read_line(text), Ok(SealedLine { object, seal }));
        assert_eq!(read_seal(&text[10..]), Some(seal));
    }

    #[test]
    fn a_transaction_costs_about_twenty_bytes_beside_its_line() {
        let object = r#"{"a":1}"#;
        for batch in [1, 1000, 1_000_000] {
            let seal = Seal { batch, line: 1, lines: 1 };
            let bytes = line(object, seal).len() - object.len();
            assert!((16..=24).contains(&bytes), "{bytes}");
        }
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
    fn a_header_is_one_of_a_known_version() {
        let header = Header::new("a~1".parse().unwrap());
        let text = header.line();
        let text = text.strip_suffix(b"\n").unwrap();
        assert_eq!(Header::read(read_line(text).unwrap().object), Ok(header.clone()));
        let raised = header.raised(NOTES_VERSION).unwrap();
        assert_eq!(raised.raised(NOTES_VERSION), None);
        let text = raised.line();
        assert_eq!(text.len(), header.line().len());
        let text = text.strip_suffix(b"\n").unwrap();
        assert_eq!(Header::read(read_line(text).unwrap().object), Ok(raised));
        for version in [0, 4, 10] {
            let other = format!(r#"{{"patchmesh":"journal","version":{version},"source":"a~1"}}"#);
            let why = Header::read(&other).unwrap_err();
            assert!(why.contains(&format!("version {version},")), "{why}");
        }
        assert!(Header::read(r#"{"a":1}"#).is_err());
    }

    #[test]
    fn a_segment_is_as_far_from_a_sector_as_its_text() {
        let header = Header::new("a~1".parse().unwrap());
        for offset in [1, 511, 512, 513, 1000, 8 << 20, (8 << 20) + 77] {
            let begin = SegmentBegin { position: 7, batch: 3, offset, after: 0 };
            let next = header.next(Some("a~2".parse().unwrap()), begin);
            let line = next.line();
            assert_eq!(line.len() as u64 % SECTOR_BYTES, offset % SECTOR_BYTES);
            let text = line.strip_suffix(b"\n").unwrap();
            assert_eq!(Header::read(read_line(text).unwrap().object), Ok(next));
        }
    }

    #[test]
    fn the_longest_header_is_within_one_sector() {
        let name = "n".repeat(crate::source::MAX_NAME_BYTES);
        let header = Header::new(Source::begin_life(&name, 1).unwrap());
        assert!(header.line().len() as u64 <= SECTOR_BYTES);
    }

    #[test]
    fn a_note_is_no_transaction() {
        let life: Source = "a~b".parse().unwrap();
        let text = LifeNote::new(life.clone()).text();
        assert!(is_note(&text));
        assert_eq!(LifeNote::read(&text), Ok(life));
        assert!(LifeNote::read(r#"{"patchmesh":"death","source":"a~b"}"#).is_err());
        assert!(!is_note(r#"{"Source":"a~b","Id":1,"Payload":"[]","Time":1}"#));
    }
}
