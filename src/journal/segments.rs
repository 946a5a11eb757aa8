//! The files of a journal in their order, as one text.
//!
//! Offsets are those of the text, see the format: they never change. What is before the first segment was
//! folded away, which is no damage. Only the last segment is written to. If an earlier one is too short, the
//! missing bytes read as NUL bytes, which no line has.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, RwLockReadGuard};

use super::file::{OpenError, read_header};
use super::format::{Header, SECTOR_BYTES};
use super::reader::{DamagedFile, Mark};
use super::scan::{Damage, DamageCause};
use super::storage::Storage;
use crate::locks::RwLock;
use crate::source::Source;

/// How many bytes are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// The place where the files of a journal are made and removed.
pub trait Shelf: Send + Sync + 'static {
    /// Makes the file of the segment at `position`, with the text `header`, durably.
    ///
    /// # Errors
    /// If it may not be durable.
    fn add(&self, position: u64, header: &[u8]) -> Result<Arc<dyn Storage>, NotAdded>;

    /// Removes the files of the segments that begin before `position`, the first one first, and what is of no
    /// use without them.
    ///
    /// # Errors
    /// If one cannot be removed.
    fn remove_before(&self, position: u64) -> io::Result<()>;

    /// Checks the base, which stands for what was dropped, and returns its length in bytes.
    ///
    /// # Errors
    /// If it is damaged.
    fn check_base(&self) -> Result<u64, DamagedFile> {
        Ok(0)
    }
}

/// Why a segment was not added.
#[derive(Debug)]
pub enum NotAdded {
    /// It is not there.
    Absent(io::Error),
    /// It may be there after a crash, or not.
    Unknown(io::Error),
}

/// The error of reading what was folded away.
#[derive(Debug)]
struct Folded {
    begin: u64,
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the journal begins at position {}: a base stands for what was before",
            self.begin
        )
    }
}

impl std::error::Error for Folded {}

/// The error of reading before `begin`, the present beginning of the journal.
pub(super) fn folded(begin: u64) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, Folded { begin })
}

/// Whether this is the error of reading a part of the journal that was folded away.
pub fn is_folded(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Folded>())
}

/// The files, shared by the owner and the readers.
#[derive(Clone)]
pub struct Segments(Arc<SegmentFiles>);

struct SegmentFiles {
    /// At least one.
    files: RwLock<VecDeque<Arc<SegmentFile>>>,
    shelf: Option<Box<dyn Shelf>>,
}

/// One of the files.
pub(super) struct SegmentFile {
    pub storage: Arc<dyn Storage>,
    /// The header as it was when the file was opened.
    pub header: Header,
    /// The offset in the text that the file's first byte would have.
    start: u64,
    /// The first line after the header.
    pub first: Mark,
}

impl SegmentFile {
    fn open(storage: Arc<dyn Storage>) -> Result<Self, OpenError> {
        let (header, mut first) = read_header(&*storage)?;
        let mut start = 0;
        if let Some(begin) = &header.begin {
            let before = begin.offset.checked_sub(first.offset);
            let is_even = |start: &u64| start.is_multiple_of(SECTOR_BYTES);
            start = before.filter(is_even).ok_or_else(|| {
                OpenError::Header(format!("it says offset {}, which cannot be", begin.offset))
            })?;
            first = Mark { offset: begin.offset, batch: begin.batch, line: 1 };
        }
        Ok(Self { storage, header, start, first })
    }

    /// The position of its first record.
    pub fn position(&self) -> u64 {
        self.header.position()
    }

    /// Where its part of the text begins. In the first file of a journal, the header belongs to the text.
    fn from(&self) -> u64 {
        if self.header.begin.is_none() { 0 } else { self.first.offset }
    }

    /// Cuts off what is after `end`, where the next file begins.
    pub fn cut(&self, end: u64) -> io::Result<()> {
        self.storage.set_length(end - self.start)
    }

    /// Checks that the file has all of its part of the text, up to `end`, and nothing after it.
    fn check_end(&self, end: u64) -> Result<(), OpenError> {
        let length = self.storage.length()?;
        let mut offset = end.saturating_sub(self.start);
        let damaged = |offset, why| Err(OpenError::Damaged(Damage { offset, why }));
        if length < offset {
            return damaged(length, DamageCause::Missing);
        }
        let mut piece = vec![0; PIECE_BYTES];
        while offset < length {
            let read = self.storage.read_at(&mut piece, offset)?;
            if read == 0 {
                break;
            }
            if let Some(at) = piece[..read].iter().position(|byte| *byte != 0) {
                let why = "there is more than where the next file goes on".into();
                return damaged(offset + at as u64, DamageCause::Content(why));
            }
            offset += read as u64;
        }
        Ok(())
    }

    /// Checks that `next` is the segment after this one.
    fn check_next(&self, next: &Self) -> Result<(), OpenError> {
        let wrong = |why| Err(OpenError::Header(why).within(&next.storage.name()));
        let Some(begin) = next.header.begin else {
            return wrong("it is the beginning of a journal, and not what follows one".into());
        };
        if next.header.source != self.header.source {
            return wrong(format!("it is of the journal of {}", next.header.source));
        }
        if begin.after != self.position() {
            return wrong(format!(
                "it goes on after a file of the journal that begins at position {}, which is missing; the one \
                 before it is {}",
                begin.after,
                self.storage.name()
            ));
        }
        self.check_end(begin.offset).map_err(|error| error.within(&self.storage.name()))
    }
}

impl Segments {
    /// A journal in one file, which never begins another.
    ///
    /// # Errors
    /// If the file does not begin with a header.
    pub fn of_file(storage: Arc<dyn Storage>) -> Result<Self, OpenError> {
        let files = RwLock::new([Arc::new(SegmentFile::open(storage)?)].into());
        Ok(Self(Arc::new(SegmentFiles { files, shelf: None })))
    }

    /// A journal in these files, at least one, which can begin others.
    ///
    /// # Errors
    /// If one does not begin with a header, or does not follow the one before it.
    pub fn open(
        files: impl IntoIterator<Item = Arc<dyn Storage>>,
        shelf: Box<dyn Shelf>,
    ) -> Result<Self, OpenError> {
        let mut segments: VecDeque<Arc<SegmentFile>> = VecDeque::new();
        for storage in files {
            let name = storage.name();
            let segment = SegmentFile::open(storage).map_err(|error| error.within(&name))?;
            if let Some(last) = segments.back() {
                last.check_next(&segment)?;
            }
            segments.push_back(Arc::new(segment));
        }
        assert!(!segments.is_empty(), "a journal has a file");
        Ok(Self(Arc::new(SegmentFiles { files: RwLock::new(segments), shelf: Some(shelf) })))
    }

    fn files(&self) -> RwLockReadGuard<'_, VecDeque<Arc<SegmentFile>>> {
        self.0.files.read()
    }

    /// All files in their order.
    pub(super) fn each(&self) -> Vec<Arc<SegmentFile>> {
        self.files().iter().cloned().collect()
    }

    /// The first file.
    pub(super) fn first(&self) -> Arc<SegmentFile> {
        self.files().front().expect("there is one at least").clone()
    }

    /// The last file, which is written to.
    pub(super) fn last(&self) -> Arc<SegmentFile> {
        self.files().back().expect("there is one at least").clone()
    }

    /// The header of the first file.
    pub fn header(&self) -> Header {
        self.first().header.clone()
    }

    /// The life that the journal began with.
    pub fn source(&self) -> Source {
        self.first().header.source.clone()
    }

    /// The position of the first record that was not dropped.
    pub fn begin(&self) -> u64 {
        self.first().position()
    }

    /// The offset of the first line that was not dropped.
    pub fn begin_offset(&self) -> u64 {
        self.first().from()
    }

    /// The first line after the first file's header.
    pub fn first_line(&self) -> Mark {
        self.first().first
    }

    /// The names of the files, and the positions at which they begin.
    pub fn names(&self) -> Vec<(String, u64)> {
        let files = self.files();
        files.iter().map(|file| (file.storage.name(), file.position())).collect()
    }

    /// The name of the file that has this offset of the text, and the offset in that file.
    pub fn place(&self, offset: u64) -> (String, u64) {
        let files = self.files();
        let index = files.partition_point(|segment| segment.from() <= offset).saturating_sub(1);
        let segment = &files[index];
        (segment.storage.name(), offset.saturating_sub(segment.start))
    }

    /// The same error, by file and offset in it.
    pub(super) fn located(&self, error: OpenError) -> OpenError {
        let (offset, here): (u64, &dyn Fn(u64) -> OpenError) = match &error {
            OpenError::Damaged(Damage { offset, why }) => {
                (*offset, &|offset| OpenError::Damaged(Damage { offset, why: why.clone() }))
            }
            OpenError::Line(offset, why) => {
                (*offset, &|offset| OpenError::Line(offset, why.clone()))
            }
            OpenError::Io(_) | OpenError::Header(_) | OpenError::Within(..) => return error,
        };
        let (name, offset) = self.place(offset);
        here(offset).within(&name)
    }

    /// Checks the base, which stands for what was dropped, and returns its length in bytes.
    pub(super) fn check_base(&self) -> Result<u64, DamagedFile> {
        self.0.shelf.as_ref().map_or(Ok(0), |shelf| shelf.check_base())
    }

    /// Whether the journal can begin another file.
    pub(super) fn can_grow(&self) -> bool {
        self.0.shelf.is_some()
    }

    /// Adds a segment, durably.
    pub(super) fn add(&self, header: Header) -> Result<(), NotAdded> {
        let Some(shelf) = &self.0.shelf else {
            return Err(NotAdded::Absent(io::ErrorKind::Unsupported.into()));
        };
        let storage = shelf.add(header.position(), &header.line())?;
        let segment = SegmentFile::open(storage)
            .map_err(|error| NotAdded::Unknown(io::Error::other(error.to_string())))?;
        self.0.files.write().push_back(Arc::new(segment));
        Ok(())
    }

    /// Drops the segments whose records are all before `position`, but not the last one.
    pub(super) fn drop_before(&self, position: u64) -> io::Result<()> {
        let mut files = self.0.files.write();
        while files.get(1).is_some_and(|next| next.position() <= position) {
            files.pop_front();
        }
        drop(files);
        match &self.0.shelf {
            Some(shelf) => shelf.remove_before(self.begin()),
            None => Ok(()),
        }
    }

    /// The segment that has this offset, and the end of its part of the text; none if it is the last.
    fn at(&self, offset: u64) -> io::Result<(Arc<SegmentFile>, Option<u64>)> {
        let files = self.files();
        let after = files.partition_point(|segment| segment.from() <= offset);
        let Some(index) = after.checked_sub(1) else {
            return Err(folded(files.front().map_or(0, |first| first.position())));
        };
        Ok((files[index].clone(), files.get(after).map(|next| next.from())))
    }

    /// The last segment, and the offset in its file.
    fn in_last(&self, offset: u64) -> io::Result<(Arc<SegmentFile>, u64)> {
        let last = self.last();
        let own = offset.checked_sub(last.from()).map(|_| offset - last.start);
        let own = own.ok_or_else(|| io::Error::other("only the last file is written to"))?;
        Ok((last, own))
    }
}

impl Storage for Segments {
    fn length(&self) -> io::Result<u64> {
        let last = self.last();
        Ok(last.storage.length()? + last.start)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            let at = offset + read as u64;
            let (segment, end) = self.at(at)?;
            let left = buffer.len() - read;
            let room =
                end.map_or(left, |end| usize::try_from(end - at).map_or(left, |end| end.min(left)));
            let part = &mut buffer[read..read + room];
            let count = segment.storage.read_at(part, at - segment.start)?;
            if count < room {
                if end.is_none() {
                    return Ok(read + count);
                }
                part[count..].fill(0);
            }
            read += room;
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (last, offset) = self.in_last(offset)?;
        last.storage.write_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let (last, length) = self.in_last(length)?;
        last.storage.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.last().storage.sync()
    }

    fn name(&self) -> String {
        self.last().storage.name()
    }

    fn check_place(&self, end: u64) -> io::Result<()> {
        let (last, end) = self.in_last(end)?;
        last.storage.check_place(end)
    }
}

#[cfg(test)]
mod tests;
