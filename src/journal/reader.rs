//! Reads a journal's files while they are in use, and checks every line on the way.
//!
//! Offsets are those of the journal's text, see [`Segments`]; damage is reported by a file and an offset in
//! it. Reading what was dropped is an error of its own, [`is_folded`](super::is_folded), and no damage.
//!
//! No line is passed over unchecked. For each line that is read, or skipped on the way to another one, the
//! checksum must be right, and the seal must be the one that belongs there, so that its position is right
//! too. A wrong line is an error, and is noted as [`Damage`] for all to see.

mod check;
mod marks;
mod stored_lines;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, MutexGuard};

use super::index::{BLOCK, BlockIndex, Ids};
use super::scan::{Damage, DamageCause};
use super::segments::{Segments, folded};
use super::storage::Storage;
use super::within;
use crate::clock::VectorClock;
use crate::histogram::Histogram;
use crate::locks::Mutex;
use crate::source::Source;
use crate::transaction::Record;
use stored_lines::StoredLines;

pub(super) use check::Checked;
pub use marks::{Mark, Marks};

/// At every multiple of this position the offset is kept in memory.
pub(super) const STRIDE: u64 = BLOCK;

/// How many of the latest records are kept in memory, and about how many bytes: most readers are near the
/// end.
const TAIL_RECORDS: usize = 4096;
const TAIL_BYTES: usize = 4 << 20;

/// Damage, and the file in which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// The file's name.
    pub file: String,
    /// The damage, by its offset in that file.
    pub damage: Damage,
}

impl fmt::Display for DamagedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.damage)
    }
}

/// The files for their readers.
#[derive(Clone)]
pub struct FileReader {
    pub(super) storage: Segments,
    pub(super) shared: Arc<SharedIndex>,
}

#[derive(Default)]
pub(super) struct SharedIndex {
    index: Mutex<Index>,
    /// How long the disk takes to sync a batch.
    pub(super) syncs: Histogram,
}

/// What is known of the files' content.
#[derive(Default)]
pub(super) struct Index {
    /// How many records there are.
    pub(super) length: u64,
    /// The offset after the last complete batch.
    pub(super) end: u64,
    /// Where the lines of the records at multiples of [`STRIDE`] begin.
    marks: Marks,
    /// Which Ids are where. While the journal is read at the start, this may go beyond `length`.
    blocks: BlockIndex,
    /// The latest records.
    tail: VecDeque<Record>,
    tail_bytes: usize,
    /// The newest life that was noted.
    life: Option<Source>,
    /// The first damage that was found and is not known to be mended, and its offset in the text.
    damage: Option<(DamagedFile, u64)>,
    /// Why appended batches would be lost now, as far as is known.
    loss: Option<String>,
}

impl FileReader {
    /// A reader of a journal of which only `marks` are known yet. Marks in dropped parts are ignored.
    pub fn new(storage: Segments, marks: &Marks) -> Self {
        let begin = storage.begin();
        let marks = marks.within(begin, u64::MAX);
        let length = marks.last().map_or(begin, |(position, _)| position);
        let index = Index {
            length,
            blocks: BlockIndex::after(begin, length),
            life: storage.last().header.life.clone(),
            marks,
            ..Index::default()
        };
        Self {
            storage,
            shared: Arc::new(SharedIndex { index: Mutex::new(index), syncs: Histogram::default() }),
        }
    }

    /// How long the disk took to sync batches.
    pub fn syncs(&self) -> &Histogram {
        &self.shared.syncs
    }

    /// The position of the first record that was not dropped.
    pub fn begin(&self) -> u64 {
        self.storage.begin()
    }

    /// How many records were ever appended: the position after the last one.
    pub fn length(&self) -> u64 {
        self.shared.lock().length
    }

    /// The records from `position` on, within the bounds, if they are in memory.
    pub fn read_tail(&self, position: u64, most: usize, bytes: usize) -> Option<Vec<Record>> {
        let index = self.shared.lock();
        let tail_start = index.length - index.tail.len() as u64;
        let skipped = position.checked_sub(tail_start)?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        Some(within(index.tail.iter().skip(skipped), most, bytes).cloned().collect())
    }

    /// The records from `position` on, within the bounds, or up to damage. Waits for the disk.
    ///
    /// # Errors
    /// If the first one cannot be read, was dropped, or is damaged, or a line on the way to it is damaged.
    pub fn read(&self, position: u64, most: usize, bytes: usize) -> io::Result<Vec<Record>> {
        if let Some(records) = self.read_tail(position, most, bytes) {
            return Ok(records);
        }
        let mut lines = self.lines_before(position)?;
        let most = most.min(usize::try_from(lines.length - position).unwrap_or(usize::MAX));
        let (mut records, mut room) = (Vec::new(), bytes);
        let mut next = || loop {
            let Some(line) = lines.next()? else { return Ok(None) };
            if line.position >= position {
                let damaged = |why| Damage { offset: line.offset, why: DamageCause::Content(why) };
                return record(lines.object(&line)).map(Some).map_err(damaged);
            }
        };
        while records.len() < most && room > 0 {
            match next() {
                Ok(Some(record)) => {
                    room = room.saturating_sub(record.line.len());
                    records.push(record);
                }
                Ok(None) => break,
                Err(damage) => {
                    let error = self.found(damage);
                    // The records before the damage are good.
                    if records.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        self.note(position, records.iter().map(Ids::from));
        Ok(records)
    }

    /// The damage that was found and is not known to be mended.
    pub fn damage(&self) -> Option<DamagedFile> {
        self.shared.lock().damage.as_ref().map(|(damage, _)| damage.clone())
    }

    /// Why appended batches would be lost now, as far as is known.
    pub fn loss(&self) -> Option<String> {
        self.shared.lock().loss.clone()
    }

    /// The offset of the record at `position`, or of one a little before it; the end if there is none.
    pub fn offset(&self, position: u64) -> u64 {
        let index = self.shared.lock();
        let mark = index.marks.at(position / STRIDE * STRIDE);
        mark.filter(|_| position < index.length).map_or(index.end, |mark| mark.offset)
    }

    /// How many bytes the files have.
    pub fn bytes(&self) -> u64 {
        self.end().saturating_sub(self.storage.begin_offset())
    }

    /// The offset after the last complete batch.
    pub fn end(&self) -> u64 {
        self.shared.lock().end
    }

    /// Notes that all files were read again and are good.
    pub(super) fn is_mended(&self) {
        if let Some((damage, _)) = self.shared.lock().damage.take() {
            log::warn!("{}: all of it can be read again", damage.file);
        }
    }

    /// Checks that the path still leads to the file, and that the file has `end` bytes at least.
    ///
    /// # Errors
    /// If not: what is appended would be lost.
    pub(super) fn check_place(&self, end: u64) -> io::Result<()> {
        let place = self.storage.check_place(end);
        let loss = place.as_ref().err().map(io::Error::to_string);
        let name = self.storage.name();
        let mut index = self.shared.lock();
        match (&index.loss, &loss) {
            (None, Some(loss)) => log::error!(
                "{name}: {loss}; transactions are refused, reads go on. Save what this node has: \
                 patchmesh backup http://ADDRESS FILE; or put the file back"
            ),
            (Some(_), None) => log::warn!("{name}: the file is in its place again"),
            _ => (),
        }
        index.loss = loss;
        place
    }

    /// Whether this offset is in a part that was dropped.
    fn is_dropped(&self, offset: u64) -> bool {
        offset < self.storage.begin_offset()
    }

    /// Damage at an offset in the text, as an offset in a file.
    fn located(&self, Damage { offset, why }: Damage) -> DamagedFile {
        let (file, offset) = self.storage.place(offset);
        DamagedFile { file, damage: Damage { offset, why } }
    }

    /// Notes damage, logs it once, and makes an error of it. What was dropped meanwhile is no damage.
    fn found(&self, damage: Damage) -> io::Error {
        let offset = damage.offset;
        if self.is_dropped(offset) {
            return folded(self.begin());
        }
        let damage = self.located(damage);
        let text = format!("the journal is damaged at {}", damage.damage);
        self.note_damage(damage, offset);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Notes damage after `offset` of the text, and logs it once.
    fn note_damage(&self, damage: DamagedFile, offset: u64) {
        let mut index = self.shared.lock();
        if index.damage.is_none() {
            let DamagedFile { file, damage: at } = &damage;
            log::error!(
                "{file}: damaged at {at}. What does not need that part goes on. To mend it, stop \
                 the node, and: patchmesh verify DIR --rebuild-from PEER"
            );
            index.damage = Some((damage, offset));
        }
    }

    /// The lines from the last mark before `position` on, or from the beginning.
    fn lines_before(&self, position: u64) -> io::Result<StoredLines<'_>> {
        let marked = position / STRIDE * STRIDE;
        let first = self.storage.first();
        if position < first.position() {
            return Err(folded(first.position()));
        }
        let mark = self.shared.lock().marks.at(marked).filter(|_| marked >= first.position());
        Ok(match mark {
            Some(mark) => StoredLines::new(self, mark, marked),
            None => StoredLines::new(self, first.first, first.position()),
        })
    }

    /// The marks up to the last one at or before `position`.
    pub fn marks(&self, position: u64) -> Marks {
        self.shared.lock().marks.within(0, position)
    }

    /// Lets readers see the records before `length`, which have been checked.
    pub fn reach(&self, length: u64) {
        self.shared.lock().length = length;
    }

    /// The newest life that the journal notes; none if it notes none besides the header's.
    pub fn life(&self) -> Option<Source> {
        self.shared.lock().life.clone()
    }

    /// Notes a newer life.
    pub fn note_life(&self, life: Source) {
        self.shared.lock().life = Some(life);
    }

    /// The last mark and its position, or those of the beginning.
    pub(super) fn last_mark(&self) -> (u64, Mark) {
        let last = self.shared.lock().marks.last();
        last.unwrap_or_else(|| {
            let first = self.storage.first();
            (first.position(), first.first)
        })
    }

    /// Notes a record while the journal is read at the start.
    pub(super) fn pass(&self, position: u64, mark: Mark, ids: Ids) {
        let mut index = self.shared.lock();
        if index.marks.next() == position {
            index.marks.marks.push_back(mark);
        }
        index.blocks.push(ids);
    }

    /// Notes the Ids of records that were read, from `position` on, so that they are found without being read
    /// again.
    pub fn note<'a>(&self, position: u64, records: impl IntoIterator<Item = Ids<'a>>) {
        self.shared.lock().blocks.note(position, records);
    }

    /// Notes that `clock` covers all before `length`.
    pub fn cover(&self, length: u64, clock: VectorClock) {
        self.shared.lock().blocks.cover(length, clock);
    }

    /// Asks the index, which stays locked meanwhile.
    pub(super) fn with_index<R>(&self, ask: impl FnOnce(&BlockIndex) -> R) -> R {
        ask(&self.shared.lock().blocks)
    }
}

fn record(object: &str) -> Result<Record, String> {
    let record = Record::read(object).map_err(|error| error.to_string())?;
    Ok(record.ok_or("the transaction has no Time")?)
}

impl SharedIndex {
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock()
    }
}

impl Index {
    pub(super) fn extend(&mut self, batch: &[Record], marks: Vec<Mark>) {
        self.length += batch.len() as u64;
        self.marks.marks.extend(marks);
        for record in batch {
            self.blocks.push(Ids::from(record));
            self.tail_bytes += record.line.len();
            self.tail.push_back(record.clone());
            while self.tail.len() > TAIL_RECORDS || self.tail_bytes > TAIL_BYTES {
                let Some(oldest) = self.tail.pop_front() else { break };
                self.tail_bytes -= oldest.line.len();
            }
        }
    }

    /// Forgets what is before the position `begin`, which is at `offset`.
    pub(super) fn drop_before(&mut self, begin: u64, offset: u64) {
        self.marks.drop_before(begin);
        self.blocks.drop_before(begin);
        let tail_start = self.length - self.tail.len() as u64;
        for _ in 0..begin.saturating_sub(tail_start) {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.line.len();
        }
        self.damage.take_if(|(_, at)| *at < offset);
    }
}

#[cfg(test)]
impl FileReader {
    /// How many marks, records and blocks are in memory, and the number of sources.
    pub(super) fn sizes(&self) -> [usize; 4] {
        let index = self.shared.lock();
        let [blocks, sources] = index.blocks.sizes();
        [index.marks.marks.len(), index.tail.len(), blocks, sources]
    }
}
