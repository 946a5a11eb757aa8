//! The files in a data directory whose names have numbers.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JOURNAL;
use crate::journal::new_file::{NewFile, is_unfinished, sync_directory};
use crate::journal::reader::DamagedFile;
use crate::journal::scan::{Damage, DamageCause};
use crate::journal::segments::{NotAdded, Shelf};
use crate::journal::storage::{NamedFile, Storage};
use crate::journal::stored::{BASE, CHECKPOINT, SEGMENT, check_lines, number_of, numbered};

/// Makes and removes the files of the segments.
pub struct DirectoryShelf {
    /// The directory.
    pub path: PathBuf,
}

impl Shelf for DirectoryShelf {
    fn add(&self, position: u64, header: &[u8]) -> Result<Arc<dyn Storage>, NotAdded> {
        let path = segment_path(&self.path, position);
        if path.symlink_metadata().is_ok() {
            let why = format!("{} is there already", path.display());
            return Err(NotAdded::Unknown(io::Error::new(io::ErrorKind::AlreadyExists, why)));
        }
        let new = NewFile::create_anew(&path).map_err(NotAdded::Absent)?;
        match new.file().try_lock() {
            Err(TryLockError::Error(error)) => return Err(NotAdded::Absent(error)),
            Err(TryLockError::WouldBlock) | Ok(()) => (),
        }
        Storage::write_at(new.file(), header, 0).map_err(NotAdded::Absent)?;
        let file = new.finish().map_err(|error| match path.symlink_metadata() {
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => NotAdded::Absent(error),
            _ => NotAdded::Unknown(error),
        })?;
        Ok(Arc::new(NamedFile::new(file, path)))
    }

    fn remove_before(&self, position: u64) -> io::Result<()> {
        let stands_for = |path: &PathBuf| number_of(path, BASE) >= Some(position);
        let bases = numbered_paths(&self.path, BASE);
        let gone = segments(&self.path).into_iter().filter(|(begin, _)| *begin < position);
        let gone: Vec<PathBuf> = gone.map(|(_, path)| path).collect();
        if !gone.is_empty() && !bases.iter().any(stands_for) {
            return Err(io::Error::other("there is no base that stands for it"));
        }
        for path in &gone {
            remove(path)?;
        }
        // What is of no use without them is removed after them.
        sync_directory(&self.path)?;
        let bases = bases.into_iter().filter(|path| !stands_for(path));
        let checkpoints = numbered_paths(&self.path, CHECKPOINT).into_iter();
        let checkpoints = checkpoints.filter(|path| number_of(path, CHECKPOINT) <= Some(position));
        for path in bases.chain(checkpoints).filter(|_| position > 0) {
            remove(&path)?;
        }
        Ok(())
    }

    fn check_base(&self) -> Result<u64, DamagedFile> {
        let Some(path) = numbered_paths(&self.path, BASE).pop() else { return Ok(0) };
        let file = path.display().to_string();
        match check_lines(&path) {
            Ok(checked) => checked.map_err(|damage| DamagedFile { file, damage }),
            // Another base has replaced it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => {
                let damage = Damage { offset: 0, why: DamageCause::Unreadable(error.to_string()) };
                Err(DamagedFile { file, damage })
            }
        }
    }
}

/// The file of the segment that begins at `position`.
pub fn segment_path(directory: &Path, position: u64) -> PathBuf {
    if position == 0 {
        return directory.join(JOURNAL);
    }
    directory.join(numbered(SEGMENT, position))
}

/// The files of the segments in their order, with the positions in their names.
pub fn segments(directory: &Path) -> Vec<(u64, PathBuf)> {
    let first = Some(directory.join(JOURNAL)).filter(|path| path.symlink_metadata().is_ok());
    let others = numbered_paths(directory, SEGMENT).into_iter();
    let others = others.filter_map(|path| Some((number_of(&path, SEGMENT)?, path)));
    first.map(|path| (0, path)).into_iter().chain(others).collect()
}

/// The files whose names are this beginning and a number, in the order of the numbers.
pub fn numbered_paths(directory: &Path, begin: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| number_of(path, begin).is_some()).collect();
    paths.sort_unstable_by_key(|path| number_of(path, begin));
    paths
}

/// Removes a file, unless it is gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the unfinished segments and bases that a crash has left.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_unfinished(&path) && [SEGMENT, BASE].iter().any(|begin| name.starts_with(begin)) {
            remove(&path)?;
        }
    }
    Ok(())
}
