//! A journal in files.
//!
//! Invariants: the text is a header and complete batches up to `end`, and NUL bytes from there on. Readers
//! see only what is durable. A batch is appended to the last file; if that is long, another file is begun
//! first.

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

pub use extent::{Extent, OpenError, read_header, read_through};

/// How many bytes of space are reserved after the last batch: a sync is faster if it does not change the
/// file's length.
const RESERVE_BYTES: u64 = 1 << 20;

/// The next file is begun only when the last one has this many bytes, and this share of the whole journal at
/// least. So a journal of which nothing is ever dropped has hundreds of files and not more.
const SEGMENT_BYTES: u64 = 8 << 20;
const SEGMENT_SHARE: u64 = 64;

/// How many bytes are appended to the last file, after another one could not be begun, before the next try.
const RETRY_BYTES: u64 = 1 << 20;

/// The files for their owner, who appends.
pub struct FileJournal {
    storage: Segments,
    /// The header of the last file.
    header: Header,
    /// The offset at which the last file begins.
    begin: u64,
    /// No further file is begun before this offset.
    roll_after: u64,
    /// The offset after the last complete batch.
    end: u64,
    /// The offset after the space that is reserved.
    reserved: u64,
    /// The number of the batch that comes next.
    next_batch: u64,
    /// How long it took to write and sync the last batch.
    last_append: Duration,
    shared: Arc<SharedIndex>,
}

/// Why a batch is not appended.
#[derive(Debug)]
pub enum AppendError {
    /// There is no room. The file is as it was.
    Full(io::Error),
    /// The file is not at its path any more, or is too short: what is appended would be lost. Nothing was
    /// written.
    Lost(io::Error),
    /// It is not known what the file has: the process must not go on with it.
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

    /// Opens a journal that [`read_through`] has found to be good, and cuts off a torn batch.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(extent: &Extent, reader: FileReader) -> Result<Self, OpenError> {
        let storage = reader.storage.clone();
        let last_file = storage.last();
        let begin = last_file.first.offset;
        // A torn batch must never be found between batches that are written later.
        if storage.length()? > extent.end {
            storage.set_length(extent.end)?;
        }
        // The process that wrote the last batch may have ended before the sync, and after a failed sync the
        // system may take for durable what is not. So the batch is written again before readers see it. All
        // before the last file was durable before that file was begun.
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

    /// How long it took to write and sync the last batch.
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

    /// Begins another file if the last one is long. If there is no room for one now, the last one grows.
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

    /// Begins another file, so that what is before can be dropped, unless the last file has no record yet.
    /// Waits for the disk.
    ///
    /// # Errors
    /// If no file could be begun.
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
        // The reserved space of the last file is given back. If that fails, the space stays, and is never
        // read.
        last.cut(self.end).ok();
        Ok(())
    }

    /// Drops the files whose records are all before `position`, but not the last one, and returns where the
    /// journal begins then. Waits for the disk.
    ///
    /// # Errors
    /// If one cannot be removed. It is not read any more, and the next call tries again.
    pub fn drop_before(&mut self, position: u64) -> io::Result<u64> {
        let removed = self.storage.drop_before(position);
        let (begin, offset) = (self.storage.begin(), self.storage.begin_offset());
        self.shared.lock().drop_before(begin, offset);
        removed.map(|()| begin)
    }

    /// Appends the text of the next batch, durably. `is_new` says that older programs do not know a line of
    /// it.
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

    /// Raises the header to the version `to`, durably, before the first line that needs it is written. The
    /// header is as long as before and within one sector, so it is written whole or not at all. This is
    /// always the header of the journal's first file, since all others have the newest version.
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
            // Only NUL bytes that are really written make later syncs faster, and not a greater length of the
            // file alone. If there is no room for them, there may be room for the batch.
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

    /// Cuts off what is after the last batch, durably: a partly written batch must never be found between
    /// batches that are written later.
    fn cut(&mut self) -> Result<(), AppendError> {
        self.storage.set_length(self.end).map_err(AppendError::Broken)?;
        self.storage.sync().map_err(AppendError::Broken)?;
        self.reserved = self.end;
        Ok(())
    }

    /// Gives back the reserved space. The journal must not be used any more.
    ///
    /// # Errors
    /// If that cannot be done. What was appended is durable.
    pub fn close(&mut self) -> io::Result<()> {
        self.storage.set_length(self.end)
    }
}

/// Whether there is no room: on the disk, in the quota, or for a file of that length.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
}
