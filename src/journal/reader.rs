//! Reads a journal's file while it is in use, and checks every line on the way.
//!
//! No line is passed over unchecked: of each that is read, or left out to reach another one, the
//! checksum must be right, and the batch and the line the ones that belong there, so that its position
//! is right too. What is wrong is an error, and noted as [`Damage`] for all to see.

mod lines;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::{OpenError, read_header};
use super::index::{BLOCK, BlockIndex, Ids};
use super::scan::{Damage, Expected, Why};
use super::storage::Storage;
use super::within;
use crate::clock::{Time, VectorClock};
use crate::source::Source;
use crate::transaction::Record;
use lines::Lines;

/// Every so many positions the offset is kept in memory.
pub(super) const STRIDE: u64 = BLOCK;

/// How many of the latest records are kept in memory, and about how many bytes of them: most readers
/// are near the end.
const TAIL_RECORDS: usize = 4096;
const TAIL_BYTES: usize = 4 << 20;

/// Where a line begins, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The offset.
    pub offset: u64,
    /// The batch.
    pub batch: u64,
    /// Which line of the batch, from 1 on. Checkpoints of older versions do not say it, and are not used to
    /// read on from.
    #[serde(default)]
    pub line: u64,
}

impl Mark {
    /// The line that belongs there.
    pub(super) fn expected(self) -> Expected {
        Expected::At(self.batch, self.line)
    }
}

/// The file as everyone but the one who appends holds it.
#[derive(Clone)]
pub struct FileReader {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared(Mutex<Index>);

/// What came of checking a part of the file.
#[derive(Debug)]
pub(super) struct Checked {
    /// The mark to go on from; none if the part reaches to the end.
    pub(super) next: Option<u64>,
    /// How many bytes were read.
    pub(super) bytes: u64,
    /// What was found.
    pub(super) damage: Option<Damage>,
}

/// What is known of the file's content.
#[derive(Default)]
pub(super) struct Index {
    /// How many records there are.
    pub(super) length: u64,
    /// The offset after the last complete batch.
    pub(super) end: u64,
    /// Where the records at the positions 0, [`STRIDE`], 2 * [`STRIDE`] and so on are.
    marks: Vec<Mark>,
    /// Which Ids are where; while the journal is read through, also after `length`.
    blocks: BlockIndex,
    /// The latest records.
    tail: VecDeque<Record>,
    tail_bytes: usize,
    /// The newest life that was noted.
    life: Option<Source>,
    /// The first damage that was found, and is there still as far as is known.
    damage: Option<Damage>,
    /// Why what is appended would be lost, as far as is known.
    loss: Option<String>,
}

impl FileReader {
    /// A reader of a journal of which nothing but `marks` is known yet.
    pub fn new(storage: Arc<dyn Storage>, marks: Vec<Mark>) -> Self {
        let length = marked_position(marks.len());
        let index = Index { length, marks, blocks: BlockIndex::after(length), ..Index::default() };
        Self { storage, shared: Arc::new(Shared(Mutex::new(index))) }
    }

    /// How many records there are.
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
    /// If the first one cannot be read, or is damaged, or one from which on it is looked for.
    pub fn read(&self, position: u64, most: usize, bytes: usize) -> io::Result<Vec<Record>> {
        if let Some(records) = self.read_tail(position, most, bytes) {
            return Ok(records);
        }
        let mut lines = self.lines(position / STRIDE);
        let most = most.min(usize::try_from(lines.length - position).unwrap_or(usize::MAX));
        let (mut records, mut room) = (Vec::new(), bytes);
        let mut next = || loop {
            let Some(line) = lines.next()? else { return Ok(None) };
            if line.position >= position {
                let damaged = |why| Damage { offset: line.offset, why: Why::Content(why) };
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
                    // What is before the damage is good.
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

    /// Checks the lines from the mark `stride` on, up to the first mark after about `bytes` bytes or to
    /// damage. From the first mark on, that is all of the file from its beginning. Waits for the disk.
    pub(super) fn check(&self, stride: u64, bytes: u64) -> Checked {
        let mut checked = Checked { next: None, bytes: 0, damage: None };
        if stride > 0 && self.mark(stride).is_none() {
            return checked;
        }
        let mut lines = match stride {
            0 => self.all_lines(),
            stride => Ok(self.lines(stride)),
        };
        let reached = match &mut lines {
            Err(damage) => {
                checked.damage = Some(damage.clone());
                1
            }
            Ok(lines) => {
                let begin = lines.offset();
                let mut block = Vec::new();
                let end = loop {
                    match lines.next() {
                        Ok(Some(line)) => {
                            let next = line.position + 1;
                            if !self.shared.lock().blocks.is_known(line.position) {
                                block.extend(record(lines.object(&line)).ok());
                            }
                            if next.is_multiple_of(STRIDE) {
                                self.note(next - STRIDE, block.iter().map(Ids::from));
                                block.clear();
                            }
                            let read = lines.offset() - begin;
                            if next.is_multiple_of(STRIDE) && read >= bytes {
                                break next / STRIDE;
                            }
                        }
                        Ok(None) => break u64::MAX,
                        // What comes after the next mark may be good.
                        Err(damage) => {
                            checked.damage = Some(damage);
                            break lines.position / STRIDE + 1;
                        }
                    }
                };
                checked.bytes = lines.offset() - begin;
                end
            }
        };
        checked.next = Some(reached).filter(|next| self.mark(*next).is_some());
        if let Some(damage) = &checked.damage {
            self.found(damage.clone());
        }
        checked
    }

    /// What the file is called in what is said of it.
    pub fn name(&self) -> String {
        self.storage.name()
    }

    /// The damage that was found and is there still, as far as is known.
    pub fn damage(&self) -> Option<Damage> {
        self.shared.lock().damage.clone()
    }

    /// Why what is appended would be lost, as far as is known.
    pub fn loss(&self) -> Option<String> {
        self.shared.lock().loss.clone()
    }

    /// Where in the file the record at `position` is, or one that is a little before it; the end if there is
    /// none.
    pub fn offset(&self, position: u64) -> u64 {
        let index = self.shared.lock();
        let mark = usize::try_from(position / STRIDE).ok().and_then(|at| index.marks.get(at));
        mark.filter(|_| position < index.length).map_or(index.end, |mark| mark.offset)
    }

    /// The offset after the last complete batch.
    pub fn end(&self) -> u64 {
        self.shared.lock().end
    }

    /// Takes note that all of the file was read again and is good.
    pub(super) fn is_mended(&self) {
        if self.shared.lock().damage.take().is_some() {
            log::warn!("{}: all of it can be read again", self.storage.name());
        }
    }

    /// Whether the file is still what others find by its name, and all there.
    ///
    /// # Errors
    /// If it is not: what is appended would be lost.
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

    /// Notes damage, tells of it once, and makes it an error.
    fn found(&self, damage: Damage) -> io::Error {
        let mut index = self.shared.lock();
        let error = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the journal is damaged at {damage}"),
        );
        if index.damage.is_none() {
            log::error!(
                "{}: damaged at {damage}. What does not need that part goes on. To mend it, stop \
                 the node, and: patchmesh verify DIR --rebuild-from PEER",
                self.storage.name()
            );
            index.damage = Some(damage);
        }
        error
    }

    /// The lines from the mark `stride` on, which must be there.
    fn lines(&self, stride: u64) -> Lines<'_> {
        let mark = self.mark(stride).expect("there is a mark before each record");
        Lines::new(self, mark.offset, mark.expected(), stride * STRIDE)
    }

    /// The lines from the first one after the header on.
    fn all_lines(&self) -> Result<Lines<'_>, Damage> {
        let (_, first) = read_header(&*self.storage).map_err(|error| match error {
            OpenError::Damaged(damage) => damage,
            error => Damage { offset: 0, why: Why::Content(error.to_string()) },
        })?;
        Ok(Lines::new(self, first.offset, Expected::First(first.batch), 0))
    }

    fn mark(&self, stride: u64) -> Option<Mark> {
        let stride = usize::try_from(stride).ok()?;
        self.shared.lock().marks.get(stride).copied()
    }

    /// The marks up to the last one at or before `position`.
    pub fn marks(&self, position: u64) -> Vec<Mark> {
        let index = self.shared.lock();
        let count = usize::try_from(position / STRIDE + 1).unwrap_or(usize::MAX);
        index.marks[..count.min(index.marks.len())].to_vec()
    }

    /// Has readers see the records before `length`, which have been read through.
    pub fn reach(&self, length: u64) {
        self.shared.lock().length = length;
    }

    /// The newest life that the journal notes; none if it notes none besides the header's.
    pub fn life(&self) -> Option<Source> {
        self.shared.lock().life.clone()
    }

    /// Takes note of a newer life.
    pub fn note_life(&self, life: Source) {
        self.shared.lock().life = Some(life);
    }

    pub(super) fn last_mark(&self) -> Option<(u64, Mark)> {
        let index = self.shared.lock();
        Some((marked_position(index.marks.len()), *index.marks.last()?))
    }

    /// Takes note of a record when the journal is read through.
    pub(super) fn pass(&self, position: u64, mark: Mark, ids: Ids) {
        let mut index = self.shared.lock();
        if position.is_multiple_of(STRIDE) && index.marks.len() as u64 == position / STRIDE {
            index.marks.push(mark);
        }
        index.blocks.push(ids);
    }

    /// Takes note of the Ids of records that were read, from `position` on, so that they are found
    /// without being read.
    pub fn note<'a>(&self, position: u64, records: impl IntoIterator<Item = Ids<'a>>) {
        self.shared.lock().blocks.note(position, records);
    }

    /// Takes note that `clock` covers all before `length`.
    pub fn cover(&self, length: u64, clock: VectorClock) {
        self.shared.lock().blocks.cover(length, clock);
    }

    /// See [`super::JournalReader::next_uncovered`].
    pub fn next_uncovered(&self, from: u64, seen: &VectorClock) -> u64 {
        self.shared.lock().blocks.next_uncovered(from, seen)
    }

    /// See [`super::JournalReader::candidates`].
    pub fn candidates(&self, source: &Source, id: u64) -> Vec<Range<u64>> {
        self.shared.lock().blocks.candidates(source, id)
    }

    /// See [`super::JournalReader::next_up_to`].
    pub fn next_up_to(&self, from: u64, time: Time) -> u64 {
        self.shared.lock().blocks.next_up_to(from, time)
    }

    /// See [`super::JournalReader::before`].
    pub fn before(&self, time: Time) -> (u64, Vec<Range<u64>>) {
        self.shared.lock().blocks.before(time)
    }
}

fn record(object: &str) -> Result<Record, String> {
    let record = Record::read(object).map_err(|error| error.to_string())?;
    Ok(record.ok_or("the transaction has no Time")?)
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    pub(super) fn extend(&mut self, batch: &[Record], marks: Vec<Mark>) {
        self.length += batch.len() as u64;
        self.marks.extend(marks);
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
}

/// The position of the last of `count` marks.
fn marked_position(count: usize) -> u64 {
    (count as u64).saturating_sub(1) * STRIDE
}
