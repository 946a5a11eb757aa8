//! A file as the journal uses it. Tests put a disk in its place that forgets what was not synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// A file of bytes.
pub trait Storage: Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// If the system does not say.
    fn length(&self) -> io::Result<u64>;

    /// Reads bytes from `offset` on, and returns how many: fewer than the buffer has only at the end of the
    /// file.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes bytes from `offset` on.
    ///
    /// # Errors
    /// If not all of them could be written. Some may have been.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or lengthens it with NUL bytes.
    ///
    /// # Errors
    /// If that cannot be done.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// If it is not known to be durable.
    fn sync(&self) -> io::Result<()>;

    /// Its name in messages.
    fn name(&self) -> String {
        "the journal".into()
    }

    /// Checks that the path still leads to this file, and that it has `end` bytes at least.
    ///
    /// # Errors
    /// If not: what is written would be lost.
    fn check_place(&self, end: u64) -> io::Result<()> {
        let _ = end;
        Ok(())
    }
}

/// A file that must stay at its path.
#[derive(Debug)]
pub struct NamedFile {
    file: File,
    path: PathBuf,
}

impl NamedFile {
    /// The open `file`, whose path is `path`.
    pub fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }
}

impl Storage for NamedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Storage::read_at(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        Storage::write_at(&self.file, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn check_place(&self, end: u64) -> io::Result<()> {
        let gone = |why: String| Err(io::Error::new(io::ErrorKind::NotFound, why));
        let (named, own) = match (self.path.metadata(), self.file.metadata()) {
            (Ok(named), Ok(own)) => (named, own),
            (Err(error), _) | (_, Err(error)) => {
                return gone(format!("the file was taken away: {error}"));
            }
        };
        if (named.dev(), named.ino()) != (own.dev(), own.ino()) {
            return gone("another file has taken the place of the one in use".into());
        }
        if named.len() < end {
            return gone(format!("the file was cut off at {} of {end} bytes", named.len()));
        }
        Ok(())
    }
}

impl Storage for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match FileExt::read_at(self, &mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
