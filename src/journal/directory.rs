//! The data directory: the journal, its checkpoints, and the lock that keeps a second process out.
//!
//! ```text
//! lock                          held by the process that uses the directory
//! journal                       see the format; held as well
//! checkpoint-0000000000065536   the state after so many transactions, two of them at the most
//! ```
//!
//! A checkpoint is three lines of the journal's format, all of batch 0: what the journal needs to go on
//! from there, what the replica needs, and the document. It can always be made again from the journal,
//! so one that cannot be used is left out. But it also proves how many transactions the journal had: one
//! that lacks them, or that is gone, has lost what was acknowledged, and must not go on as if nothing was.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::{FileJournal, OpenError};
use super::format::{Header, Seal, push_line, read_line};
use super::new_file::{FILE_MODE, NewFile, sync_directory, write_durably};
use super::reader::Mark;
use super::storage::{NamedFile, Storage};
use crate::source::Source;
use crate::transaction::Place;

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const CHECKPOINT: &str = "checkpoint-";

/// Nobody but the one who runs the node may look into the directory.
const DIRECTORY_MODE: u32 = 0o700;

/// What others than the one who runs the node may do, of a file's mode, and whether they may write.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// The version of a checkpoint's format.
const CHECKPOINT_VERSION: u32 = 1;

/// How many lines a checkpoint has.
const LINES: u64 = 3;

/// How many checkpoints are kept: the last one, and one to fall back on.
const CHECKPOINTS: usize = 2;

/// A data directory that this process has to itself.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held as long as the directory is used.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum DirectoryError {
    /// Something in it cannot be made, read or written.
    Io(PathBuf, io::Error),
    /// Another process uses it.
    InUse(PathBuf),
    /// There is no journal in it.
    NoJournal(PathBuf),
    /// There is no journal in it, and there was one: this checkpoint proves it.
    JournalGone(PathBuf),
    /// The journal lacks what was acknowledged once.
    Lacking(PathBuf, Lacking),
    /// There is a journal in it already.
    HasJournal(PathBuf),
    /// The journal cannot be opened.
    Journal(PathBuf, OpenError),
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "cannot use {}: {error}", path.display()),
            Self::InUse(path) => {
                write!(f, "{} is in use by another process", path.display())
            }
            Self::NoJournal(path) => write!(f, "there is no journal in {}", path.display()),
            Self::JournalGone(checkpoint) => write!(
                f,
                "the journal is gone: {} is a checkpoint of one. Nothing was changed. Put the journal \
                 back, or get one from a peer: patchmesh verify DIR --rebuild-from PEER; or move the \
                 directory away and start with an empty one",
                checkpoint.display()
            ),
            Self::Lacking(path, lacking) => write!(f, "{}: {lacking}", path.display()),
            Self::HasJournal(path) => {
                write!(f, "there is a journal in {} already", path.display())
            }
            Self::Journal(path, OpenError::Io(error)) => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            Self::Journal(path, error) => write!(
                f,
                "{}: {error}. Nothing was changed. Mend it with what a peer has: patchmesh verify DIR \
                 --rebuild-from PEER; or restore the directory from a backup, or move it away and start \
                 with an empty one: peers send what they have",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// What a checkpoint proves to have been in the journal, and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// How many transactions the journal has.
    pub has: u64,
    /// How many it had.
    pub had: u64,
    /// The last one of those.
    pub last: Place,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { has, had, last: Place { source, id, .. } } = self;
        write!(
            f,
            "the journal has {has} transactions, and a checkpoint proves that it had {had}, the last of \
             them number {id} of {source}, which is missing there. Nothing was changed. What is missing \
             was acknowledged: get it from a peer: patchmesh verify DIR --rebuild-from PEER; or go on \
             without it, under a new life: patchmesh verify DIR --new-life"
        )
    }
}

/// A checkpoint, as its file has it.
#[derive(Debug)]
pub struct StoredCheckpoint {
    /// How many transactions the journal had.
    pub length: u64,
    /// The newest life that the journal notes; none if it notes none.
    pub life: Option<Source>,
    /// The offsets of the journal's lines, up to where it is to be read on from.
    pub marks: Vec<Mark>,
    /// The journal's last record.
    pub last: Place,
    /// What the replica needs.
    pub summary: String,
    /// The document's text.
    pub document: Vec<u8>,
}

/// The object of a checkpoint's first line.
#[derive(Serialize, Deserialize)]
struct CheckpointHeader {
    patchmesh: String,
    version: u32,
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life: Option<Source>,
    marks: Vec<Mark>,
    last: Place,
}

impl Directory {
    /// Takes the directory `path`, and makes it if there is none and `create` says so.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(path: &Path, create: bool) -> Result<Self, DirectoryError> {
        let failed = |error| DirectoryError::Io(path.to_owned(), error);
        if create && !path.exists() {
            let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(failed)?;
            for parent in missing.iter().filter_map(|made| made.parent()) {
                sync_directory(parent).map_err(failed)?;
            }
        }
        if !create && !path.join(JOURNAL).exists() {
            return Err(DirectoryError::NoJournal(path.to_owned()));
        }
        let lock_path = path.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(FILE_MODE);
        let lock = match options.open(&lock_path) {
            // Who only reads needs no more than a file that is there: a disk that has failed is often
            // mounted read-only.
            Err(error) if !create && is_read_only(&error) => {
                File::open(&lock_path).or_else(|_| File::open(path.join(JOURNAL)))
            }
            lock => lock,
        };
        let lock = lock.map_err(|error| DirectoryError::Io(lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// What other users of this machine may read or write, or make others of: files, and the directory.
    pub fn open_to_others(&self) -> Vec<PathBuf> {
        let mode = |path: &Path| {
            fs::symlink_metadata(path).map_or(0, |metadata| metadata.permissions().mode())
        };
        let own = mode(&self.path);
        if own & OTHERS == 0 {
            return Vec::new();
        }
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| mode(path) & OTHERS != 0);
        let directory = (own & OTHERS_WRITE != 0).then(|| self.path.clone());
        directory.into_iter().chain(files).collect()
    }

    /// Where the journal is.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// The journal's file; none if there is none yet.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn journal(&self, write: bool) -> Result<Option<Arc<dyn Storage>>, DirectoryError> {
        let path = self.journal_path();
        match OpenOptions::new().read(true).write(write).open(&path) {
            Ok(file) => {
                // Whoever removed the file that is called lock did not end who holds it.
                match file.try_lock() {
                    Err(TryLockError::WouldBlock) => {
                        return Err(DirectoryError::InUse(self.path.clone()));
                    }
                    Err(TryLockError::Error(error)) if write => {
                        return Err(DirectoryError::Io(path, error));
                    }
                    _ => (),
                }
                if write {
                    // Who began the journal may not have come to make its name durable.
                    sync_directory(&self.path)
                        .map_err(|error| DirectoryError::Io(self.path.clone(), error))?;
                }
                Ok(Some(Arc::new(NamedFile::new(file, path))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DirectoryError::Io(path, error)),
        }
    }

    /// Begins a journal. `fill` may write to it before it gets its name.
    ///
    /// # Errors
    /// If it cannot be made, or there is one.
    pub fn create_journal(
        &self,
        header: &Header,
        fill: impl FnOnce(&File) -> Result<(), DirectoryError>,
    ) -> Result<Arc<dyn Storage>, DirectoryError> {
        let path = self.journal_path();
        if path.exists() {
            return Err(DirectoryError::HasJournal(self.path.clone()));
        }
        let failed = |error| DirectoryError::Io(path.clone(), error);
        let new = NewFile::create_anew(&path).map_err(failed)?;
        if let Err(TryLockError::Error(error)) = new.file().try_lock() {
            return Err(failed(error));
        }
        FileJournal::create(new.file(), header).map_err(failed)?;
        fill(new.file())?;
        let file = new.finish().map_err(failed)?;
        Ok(Arc::new(NamedFile::new(file, path)))
    }

    /// The checkpoints of a journal of `source` that can be read, the last one first. Others are left
    /// out, with a warning.
    pub fn checkpoints(&self, source: &Source) -> Vec<StoredCheckpoint> {
        let mut paths = self.checkpoint_paths();
        paths.reverse();
        let read = |path: PathBuf| match read_checkpoint(&path, source) {
            Ok(checkpoint) => Some(checkpoint),
            Err(why) => {
                log::warn!("{}: not used, since {why}", path.display());
                None
            }
        };
        paths.into_iter().filter_map(read).collect()
    }

    /// The files of the checkpoints, the last one last.
    pub fn checkpoint_paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| checkpoint_length(path).is_some())
            .collect();
        paths.sort();
        paths
    }

    /// Keeps a checkpoint of a journal of `source`, durably, and removes those before the last but one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_checkpoint(
        &self,
        source: &Source,
        checkpoint: StoredCheckpoint,
    ) -> Result<(), DirectoryError> {
        let StoredCheckpoint { length, life, marks, last, summary, document } = checkpoint;
        let header = CheckpointHeader {
            patchmesh: "checkpoint".into(),
            version: CHECKPOINT_VERSION,
            source: source.clone(),
            life,
            marks,
            last,
        };
        let header = serde_json::to_string(&header).expect("a header always has a JSON text");
        let document = String::from_utf8_lossy(&document);
        let mut text = Vec::with_capacity(header.len() + summary.len() + document.len() + 256);
        for (line, object) in [(1, &*header), (2, &*summary), (3, &*document)] {
            push_line(&mut text, object, Seal { batch: 0, line, lines: LINES });
        }
        let path = self.path.join(format!("{CHECKPOINT}{length:016}"));
        write_durably(&path, &text).map_err(|error| DirectoryError::Io(path, error))?;
        let paths = self.checkpoint_paths();
        for path in &paths[..paths.len().saturating_sub(CHECKPOINTS)] {
            fs::remove_file(path).map_err(|error| DirectoryError::Io(path.clone(), error))?;
        }
        Ok(())
    }
}

/// How many transactions the journal had when the checkpoint at `path` was kept: its name says so.
fn checkpoint_length(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(CHECKPOINT)?.parse().ok()
}

/// Reads a checkpoint of a journal of `source`.
///
/// # Errors
/// If it cannot be used; in words.
pub fn read_checkpoint(path: &Path, source: &Source) -> Result<StoredCheckpoint, String> {
    let (of, checkpoint) = read_any_checkpoint(path)?;
    if of == *source { Ok(checkpoint) } else { Err(format!("it belongs to the journal of {of}")) }
}

/// Reads a checkpoint, and says of which journal it is.
///
/// # Errors
/// If it cannot be used; in words.
pub fn read_any_checkpoint(path: &Path) -> Result<(Source, StoredCheckpoint), String> {
    let mut text = fs::read(path).map_err(|error| error.to_string())?;
    let mut lines = text.strip_suffix(b"\n").ok_or("its last line is cut off")?;
    let mut object = |line| {
        let seal = Seal { batch: 0, line, lines: LINES };
        let mut parts = lines.splitn(2, |byte| *byte == b'\n');
        let line = parts.next().ok_or("a line is missing")?;
        lines = parts.next().unwrap_or_default();
        let line = read_line(line).map_err(|error| error.to_string())?;
        if line.seal == seal { Ok(line.object) } else { Err("a line is missing".to_owned()) }
    };
    let (header, summary, document) = (object(1)?, object(2)?, object(3)?);
    let header: CheckpointHeader =
        serde_json::from_str(header).map_err(|error| error.to_string())?;
    if header.patchmesh != "checkpoint" || header.version != CHECKPOINT_VERSION {
        return Err(format!("it is no checkpoint of version {CHECKPOINT_VERSION}"));
    }
    let summary = summary.to_owned();
    // The document may be large: what is around it is taken away, and it is not copied.
    let (begin, length) = (document.as_ptr() as usize - text.as_ptr() as usize, document.len());
    text.truncate(begin + length);
    text.drain(..begin);
    let length = checkpoint_length(path).ok_or("its name has no number")?;
    let CheckpointHeader { source, life, marks, last, .. } = header;
    Ok((source, StoredCheckpoint { length, life, marks, last, summary, document: text }))
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
