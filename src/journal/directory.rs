//! The data directory: the journal, its base and checkpoints, and the lock that keeps a second process out.
//!
//! ```text
//! lock                          held by the process that uses the directory
//! journal                       the journal's first segment, see the format; held as well
//! journal-0000000000070000      the segment that begins at this position; held as well
//! base-0000000000150000         what stands for all before this position
//! checkpoint-0000000000165536   the state after this many transactions; at most two are kept
//! peers                         the peers that were added while the node ran, if any were
//! ```
//!
//! A checkpoint can always be made again from the journal, so one that cannot be used is ignored. But a
//! checkpoint also proves how many transactions the journal had: a journal that has fewer, or is gone, has
//! lost acknowledged transactions, and must not go on as if nothing had happened.
//!
//! A base is durable before the first segment is removed, and segments are removed from the first one on. So
//! a crash leaves too many segments, which the next start removes, and never too few. Once a segment was
//! removed, the journal is of no use without a base.

mod error;
mod shelf;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shelf::{DirectoryShelf, numbered_paths, remove, remove_unfinished, segment_path, segments};

use super::file::{FileJournal, OpenError};
use super::format::Header;
use super::new_file::{FILE_MODE, NewFile, sync_directory, write_durably};
use super::segments::{Segments, Shelf};
use super::storage::{NamedFile, Storage};
use super::stored::{
    BASE, CHECKPOINT, StoredBase, StoredCheckpoint, number_of, numbered, read_base, read_checkpoint,
};
use crate::source::Source;

pub use error::{DirectoryError, Lacking};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";

/// Only the user who runs the node may look into the directory.
const DIRECTORY_MODE: u32 = 0o700;

/// The bits of a file's mode for other users, and those of them that let others write.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// How many checkpoints are kept: the last one, and one to fall back on.
const CHECKPOINTS: usize = 2;

/// How many bases are kept, as long as the journal has what follows each of them.
const BASES: usize = 2;

/// A file of a journal, and its path.
pub type JournalFile = (PathBuf, Arc<dyn Storage>);

/// A data directory that this process has to itself.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held while the directory is used.
    _lock: File,
}

impl Directory {
    /// Locks the directory `path`, and first makes it if there is none and `create` is true.
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
        let journal = segments(path).into_iter().next().map(|(_, path)| path);
        if !create && journal.is_none() {
            return Err(DirectoryError::NoJournal(path.to_owned()));
        }
        let lock_path = path.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(FILE_MODE);
        let lock = match options.open(&lock_path) {
            // To read, a lock on a file that is there is enough: a disk that has failed is often mounted
            // read-only.
            Err(error) if !create && is_read_only(&error) => {
                let journal = journal.unwrap_or_else(|| path.join(JOURNAL));
                File::open(&lock_path).or_else(|_| File::open(journal))
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

    /// The files that other users of this machine may read or write, and the directory if they may change it.
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

    /// The path of the journal's first file, or where it would be.
    pub fn journal_path(&self) -> PathBuf {
        let first = segments(&self.path).into_iter().next();
        first.map_or_else(|| self.path.join(JOURNAL), |(_, path)| path)
    }

    /// The files of the journal in their order, each locked by this process.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn journal_files(&self, write: bool) -> Result<Vec<JournalFile>, DirectoryError> {
        let files = segments(&self.path).into_iter();
        files.map(|(_, path)| Ok((path.clone(), self.journal_file(path, write)?))).collect()
    }

    fn journal_file(&self, path: PathBuf, write: bool) -> Result<Arc<dyn Storage>, DirectoryError> {
        let failed = |error| DirectoryError::Io(path.clone(), error);
        let file = OpenOptions::new().read(true).write(write).open(&path).map_err(failed)?;
        // The file `lock` can be removed while another process still uses the directory.
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(DirectoryError::InUse(self.path.clone()));
            }
            Err(TryLockError::Error(error)) if write => return Err(failed(error)),
            _ => (),
        }
        Ok(Arc::new(NamedFile::new(file, path)))
    }

    /// The journal; none if there is none yet. If `write` is true, what a crash has left is removed: segments
    /// for which there is a base, and unfinished files.
    ///
    /// # Errors
    /// If it cannot be opened, or a part of it is missing.
    pub fn journal(&self, write: bool) -> Result<Option<Segments>, DirectoryError> {
        let covered = self.covered();
        if let Some((position, base)) = &covered
            && write
        {
            log::info!("{}: removing what {} stands for", self.path.display(), base.display());
            let removed = self.shelf().remove_before(*position);
            removed.map_err(|error| DirectoryError::Io(self.path.clone(), error))?;
        }
        let begin = covered.map_or(0, |(begin, _)| begin);
        let files = segments(&self.path).into_iter().filter(|(position, _)| *position >= begin);
        let files: Vec<(u64, PathBuf)> = files.collect();
        let Some((_, first)) = files.first() else { return Ok(None) };
        let mut opened = Vec::with_capacity(files.len());
        for (_, path) in &files {
            opened.push(self.journal_file(path.clone(), write)?);
        }
        if write {
            // The process that began the journal may have ended before its name was durable.
            sync_directory(&self.path)
                .and_then(|()| remove_unfinished(&self.path))
                .map_err(|error| DirectoryError::Io(self.path.clone(), error))?;
        }
        let failed = |error| DirectoryError::Journal(first.clone(), error);
        let journal = Segments::open(opened, Box::new(self.shelf())).map_err(failed)?;
        for (segment, (position, path)) in journal.each().iter().zip(&files) {
            if segment.position() != *position {
                let why = format!(
                    "its name has another number than its position, {}",
                    segment.position()
                );
                return Err(DirectoryError::Journal(path.clone(), OpenError::Header(why)));
            }
        }
        Ok(Some(journal))
    }

    /// Where the journal begins without the segments for which there is a base, and the path of that base;
    /// none if there are no such segments.
    fn covered(&self) -> Option<(u64, PathBuf)> {
        let files = segments(&self.path);
        let others = || files.iter().skip(1).map(|(position, _)| *position);
        let source = |path: &Path| {
            let file: Arc<dyn Storage> = Arc::new(File::open(path).ok()?);
            Some(Segments::of_file(file).ok()?.source())
        };
        let (_, last) = files.last()?;
        self.base_paths().into_iter().rev().find_map(|path| {
            let stands_for = number_of(&path, BASE)?;
            let begin = others().take_while(|position| *position <= stands_for).last()?;
            let of = source(last)?;
            // Segments of another journal are not removed.
            if files.iter().any(|(_, path)| source(path).is_some_and(|source| source != of)) {
                return None;
            }
            read_base(&path, &of).ok()?;
            Some((begin, path))
        })
    }

    /// The files of segments that are not part of the journal any more, since there is a base for them.
    pub fn left_over(&self, journal: &Segments) -> Vec<PathBuf> {
        let begin = journal.begin();
        let files = segments(&self.path).into_iter();
        files.filter(|(position, _)| *position < begin).map(|(_, path)| path).collect()
    }

    fn shelf(&self) -> DirectoryShelf {
        DirectoryShelf { path: self.path.clone() }
    }

    /// Begins a journal with its first segment. `fill` may write to the file before it gets its name.
    ///
    /// # Errors
    /// If it cannot be made, or there is a journal already.
    pub fn create_journal(
        &self,
        header: &Header,
        fill: impl FnOnce(&File) -> Result<(), DirectoryError>,
    ) -> Result<Segments, DirectoryError> {
        if !segments(&self.path).is_empty() {
            return Err(DirectoryError::HasJournal(self.path.clone()));
        }
        let path = segment_path(&self.path, header.position());
        let failed = |error| DirectoryError::Io(path.clone(), error);
        let new = NewFile::create_anew(&path).map_err(failed)?;
        if let Err(TryLockError::Error(error)) = new.file().try_lock() {
            return Err(failed(error));
        }
        FileJournal::create(new.file(), header).map_err(failed)?;
        fill(new.file())?;
        let file = new.finish().map_err(failed)?;
        let file: Arc<dyn Storage> = Arc::new(NamedFile::new(file, path.clone()));
        Segments::open([file], Box::new(self.shelf()))
            .map_err(|error| DirectoryError::Journal(path.clone(), error))
    }

    /// The readable bases of a journal of `source`, the last one first. Others are ignored, with a warning.
    pub fn bases(&self, source: &Source) -> Vec<StoredBase> {
        usable(self.base_paths(), |path| read_base(path, source))
    }

    /// The last usable base, which stands for what is not in the journal; none if there is no base and the
    /// journal begins at 0. If there is a base, even a journal that begins at 0 may not be complete, since
    /// the base may come from a peer.
    ///
    /// # Errors
    /// If there is no usable base, and the journal is of no use without one.
    pub fn base(&self, journal: &Segments) -> Result<Option<StoredBase>, DirectoryError> {
        let (begin, source) = (journal.begin(), journal.source());
        let base = self.bases(&source).into_iter().find(|base| base.position >= begin);
        if base.is_some() || (begin == 0 && self.base_paths().is_empty()) {
            return Ok(base);
        }
        let why = self.base_paths().last().map(|path| {
            let why = match read_base(path, &source) {
                Ok(base) => format!("it stands for what is before position {}", base.position),
                Err(why) => why,
            };
            format!("{}: {why}", path.display())
        });
        let why = why.unwrap_or_else(|| "there is no base".into());
        Err(DirectoryError::NoBase(self.journal_path(), begin, why))
    }

    /// The files of the bases in their order.
    pub fn base_paths(&self) -> Vec<PathBuf> {
        numbered_paths(&self.path, BASE)
    }

    /// The file of a base for what is before `position`.
    pub fn base_path(&self, position: u64) -> PathBuf {
        self.path.join(numbered(BASE, position))
    }

    /// Keeps a base of a journal of `source`, durably, and removes bases that are of no use any more. Only
    /// then may the journal before it be dropped.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_base(&self, source: &Source, base: &StoredBase) -> Result<(), DirectoryError> {
        let path = self.base_path(base.position);
        let text = base.text(source);
        let mut written = write_durably(&path, &text);
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            // The older bases take the room that this one needs.
            let paths = self.base_paths();
            for old in paths.iter().rev().skip(1) {
                remove(old).map_err(|error| DirectoryError::Io(old.clone(), error))?;
            }
            written = write_durably(&path, &text);
        }
        written.map_err(|error| DirectoryError::Io(path, error))?;
        self.drop_bases()
    }

    /// Removes the bases that are too old, or without the part of the journal that follows them.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub fn drop_bases(&self) -> Result<(), DirectoryError> {
        let begin = segments(&self.path).first().map_or(0, |(position, _)| *position);
        let paths = self.base_paths();
        let (old, kept) = paths.split_at(paths.len().saturating_sub(BASES));
        let is_useless = |path: &&PathBuf| number_of(path, BASE) < Some(begin);
        for path in old.iter().chain(kept.iter().filter(is_useless)) {
            remove(path).map_err(|error| DirectoryError::Io(path.clone(), error))?;
        }
        Ok(())
    }

    /// The readable checkpoints of a journal of `source`, the last one first. Others are ignored, with a
    /// warning.
    pub fn checkpoints(&self, source: &Source) -> Vec<StoredCheckpoint> {
        usable(self.checkpoint_paths(), |path| read_checkpoint(path, source))
    }

    /// The files of the checkpoints in their order.
    pub fn checkpoint_paths(&self) -> Vec<PathBuf> {
        numbered_paths(&self.path, CHECKPOINT)
    }

    /// Keeps a checkpoint of a journal of `source`, durably, and removes all but the last two.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_checkpoint(
        &self,
        source: &Source,
        checkpoint: StoredCheckpoint,
    ) -> Result<(), DirectoryError> {
        let path = self.path.join(numbered(CHECKPOINT, checkpoint.length));
        write_durably(&path, &checkpoint.text(source))
            .map_err(|error| DirectoryError::Io(path, error))?;
        let paths = self.checkpoint_paths();
        for path in &paths[..paths.len().saturating_sub(CHECKPOINTS)] {
            remove(path).map_err(|error| DirectoryError::Io(path.clone(), error))?;
        }
        Ok(())
    }
}

/// The content of those files that can be read, the last one first; of the others it is logged why not.
fn usable<T>(paths: Vec<PathBuf>, read: impl Fn(&Path) -> Result<T, String>) -> Vec<T> {
    let read = |path: PathBuf| match read(&path) {
        Ok(stored) => Some(stored),
        Err(why) => {
            log::warn!("{}: not used, since {why}", path.display());
            None
        }
    };
    paths.into_iter().rev().filter_map(read).collect()
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
