//! A journal in files.
//!
//! Invariants: the text is a header and complete batches up to `end`, and NUL bytes from there on. All
//! that readers are shown is durable. What is appended goes to the last file; if that is long, another one is
//! begun first.

mod extent;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::format::{
    Header, NOTES_VERSION, SEGMENTS_VERSION, Seal, SegmentBegin, push_life, push_line,
};
use super::reader::{FileReader, Mark, STRIDE, SharedIndex};
use super::segments::{NotAdded, Segments};
use super::storage::Storage;
use crate::source::Source;
use crate::transaction::Record;

pub use extent::{Extent, OpenError, Visit, read_header, read_through};

/// By how much the file is lengthened ahead of what is written, in bytes: a sync that need not change
/// the file's length is faster.
const RESERVE_BYTES: u64 = 1 << 20;

/// How long a file is, at the least, before the next one is begun; and how small a share of all of the journal
/// it is at the most, so that a journal of which nothing is ever dropped has not too many files: hundreds.
const SEGMENT_BYTES: u64 = 8 << 20;
const SEGMENT_SHARE: u64 = 64;

/// How many bytes are appended, after a file could not be begun, before it is tried again.
const RETRY_BYTES: u64 = 1 << 20;

/// The files as the one who appends holds them.
pub struct FileJournal {
    storage: Segments,
    /// That of the last file.
    header: Header,
    /// Where that begins.
    begin: u64,
    /// No other file is begun before this offset.
    roll_after: u64,
    /// The offset after the last complete batch.
    end: u64,
    /// The offset after the space that is reserved.
    reserved: u64,
    /// The number of the batch that comes next.
    next_batch: u64,
    /// How long it took to write and to sync the last batch.
    last_append: Duration,
    shared: Arc<SharedIndex>,
}

/// Why a batch is not appended.
#[derive(Debug)]
pub enum AppendError {
    /// There is no room. The file is what it was.
    Full(io::Error),
    /// The file is not where it was, or not all there: what is appended would be lost. Nothing was
    /// written.
    Lost(io::Error),
    /// What the file has is unknown: the process must not go on with it.
    Broken(io::Error),
}

impl std::error::Error for AppendError {}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) | Self::Lost(error) | Self::Broken(error) => error.fmt(f),
        }
    }
}

impl FileJournal {
    /// Makes an empty file a journal, durably.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(storage: &dyn Storage, header: &Header) -> io::Result<()> {
        storage.write_at(&header.line(), 0)?;
        storage.sync()
    }

    /// Opens a journal that [`read_through`] has found to be good, and cuts off what is torn.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(extent: &Extent, reader: FileReader) -> Result<Self, OpenError> {
        let storage = reader.storage.clone();
        let last_file = storage.last();
        let begin = last_file.first.offset;
        // What is torn must never be found between what is written later.
        if storage.length()? > extent.end {
            storage.set_length(extent.end)?;
        }
        // Who wrote the last batch may not have come to sync it, and if a sync has failed, the
        // system may take for durable what is not. So it is written once more before it is shown.
        // What is before the last file was durable before that was begun.
        if extent.last >= begin {
            let (text, is_mended) = extent.last_batch(&storage)?;
            match storage.write_at(&text, extent.last) {
                // A disk that is too full for that is no reason not to start.
                Err(error) if is_full(&error) && !is_mended => (),
                written => written?,
            }
        }
        storage.sync()?;
        reader.reach(extent.length);
        reader.shared.lock().end = extent.end;
        Ok(Self {
            storage,
            header: last_file.header.clone(),
            begin,
            roll_after: begin,
            end: extent.end,
            reserved: extent.end,
            next_batch: extent.next_batch,
            last_append: Duration::ZERO,
            shared: reader.shared,
        })
    }

    /// How long it took to write and to sync the last batch.
    pub fn last_append(&self) -> Duration {
        self.last_append
    }

    /// A reader of this journal.
    pub fn reader(&self) -> FileReader {
        FileReader { storage: self.storage.clone(), shared: self.shared.clone() }
    }

    /// Appends a batch, whole or not at all, and returns when it is durable. Waits for the disk.
    ///
    /// # Errors
    /// If it is not appended.
    pub fn append(&mut self, batch: &[Record]) -> Result<(), AppendError> {
        self.roll_where_due()?;
        let mut text = Vec::with_capacity(batch.iter().map(|record| record.line.len() + 64).sum());
        let mut marks = Vec::new();
        let first = self.shared.lock().length;
        for (count, record) in batch.iter().enumerate() {
            let line = count as u64 + 1;
            if (first + count as u64).is_multiple_of(STRIDE) {
                let offset = self.end + text.len() as u64;
                marks.push(Mark { offset, batch: self.next_batch, line });
            }
            let seal = Seal { batch: self.next_batch, line, lines: batch.len() as u64 };
            push_line(&mut text, &record.line, seal);
        }
        self.write_batch(&text, batch.iter().any(Record::needs_version_2))?;
        self.shared.lock().extend(batch, marks);
        Ok(())
    }

    /// Notes, durably, that the journal goes on under a new life. Waits for the disk.
    ///
    /// # Errors
    /// If it is not noted.
    pub fn begin_life(&mut self, life: &Source) -> Result<(), AppendError> {
        let mut text = Vec::new();
        push_life(&mut text, life, self.next_batch);
        self.write_batch(&text, true)?;
        self.reader().note_life(life.clone());
        Ok(())
    }

    /// Begins another file if the last one is long. If that cannot be made now, the last one grows.
    fn roll_where_due(&mut self) -> Result<(), AppendError> {
        let all = self.end - self.storage.begin_offset();
        let due = self.begin + SEGMENT_BYTES.max(all / SEGMENT_SHARE);
        if self.end < due.max(self.roll_after) || !self.storage.can_grow() {
            return Ok(());
        }
        match self.roll() {
            Err(AppendError::Full(error)) => {
                log::warn!("{}: no other file can be begun yet: {error}", self.storage.name());
                self.roll_after = self.end + RETRY_BYTES;
                Ok(())
            }
            rolled => rolled,
        }
    }

    /// Has the journal go on in another file, so that what is before can be dropped, unless the last file has
    /// no record yet. Waits for the disk.
    ///
    /// # Errors
    /// If it does not go on in another file.
    pub fn roll(&mut self) -> Result<(), AppendError> {
        let reader = self.reader();
        let position = reader.length();
        let after = self.header.position();
        if position == after {
            return Ok(());
        }
        reader.check_place(self.end).map_err(AppendError::Lost)?;
        // Older programs do not look for other files.
        self.raise_version(SEGMENTS_VERSION)?;
        let begin = SegmentBegin { position, batch: self.next_batch, offset: self.end, after };
        let header = self.header.next(reader.life(), begin);
        let last = self.storage.last();
        self.storage.add(header.clone()).map_err(|error| match error {
            NotAdded::Absent(error) => AppendError::Full(error),
            NotAdded::Unknown(error) => AppendError::Broken(error),
        })?;
        (self.header, self.begin, self.reserved) = (header, self.end, self.end);
        // The last file's reserve is given back; if that cannot be done, it stays, and nobody reads it.
        last.cut(self.end).ok();
        Ok(())
    }

    /// Drops the files, but for the last one, all of whose records are before `position`, and says where the
    /// journal begins then. Waits for the disk.
    ///
    /// # Errors
    /// If one cannot be removed: nobody reads it any more, and the next call tries again.
    pub fn drop_before(&mut self, position: u64) -> io::Result<u64> {
        let removed = self.storage.drop_before(position);
        let (begin, offset) = (self.storage.begin(), self.storage.begin_offset());
        self.shared.lock().drop_before(begin, offset);
        removed.map(|()| begin)
    }

    /// Appends the text of the next batch, durably. If it `is_new`, older programs do not know what
    /// it has.
    fn write_batch(&mut self, text: &[u8], is_new: bool) -> Result<(), AppendError> {
        self.reader().check_place(self.end).map_err(AppendError::Lost)?;
        let end = self.end + text.len() as u64;
        let begin = Instant::now();
        if is_new {
            self.raise_version(NOTES_VERSION)?;
        }
        self.write(text, end)?;
        let written = Instant::now();
        self.storage.sync().map_err(AppendError::Broken)?;
        self.shared.syncs.observe(written.elapsed());
        self.last_append = begin.elapsed();
        self.end = end;
        self.shared.lock().end = end;
        self.next_batch += 1;
        Ok(())
    }

    /// Has the header say the version `to`, durably, before the first line that needs it is written. The
    /// header is as long as before and in one sector, so it is written whole or not at all; it is that of the
    /// journal's first file, since all others say the newest version.
    fn raise_version(&mut self, to: u32) -> Result<(), AppendError> {
        let Some(header) = self.header.raised(to) else { return Ok(()) };
        match self.storage.write_at(&header.line(), 0) {
            Err(error) if is_full(&error) => return Err(AppendError::Full(error)),
            written => written.map_err(AppendError::Broken)?,
        }
        self.storage.sync().map_err(AppendError::Broken)?;
        self.header = header;
        Ok(())
    }

    fn write(&mut self, text: &[u8], end: u64) -> Result<(), AppendError> {
        if end > self.reserved {
            let reserved = end.next_multiple_of(RESERVE_BYTES);
            // NUL bytes that are written, and not only counted in the file's length, are what makes
            // the syncs to come faster. If there is no room for them, there may be for the batch.
            let nul = vec![0; (reserved - self.reserved.max(end)) as usize];
            match self.storage.write_at(&nul, self.reserved.max(end)) {
                Ok(()) => self.reserved = reserved,
                Err(error) if is_full(&error) => self.cut()?,
                Err(error) => return Err(AppendError::Broken(error)),
            }
        }
        match self.storage.write_at(text, self.end) {
            Ok(()) => {
                self.reserved = self.reserved.max(end);
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.cut()?;
                Err(AppendError::Full(error))
            }
            Err(error) => Err(AppendError::Broken(error)),
        }
    }

    /// Cuts off what is after the last batch, durably: what was partly written must never be found
    /// between what is written later.
    fn cut(&mut self) -> Result<(), AppendError> {
        self.storage.set_length(self.end).map_err(AppendError::Broken)?;
        self.storage.sync().map_err(AppendError::Broken)?;
        self.reserved = self.end;
        Ok(())
    }

    /// Gives back the reserved space. The journal must not be used any more.
    ///
    /// # Errors
    /// If that cannot be done; what was appended is durable all the same.
    pub fn close(&mut self) -> io::Result<()> {
        self.storage.set_length(self.end)
    }
}

/// Whether there is no room: on the disk, in the quota, or for a file of that length.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
}
