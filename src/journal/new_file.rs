//! A file that gets its name only when it is complete and durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The end of a file's name until the file is complete.
const UNFINISHED: &str = ".new";

/// Only the user who runs the node may read and write its files.
pub(super) const FILE_MODE: u32 = 0o600;

/// A file that is being written. If it is dropped before it is finished, it is removed.
#[derive(Debug)]
pub struct NewFile {
    file: Option<File>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file that will be at `path`. Until it is finished, its name ends with `.new`. No symbolic
    /// link is followed there.
    ///
    /// # Errors
    /// If it cannot be made, for example because there is an unfinished one already.
    pub fn create(path: &Path) -> io::Result<Self> {
        let unfinished = with_suffix(path, UNFINISHED);
        let mut options = OpenOptions::new();
        options.create_new(true).read(true).write(true).mode(FILE_MODE);
        let file = options.open(&unfinished).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", unfinished.display()))
        })?;
        Ok(Self { file: Some(file), unfinished, path: path.to_owned() })
    }

    /// The same, but an unfinished file that a crash has left is removed.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create_anew(path: &Path) -> io::Result<Self> {
        match fs::remove_file(with_suffix(path, UNFINISHED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Self::create(path),
        }
    }

    /// The file, to read and write.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("it is there until it is finished")
    }

    /// Gives the file its name, durably, in place of the file that had that name before.
    ///
    /// # Errors
    /// If it is not known to be durable.
    pub fn finish(mut self) -> io::Result<File> {
        self.file().sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        let file = self.file.take().expect("it is there until it is finished");
        sync_directory(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(file)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // The rest is of no use, and it does no harm if it cannot be removed.
            fs::remove_file(&self.unfinished).ok();
        }
    }
}

/// Writes a file whole or not at all, durably, in place of the file that had its name before.
///
/// # Errors
/// If that cannot be done.
pub fn write_durably(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = NewFile::create_anew(path)?;
    new.file().write_all(text)?;
    new.finish().map(drop)
}

/// The path beside `path` whose name ends with `suffix` as well.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut longer = path.as_os_str().to_owned();
    longer.push(suffix);
    longer.into()
}

/// Whether this is the name of a file that is not complete yet.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(UNFINISHED.as_bytes()))
}

/// Makes the names in a directory durable.
///
/// # Errors
/// If it is not known to be durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
}
