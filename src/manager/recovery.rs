//! Opens a data directory: reads its journal into a replica.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::journal_past::{Bases, JournalPast, OwnClock, read_base};
use crate::clock::{Time, VectorClock};
use crate::journal::{
    Directory, DirectoryError, Extent, FileJournal, FileReader, Header, JournalReader, Lacking,
    Marks, OpenError, Segments, StoredBase, StoredCheckpoint, read_through,
};
use crate::progress::{Progress, Unit};
use crate::replica::{Bounds, Life, Replica, Resume};
use crate::source::{Source, SourceError};
use crate::transaction::{Place, Transaction};

/// How many transactions, and about how many bytes of them, go into the history in one pass.
const BATCH_TRANSACTIONS: usize = 1 << 16;
const BATCH_BYTES: usize = 1 << 20;

/// A data directory that was opened.
pub struct Recovered {
    /// The directory.
    pub directory: Directory,
    /// The life that the journal began with, by which its checkpoints know it.
    pub first_life: Source,
    /// The life that it has now.
    pub source: Source,
    /// The journal.
    pub journal: FileJournal,
    /// The replica with all its transactions.
    pub replica: Replica,
    /// The position at which reading began: not 0 if there was a checkpoint.
    pub from: u64,
}

/// A journal that was read back.
pub struct ReadBack {
    /// The replica with all its transactions.
    pub replica: Replica,
    /// Where it ends, and how.
    pub extent: Extent,
    /// Its reader.
    pub reader: FileReader,
    /// The position at which reading began: not 0 if a checkpoint was used.
    pub from: u64,
    /// Whether it was read from a checkpoint on.
    pub is_resumed: bool,
    /// The base for the transactions before it, if the journal does not begin at 0.
    pub base: Option<Arc<StoredBase>>,
}

impl ReadBack {
    /// What the journal lacks, if its base proves that it had more.
    pub fn lacks_of_base(&self) -> Option<Lacking> {
        let (had, has) = (self.base.as_ref()?.position, self.extent.length);
        (had > has).then_some(Lacking { has, had, last: None })
    }
}

/// Opens the directory `path`. If it has no journal, this creates one, whose source is a new life of `name`.
///
/// # Errors
/// If it cannot be opened. Nothing is changed then, except that the directory may be new.
pub fn open(path: &Path, name: &str, random: u64, now: Time) -> Result<Recovered, DirectoryError> {
    let directory = Directory::open(path, true)?;
    let journal_path = directory.journal_path();
    let failed = |error| DirectoryError::Journal(journal_path.clone(), error);
    let segments = match directory.journal(true)? {
        Some(segments) => segments,
        None => {
            let bases = directory.base_paths();
            if let Some(left) = directory.checkpoint_paths().into_iter().chain(bases).next_back() {
                return Err(DirectoryError::JournalGone(left));
            }
            let source = Source::begin_life(name, random).map_err(|error: SourceError| {
                DirectoryError::Io(journal_path.clone(), io::Error::other(error))
            })?;
            directory.create_journal(&Header::new(source), |_| Ok(()))?
        }
    };
    let first_life = segments.source();
    let base = directory.base(&segments)?.map(Arc::new);
    let checkpoints = directory.checkpoints(&first_life);
    let proofs: Vec<Proof> = checkpoints.iter().map(Proof::new).collect();
    let read = read_back(&segments, base, checkpoints, now).map_err(failed)?;
    let lacking = proofs.iter().find_map(|proof| proof.lacking(&read));
    if let Some(lacking) = lacking.or_else(|| read.lacks_of_base()) {
        return Err(DirectoryError::Lacking(journal_path, lacking));
    }
    let open: Vec<String> =
        directory.open_to_others().iter().map(|path| path.display().to_string()).collect();
    if !open.is_empty() {
        let open = open.join(", ");
        log::warn!("other users of this machine may read or write {open}: chmod -R go= DIR");
    }
    if read.extent.torn {
        let (file, offset) = segments.place(read.extent.end);
        log::warn!(
            "{file}: the last batch is torn and was cut off at offset {offset}; nobody was told of it"
        );
    }
    log::info!(
        "{}: {} transactions, read from {} on",
        path.display(),
        read.extent.length,
        read.from
    );
    let ReadBack { mut replica, extent, reader, from, .. } = read;
    let source = reader.life().unwrap_or_else(|| first_life.clone());
    if source != first_life {
        replica
            .begin_life(source.clone())
            .map_err(|error| DirectoryError::Io(journal_path.clone(), io::Error::other(error)))?;
    }
    let journal = FileJournal::open(&extent, reader).map_err(failed)?;
    Ok(Recovered { directory, first_life, source, journal, replica, from })
}

/// The vector clock of the journal at a checkpoint; none if it cannot be read.
pub fn clock_of(checkpoint: &StoredCheckpoint) -> Option<VectorClock> {
    #[derive(serde::Deserialize)]
    struct CheckpointSummary {
        vclock: VectorClock,
    }
    serde_json::from_str::<CheckpointSummary>(&checkpoint.summary)
        .ok()
        .map(|summary| summary.vclock)
}

/// The vector clock of the transactions that a base stands for; none if it cannot be read.
pub fn clock_of_base(base: &StoredBase) -> Option<VectorClock> {
    #[derive(serde::Deserialize)]
    struct ClockOfBase {
        #[serde(rename = "Clock")]
        clock: BTreeMap<Source, (u64, u64)>,
    }
    let summary = serde_json::from_str::<ClockOfBase>(&base.summary).ok()?;
    Some(summary.clock.into_iter().map(|(source, (next, _))| (source, next)).collect())
}

/// What a checkpoint proves that the journal had.
pub struct Proof {
    length: u64,
    last: Place,
}

impl Proof {
    /// The proof by this checkpoint.
    pub fn new(checkpoint: &StoredCheckpoint) -> Self {
        Self { length: checkpoint.length, last: checkpoint.last.clone() }
    }

    /// What the journal lacks, if it had more by this proof.
    pub fn lacking(&self, read: &ReadBack) -> Option<Lacking> {
        let Self { length, last } = self;
        let lacking =
            || Some(Lacking { has: read.extent.length, had: *length, last: Some(last.clone()) });
        if *length > read.extent.length {
            return lacking();
        }
        let record = read.reader.read(length.checked_sub(1)?, 1, 1).ok()?.pop();
        if record.is_some_and(|record| record.place == *last) { None } else { lacking() }
    }
}

/// Reads a journal back: from the first of `checkpoints` that fits, or else from its beginning, after `base`.
///
/// # Errors
/// If it is damaged, or cannot be read.
pub fn read_back(
    segments: &Segments,
    base: Option<Arc<StoredBase>>,
    checkpoints: Vec<StoredCheckpoint>,
    now: Time,
) -> Result<ReadBack, OpenError> {
    let life =
        Life::new(segments.source()).map_err(|error| OpenError::Header(error.to_string()))?;
    let bases = || base.clone().map_or(Bases::InMemory, Bases::Read);
    let begin = base.as_ref().map_or(0, |base| base.position);
    for checkpoint in checkpoints {
        let StoredCheckpoint { life: noted, marks, last, summary, document, .. } = checkpoint;
        let (replica, resume) =
            match Replica::load(life.clone(), &summary, &document, Bounds::default()) {
                Ok(loaded) => loaded,
                Err(why) => {
                    log::warn!("a checkpoint is not used, since {why}");
                    continue;
                }
            };
        drop(document);
        if replica.history().begin().position != begin {
            log::debug!("a checkpoint is not used, since the base is another one");
            continue;
        }
        let reader = FileReader::new(segments.clone(), &marks);
        if let Some(noted) = noted {
            reader.note_life(noted);
        }
        let length = resume.length;
        reader.cover(length, replica.vclock().clone());
        // A checkpoint may only be used if it fits the journal.
        match Recovery::new((reader, bases()), Some(resume), replica, now).through() {
            Ok(read) if fits(&read, length, &last) => {
                return Ok(ReadBack { is_resumed: true, base, ..read });
            }
            Ok(_) => log::warn!("a checkpoint is not used, since it does not fit the journal"),
            Err(error) => log::warn!("a checkpoint is not used: {error}"),
        }
    }
    let reader = FileReader::new(segments.clone(), &Marks::default());
    let (replica, resume) = beginning(life, base.as_deref())?;
    let read = Recovery::new((reader, bases()), resume, replica, now).through()?;
    Ok(ReadBack { base, ..read })
}

/// The replica at the beginning of the journal.
fn beginning(
    life: Life,
    base: Option<&StoredBase>,
) -> Result<(Replica, Option<Resume>), OpenError> {
    let Some(stored) = base else { return Ok((Replica::new(life, Bounds::default()), None)) };
    let wrong = |why: String| OpenError::Header(format!("the base is of no use: {why}"));
    let base = read_base(stored).map_err(wrong)?;
    let (mut replica, resume) = Replica::after(life, base, stored.position, Bounds::default());
    replica.count_on_from(OwnClock::read(&stored.summary).map_err(wrong)?.own);
    Ok((replica, Some(resume)))
}

/// Whether a checkpoint, made after `length` records, fits the journal that was read back from it. It does not if the
/// journal was put back to an older copy and has grown differently since.
fn fits(read: &ReadBack, length: u64, last: &Place) -> bool {
    let record = length.checked_sub(1).and_then(|at| read.reader.read(at, 1, 1).ok()?.pop());
    record.is_some_and(|record| record.place == *last)
        && read.replica.length() == read.extent.length
}

/// Reads a journal into a replica.
struct Recovery {
    reader: FileReader,
    bases: Bases,
    resume: Option<Resume>,
    replica: Replica,
    now: Time,
    /// Transactions that were read and are not in the replica yet.
    gathered: Vec<Transaction>,
    gathered_bytes: usize,
}

impl Recovery {
    fn new(
        (reader, bases): (FileReader, Bases),
        resume: Option<Resume>,
        replica: Replica,
        now: Time,
    ) -> Self {
        Self { reader, bases, resume, replica, now, gathered: Vec::new(), gathered_bytes: 0 }
    }

    fn through(mut self) -> Result<ReadBack, OpenError> {
        let reader = self.reader.clone();
        let from = reader.length();
        let progress = Progress::new("reading the journal back", Unit::Transactions);
        let mut progress = progress.logged();
        let extent = read_through(&reader, &mut |share, transactions| {
            for transaction in transactions {
                self.gathered_bytes += transaction.payload.len();
                self.gathered.push(transaction);
            }
            if self.gathered.len() >= BATCH_TRANSACTIONS || self.gathered_bytes >= BATCH_BYTES {
                self.put_in()?;
            }
            progress.reach(reader.length() + self.gathered.len() as u64, Some(share));
            Ok(())
        })?;
        self.put_in()?;
        let (replica, is_resumed, base) = (self.replica, false, None);
        Ok(ReadBack { replica, extent, reader, from, is_resumed, base })
    }

    fn put_in(&mut self) -> Result<(), OpenError> {
        let transactions = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let position = self.reader.length();
        let length = position + transactions.len() as u64;
        // While the replica takes these in, it may read the records before them.
        let past = JournalPast::new(JournalReader::File(self.reader.clone()), self.bases.clone());
        self.replica.recover(position, transactions, &mut self.resume, self.now, &past)?;
        self.reader.reach(length);
        Ok(())
    }
}
