//! The journal: all accepted transactions in the order in which this node accepted them.
//!
//! The manager appends; everyone else reads, at a pace of their own, by position. A position is the
//! number of transactions before it, so positions are 0, 1, 2 and so on and never change.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use crate::transaction::Record;

/// The journal as its one owner holds it.
#[derive(Debug, Default)]
pub struct Journal {
    records: Arc<RwLock<Vec<Record>>>,
}

/// The journal as everyone else holds it: read only, cheap to clone.
#[derive(Clone, Debug)]
pub struct JournalReader {
    records: Arc<RwLock<Vec<Record>>>,
}

impl Journal {
    /// An empty journal in memory.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Appends a batch, whole or not at all. When this returns the batch is durable, as far as this
    /// journal is, and readers see it.
    ///
    /// # Errors
    /// Where the batch cannot be kept; the journal is then what it was.
    pub async fn append(&mut self, batch: &[Record]) -> io::Result<()> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.extend_from_slice(batch);
        Ok(())
    }

    /// A reader of this journal.
    pub fn reader(&self) -> JournalReader {
        JournalReader { records: self.records.clone() }
    }
}

impl JournalReader {
    /// How many transactions the journal has: the position after the last one.
    pub fn length(&self) -> u64 {
        self.records.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// The records from `position` on: at most `most`, and no more than one that passes `bytes` in
    /// all. None where the journal ends there.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub async fn read(&self, position: u64, most: usize, bytes: usize) -> io::Result<Vec<Record>> {
        self.read_blocking(position, most, bytes)
    }

    /// The same where waiting for the disk holds nobody up.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn read_blocking(
        &self,
        position: u64,
        most: usize,
        bytes: usize,
    ) -> io::Result<Vec<Record>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(records.len());
        let mut room = bytes;
        Ok(records[start..]
            .iter()
            .take(most)
            .take_while(|record| {
                let fits = room > 0;
                room = room.saturating_sub(record.line.len());
                fits
            })
            .cloned()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::transaction::Place;

    fn record(id: u64) -> Record {
        let place = Place { time: Time::MAX, source: "a".parse().unwrap(), id };
        Record { place, line: format!("line {id}").into() }
    }

    fn ids(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.place.id).collect()
    }

    #[test]
    fn readers_see_what_was_appended_from_any_position() {
        smol::block_on(async {
            let mut journal = Journal::in_memory();
            let reader = journal.reader();
            assert_eq!(reader.length(), 0);
            journal.append(&[record(1), record(2)]).await.unwrap();
            journal.append(&[record(3)]).await.unwrap();
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
