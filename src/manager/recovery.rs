//! Opens a data directory: reads its journal back into a replica.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::past::JournalPast;
use crate::clock::Time;
use crate::journal::{
    Directory, DirectoryError, Extent, FileJournal, FileReader, JournalReader, Mark, OpenError,
    Storage, StoredCheckpoint, read_header, read_through,
};
use crate::replica::{Bounds, Life, Replica, Resume};
use crate::source::{Source, SourceError};
use crate::transaction::{Place, Transaction};

/// How many transactions, and about how many bytes of them, are put into the history in one pass.
const BATCH_TRANSACTIONS: usize = 1 << 16;
const BATCH_BYTES: usize = 32 << 20;

/// How often is told how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// A data directory that was opened.
pub struct Recovered {
    /// The directory.
    pub directory: Directory,
    /// The life that the journal has.
    pub source: Source,
    /// The journal.
    pub journal: FileJournal,
    /// What follows from it.
    pub replica: Replica,
    /// Where reading began: not at the start where there was a checkpoint.
    pub from: u64,
}

/// A journal that was read back.
pub struct ReadBack {
    /// What follows from it.
    pub replica: Replica,
    /// Where it ends, and how.
    pub extent: Extent,
    /// To read from it.
    pub reader: FileReader,
    /// Where reading began: not at the start where there was a checkpoint.
    pub from: u64,
}

/// Opens the directory `path`. Where it has no journal, one is begun whose source is a new life of
/// `name`.
///
/// # Errors
/// Where it cannot be opened; nothing was changed then but that the directory was made.
pub fn open(path: &Path, name: &str, random: u64, now: Time) -> Result<Recovered, DirectoryError> {
    let directory = Directory::open(path, true)?;
    let journal_path = directory.journal_path();
    let failed = |error| DirectoryError::Journal(journal_path.clone(), error);
    let storage = match directory.journal(true)? {
        Some(storage) => storage,
        None => {
            let source = Source::begin_life(name, random).map_err(|error: SourceError| {
                DirectoryError::Io(journal_path.clone(), io::Error::other(error))
            })?;
            directory.create_journal(&source, |_| Ok(()))?
        }
    };
    let (header, first) = read_header(&*storage).map_err(failed)?;
    let checkpoints = directory.checkpoints(&header.source);
    let read = read_back(&storage, &header.source, first, checkpoints, now).map_err(failed)?;
    if read.extent.torn {
        log::warn!(
            "{}: the last batch is torn and was cut off at offset {}; nobody was told of it",
            journal_path.display(),
            read.extent.end
        );
    }
    log::info!(
        "{}: {} transactions, read from {} on",
        journal_path.display(),
        read.extent.length,
        read.from
    );
    let journal = FileJournal::open(&read.extent, read.reader).map_err(failed)?;
    let (replica, from) = (read.replica, read.from);
    Ok(Recovered { directory, source: header.source, journal, replica, from })
}

/// Reads back a journal of the life `source`, whose first record's line is at `first`: from the first of `checkpoints` that
/// fits, or from the start.
///
/// # Errors
/// Where it is damaged, or cannot be read.
pub fn read_back(
    storage: &Arc<dyn Storage>,
    source: &Source,
    first: Mark,
    checkpoints: Vec<StoredCheckpoint>,
    now: Time,
) -> Result<ReadBack, OpenError> {
    let life = Life::new(source.clone()).map_err(|error| OpenError::Header(error.to_string()))?;
    for StoredCheckpoint { marks, last, summary, document } in checkpoints {
        let (replica, resume) =
            match Replica::load(life.clone(), &summary, &document, Bounds::default()) {
                Ok(loaded) => loaded,
                Err(why) => {
                    log::warn!("a checkpoint is not used, since {why}");
                    continue;
                }
            };
        let reader = FileReader::new(storage.clone(), marks);
        let length = resume.length;
        // A checkpoint is as good as a journal only as long as the two fit together.
        match Reading::new(reader, Some(resume), replica, now).through(first) {
            Ok(read) if fits(&read, length, &last) => return Ok(read),
            Ok(_) => log::warn!("a checkpoint is not used, since it does not fit the journal"),
            Err(error) => log::warn!("a checkpoint is not used: {error}"),
        }
    }
    let reader = FileReader::new(storage.clone(), Vec::new());
    Reading::new(reader, None, Replica::new(life, Bounds::default()), now).through(first)
}

/// Whether a journal that was read back from a checkpoint on is the one of which the checkpoint was
/// made, when it had `length` records: it may have been put back to what it was before, and have grown
/// in another way since.
fn fits(read: &ReadBack, length: u64, last: &Place) -> bool {
    let record = length.checked_sub(1).and_then(|at| read.reader.read(at, 1, 1).ok()?.pop());
    record.is_some_and(|record| record.place == *last)
        && read.replica.history().length() == read.extent.length
}

/// A journal being read back.
struct Reading {
    reader: FileReader,
    resume: Option<Resume>,
    replica: Replica,
    now: Time,
    /// What was read and is not in the replica yet.
    gathered: Vec<Transaction>,
    gathered_bytes: usize,
}

impl Reading {
    fn new(reader: FileReader, resume: Option<Resume>, replica: Replica, now: Time) -> Self {
        Self { reader, resume, replica, now, gathered: Vec::new(), gathered_bytes: 0 }
    }

    fn through(mut self, first: Mark) -> Result<ReadBack, OpenError> {
        let reader = self.reader.clone();
        let from = reader.length();
        let mut told = Instant::now();
        let extent = read_through(&reader, first, &mut |share, transactions| {
            for transaction in transactions {
                self.gathered_bytes += transaction.payload.len();
                self.gathered.push(transaction);
            }
            if self.gathered.len() >= BATCH_TRANSACTIONS || self.gathered_bytes >= BATCH_BYTES {
                self.put_in()?;
            }
            if told.elapsed() >= PROGRESS_INTERVAL {
                told = Instant::now();
                let count = reader.length() + self.gathered.len() as u64;
                log::info!(
                    "reading the journal back: {count} transactions, {:.0} %",
                    100.0 * share
                );
            }
            Ok(())
        })?;
        self.put_in()?;
        Ok(ReadBack { replica: self.replica, extent, reader, from })
    }

    fn put_in(&mut self) -> Result<(), OpenError> {
        let transactions = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let position = self.reader.length();
        let length = position + transactions.len() as u64;
        // What the replica reads back while it takes these in is what came before them.
        let past = JournalPast(JournalReader::File(self.reader.clone()));
        self.replica.recover(position, transactions, &mut self.resume, self.now, &past)?;
        self.reader.reach(length);
        Ok(())
    }
}
