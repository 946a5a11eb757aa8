//! The file of a backup: the base, if there is one, and the journal.

use std::io;
use std::sync::Arc;

use crate::journal::{Storage, StoredBase};

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The longest first line of a base, which is short.
const MAX_FIRST_LINE_BYTES: usize = 4096;

/// The parts of a backup's file.
pub struct BackupFile {
    /// The base for the transactions before the journal.
    pub base: Option<StoredBase>,
    /// The journal.
    pub journal: Arc<dyn Storage>,
}

impl BackupFile {
    /// Finds the parts of a file.
    ///
    /// # Errors
    /// If it cannot be read, or its base is damaged.
    pub fn open(file: Arc<dyn Storage>) -> io::Result<Self> {
        let Some(text) = base_text(&*file)? else { return Ok(Self { base: None, journal: file }) };
        let offset = text.len() as u64;
        let damaged = |why| io::Error::other(format!("the base is damaged: {why}"));
        let (_, base) = StoredBase::read(text).map_err(damaged)?;
        Ok(Self { base: Some(base), journal: Arc::new(FileTail { file, offset }) })
    }
}

/// The text of the base with which a file begins; none if it begins with something else.
fn base_text(file: &dyn Storage) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut lines, mut searched) = (0, 0);
    loop {
        let read = file.read_at(&mut chunk, text.len() as u64)?;
        text.extend_from_slice(&chunk[..read]);
        while let Some(end) = memchr::memchr(b'\n', &text[searched..]).map(|at| searched + at) {
            if lines == 0 && !StoredBase::is_first_line(&text[..end]) {
                return Ok(None);
            }
            lines += 1;
            searched = end + 1;
            if lines == StoredBase::LINES {
                text.truncate(searched);
                return Ok(Some(text));
            }
        }
        searched = text.len();
        if lines == 0 && (searched > MAX_FIRST_LINE_BYTES || read == 0) {
            return Ok(None);
        }
        if read == 0 {
            return Err(io::Error::other("the base is cut off"));
        }
    }
}

/// The rest of a file from an offset on.
struct FileTail {
    file: Arc<dyn Storage>,
    offset: u64,
}

impl Storage for FileTail {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.length()?.saturating_sub(self.offset))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, self.offset + offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, self.offset + offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(self.offset + length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn name(&self) -> String {
        let bytes = self.offset;
        format!("{}, after the {bytes} bytes of its base", self.file.name())
    }
}
