//! The files beside the journal that spare a start from reading all of it: checkpoints and bases.
//!
//! Each is a file of three lines in the journal's format, all of batch 0: a header for the journal, a summary
//! for the replica, and the document.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::format::{MAX_SEAL_BYTES, Seal, check_end, push_line, read_line};
use super::reader::Marks;
use super::scan::{Damage, DamageCause, Expected};
use crate::source::Source;
use crate::transaction::Place;

/// The beginnings of the files' names, before a number of [`DIGITS`] digits or more.
pub(super) const CHECKPOINT: &str = "checkpoint-";
pub(super) const BASE: &str = "base-";
pub(super) const SEGMENT: &str = "journal-";

/// The least number of digits in a name, so that names are in the order of their numbers.
const DIGITS: usize = 16;

/// The versions of the formats.
const CHECKPOINT_VERSION: u32 = 1;
const BASE_VERSION: u32 = 1;

/// How many bytes are read at once, if not all of them are to be in memory.
const CHUNK_BYTES: usize = 1 << 20;

/// How many lines a file has.
const LINES: u64 = 3;

/// A checkpoint as it is in its file.
#[derive(Debug)]
pub struct StoredCheckpoint {
    /// How many transactions the journal had.
    pub length: u64,
    /// The newest life in the journal's notes, if there is one.
    pub life: Option<Source>,
    /// The offsets of the journal's lines, up to the one from which it is read on.
    pub marks: Marks,
    /// The journal's last record.
    pub last: Place,
    /// The content of the replica without the document.
    pub summary: String,
    /// The document's text.
    pub document: Vec<u8>,
}

/// A base as it is in its file. It stands for the part of the journal before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBase {
    /// All transactions before this position are in the base, or do not count.
    pub position: u64,
    /// The content of the replica without the document.
    pub summary: String,
    /// The document's text.
    pub document: Vec<u8>,
}

/// The object of a checkpoint's first line.
#[derive(Serialize, Deserialize)]
struct CheckpointHeader {
    patchmesh: String,
    version: u32,
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life: Option<Source>,
    #[serde(flatten)]
    marks: Marks,
    last: Place,
}

/// The object of a base's first line.
#[derive(Serialize, Deserialize)]
struct BaseHeader {
    patchmesh: String,
    version: u32,
    source: Source,
    position: u64,
}

impl StoredCheckpoint {
    /// The text of the file, for a journal of `source`.
    pub(super) fn text(self, source: &Source) -> Vec<u8> {
        let Self { life, marks, last, summary, document, .. } = self;
        let (patchmesh, version) = ("checkpoint".into(), CHECKPOINT_VERSION);
        let source = source.clone();
        let header = CheckpointHeader { patchmesh, version, source, life, marks, last };
        text(&header, &summary, &document)
    }
}

impl StoredBase {
    /// The text of the file, for a journal of `source`.
    pub fn text(&self, source: &Source) -> Vec<u8> {
        let (patchmesh, version) = ("base".into(), BASE_VERSION);
        let (source, position) = (source.clone(), self.position);
        let header = BaseHeader { patchmesh, version, source, position };
        text(&header, &self.summary, &self.document)
    }

    /// Reads the text of a file, and returns also the source of its journal.
    ///
    /// # Errors
    /// If it cannot be used; in words.
    pub fn read(text: Vec<u8>) -> Result<(Source, Self), String> {
        let (header, summary, document) = read::<BaseHeader>(text)?;
        let BaseHeader { patchmesh, version, source, position } = header;
        if patchmesh != "base" || version != BASE_VERSION {
            return Err(format!("it is no base of version {BASE_VERSION}"));
        }
        Ok((source, Self { position, summary, document }))
    }

    /// Whether a file that begins with this line begins with a base.
    pub fn is_first_line(line: &[u8]) -> bool {
        let header = read_line(line).ok();
        header.is_some_and(|line| serde_json::from_str::<BaseHeader>(line.object).is_ok())
    }

    /// How many lines a base has.
    pub const LINES: u64 = LINES;
}

/// Reads a checkpoint of a journal of `source`.
///
/// # Errors
/// If it cannot be used; in words.
pub fn read_checkpoint(path: &Path, source: &Source) -> Result<StoredCheckpoint, String> {
    of(source, read_any_checkpoint(path)?)
}

/// Reads a checkpoint, and returns also the source of its journal.
///
/// # Errors
/// If it cannot be used; in words.
pub fn read_any_checkpoint(path: &Path) -> Result<(Source, StoredCheckpoint), String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let (header, summary, document) = read::<CheckpointHeader>(text)?;
    if header.patchmesh != "checkpoint" || header.version != CHECKPOINT_VERSION {
        return Err(format!("it is no checkpoint of version {CHECKPOINT_VERSION}"));
    }
    let length = number_of(path, CHECKPOINT).ok_or("its name has no number")?;
    let CheckpointHeader { source, life, marks, last, .. } = header;
    Ok((source, StoredCheckpoint { length, life, marks, last, summary, document }))
}

/// Reads a base of a journal of `source`.
///
/// # Errors
/// If it cannot be used; in words.
pub fn read_base(path: &Path, source: &Source) -> Result<StoredBase, String> {
    of(source, read_any_base(path)?)
}

/// Reads a base, and returns also the source of its journal.
///
/// # Errors
/// If it cannot be used; in words.
pub fn read_any_base(path: &Path) -> Result<(Source, StoredBase), String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let (source, base) = StoredBase::read(text)?;
    if number_of(path, BASE) == Some(base.position) {
        Ok((source, base))
    } else {
        Err(format!("its name has another number than its position, {}", base.position))
    }
}

/// Checks the three lines of a file piece by piece, since its document may be large. Returns the length of
/// the file.
///
/// # Errors
/// If it cannot be read; the inner error is the damage, if there is some.
pub(super) fn check_lines(path: &Path) -> io::Result<Result<u64, Damage>> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut lines, mut begin, mut offset) = (0, 0, 0);
    // The checksum of the line's beginning, and the end of the line as far as it was read.
    let (mut sum, mut end) = (crc32fast::Hasher::new(), Vec::new());
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            let is_whole = lines == LINES && end.is_empty();
            let missing = Damage { offset, why: DamageCause::Missing };
            return Ok(if is_whole { Ok(offset) } else { Err(missing) });
        }
        for part in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
            offset += part.len() as u64;
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            end.extend_from_slice(text);
            let summed = end.len().saturating_sub(MAX_SEAL_BYTES);
            sum.update(&end[..summed]);
            end.drain(..summed);
            if !ends {
                continue;
            }
            lines += 1;
            let expected = Seal { batch: 0, line: lines, lines: LINES };
            let why = match check_end(std::mem::take(&mut sum), &end) {
                Ok(found) if found == expected => None,
                Ok(found) => {
                    Some(DamageCause::Sequence { expected: Expected::Line(expected), found })
                }
                Err(error) => Some(DamageCause::Line(error)),
            };
            if let Some(why) = why {
                return Ok(Err(Damage { offset: begin, why }));
            }
            (begin, end) = (offset, Vec::new());
        }
    }
}

fn of<T>(source: &Source, (of, stored): (Source, T)) -> Result<T, String> {
    if of == *source { Ok(stored) } else { Err(format!("it belongs to the journal of {of}")) }
}

/// The name of a file with this beginning and number.
pub(super) fn numbered(begin: &str, number: u64) -> String {
    format!("{begin}{number:0DIGITS$}")
}

/// The number in the name of the file at `path`, if the name is this beginning and a number.
pub(super) fn number_of(path: &Path, begin: &str) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix(begin)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn text(header: &impl Serialize, summary: &str, document: &[u8]) -> Vec<u8> {
    let header = serde_json::to_string(header).expect("a header always has a JSON text");
    let document = String::from_utf8_lossy(document);
    let mut text = Vec::with_capacity(header.len() + summary.len() + document.len() + 256);
    for (line, object) in [(1, &*header), (2, summary), (3, &*document)] {
        push_line(&mut text, object, Seal { batch: 0, line, lines: LINES });
    }
    text
}

fn read<H: DeserializeOwned>(mut text: Vec<u8>) -> Result<(H, String, Vec<u8>), String> {
    let mut lines = text.strip_suffix(b"\n").ok_or("its last line is cut off")?;
    let mut object = |line| {
        let seal = Seal { batch: 0, line, lines: LINES };
        let mut parts = lines.splitn(2, |byte| *byte == b'\n');
        let line = parts.next().ok_or("a line is missing")?;
        lines = parts.next().unwrap_or_default();
        let line = read_line(line).map_err(|error| error.to_string())?;
        if line.seal == seal { Ok(line.object) } else { Err("a line is missing".to_owned()) }
    };
    let (header, summary, document) = (object(1)?, object(2)?, object(3)?);
    let header = serde_json::from_str(header).map_err(|error| error.to_string())?;
    let summary = summary.to_owned();
    // The document may be large: it stays in its memory, and what is around it is removed.
    let (begin, length) = (document.as_ptr() as usize - text.as_ptr() as usize, document.len());
    text.truncate(begin + length);
    text.drain(..begin);
    Ok((header, summary, text))
}
