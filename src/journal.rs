//! The journal: all accepted transactions in the order in which this node accepted them.
//!
//! The manager appends; all others read by position, each at its own pace. A position is the number of
//! transactions before it, so positions are 0, 1, 2 and so on and never change. The beginning can be dropped
//! once a base stands for it; then the first position is greater than 0.
//!
//! A journal is in memory or in a directory. In a directory it is a row of files, and the last one grows. A
//! batch is one write and one sync, and readers see it only after that. The latest records are in memory;
//! others are read from the files. Each line is checked when it is read, and a scrub checks all lines again
//! and again while the node runs. An index says which parts a reader can skip.

mod directory;
mod file;
mod format;
mod index;
mod memory;
mod new_file;
mod peer_list;
mod reader;
mod salvage;
mod scan;
mod scrub;
mod segments;
mod storage;
mod stored;

use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::blocking::unblock;
use crate::clock::{Time, VectorClock};
use crate::histogram::Histogram;
use crate::source::Source;
use crate::transaction::Record;
use index::BlockIndex;
use memory::MemoryJournal;

pub use directory::{Directory, DirectoryError, JournalFile, Lacking};
pub use file::{AppendError, Extent, FileJournal, OpenError, read_header, read_through};
#[cfg(feature = "internals")]
pub use format::SegmentBegin;
pub use format::{Header, NOTES_VERSION, push_batch, push_life};
pub use index::BlockSummary;
pub use new_file::{NewFile, with_suffix, write_durably};
pub use peer_list::PeerList;
pub use reader::{DamagedFile, FileReader, Marks};
pub use salvage::{Remains, salvage};
pub use segments::{Segments, is_folded};
pub use storage::{NamedFile, Storage};
pub use stored::{
    StoredBase, StoredCheckpoint, read_any_base, read_any_checkpoint, read_base, read_checkpoint,
};

/// The journal for its one owner, who appends.
pub enum Journal {
    /// In memory.
    Memory(MemoryJournal),
    /// In files; none while another thread works on them.
    File(Option<Box<FileJournal>>, FileReader),
}

/// The journal for all others: read only, cheap to clone.
#[derive(Clone)]
pub enum JournalReader {
    /// In memory.
    Memory(MemoryJournal),
    /// In files.
    File(FileReader),
}

impl Journal {
    /// An empty journal in memory.
    pub fn in_memory() -> Self {
        Self::Memory(MemoryJournal::default())
    }

    /// A journal in files.
    pub fn in_file(file: FileJournal) -> Self {
        let reader = file.reader();
        Self::File(Some(Box::new(file)), reader)
    }

    /// Appends a batch, whole or not at all. When this returns, the batch is durable, as far as this journal
    /// is durable, and readers see it. Another thread waits for the disk, or this one if `here`.
    ///
    /// # Errors
    /// If the batch was not appended.
    pub async fn append(&mut self, batch: Vec<Record>, here: bool) -> Result<(), AppendError> {
        match self {
            Self::Memory(memory) => {
                memory.append(batch);
                Ok(())
            }
            Self::File(Some(file), _) if here => file.append(&batch),
            Self::File(..) => self.away(move |file| file.append(&batch)).await?.unwrap_or(Ok(())),
        }
    }

    /// Notes, durably if the journal is durable, that it goes on under the new life `life` of its name.
    ///
    /// # Errors
    /// If it could not be noted.
    pub async fn begin_life(&mut self, life: &Source) -> Result<(), AppendError> {
        let life = life.clone();
        self.away(move |file| file.begin_life(&life)).await?.unwrap_or(Ok(()))
    }

    /// Begins another file, if the journal is on disk, so that what is before can be dropped. A journal in
    /// memory needs none.
    ///
    /// # Errors
    /// If no file could be begun.
    pub async fn roll(&mut self) -> Result<(), AppendError> {
        self.away(FileJournal::roll).await?.unwrap_or(Ok(()))
    }

    /// Drops the parts of the journal that are wholly before `position`, and returns where the journal begins
    /// then. On disk there must be a base for them already.
    ///
    /// # Errors
    /// If a file cannot be removed. It is not read any more.
    pub async fn drop_before(&mut self, position: u64) -> io::Result<u64> {
        if let Self::Memory(memory) = self {
            memory.drop_before(position);
            return Ok(memory.begin());
        }
        let dropped = self.away(move |file| file.drop_before(position)).await;
        dropped.map_err(io::Error::other)?.unwrap_or(Ok(0))
    }

    /// Has another thread work on the files, if there are any.
    async fn away<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut FileJournal) -> T + Send + 'static,
    ) -> Result<Option<T>, AppendError> {
        let Self::File(slot, _) = self else { return Ok(None) };
        let Some(mut file) = slot.take() else {
            let error = io::Error::other("a batch was given up while it was written");
            return Err(AppendError::Broken(error));
        };
        let (file, result) = unblock(move || {
            let result = work(&mut file);
            (file, result)
        })
        .await;
        *slot = Some(file);
        Ok(Some(result))
    }

    /// How long it took to write and to sync the last batch.
    pub fn last_append(&self) -> Duration {
        match self {
            Self::File(Some(file), _) => file.last_append(),
            Self::File(None, _) | Self::Memory(_) => Duration::ZERO,
        }
    }

    /// A reader of this journal.
    pub fn reader(&self) -> JournalReader {
        match self {
            Self::Memory(memory) => JournalReader::Memory(memory.clone()),
            Self::File(_, reader) => JournalReader::File(reader.clone()),
        }
    }

    /// Gives back the space that the file has in reserve.
    ///
    /// # Errors
    /// If that cannot be done. What was appended is kept.
    pub fn close(self) -> io::Result<()> {
        match self {
            Self::File(Some(mut file), _) => file.close(),
            Self::File(None, _) | Self::Memory(_) => Ok(()),
        }
    }
}

impl JournalReader {
    /// How long the disk took to sync batches; none if the journal is in memory.
    pub fn syncs(&self) -> Option<&Histogram> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => Some(file.syncs()),
        }
    }

    /// The first position that was not dropped.
    pub fn begin(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.begin(),
            Self::File(file) => file.begin(),
        }
    }

    /// How many transactions were ever appended: the position after the last one.
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.length(),
            Self::File(file) => file.length(),
        }
    }

    /// The records from `position` on: at most `most`, and no more once they have `bytes` bytes. None if the
    /// journal ends there.
    ///
    /// # Errors
    /// If the journal cannot be read, or the records [were folded away](is_folded).
    pub async fn read(&self, position: u64, most: usize, bytes: usize) -> io::Result<Vec<Record>> {
        match self {
            Self::Memory(memory) => memory.read(position, most, bytes),
            Self::File(file) => match file.read_tail(position, most, bytes) {
                Some(records) => Ok(records),
                None => {
                    let file = file.clone();
                    unblock(move || file.read(position, most, bytes)).await
                }
            },
        }
    }

    /// The same, for a thread that may wait for the disk.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn read_blocking(
        &self,
        position: u64,
        most: usize,
        bytes: usize,
    ) -> io::Result<Vec<Record>> {
        match self {
            Self::Memory(memory) => memory.read(position, most, bytes),
            Self::File(file) => file.read(position, most, bytes),
        }
    }

    /// The records from `position` on, within the bounds, if they are in memory.
    pub fn read_at_hand(&self, position: u64, most: usize, bytes: usize) -> Option<Vec<Record>> {
        match self {
            Self::Memory(memory) => memory.read(position, most, bytes).ok(),
            Self::File(file) => file.read_tail(position, most, bytes),
        }
    }

    /// The damage that was found in the journal, unless it is known to be mended.
    pub fn damage(&self) -> Option<DamagedFile> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => file.damage(),
        }
    }

    /// Why appended batches would be lost now, in words; none if they would not.
    pub fn loss(&self) -> Option<String> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => file.loss(),
        }
    }

    /// Checks the journal again and again, for ever, and notes damage.
    pub async fn watch(self) {
        match self {
            Self::Memory(_) => std::future::pending().await,
            Self::File(file) => scrub::watch(file).await,
        }
    }

    /// The first position at or after `from` whose transaction `seen` may lack; the journal's length if there
    /// is none; `from` if that was dropped.
    pub fn next_uncovered(&self, from: u64, seen: &VectorClock) -> u64 {
        self.with_index(|index| index.next_uncovered(from, seen))
    }

    /// How many transactions from `from` on `seen` lacks, without reading them. This is exact if `seen` has
    /// all or nothing of each part of the journal, or if Ids have no gaps; else it is an upper bound.
    pub fn lacking(&self, from: u64, seen: &VectorClock) -> u64 {
        self.with_index(|index| index.lacking(from, seen))
    }

    /// What is known of the block of records that begins at `position` without reading them; none if nothing
    /// is known.
    pub fn summary(&self, position: u64) -> Option<BlockSummary> {
        self.with_index(|index| index.summary(position))
    }

    /// Where the transaction with the stamp or the name (`source`, `id`) may be, the likeliest positions
    /// first.
    pub fn candidates(&self, source: &Source, id: u64) -> Vec<Range<u64>> {
        self.with_index(|index| index.candidates(source, id))
    }

    /// The first position at or after `from` whose transaction may have a time up to `time`; the journal's
    /// length if there is none.
    pub fn next_up_to(&self, from: u64, time: Time) -> u64 {
        self.with_index(|index| index.next_up_to(from, time))
    }

    /// How many transactions are known, without reading them, to be before `time`, and where those are that
    /// may be before it or at it. Dropped ones do not count.
    pub fn before(&self, time: Time) -> (u64, Vec<Range<u64>>) {
        self.with_index(|index| index.before(time))
    }

    fn with_index<R>(&self, ask: impl FnOnce(&BlockIndex) -> R) -> R {
        match self {
            Self::Memory(memory) => memory.with_index(ask),
            Self::File(file) => file.with_index(ask),
        }
    }
}

/// Of `records` at most `most`, and no more once they have `bytes` bytes.
fn within<'a>(
    records: impl Iterator<Item = &'a Record>,
    most: usize,
    bytes: usize,
) -> impl Iterator<Item = &'a Record> {
    let mut room = bytes;
    records.take(most).take_while(move |record| {
        let fits = room > 0;
        room = room.saturating_sub(record.line.len());
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::transaction::Place;

    fn record(id: u64) -> Record {
        let place = Place { time: Time::MAX, source: "a".parse().unwrap(), id };
        Record { place, named: None, line: format!("line {id}").into() }
    }

    fn ids(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.place.id).collect()
    }

    #[test]
    fn records_in_memory_are_dropped_by_chunks() {
        smol::block_on(async {
            let mut journal = Journal::in_memory();
            let reader = journal.reader();
            for begin in (0..5000).step_by(50) {
                let batch: Vec<Record> = (begin..begin + 50).map(record).collect();
                journal.append(batch, true).await.unwrap();
            }
            journal.roll().await.unwrap();
            // The position to drop up to, and where the journal begins then.
            for (position, begin) in [(0, 0), (1023, 0), (1024, 1024), (5, 1024), (4095, 3072)] {
                assert_eq!(journal.drop_before(position).await.unwrap(), begin);
                assert_eq!((reader.begin(), reader.length()), (begin, 5000));
                for from in [begin, begin + 1, 4095, 4096, 4999, 5000] {
                    let read = reader.read(from, 1100, usize::MAX).await.unwrap();
                    assert_eq!(ids(&read), (from..5000.min(from + 1100)).collect::<Vec<_>>());
                }
                for from in (0..begin).step_by(100) {
                    assert!(is_folded(&reader.read(from, 1, 1).await.unwrap_err()));
                    assert!(is_folded(&reader.read_blocking(from, 1, 1).unwrap_err()));
                    assert_eq!(reader.read_at_hand(from, 1, 1), None);
                }
            }
            assert_eq!(journal.drop_before(u64::MAX).await.unwrap(), 4096);
            journal.append(vec![record(5000)], true).await.unwrap();
            assert_eq!(ids(&reader.read(4999, 9, usize::MAX).await.unwrap()), [4999, 5000]);
            let source = "a".parse().unwrap();
            let found = reader.candidates(&source, 4097);
            assert!(found.len() == 1 && found[0] == (4096..4352), "{found:?}");
            assert_eq!(reader.candidates(&source, 4000), []);
        });
    }

    #[test]
    fn readers_see_what_was_appended_from_any_position() {
        smol::block_on(async {
            let mut journal = Journal::in_memory();
            let reader = journal.reader();
            assert_eq!(reader.length(), 0);
            journal.append(vec![record(1), record(2)], false).await.unwrap();
            journal.append(vec![record(3)], true).await.unwrap();
            assert_eq!(reader.length(), 3);
            for (position, most, bytes, expected) in [
                (0, 10, 1000, vec![1, 2, 3]),
                (1, 1, 1000, vec![2]),
                (0, 10, 7, vec![1, 2]),
                (0, 10, 6, vec![1]),
                (0, 10, 0, vec![]),
                (3, 10, 1000, vec![]),
                (u64::MAX, 10, 1000, vec![]),
            ] {
                let records = reader.read(position, most, bytes).await.unwrap();
                assert_eq!(ids(&records), expected, "{position} {most} {bytes}");
            }
        });
    }
}
