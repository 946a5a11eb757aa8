//! A file as the journal uses it, so that tests can put a disk beneath that forgets what was not
//! synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file of bytes.
pub trait Storage: Send + Sync + 'static {
    /// How many bytes it has.
    ///
    /// # Errors
    /// Where the system does not say.
    fn length(&self) -> io::Result<u64>;

    /// Reads bytes from `offset` on, and says how many: fewer than there is room for at the end only.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes bytes from `offset` on.
    ///
    /// # Errors
    /// Where not all of them could be written; some may be.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file off, or lengthens it with NUL bytes.
    ///
    /// # Errors
    /// Where that cannot be done.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes what was written durable, and the length.
    ///
    /// # Errors
    /// Where it is not known to be durable.
    fn sync(&self) -> io::Result<()>;
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
