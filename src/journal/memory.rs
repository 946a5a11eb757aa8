//! A journal in memory.

use std::sync::{Arc, PoisonError, RwLock};

use super::within;
use crate::transaction::Record;

/// All records, shared by the one who appends and those who read.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<RwLock<Vec<Record>>>);

impl MemoryJournal {
    /// Appends a batch.
    pub fn append(&self, batch: &[Record]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend_from_slice(batch);
    }

    /// How many records there are.
    pub fn length(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// The records from `position` on, within the bounds.
    pub fn read(&self, position: u64, most: usize, bytes: usize) -> Vec<Record> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(records.len());
        within(records[start..].iter(), most, bytes).cloned().collect()
    }
}
