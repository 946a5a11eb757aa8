//! Which Ids of which sources are in which part of the journal.
//!
//! For each block of [`BLOCK`] positions the index has the least and the greatest Time, and for each source
//! in the block the least and the greatest Id. So what a vector clock covers need not be read. A transaction
//! is found, and those before it in the history are counted, without reading the whole journal. A record has
//! two sources, that of its stamp and that of its name; mostly they are the same.
//!
//! The index need not be complete. After a start from a checkpoint nothing is known of the blocks before it
//! until they are read. Such a block may have any transaction. What is dropped from the journal is dropped
//! from the index too, with the sources that are in no other block.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use crate::clock::{Time, VectorClock};
use crate::source::Source;
use crate::transaction::{Place, Record, Transaction};

/// How many positions a block has.
pub const BLOCK: u64 = 256;

/// How many blocks are examined to count what a clock lacks: a million records. All records after them count
/// as lacking.
const COUNTED_BLOCKS: usize = 4096;

/// Time, stamp and name of a record, by which it is found.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// Its time.
    pub time: Time,
    /// Its stamp.
    pub stamp: (&'a Source, u64),
    /// Its name, if that is not the stamp.
    pub name: Option<(&'a Source, u64)>,
}

impl<'a> From<&'a Record> for Ids<'a> {
    fn from(record: &'a Record) -> Self {
        let Place { time, source, id } = &record.place;
        let name = record.named.as_ref().map(|name| (&name.source, name.id));
        Self { time: *time, stamp: (source, *id), name }
    }
}

impl<'a> From<&'a Transaction> for Ids<'a> {
    fn from(transaction: &'a Transaction) -> Self {
        let time = transaction.time.expect("what is in the journal has a Time");
        let name = transaction.by.as_ref().map(|_| (&transaction.source, transaction.id));
        Self { time, stamp: transaction.stamp(), name }
    }
}

/// The index of one journal.
///
/// Invariant: `blocks` and the `open` block after them are those of the positions from `begin` to `length`.
/// The first one may still have records that were dropped, which does no harm.
#[derive(Clone, Debug, Default)]
pub struct BlockIndex {
    /// The number of each source in each [`Role`].
    numbers: [HashMap<Source, u32>; ROLES],
    /// The sources by number.
    sources: Vec<(Role, Source)>,
    /// The author of the last record that has its name as its stamp, and its number: mostly the next record
    /// is of the same author.
    latest: Option<(Source, u32)>,
    /// None for a block of which nothing is known.
    blocks: VecDeque<Option<Block>>,
    open: Block,
    /// The first position that was not dropped.
    begin: u64,
    length: u64,
    /// A number of positions at the beginning, and a clock that covers them, even if nothing is known of
    /// their blocks.
    covered: Option<(u64, VectorClock)>,
}

/// The role of a source for a record. A source has one number for each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It stamps and names the record.
    Author,
    /// It stamps the record, which another source names.
    Stamper,
    /// It names the record, which another source stamps.
    Namer,
}

const ROLES: usize = 3;

/// What is known of a block without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// How many records it has.
    pub length: u64,
    /// The least and the greatest time.
    pub times: (Time, Time),
    /// The sources that stamp, with the least and the greatest Id of each.
    pub stamps: Vec<(Source, u64, u64)>,
    /// The sources that name.
    pub names: Vec<Source>,
}

/// What is known of one block.
#[derive(Clone, Debug, Default)]
struct Block {
    entries: Vec<SourceIds>,
    /// The least and the greatest time; none while there is no record.
    times: Option<(Time, Time)>,
}

/// The Ids of one source in one block.
#[derive(Clone, Copy, Debug)]
struct SourceIds {
    source: u32,
    /// How far the greatest Id is from the least; [`u32::MAX`] also stands for more.
    span: u32,
    least: u64,
}

impl BlockIndex {
    /// The index of a journal that begins at `begin` and of which nothing is known yet. The records from
    /// `length` on will be [pushed](Self::push); `length` is `begin` or a multiple of [`BLOCK`].
    pub fn after(begin: u64, length: u64) -> Self {
        assert!(
            length == begin || (length > begin && length.is_multiple_of(BLOCK)),
            "the rest of a block would be missing"
        );
        let count = usize::try_from(length / BLOCK - begin / BLOCK)
            .expect("the marks of these blocks are in memory");
        Self { blocks: vec![None; count].into(), begin, length, ..Self::default() }
    }

    /// Forgets what is before `begin`.
    pub fn drop_before(&mut self, begin: u64) {
        let begin = begin.clamp(self.begin, self.length);
        let count = usize::try_from(begin / BLOCK - self.begin / BLOCK)
            .map_or(self.blocks.len(), |count| count.min(self.blocks.len()));
        self.blocks.drain(..count);
        self.begin = begin;
        self.covered.take_if(|(length, _)| *length <= begin);
        if count > 0 {
            self.forget_sources();
        }
    }

    /// Forgets the sources that are in no block, and gives the others numbers without gaps.
    fn forget_sources(&mut self) {
        let blocks = || self.blocks.iter().flatten().chain([&self.open]);
        let used: HashSet<u32> =
            blocks().flat_map(|block| &block.entries).map(|entry| entry.source).collect();
        let mut numbers = HashMap::with_capacity(used.len());
        let sources = std::mem::take(&mut self.sources);
        self.numbers = Default::default();
        for (number, (role, source)) in (0..).zip(sources) {
            if used.contains(&number) {
                numbers.insert(number, self.number(role, &source));
            }
        }
        let blocks = self.blocks.iter_mut().flatten().chain([&mut self.open]);
        for entry in blocks.flat_map(|block| &mut block.entries) {
            entry.source = numbers[&entry.source];
        }
        self.latest = None;
        self.blocks.shrink_to_fit();
    }

    /// The number of the first block.
    fn first(&self) -> u64 {
        self.begin / BLOCK
    }

    /// The positions of a block that were not dropped.
    fn positions(&self, number: u64) -> Range<u64> {
        (number * BLOCK).max(self.begin)..((number + 1) * BLOCK).min(self.length)
    }

    /// The place of the block `number` in the list; none if there is no such block, or it is not complete.
    fn slot(&self, number: u64) -> Option<usize> {
        let slot = usize::try_from(number.checked_sub(self.first())?).ok()?;
        (slot < self.blocks.len()).then_some(slot)
    }

    /// Notes that `clock` covers all before `length`.
    pub fn cover(&mut self, length: u64, clock: VectorClock) {
        self.covered = Some((length, clock));
    }

    /// Adds the next record.
    pub fn push(&mut self, ids: Ids) {
        let mut open = std::mem::take(&mut self.open);
        self.add(&mut open, ids);
        self.length += 1;
        if self.length.is_multiple_of(BLOCK) {
            self.blocks.push_back(Some(open.closed()));
        } else {
            self.open = open;
        }
    }

    /// Adds records that were read, from `position` on. Only blocks of which nothing is known yet, and which
    /// are read as a whole, are added.
    pub fn note<'a>(&mut self, position: u64, records: impl IntoIterator<Item = Ids<'a>>) {
        let mut block: Option<Block> = None;
        for (position, ids) in (position..).zip(records) {
            let slot = self.slot(position / BLOCK).filter(|slot| self.blocks[*slot].is_none());
            if position.is_multiple_of(BLOCK) || position == self.begin {
                block = slot.map(|_| Block::default());
            }
            if let Some(block) = &mut block {
                self.add(block, ids);
            }
            if (position + 1).is_multiple_of(BLOCK)
                && let (Some(block), Some(slot)) = (block.take(), slot)
            {
                self.blocks[slot] = Some(block.closed());
            }
        }
    }

    /// Whether the content of the block of `position` is known.
    pub fn is_known(&self, position: u64) -> bool {
        self.slot(position / BLOCK).is_none_or(|slot| self.blocks[slot].is_some())
    }

    /// The first position at or after `from` whose block `clock` does not cover wholly; the journal's length
    /// if there is none. A block that is unknown or dropped is not covered.
    pub fn next_uncovered(&self, from: u64, clock: &VectorClock) -> u64 {
        let from = self.after_covered(from, clock);
        // A name alone does not say whether the clock has seen the transaction.
        let next_id = |(role, source): &(Role, Source)| match role {
            Role::Author | Role::Stamper => clock.next_id(source),
            Role::Namer => u64::MAX,
        };
        let next_ids: Vec<u64> = self.sources.iter().map(next_id).collect();
        let is_covered = |block: &Block| {
            block.entries.iter().all(|entry| entry.greatest() < next_ids[entry.source as usize])
        };
        self.next_unless(from, is_covered)
    }

    /// How many records from `from` on `clock` lacks. This is exact for a block of which it has all or
    /// nothing, and for one whose Ids have no gaps; else it is an upper bound, at most the size of the block.
    pub fn lacking(&self, from: u64, clock: &VectorClock) -> u64 {
        let from = self.after_covered(from, clock).max(self.begin);
        if from >= self.length {
            return 0;
        }
        let skipped = usize::try_from(from / BLOCK - self.first()).unwrap_or(usize::MAX);
        let blocks = self.blocks.range(skipped.min(self.blocks.len())..).map(Option::as_ref);
        let (mut lacking, mut counted) = (0, from);
        for (number, block) in
            (from / BLOCK..).zip(blocks.chain([Some(&self.open)])).take(COUNTED_BLOCKS)
        {
            let positions = self.positions(number);
            let there = positions.end.saturating_sub(positions.start.max(from));
            lacking += block.map_or(there, |block| self.lacking_of(block, clock).min(there));
            counted = counted.max(positions.end);
        }
        lacking + self.length.saturating_sub(counted)
    }

    /// How many Ids between the least and the greatest of a block `clock` lacks, also those in gaps.
    fn lacking_of(&self, block: &Block, clock: &VectorClock) -> u64 {
        let ids = block.entries.iter().map(|entry| match &self.sources[entry.source as usize] {
            (Role::Namer, _) => 0,
            (Role::Author | Role::Stamper, source) => {
                let next = clock.next_id(source).max(entry.least);
                entry.greatest().saturating_add(1).saturating_sub(next)
            }
        });
        ids.fold(0, u64::saturating_add)
    }

    /// `from`, or the end of the covered positions if `clock` covers them and `from` is one of them.
    fn after_covered(&self, from: u64, clock: &VectorClock) -> u64 {
        match &self.covered {
            Some((length, before)) if from < *length && clock.covers(before) => *length,
            _ => from,
        }
    }

    /// Where the transaction with this stamp or name may be, the likeliest positions first: in the blocks
    /// whose Ids enclose it, and then in those of which nothing is known.
    pub fn candidates(&self, source: &Source, id: u64) -> Vec<Range<u64>> {
        let numbers: Vec<_> = self.numbers.iter().map(|numbers| numbers.get(source)).collect();
        let is_enclosed = |block: &Block| {
            block.entries.iter().any(|entry| {
                numbers.contains(&Some(&entry.source))
                    && (entry.least..=entry.greatest()).contains(&id)
            })
        };
        let (mut likely, mut unknown) = (Vec::new(), Vec::new());
        for (number, block) in (self.first()..).zip(&self.blocks) {
            let positions = self.positions(number);
            match block {
                Some(block) if is_enclosed(block) => append(&mut likely, positions),
                Some(_) => (),
                None => append(&mut unknown, positions),
            }
        }
        if is_enclosed(&self.open) {
            append(&mut likely, self.positions(self.first() + self.blocks.len() as u64));
        }
        likely.append(&mut unknown);
        likely
    }

    /// How many records are in blocks that are wholly before `time`, and the positions of the blocks that may
    /// have other records before it or at it. Dropped records do not count.
    pub fn before(&self, time: Time) -> (u64, Vec<Range<u64>>) {
        let (mut count, mut unsettled) = (0, Vec::new());
        let blocks = self.blocks.iter().map(Option::as_ref).chain([Some(&self.open)]);
        for (number, block) in (self.first()..).zip(blocks) {
            let positions = self.positions(number);
            match block.map(|block| block.times) {
                Some(None) => (),
                Some(Some((least, _))) if least > time => (),
                Some(Some((_, greatest))) if greatest < time => {
                    count += positions.end - positions.start;
                }
                Some(Some(_)) | None => append(&mut unsettled, positions),
            }
        }
        (count, unsettled)
    }

    /// The first position at or after `from` whose block may have a record up to `time`; the journal's
    /// length if there is none.
    pub fn next_up_to(&self, from: u64, time: Time) -> u64 {
        let is_later = |block: &Block| block.times.is_none_or(|(least, _)| least > time);
        self.next_unless(from, is_later)
    }

    /// The first position at or after `from` in a block that cannot be skipped; the journal's length if there
    /// is none. `passed` says whether a known block can be.
    fn next_unless(&self, from: u64, passed: impl Fn(&Block) -> bool) -> u64 {
        let Some(skipped) = (from / BLOCK).checked_sub(self.first()).filter(|_| from >= self.begin)
        else {
            return from;
        };
        let blocks = self.blocks.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        let found = (from / BLOCK..)
            .zip(blocks)
            .find(|(_, block)| block.as_ref().is_none_or(|block| !passed(block)));
        match found {
            Some((number, _)) => from.max(number * BLOCK),
            None if passed(&self.open) => from.max(self.length),
            None => from.max((self.first() + self.blocks.len() as u64) * BLOCK),
        }
    }

    /// What is known of the block that begins at `position`; none if there is no such complete block, or
    /// nothing is known of it.
    pub fn summary(&self, position: u64) -> Option<BlockSummary> {
        if !position.is_multiple_of(BLOCK) || position < self.begin {
            return None;
        }
        let block = self.blocks[self.slot(position / BLOCK)?].as_ref()?;
        let (mut stamps, mut names) = (Vec::with_capacity(block.entries.len()), Vec::new());
        for entry in &block.entries {
            let (role, source) = &self.sources[entry.source as usize];
            if entry.span == u32::MAX {
                return None;
            }
            if *role != Role::Namer {
                stamps.push((source.clone(), entry.least, entry.greatest()));
            }
            if *role != Role::Stamper {
                names.push(source.clone());
            }
        }
        Some(BlockSummary { length: BLOCK, times: block.times?, stamps, names })
    }

    fn add(&mut self, block: &mut Block, ids: Ids) {
        let Block { entries, times } = block;
        let (least, greatest) = times.unwrap_or((ids.time, ids.time));
        *times = Some((least.min(ids.time), greatest.max(ids.time)));
        let (source, id) = ids.stamp;
        let Some((namer, name_id)) = ids.name else {
            let number = match &self.latest {
                Some((latest, number)) if latest == source => *number,
                _ => {
                    let number = self.number(Role::Author, source);
                    self.latest = Some((source.clone(), number));
                    number
                }
            };
            return add(entries, number, id);
        };
        add(entries, self.number(Role::Stamper, source), id);
        add(entries, self.number(Role::Namer, namer), name_id);
    }

    /// The number of `source` in a role; a new one if it has none yet.
    fn number(&mut self, role: Role, source: &Source) -> u32 {
        if let Some(number) = self.numbers[role as usize].get(source) {
            return *number;
        }
        let next =
            u32::try_from(self.sources.len()).expect("so many sources do not fit into memory");
        self.numbers[role as usize].insert(source.clone(), next);
        self.sources.push((role, source.clone()));
        next
    }
}

impl Block {
    fn closed(mut self) -> Self {
        self.entries.shrink_to_fit();
        self
    }
}

impl SourceIds {
    fn greatest(&self) -> u64 {
        if self.span == u32::MAX { u64::MAX } else { self.least + u64::from(self.span) }
    }
}

fn add(entries: &mut Vec<SourceIds>, source: u32, id: u64) {
    // Mostly it is the last one.
    let Some(entry) = entries.iter_mut().rev().find(|entry| entry.source == source) else {
        entries.push(SourceIds { source, span: 0, least: id });
        return;
    };
    let greatest = entry.greatest().max(id);
    entry.least = entry.least.min(id);
    entry.span = u32::try_from(greatest - entry.least).unwrap_or(u32::MAX);
}

/// Appends a range, or extends the last one if the two touch.
fn append(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

#[cfg(test)]
impl BlockIndex {
    /// How many blocks and how many sources it has.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.blocks.len(), self.sources.len()]
    }
}

#[cfg(test)]
mod tests;
