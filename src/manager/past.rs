//! The journal as the replica sees it.

use std::io;

use crate::journal::JournalReader;
use crate::replica::{Past, PastPlace};

/// How many transactions, and about how many bytes of them, are read at once.
const STRETCH_RECORDS: usize = 1024;
const STRETCH_BYTES: usize = 1 << 20;

/// Reads the journal back, waiting for the disk if it has to.
pub struct JournalPast(pub JournalReader);

impl Past for JournalPast {
    type Error = io::Error;

    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let records = self.0.read_blocking(position, STRETCH_RECORDS, STRETCH_BYTES)?;
        Ok(records.into_iter().map(PastPlace::from).collect())
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let most = most.min(STRETCH_RECORDS);
        let records = self.0.read_blocking(position, most, STRETCH_BYTES)?;
        records
            .iter()
            .map(|record| match record.transaction() {
                Ok(transaction) => Ok(transaction.payload),
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            })
            .collect()
    }
}
