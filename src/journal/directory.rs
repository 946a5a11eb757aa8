//! The data directory: the journal, its checkpoints, and the lock that keeps a second process out.
//!
//! ```text
//! lock                          held by the process that uses the directory
//! journal                       see the format
//! checkpoint-0000000000065536   the state after so many transactions, two of them at the most
//! ```
//!
//! A checkpoint is three lines of the journal's format, all of batch 0: what the journal needs to go on
//! from there, what the replica needs, and the document. It can always be made again from the journal,
//! so one that cannot be used is left out.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::{FileJournal, Mark, OpenError};
use super::format::{Header, Seal, VERSION, push_line, read_line};
use super::storage::Storage;
use crate::source::Source;
use crate::transaction::Place;

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const CHECKPOINT: &str = "checkpoint-";

/// What a file is called until it is whole.
const UNFINISHED: &str = ".new";

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
            Self::HasJournal(path) => {
                write!(f, "there is a journal in {} already", path.display())
            }
            Self::Journal(path, OpenError::Io(error)) => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            Self::Journal(path, error) => write!(
                f,
                "{}: {error}. Nothing was changed. Restore the directory from a backup, or move it \
                 away and start with an empty one: peers send what they have",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// A checkpoint, as its file has it.
#[derive(Debug)]
pub struct StoredCheckpoint {
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
    marks: Vec<Mark>,
    last: Place,
}

impl Directory {
    /// Takes the directory `path`, and makes it where there is none and `create` says so.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn open(path: &Path, create: bool) -> Result<Self, DirectoryError> {
        let failed = |error| DirectoryError::Io(path.to_owned(), error);
        if create && !path.exists() {
            let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
            fs::create_dir_all(path).map_err(failed)?;
            for parent in missing.iter().filter_map(|made| made.parent()) {
                sync_directory(parent).map_err(failed)?;
            }
        }
        if !create && !path.join(JOURNAL).exists() {
            return Err(DirectoryError::NoJournal(path.to_owned()));
        }
        let lock_path = path.join(LOCK);
        let lock = match OpenOptions::new().create(true).append(true).open(&lock_path) {
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

    /// Where the journal is.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// The journal's file; none where there is none yet.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn journal(&self, write: bool) -> Result<Option<Arc<dyn Storage>>, DirectoryError> {
        let path = self.journal_path();
        match OpenOptions::new().read(true).write(write).open(&path) {
            Ok(file) => {
                if write {
                    // Who began the journal may not have come to make its name durable.
                    sync_directory(&self.path)
                        .map_err(|error| DirectoryError::Io(self.path.clone(), error))?;
                }
                Ok(Some(Arc::new(file)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DirectoryError::Io(path, error)),
        }
    }

    /// Begins a journal. `fill` may write to it before it gets its name.
    ///
    /// # Errors
    /// Where it cannot be made, or there is one.
    pub fn create_journal(
        &self,
        source: &Source,
        fill: impl FnOnce(&Arc<dyn Storage>) -> Result<(), DirectoryError>,
    ) -> Result<Arc<dyn Storage>, DirectoryError> {
        let path = self.journal_path();
        if path.exists() {
            return Err(DirectoryError::HasJournal(self.path.clone()));
        }
        let unfinished = self.path.join(format!("{JOURNAL}{UNFINISHED}"));
        let failed = |error| DirectoryError::Io(unfinished.clone(), error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        let storage: Arc<dyn Storage> = Arc::new(options.open(&unfinished).map_err(failed)?);
        FileJournal::create(&*storage, &Header::new(source.clone())).map_err(failed)?;
        fill(&storage)?;
        storage.sync().map_err(failed)?;
        fs::rename(&unfinished, &path).map_err(failed)?;
        sync_directory(&self.path).map_err(failed)?;
        Ok(storage)
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
            .filter(|entry| {
                let name = entry.file_name();
                let number = name.to_str().and_then(|name| name.strip_prefix(CHECKPOINT));
                number.is_some_and(|number| number.parse::<u64>().is_ok())
            })
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        paths
    }

    /// Keeps a checkpoint of a journal of `source` that has `length` transactions, durably, and
    /// removes those before the last but one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep_checkpoint(
        &self,
        source: &Source,
        length: u64,
        checkpoint: StoredCheckpoint,
    ) -> Result<(), DirectoryError> {
        let StoredCheckpoint { marks, last, summary, document } = checkpoint;
        let header = CheckpointHeader {
            patchmesh: "checkpoint".into(),
            version: VERSION,
            source: source.clone(),
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
        write_durably(&path, &text)?;
        let paths = self.checkpoint_paths();
        for path in &paths[..paths.len().saturating_sub(CHECKPOINTS)] {
            fs::remove_file(path).map_err(|error| DirectoryError::Io(path.clone(), error))?;
        }
        Ok(())
    }
}

/// Writes a file whole or not at all, durably.
///
/// # Errors
/// Where that cannot be done.
pub fn write_durably(path: &Path, text: &[u8]) -> Result<(), DirectoryError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    };
    write().map_err(|error| {
        // What is left of it is of no use; that it cannot be removed changes nothing.
        fs::remove_file(&unfinished).ok();
        DirectoryError::Io(path.to_owned(), error)
    })
}

/// Reads a checkpoint of a journal of `source`.
///
/// # Errors
/// Where it cannot be used; in words.
pub fn read_checkpoint(path: &Path, source: &Source) -> Result<StoredCheckpoint, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let text = text.strip_suffix(b"\n").ok_or("its last line is cut off")?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut object = |line| {
        let seal = Seal { batch: 0, line, lines: LINES };
        let line = lines.next().ok_or("a line is missing")?;
        let line = read_line(line).map_err(|error| error.to_string())?;
        if line.seal == seal { Ok(line.object) } else { Err("a line is missing".to_owned()) }
    };
    let (header, summary, document) = (object(1)?, object(2)?, object(3)?);
    let header: CheckpointHeader =
        serde_json::from_str(header).map_err(|error| error.to_string())?;
    if header.patchmesh != "checkpoint" || header.version != VERSION {
        return Err(format!("it is no checkpoint of version {VERSION}"));
    }
    if header.source != *source {
        return Err(format!("it belongs to the journal of {}", header.source));
    }
    let document = document.as_bytes().to_vec();
    let CheckpointHeader { marks, last, .. } = header;
    Ok(StoredCheckpoint { marks, last, summary: summary.to_owned(), document })
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}
