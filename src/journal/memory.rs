//! A journal in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard};

use super::index::{BlockIndex, Ids};
use super::segments::folded;
use super::within;
use crate::locks::RwLock;
use crate::transaction::Record;

/// How many records are kept and dropped together.
const CHUNK_RECORDS: usize = 1024;

/// All records, shared by the owner and the readers.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<RwLock<MemoryContent>>);

/// Invariant: each chunk except the last has [`CHUNK_RECORDS`] records.
#[derive(Debug, Default)]
struct MemoryContent {
    chunks: VecDeque<Vec<Record>>,
    /// The position of the first record that was not dropped.
    begin: u64,
    length: u64,
    index: BlockIndex,
}

impl MemoryJournal {
    /// Appends a batch.
    pub fn append(&self, batch: Vec<Record>) {
        let mut content = self.content_to_change();
        content.length += batch.len() as u64;
        for record in batch {
            content.index.push(Ids::from(&record));
            match content.chunks.back_mut() {
                Some(last) if last.len() < CHUNK_RECORDS => last.push(record),
                _ => {
                    let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
                    chunk.push(record);
                    content.chunks.push_back(chunk);
                }
            }
        }
    }

    /// The position of the first record that was not dropped.
    pub fn begin(&self) -> u64 {
        self.content().begin
    }

    /// How many records were ever appended: the position after the last one.
    pub fn length(&self) -> u64 {
        self.content().length
    }

    /// Drops the chunks that are wholly before `position`.
    pub fn drop_before(&self, position: u64) {
        let mut content = self.content_to_change();
        let chunk = CHUNK_RECORDS as u64;
        let count = position.min(content.length).saturating_sub(content.begin) / chunk;
        let count = usize::try_from(count).expect("the chunks are in memory");
        let dropped: Vec<_> = content.chunks.drain(..count).collect();
        content.begin += count as u64 * chunk;
        let begin = content.begin;
        content.index.drop_before(begin);
        drop(content);
        // This takes a while, so it is done without the lock.
        drop(dropped);
    }

    /// The records from `position` on, within the bounds.
    ///
    /// # Errors
    /// If they were dropped.
    pub fn read(&self, position: u64, most: usize, bytes: usize) -> io::Result<Vec<Record>> {
        let content = self.content();
        let Some(skipped) = position.checked_sub(content.begin) else {
            return Err(folded(content.begin));
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let (chunk, within_chunk) = (skipped / CHUNK_RECORDS, skipped % CHUNK_RECORDS);
        let records = content.chunks.iter().skip(chunk).flatten().skip(within_chunk);
        Ok(within(records, most, bytes).cloned().collect())
    }

    /// Asks the index, which stays locked meanwhile.
    pub fn with_index<R>(&self, ask: impl FnOnce(&BlockIndex) -> R) -> R {
        ask(&self.content().index)
    }

    fn content(&self) -> RwLockReadGuard<'_, MemoryContent> {
        self.0.read()
    }

    fn content_to_change(&self) -> RwLockWriteGuard<'_, MemoryContent> {
        self.0.write()
    }
}
