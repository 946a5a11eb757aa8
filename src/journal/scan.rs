//! Reads a journal's text back, batch by batch, and tells a torn end from damage.

use std::fmt;
use std::io;

use super::format::{
    FIRST_BYTE, LineError, MAX_SEAL_BYTES, SECTOR_BYTES, Seal, read_line, read_seal,
};
use super::reader::Mark;
use super::storage::Storage;
use crate::transaction::MAX_ENCODED_BYTES;

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The longest line. A longer text without a line feed is no line.
pub const MAX_LINE_BYTES: usize = MAX_ENCODED_BYTES + MAX_SEAL_BYTES;

/// A sector that was never written.
const NUL: [u8; SECTOR_BYTES as usize] = [0; SECTOR_BYTES as usize];

/// A complete batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Its number.
    pub number: u64,
    /// The offset after the batch.
    pub end: u64,
    /// Which line of the batch the first object is: not the first line if reading began within the batch.
    pub first_line: u64,
    /// Its objects, each with the offset of its line.
    pub objects: Vec<(u64, &'a str)>,
}

/// What comes after the last complete batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalEnd {
    /// Nothing, or reserved space.
    Clean,
    /// A batch that was not durable before a crash.
    Torn,
    /// Text that was changed after it was written.
    Damaged(Damage),
}

/// Where a journal is damaged, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The offset of the line that is wrong.
    pub offset: u64,
    /// What is wrong with it.
    pub why: DamageCause,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageCause {
    /// It is no line.
    Line(LineError),
    /// Another line belongs there.
    Sequence {
        /// The line that belongs there.
        expected: Expected,
        /// The line that is there.
        found: Seal,
    },
    /// The batch is complete except for its last line feed.
    LineFeed,
    /// Its checksum is right, but its content cannot be there; in words.
    Content(String),
    /// The system cannot read it; in words.
    Unreadable(String),
    /// The file ends before it.
    Missing,
}

/// Which line belongs at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This line of this batch.
    At(u64, u64),
    /// The first line of this batch.
    First(u64),
    /// The line with this seal.
    Line(Seal),
}

impl Expected {
    /// Whether this line may stand there.
    pub fn is(self, seal: Seal) -> bool {
        match self {
            Self::At(batch, line) => (seal.batch, seal.line) == (batch, line),
            Self::First(batch) => seal.batch == batch && seal.line == 1,
            Self::Line(line) => seal == line,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(batch, line) => write!(f, "line {line} of batch {batch}"),
            Self::First(batch) => write!(f, "the first line of batch {batch}"),
            Self::Line(seal) => seal.fmt(f),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: ", self.offset)?;
        match &self.why {
            DamageCause::Line(error) => error.fmt(f),
            DamageCause::LineFeed => f.write_str("the line does not end with a line feed"),
            DamageCause::Sequence { expected, found } => {
                write!(f, "{found}, where {expected} belongs")
            }
            DamageCause::Content(why) => f.write_str(why),
            DamageCause::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            DamageCause::Missing => f.write_str("the file ends here"),
        }
    }
}

/// Reads batches from an offset on.
pub struct Scanner<'a> {
    storage: &'a dyn Storage,
    /// What was read, from the offset `start` on.
    buffer: Vec<u8>,
    start: u64,
    /// The target of each read.
    chunk: Box<[u8]>,
    /// How much of the buffer the returned batches take.
    given: usize,
    /// The batch that comes next.
    batch: u64,
    /// The line that comes next.
    next: Expected,
    /// Whether the last batch is complete except for its line feed, which was put into the buffer.
    unterminated: bool,
}

/// The result of reading the lines of a batch.
enum BatchLines {
    /// All of them: for each its place in the buffer and the length of its object. Then which line the first
    /// one is, and where the batch ends.
    Complete(Vec<(usize, usize)>, u64, usize),
    /// A whole line that does not belong here.
    Wrong { at: usize, why: DamageCause },
    /// A line that a NUL byte or the end of the file cuts off. It should be the `expected` one.
    CutOff { at: usize, expected: Expected },
}

impl<'a> Scanner<'a> {
    /// Begins at `offset`, with the first line of batch `batch`.
    pub fn new(storage: &'a dyn Storage, offset: u64, batch: u64) -> Self {
        Self {
            storage,
            buffer: Vec::new(),
            start: offset,
            chunk: vec![0; CHUNK_BYTES].into(),
            given: 0,
            batch,
            next: Expected::First(batch),
            unterminated: false,
        }
    }

    /// Begins at a mark.
    pub fn resume(storage: &'a dyn Storage, mark: Mark) -> Self {
        Self { next: mark.expected(), ..Self::new(storage, mark.offset, mark.batch) }
    }

    /// The offset after the last complete batch.
    pub fn offset(&self) -> u64 {
        self.start + self.given as u64
    }

    /// The number of the batch that comes next.
    pub fn next_batch(&self) -> u64 {
        self.batch
    }

    /// Whether the last batch is complete except for its line feed. It counts as complete.
    pub fn unterminated(&self) -> bool {
        self.unterminated
    }

    /// The next batch, or what comes instead of one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> io::Result<Result<Batch<'_>, JournalEnd>> {
        if self.unterminated {
            return Ok(Err(JournalEnd::Clean));
        }
        let lines = loop {
            match self.lines()? {
                BatchLines::CutOff { at, expected } => {
                    if let Some(end) = self.judge(at, expected)? {
                        return Ok(Err(end));
                    }
                }
                lines => break lines,
            }
        };
        match lines {
            BatchLines::Complete(lines, first_line, end) => {
                self.given = end;
                let number = self.batch;
                self.batch += 1;
                self.next = Expected::First(self.batch);
                let object = |(at, length): (usize, usize)| {
                    let object = std::str::from_utf8(&self.buffer[at..at + length]);
                    (self.start + at as u64, object.expect("the line was read as text before"))
                };
                let objects = lines.into_iter().map(object).collect();
                Ok(Ok(Batch { number, end: self.offset(), first_line, objects }))
            }
            BatchLines::Wrong { at, why } => {
                Ok(Err(JournalEnd::Damaged(Damage { offset: self.start + at as u64, why })))
            }
            BatchLines::CutOff { .. } => unreachable!("it was judged"),
        }
    }

    fn lines(&mut self) -> io::Result<BatchLines> {
        self.make_room();
        let mut lines: Vec<(usize, usize)> = Vec::new();
        let mut at = self.given;
        let mut expected = self.next;
        loop {
            let length = match self.line_length(at)? {
                Some(length) if length <= MAX_LINE_BYTES => length,
                Some(_) => {
                    return Ok(BatchLines::Wrong {
                        at,
                        why: DamageCause::Line(LineError::Unsealed),
                    });
                }
                None => return Ok(BatchLines::CutOff { at, expected }),
            };
            let line = match read_line(&self.buffer[at..at + length]) {
                Ok(line) => line,
                Err(error) => return Ok(BatchLines::Wrong { at, why: DamageCause::Line(error) }),
            };
            if !expected.is(line.seal) {
                let why = DamageCause::Sequence { expected, found: line.seal };
                return Ok(BatchLines::Wrong { at, why });
            }
            let next = line.seal.next();
            lines.push((at, line.object.len()));
            at += length + 1;
            match next {
                Some(next) => expected = Expected::Line(next),
                None => {
                    let first_line = line.seal.lines + 1 - lines.len() as u64;
                    return Ok(BatchLines::Complete(lines, first_line, at));
                }
            }
        }
    }

    /// The length of the line at `at` in the buffer, without its line feed; none if a NUL byte or the end of
    /// the file comes first. If the line is too long, any length that is too long.
    fn line_length(&mut self, at: usize) -> io::Result<Option<usize>> {
        let mut searched = at;
        loop {
            let is_stop = |byte: &u8| *byte == b'\n' || *byte == 0;
            if let Some(found) = self.buffer[searched..].iter().position(is_stop) {
                let stop = searched + found;
                return Ok((self.buffer[stop] == b'\n').then_some(stop - at));
            }
            searched = self.buffer.len();
            if searched - at > MAX_LINE_BYTES {
                return Ok(Some(searched - at));
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Removes the returned batches from the buffer, if they are most of it.
    fn make_room(&mut self) {
        if self.given > self.buffer.len() / 2 {
            self.buffer.drain(..self.given);
            self.start += self.given as u64;
            self.given = 0;
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let offset = self.start + self.buffer.len() as u64;
        let read = self.storage.read_at(&mut self.chunk, offset)?;
        self.buffer.extend_from_slice(&self.chunk[..read]);
        Ok(read > 0)
    }

    /// Decides whether the line that is cut off at `at` is the end, torn, or damaged: see the format. None if
    /// only the batch's first byte or its last line feed was missing; it is in the buffer now.
    fn judge(&mut self, at: usize, expected: Expected) -> io::Result<Option<JournalEnd>> {
        let stop = self.buffer[at..].iter().position(|byte| *byte == 0);
        let line = &self.buffer[at..stop.map_or(self.buffer.len(), |stop| at + stop)];
        let (offset, cut) = (self.start + at as u64, self.start + (at + line.len()) as u64);
        let expected_line =
            |line| read_line(line).ok().map(|line| line.seal).filter(|seal| expected.is(*seal));
        let is_last = expected_line(line).is_some_and(|seal| seal.next().is_none());
        let lacks_line_feed =
            line.split_last().is_some_and(|(_, line)| expected_line(line).is_some());
        let end = at + line.len();
        let rest = AfterCut::read(self.storage, cut, self.batch)?;
        let damaged = |why| Ok(Some(JournalEnd::Damaged(Damage { offset, why })));
        let is_edge = |offset: u64| offset.is_multiple_of(SECTOR_BYTES);
        if let Some(hole_end) = rest.data_start {
            // Something follows the NUL bytes: sectors are missing, or a byte was changed.
            let is_hole = (is_edge(cut) || cut == self.offset())
                && is_edge(hole_end)
                && !rest.has_later_batch;
            return if !is_hole {
                damaged(DamageCause::Line(LineError::Unsealed))
            } else if hole_end - cut == 1 {
                // Only the batch's first byte is missing, and it is known. Whether or not the batch was
                // durable, it is complete if the checksums say so.
                self.buffer[at] = FIRST_BYTE;
                Ok(None)
            } else {
                Ok(Some(JournalEnd::Torn))
            };
        }
        if cut == self.offset() {
            return Ok(Some(JournalEnd::Clean));
        }
        if is_last {
            self.buffer.truncate(end);
            self.buffer.push(b'\n');
            self.unterminated = true;
            return Ok(None);
        }
        if lacks_line_feed {
            return damaged(DamageCause::LineFeed);
        }
        // Writing stopped here: at the end of the file, or between two sectors.
        if cut == rest.file_end || is_edge(cut) {
            return Ok(Some(JournalEnd::Torn));
        }
        damaged(DamageCause::Line(LineError::Unsealed))
    }
}

/// What comes after a cut, which is the beginning of NUL bytes or the end of the file.
struct AfterCut {
    /// The offset of the first byte that is not NUL.
    data_start: Option<u64>,
    file_end: u64,
    /// Whether the end of a line of a later batch follows.
    has_later_batch: bool,
}

impl AfterCut {
    fn read(storage: &dyn Storage, cut: u64, batch: u64) -> io::Result<Self> {
        let mut rest = Self { data_start: None, file_end: cut, has_later_batch: false };
        // The line so far: no line has a NUL byte.
        let mut line: Vec<u8> = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = storage.read_at(&mut chunk, rest.file_end)?;
            if read == 0 || rest.has_later_batch {
                return Ok(rest);
            }
            for sector in chunk[..read].chunks(NUL.len()) {
                if *sector == NUL[..sector.len()] {
                    line.clear();
                    rest.file_end += sector.len() as u64;
                    continue;
                }
                for byte in sector {
                    if *byte != 0 {
                        rest.data_start.get_or_insert(rest.file_end);
                    }
                    rest.file_end += 1;
                    match byte {
                        0 => line.clear(),
                        b'\n' => {
                            let seal = read_seal(&line);
                            rest.has_later_batch |= seal.is_some_and(|seal| seal.batch > batch);
                            line.clear();
                        }
                        _ if line.len() <= MAX_LINE_BYTES => line.push(*byte),
                        _ => (),
                    }
                }
            }
        }
    }
}
