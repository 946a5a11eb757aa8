//! A journal in memory.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::index::{BlockIndex, Ids};
use super::within;
use crate::clock::{Time, VectorClock};
use crate::source::Source;
use crate::transaction::Record;

/// All records, shared by the one who appends and those who read.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<RwLock<Content>>);

#[derive(Debug, Default)]
struct Content {
    records: Vec<Record>,
    index: BlockIndex,
}

impl MemoryJournal {
    /// Appends a batch.
    pub fn append(&self, batch: &[Record]) {
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        content.records.extend_from_slice(batch);
        batch.iter().for_each(|record| content.index.push(Ids::from(record)));
    }

    /// How many records there are.
    pub fn length(&self) -> u64 {
        self.content().records.len() as u64
    }

    /// The records from `position` on, within the bounds.
    pub fn read(&self, position: u64, most: usize, bytes: usize) -> Vec<Record> {
        let records = &self.content().records;
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(records.len());
        within(records[start..].iter(), most, bytes).cloned().collect()
    }

    /// See [`super::JournalReader::next_uncovered`].
    pub fn next_uncovered(&self, from: u64, seen: &VectorClock) -> u64 {
        self.content().index.next_uncovered(from, seen)
    }

    /// See [`super::JournalReader::candidates`].
    pub fn candidates(&self, source: &Source, id: u64) -> Vec<Range<u64>> {
        self.content().index.candidates(source, id)
    }

    /// See [`super::JournalReader::before`].
    pub fn before(&self, time: Time) -> (u64, Vec<Range<u64>>) {
        self.content().index.before(time)
    }

    /// See [`super::JournalReader::next_up_to`].
    pub fn next_up_to(&self, from: u64, time: Time) -> u64 {
        self.content().index.next_up_to(from, time)
    }

    fn content(&self) -> RwLockReadGuard<'_, Content> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
