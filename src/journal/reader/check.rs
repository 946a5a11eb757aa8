//! Checks lines that no reader asks for: see the scrub.

use super::stored_lines::StoredLines;
use super::{DamagedFile, FileReader, STRIDE, record};
use crate::journal::file::{OpenError, read_header};
use crate::journal::format::Header;
use crate::journal::index::Ids;
use crate::journal::scan::{Damage, DamageCause};
use crate::journal::segments::SegmentFile;

/// The result of checking a part of the journal.
#[derive(Debug)]
pub struct Checked {
    /// The position to go on from; none if the part reaches to the end.
    pub next: Option<u64>,
    /// How many bytes were read.
    pub bytes: u64,
    /// The damage that was found.
    pub damage: Option<DamagedFile>,
}

impl FileReader {
    /// Checks the lines from the mark at `from` on, up to the first mark after about `bytes` bytes, or to
    /// damage. From the beginning it also checks that all files are there, and the base. Waits for the disk.
    pub fn check(&self, from: u64, bytes: u64) -> Checked {
        let begin = self.begin();
        let mut checked = Checked { next: None, bytes: 0, damage: None };
        let mark = self.shared.lock().marks.at(from).filter(|_| from > begin);
        if from > begin && mark.is_none() {
            return checked;
        }
        let mut beside = 0;
        if mark.is_none() {
            let base = self.storage.check_base();
            beside = base.as_ref().map_or(0, |bytes| *bytes);
            checked.damage = base.err().or_else(|| self.check_files().err());
        }
        let mut lines = match mark {
            Some(mark) => StoredLines::new(self, mark, from),
            None => {
                let first = self.storage.first();
                StoredLines::new(self, first.first, first.position())
            }
        };
        let start = lines.offset();
        let mut block = Vec::new();
        let next = loop {
            match lines.next() {
                Ok(Some(line)) => {
                    let next = line.position + 1;
                    if !self.shared.lock().blocks.is_known(line.position) {
                        block.extend(record(lines.object(&line)).ok());
                    }
                    if next.is_multiple_of(STRIDE) {
                        self.note(next - block.len() as u64, block.iter().map(Ids::from));
                        block.clear();
                    }
                    let read = lines.offset() - start;
                    if next.is_multiple_of(STRIDE) && read >= bytes {
                        break next;
                    }
                }
                Ok(None) => break u64::MAX,
                Err(_) if self.is_dropped(lines.offset()) => break self.begin(),
                // The lines after the next mark may be good.
                Err(damage) => {
                    checked.damage.get_or_insert_with(|| self.located(damage));
                    break (lines.position / STRIDE + 1) * STRIDE;
                }
            }
        };
        checked.bytes = beside + lines.offset() - start;
        checked.next = Some(next)
            .filter(|next| *next <= self.begin() || self.shared.lock().marks.at(*next).is_some());
        if let Some(damage) = &checked.damage {
            self.note_damage(damage.clone(), start);
        }
        checked
    }

    /// Checks that each file is at its path, and begins as it did.
    fn check_files(&self) -> Result<(), DamagedFile> {
        let files = self.storage.each();
        for (index, file) in files.iter().enumerate() {
            let is_last = index + 1 == files.len();
            match check_file(file, is_last) {
                // The file was dropped meanwhile.
                Err(_) if self.is_dropped(file.first.offset) => (),
                checked => checked?,
            }
        }
        Ok(())
    }
}

/// Checks that a file begins as it did, and is at its path. For the last file the path is checked elsewhere,
/// and more often.
fn check_file(file: &SegmentFile, is_last: bool) -> Result<(), DamagedFile> {
    let damaged = |damage| Err(DamagedFile { file: file.storage.name(), damage });
    let wrong = |why| damaged(Damage { offset: 0, why: DamageCause::Content(why) });
    let same = |header: &Header| {
        let known = &file.header;
        (&header.source, &header.begin, &header.life) == (&known.source, &known.begin, &known.life)
    };
    match read_header(&*file.storage) {
        Ok((header, _)) if same(&header) => (),
        Ok(_) => return wrong("its first line is that of another file".into()),
        Err(OpenError::Damaged(damage)) => return damaged(damage),
        Err(error) => return wrong(error.to_string()),
    }
    match file.storage.check_place(0) {
        Err(error) if !is_last => wrong(error.to_string()),
        _ => Ok(()),
    }
}
