//! Writes checkpoints to the data directory, so that a start reads only the end of the journal.

use std::sync::Arc;

use smol::Task;

use super::journal_past::{Bases, OwnClock};
use crate::clock::VectorClock;
use crate::journal::{Directory, FileReader, StoredBase, StoredCheckpoint};
use crate::replica::{Base, Replica, Saved};
use crate::source::Source;

/// How many transactions are between two checkpoints at least.
const SPACING_TRANSACTIONS: u64 = 1 << 16;

/// So many bytes of the journal count as one transaction at least, since a start reads all bytes.
const BYTES_A_TRANSACTION: u64 = 1 << 10;

/// For so many bytes of the document's weight there is one transaction more between two checkpoints, since one of a
/// large document is a lot of work.
const WEIGHT_A_TRANSACTION: u64 = 64;

/// If the node stops, it writes a checkpoint for at least so many transactions.
const WORTHWHILE_TRANSACTIONS: u64 = 1000;

/// Writes checkpoints, one at a time, by another thread.
pub struct Keeper {
    directory: Arc<Directory>,
    /// The life that the journal began with.
    source: Source,
    /// How many transactions the journal had at the last checkpoint.
    kept_length: u64,
    /// The offset in the journal at that checkpoint.
    kept_end: u64,
    writing: Option<Task<()>>,
}

impl Keeper {
    /// A keeper for a journal that began with the life `source`, and was read from a checkpoint after about
    /// `kept_length` transactions on; 0 if there was none.
    pub fn new(
        directory: Directory,
        source: Source,
        kept_length: u64,
        journal: &FileReader,
    ) -> Self {
        let kept_end = journal.offset(kept_length);
        Self { directory: Arc::new(directory), source, kept_length, kept_end, writing: None }
    }

    /// Removes the bases that are not needed any more.
    pub fn drop_bases(&self) -> Task<Result<(), String>> {
        let directory = self.directory.clone();
        smol::unblock(move || directory.drop_bases().map_err(|error| error.to_string()))
    }

    /// Where the last base is.
    pub fn bases(&self) -> Bases {
        Bases::Kept(self.directory.clone(), self.source.clone())
    }

    /// Forgets the last checkpoint: it does not fit the new base.
    pub fn forget(&mut self) {
        (self.kept_length, self.kept_end) = (0, 0);
    }

    /// Writes the base for the history before `position` of the journal. `own` is how far this node has counted.
    pub fn keep_base(
        &self,
        base: Base,
        position: u64,
        own: &VectorClock,
    ) -> Task<Result<(), String>> {
        let own = OwnClock { own: own.clone() };
        let (directory, source) = (self.directory.clone(), self.source.clone());
        smol::unblock(move || {
            let summary = own.with(&base.summary());
            let document = base.document.root().to_text();
            let stored = StoredBase { position, summary, document };
            directory.keep_base(&source, &stored).map_err(|error| error.to_string())
        })
    }

    /// How much the next start has to read, in transactions.
    fn since(&self, replica: &Replica, journal: &FileReader) -> u64 {
        let transactions = replica.length().saturating_sub(self.kept_length);
        let bytes = journal.end().saturating_sub(self.kept_end);
        if transactions == 0 { 0 } else { transactions.max(bytes / BYTES_A_TRANSACTION) }
    }

    /// Begins to write a checkpoint if one is due.
    pub fn keep_where_due(&mut self, replica: &Replica, journal: &FileReader) {
        let heavy = replica.snapshot().weight() / WEIGHT_A_TRANSACTION;
        if self.since(replica, journal) < SPACING_TRANSACTIONS + heavy {
            return;
        }
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        self.writing = Some(self.write(replica, journal));
    }

    /// Writes a last checkpoint if it is worthwhile, and waits until all is written.
    pub async fn finish(&mut self, replica: &Replica, journal: &FileReader) {
        if let Some(writing) = self.writing.take() {
            writing.await;
        }
        if self.since(replica, journal) >= WORTHWHILE_TRANSACTIONS {
            self.write(replica, journal).await;
        }
    }

    fn write(&mut self, replica: &Replica, journal: &FileReader) -> Task<()> {
        let length = replica.length();
        (self.kept_length, self.kept_end) = (length, journal.end());
        let (directory, source) = (self.directory.clone(), self.source.clone());
        let (replica, journal) = (replica.clone(), journal.clone());
        smol::unblock(move || match keep(&replica, &journal, &directory, &source) {
            Ok(()) => log::debug!("a checkpoint after {length} transactions is kept"),
            Err(error) => {
                log::warn!("no checkpoint is kept, so the next start takes longer: {error}");
            }
        })
    }
}

fn keep(
    replica: &Replica,
    journal: &FileReader,
    directory: &Directory,
    source: &Source,
) -> Result<(), String> {
    let Some(Saved { summary, document, length, position }) = replica.save() else { return Ok(()) };
    // The base stands for the whole history.
    if length == journal.begin() {
        return Ok(());
    }
    let last = journal.read(length - 1, 1, 1).map_err(|error| error.to_string())?.pop();
    let last = last.ok_or("the journal is shorter than the history")?.place;
    let (life, marks) = (journal.life(), journal.marks(position));
    let document = document.root().to_text();
    let checkpoint = StoredCheckpoint { length, life, marks, last, summary, document };
    directory.keep_checkpoint(source, checkpoint).map_err(|error| error.to_string())
}
