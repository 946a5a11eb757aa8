//! A crash at any instant loses nothing that was acknowledged or shown, brings back nothing that was
//! refused, and never makes the journal unreadable.
//!
//! A simulated disk tells what was written from what is durable. At any operation the power goes, and
//! of what was not synced a random part is kept, or the process is killed and the disk goes on. Then the
//! journal is opened again, and so on for several generations. A seed decides all of it.
//! `PATCHMESH_SEEDS=100000` runs as many seeds, `PATCHMESH_SEED=7` that one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::{
    AppendError, Extent, FileJournal, FileReader, Header, Marks, OpenError, Segments, Storage,
};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Record, Transaction};

use crate::reading::collect;
use crate::setting::{first_failing, seeds};
use crate::story::Story;

/// How many seeds are run unless the environment says otherwise.
const SEEDS: u64 = 3000;

/// How often the journal of one seed is opened.
const GENERATIONS: usize = 6;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
const PAGE: usize = 4096;

const POWER_IS_GONE: &str = "the power is gone";
const BAD_SECTOR: &str = "a bad sector";

/// One file on a disk.
struct Disk(Mutex<State>);

#[derive(Clone)]
struct State {
    /// What a process reads.
    seen: Vec<u8>,
    /// What is there for certain when the power goes.
    durable: Vec<u8>,
    /// What was done to the file and not synced since.
    pending: Vec<Change>,
    /// How many operations are left until the end of the process or the power; none: many.
    fuse: Option<u64>,
    ended: bool,
    /// How long the file can be.
    room: usize,
    /// What goes wrong next.
    trouble: Option<Trouble>,
    random: Rng,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// What goes wrong once.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    /// There is no room for the next write, not even over bytes that the file has already.
    Full(io::ErrorKind),
    /// The next write stops half way.
    Write,
    SetLength,
    /// The next sync fails; the system tries again at the next one.
    Sync,
    /// The next sync fails; the system takes for written what is not, and does not try again.
    SyncForgets,
}

/// How the power goes.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Nothing,
    Everything,
    /// What was done after an instant is lost; what was being written then has a prefix.
    After(usize, usize),
    /// What is before or after this unit is lost.
    UnitsBefore(usize),
    UnitsFrom(usize),
    OneUnit(usize),
    AllButOneUnit(usize),
    /// Each unit is as it was at a random instant, with this chance the last one.
    Random(f64),
}

fn is_nul(bytes: &[u8]) -> bool {
    // A comparison of slices is fast without optimization, too.
    static NUL: [u8; PAGE] = [0; PAGE];
    bytes.chunks(PAGE).all(|chunk| *chunk == NUL[..chunk.len()])
}

fn lengthen(bytes: &mut Vec<u8>, length: usize) {
    static NUL: [u8; PAGE] = [0; PAGE];
    while bytes.len() < length {
        bytes.extend_from_slice(&NUL[..PAGE.min(length - bytes.len())]);
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                lengthen(file, offset + bytes.len());
                file[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => {
                file.truncate(*length);
                lengthen(file, *length);
            }
        }
    }

    /// The bytes it changes of a file as long as `end`.
    fn range(&self, end: usize) -> (usize, usize) {
        match self {
            Self::Write { offset, bytes } => (*offset, offset + bytes.len()),
            Self::Length(length) => (*length, end.max(*length)),
        }
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    /// Burns the fuse down: true if it ends with this operation. With dull ones it rarely ends.
    fn burn(&mut self, is_dull: bool) -> io::Result<bool> {
        if self.ended {
            return Err(io::Error::other(POWER_IS_GONE));
        }
        match &mut self.fuse {
            Some(0) if is_dull && self.random.u8(..4) > 0 => (),
            Some(0) => self.ended = true,
            Some(left) => *left -= 1,
            None => (),
        }
        Ok(self.ended)
    }

    /// Whether nothing but space is waiting to become durable.
    fn is_dull(&self) -> bool {
        let is_dull = |change: &Change| match change {
            Change::Write { bytes, .. } => is_nul(bytes),
            Change::Length(_) => true,
        };
        self.pending.iter().all(is_dull)
    }

    fn goes_wrong(&mut self, trouble: Trouble) -> bool {
        let goes_wrong = self.trouble == Some(trouble);
        if goes_wrong {
            self.trouble = None;
        }
        goes_wrong
    }

    /// Writes the first `most` bytes, or fewer: within the file it stops between two sectors.
    fn write_part(&mut self, bytes: &[u8], offset: usize, most: usize) {
        let mut end = offset + most.min(bytes.len());
        if end < self.seen.len() {
            end = end / SECTOR * SECTOR;
        }
        if end > offset {
            let bytes = bytes[..end - offset].to_vec();
            self.change(Change::Write { offset, bytes });
        }
    }

    /// What is left of the file when the power goes: a part of what was not synced, and one of the
    /// lengths that it had.
    fn after_loss(&mut self, loss: Loss, unit: usize) -> Vec<u8> {
        let seed = self.random.u64(..);
        let changes = self.pending.len();
        let instant = |at: usize| {
            let mut random = Rng::with_seed(seed ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            match loss {
                Loss::Nothing => changes,
                Loss::Everything => 0,
                Loss::After(change, whole) => change + usize::from(at < whole),
                Loss::UnitsBefore(first) => {
                    if at < first {
                        0
                    } else {
                        changes
                    }
                }
                Loss::UnitsFrom(first) => {
                    if at < first {
                        changes
                    } else {
                        0
                    }
                }
                Loss::OneUnit(one) => {
                    if at == one {
                        0
                    } else {
                        changes
                    }
                }
                Loss::AllButOneUnit(one) => {
                    if at == one {
                        changes
                    } else {
                        0
                    }
                }
                Loss::Random(chance) if random.f64() < chance => changes,
                Loss::Random(_) => random.usize(..=changes),
            }
        };
        let mut lengths = vec![self.durable.len()];
        let mut file = self.durable.clone();
        for (count, change) in self.pending.iter().enumerate() {
            let before = *lengths.last().expect("there is one at least");
            let (from, to) = change.range(file.len());
            let length = match change {
                Change::Write { .. } => before.max(to),
                Change::Length(length) => *length,
            };
            let between = (before.min(length)..before.max(length)).step_by(PAGE);
            if between.len() > 1 {
                let at = self.random.usize(1..between.len());
                lengths.extend(between.map(|length| length / PAGE * PAGE).nth(at));
            }
            lengths.push(length);
            lengthen(&mut file, to);
            let mut at = from;
            while at < to {
                let unit_end = ((at / unit + 1) * unit).min(to);
                let is_same = match change {
                    Change::Write { offset, bytes } => {
                        file[at..to] == bytes[at - offset..to - offset]
                    }
                    Change::Length(_) => is_nul(&file[at..to]),
                };
                if is_same {
                    break;
                }
                if count < instant(at / unit) {
                    match change {
                        Change::Write { offset, bytes } => file[at..unit_end]
                            .copy_from_slice(&bytes[at - offset..unit_end - offset]),
                        Change::Length(_) => file[at..unit_end].fill(0),
                    }
                }
                at = unit_end;
            }
        }
        // The length is as old as it likes, whatever the bytes are.
        let length = match loss {
            Loss::Everything if self.random.bool() => lengths[0],
            Loss::Nothing => *lengths.last().expect("there is one at least"),
            _ if self.random.u8(..4) > 0 => *lengths.last().expect("there is one at least"),
            _ => lengths[self.random.usize(..lengths.len())],
        };
        file.truncate(length);
        lengthen(&mut file, length);
        file
    }

    fn random_loss(&mut self) -> (Loss, usize) {
        let unit = if self.random.bool() { SECTOR } else { PAGE };
        let changed: Vec<(usize, usize)> = self
            .pending
            .iter()
            .filter(|change| !matches!(change, Change::Write { bytes, .. } if is_nul(bytes)))
            .map(|change| change.range(self.seen.len()))
            .collect();
        if changed.is_empty() {
            return (Loss::Random(0.5), unit);
        }
        let change = self.random.usize(..changed.len());
        let (from, to) = changed[change];
        let at = match self.random.u8(..4) {
            0 => from / unit,
            1 => (to - 1).max(from) / unit,
            _ => self.random.usize(from / unit..=to / unit),
        };
        let loss = match self.random.u8(..16) {
            0 => Loss::Nothing,
            1 => Loss::Everything,
            2 | 3 => Loss::After(self.random.usize(..self.pending.len()), at),
            4 | 5 => Loss::UnitsBefore(at + 1),
            6 => Loss::UnitsFrom(at),
            7..10 => Loss::OneUnit(at),
            10 | 11 => Loss::AllButOneUnit(at),
            12 => Loss::Random(0.1),
            13 => Loss::Random(0.5),
            _ => Loss::Random(0.9),
        };
        (loss, unit)
    }
}

impl Disk {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            seen: Vec::new(),
            durable: Vec::new(),
            pending: Vec::new(),
            fuse: None,
            ended: false,
            room: usize::MAX,
            trouble: None,
            random: Rng::with_seed(seed),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// The power goes and comes back: of what was not synced a part is there.
    fn lose_power(&self) -> (Arc<Self>, String) {
        let mut state = self.lock().clone();
        let (loss, unit) = state.random_loss();
        let file = state.after_loss(loss, unit);
        let what = format!("lost {loss:?} in units of {unit}, {} bytes left", file.len());
        let state = State { seen: file.clone(), durable: file, pending: Vec::new(), ..state };
        (Self::restarted(state), what)
    }

    /// The process is killed, and the system goes on.
    fn kill(&self) -> Arc<Self> {
        Self::restarted(self.lock().clone())
    }

    fn restarted(state: State) -> Arc<Self> {
        let state = State { fuse: None, ended: false, trouble: None, ..state };
        Arc::new(Self(Mutex::new(state)))
    }

    /// The offset after the last byte that is not NUL.
    fn text_end(&self) -> usize {
        let state = self.lock();
        let mut end = state.seen.len();
        while end > PAGE && is_nul(&state.seen[end - PAGE..end]) {
            end -= PAGE;
        }
        while end > 0 && state.seen[end - 1] == 0 {
            end -= 1;
        }
        end
    }
}

impl Storage for Disk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.lock().seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.lock();
        if state.ended {
            return Err(io::Error::other(POWER_IS_GONE));
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(state.seen.len());
        let count = buffer.len().min(state.seen.len() - start);
        buffer[..count].copy_from_slice(&state.seen[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.lock();
        let offset = usize::try_from(offset).expect("files are small here");
        if state.burn(is_nul(bytes))? {
            let part = state.random.usize(..=bytes.len());
            state.write_part(bytes, offset, part);
            return Err(io::Error::other(POWER_IS_GONE));
        }
        if state.goes_wrong(Trouble::Write) {
            let part = state.random.usize(..=bytes.len());
            state.write_part(bytes, offset, part);
            return Err(io::Error::other(BAD_SECTOR));
        }
        if let Some(Trouble::Full(kind)) = state.trouble {
            state.trouble = None;
            let part = state.random.usize(..=bytes.len());
            state.write_part(bytes, offset, part);
            return Err(kind.into());
        }
        let room = state.room.max(state.seen.len());
        if offset + bytes.len() > room {
            let part = room.saturating_sub(offset);
            state.write_part(bytes, offset, part);
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.change(Change::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        let ends = state.burn(true)?;
        if ends && state.random.bool() {
            return Err(io::Error::other(POWER_IS_GONE));
        }
        if state.goes_wrong(Trouble::SetLength) {
            return Err(io::Error::other(BAD_SECTOR));
        }
        state.change(Change::Length(usize::try_from(length).expect("files are small here")));
        if ends { Err(io::Error::other(POWER_IS_GONE)) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        let is_dull = state.is_dull();
        if state.burn(is_dull)? {
            return Err(io::Error::other(POWER_IS_GONE));
        }
        if state.goes_wrong(Trouble::Sync) {
            return Err(io::Error::other(BAD_SECTOR));
        }
        if state.goes_wrong(Trouble::SyncForgets) {
            let (loss, unit) = state.random_loss();
            state.durable = state.after_loss(loss, unit);
            state.pending.clear();
            return Err(io::Error::other(BAD_SECTOR));
        }
        for change in std::mem::take(&mut state.pending) {
            change.apply(&mut state.durable);
        }
        Ok(())
    }
}

/// What a journal has that was opened.
struct Opened {
    journal: FileJournal,
    extent: Extent,
    /// The transactions from the position of the last mark on.
    transactions: Vec<Transaction>,
}

fn open(disk: &Arc<Disk>, marks: &Marks) -> Result<Opened, OpenError> {
    let storage: Arc<dyn Storage> = disk.clone();
    let segments = Segments::of_file(storage)?;
    assert_eq!(segments.source().as_str(), "a~1");
    let reader = FileReader::new(segments, marks);
    let (extent, transactions) = collect(&reader)?;
    let journal = FileJournal::open(&extent, reader)?;
    Ok(Opened { journal, extent, transactions })
}

/// What must be true of the journal.
struct Truth {
    /// The batches that were acknowledged, or shown after a start.
    batches: Vec<Vec<Transaction>>,
    /// The batch that was being appended at the end of the process: it may be there, or not.
    doubtful: Option<Vec<Transaction>>,
    /// The lives that were noted. The batch of a note has no transactions.
    lives: Vec<Source>,
    /// The life that was being noted at the end of the process.
    doubtful_life: Option<Source>,
    /// Marks that a checkpoint may have: they are of shown records.
    marks: Marks,
    /// The Ids of what was acknowledged or shown.
    shown: BTreeSet<u64>,
}

/// How often what is to be tested came about.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn count(&self, what: &'static str) {
        *self.0.lock().expect("no holder panics").entry(what).or_default() += 1;
    }
}

/// The history of one seed.
struct Run<'a> {
    random: Rng,
    disk: Arc<Disk>,
    truth: Truth,
    tally: &'a Tally,
    /// What happened, to understand a failure by.
    story: Story,
    /// How many bytes a line had beside its object, when it was last seen.
    seal_bytes: usize,
    /// How much room there is if there is room. If it is less than the journal reserves, a seed
    /// takes much less time.
    most_room: usize,
}

impl<'a> Run<'a> {
    fn new(seed: u64, tally: &'a Tally) -> Self {
        let disk = Disk::new(seed);
        let header = Header::new("a~1".parse().expect("a source"));
        FileJournal::create(&*disk, &header).expect("nothing goes wrong yet");
        let truth = Truth {
            batches: Vec::new(),
            doubtful: None,
            lives: Vec::new(),
            doubtful_life: None,
            marks: Marks::default(),
            shown: BTreeSet::new(),
        };
        let random = Rng::with_seed(!seed);
        let most_room = if seed.is_multiple_of(3) { usize::MAX } else { 64_000 };
        disk.lock().room = most_room;
        Self { random, disk, truth, tally, story: Story::new(seed), seal_bytes: 19, most_room }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    fn all(&mut self) {
        for _ in 0..GENERATIONS {
            self.generation();
        }
        self.disk.lock().room = usize::MAX;
        self.open().expect("nothing goes wrong at the last start");
    }

    fn generation(&mut self) {
        let fuse = match self.random.u8(..8) {
            0 => self.random.u64(..4),
            1..=6 => self.random.u64(3..20),
            _ => u64::MAX,
        };
        self.tell(format!("a start, {fuse} operations"));
        self.disk.lock().fuse = Some(fuse);
        if self.random.u8(..16) == 0 {
            let trouble = match self.random.u8(..5) {
                0 => Trouble::Full(io::ErrorKind::StorageFull),
                1 => Trouble::Write,
                2 => Trouble::SetLength,
                3 => Trouble::Sync,
                _ => Trouble::SyncForgets,
            };
            self.disk.lock().trouble = Some(trouble);
            self.tell(format!("{trouble:?} goes wrong next"));
        }
        let Some(mut journal) = self.open() else {
            self.tally.count("a start ended early");
            return self.end();
        };
        self.disk.lock().trouble = None;
        let mut next_id = self.truth.shown.last().map_or(1, |id| id + 1);
        for _ in 0..self.random.usize(1..8) {
            self.make_room_or_trouble();
            if self.random.u8(..12) == 0 && !self.begin_life(&mut journal) {
                return self.end();
            }
            let batch = self.batch(&mut next_id);
            let transactions = batch.iter().map(decode).collect();
            let before = self.disk.text_end();
            match journal.append(&batch) {
                Ok(()) => {
                    self.tally.count("a batch was acknowledged");
                    if let [record] = &batch[..] {
                        self.seal_bytes = self.disk.text_end() - before - record.line.len();
                    }
                    self.show(transactions);
                    let reader = journal.reader();
                    self.truth.marks = reader.marks(u64::MAX);
                    self.check_reads(&reader);
                }
                Err(AppendError::Full(error)) => {
                    self.tally.count("a batch was refused");
                    self.tell(format!("a batch of {} was refused: {error}", batch.len()));
                    assert_eq!(self.disk.text_end(), before, "the file is what it was");
                    self.check_reads(&journal.reader());
                }
                Err(AppendError::Lost(error)) => panic!("the disk has no names: {error}"),
                Err(AppendError::Broken(error)) => {
                    self.tally.count("a batch is in doubt");
                    self.tell(format!("a batch of {} is in doubt: {error}", batch.len()));
                    self.truth.doubtful = Some(transactions);
                    self.check_reads(&journal.reader());
                    return self.end();
                }
            }
        }
        if self.random.bool() {
            self.tell("an orderly end");
            // What cannot be given back, since the power is gone, is cut off at the next start.
            journal.close().ok();
        }
        self.end();
    }

    /// Notes a life; false if the process must end.
    fn begin_life(&mut self, journal: &mut FileJournal) -> bool {
        let life: Source = format!("a~{}", self.random.u32(..)).parse().expect("a source");
        let before = self.disk.text_end();
        match journal.begin_life(&life) {
            Ok(()) => {
                self.tally.count("a life was noted");
                self.tell("a life was noted");
                self.truth.lives.push(life.clone());
                self.show(Vec::new());
                assert_eq!(journal.reader().life(), Some(life));
                true
            }
            Err(AppendError::Full(error)) => {
                self.tell(format!("a life was not noted: {error}"));
                assert_eq!(self.disk.text_end(), before, "the file is as long as it was");
                true
            }
            Err(AppendError::Lost(error)) => panic!("the disk has no names: {error}"),
            Err(AppendError::Broken(error)) => {
                self.tally.count("a life is in doubt");
                self.tell(format!("a life is in doubt: {error}"));
                self.truth.doubtful_life = Some(life);
                self.check_reads(&journal.reader());
                false
            }
        }
    }

    /// The end of the process: by itself, or with the power.
    fn end(&mut self) {
        if self.random.u8(..4) == 0 {
            self.tally.count("the process was killed");
            self.tell("the process is killed");
            self.disk = self.disk.kill();
            return;
        }
        let (disk, what) = self.disk.lose_power();
        self.tally.count("the power went");
        self.tell(what);
        self.disk = disk;
    }

    fn make_room_or_trouble(&mut self) {
        let end = self.disk.text_end();
        let mut state = self.disk.lock();
        match self.random.u8(..12) {
            0 => state.room = end + self.random.usize(..3000),
            1 => state.room = end + self.random.usize(..40_000),
            2..=4 => state.room = self.most_room,
            5 => {
                use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
                let kinds = [FileTooLarge, QuotaExceeded, StorageFull];
                state.trouble = self.random.choice(kinds).map(Trouble::Full);
            }
            6 if self.random.u8(..4) == 0 => {
                use Trouble::{SetLength, Sync, SyncForgets, Write};
                state.trouble = self.random.choice([Write, SetLength, Sync, SyncForgets]);
            }
            _ => (),
        }
        if let Some(trouble) = state.trouble {
            drop(state);
            self.tell(format!("{trouble:?} goes wrong next"));
        }
    }

    fn batch(&mut self, next_id: &mut u64) -> Vec<Record> {
        let records = match self.random.u8(..32) {
            0 if self.random.bool() => 260,
            0 | 1 => self.random.usize(6..20),
            2..=15 => self.random.usize(2..5),
            _ => 1,
        };
        let ids = *next_id..*next_id + records as u64;
        *next_id = ids.end;
        let batch = ids.map(|id| {
            let bytes = match self.random.u8(..8) {
                _ if records > 40 => self.random.usize(..50),
                0 => self.random.usize(..50),
                1 if records < 6 => self.random.usize(..12_000),
                _ => self.random.usize(..2000),
            };
            let mut record = record(id, bytes);
            if records == 1 && self.random.bool() {
                // The next batch is to begin at the edge of a sector or close to it.
                let end = self.disk.text_end() + record.line.len() + self.seal_bytes;
                let beyond = self.random.choice([0, 1, 1, 1, 2, 3]).expect("there are some");
                let edge = end.next_multiple_of(SECTOR) + beyond - 2;
                record = self::record(id, bytes + edge.saturating_sub(end));
            }
            record
        });
        batch.collect()
    }

    /// What is acknowledged, or read at a start and then shown to readers and peers, stays for ever.
    fn show(&mut self, batch: Vec<Transaction>) {
        for Transaction { id, .. } in &batch {
            assert!(self.truth.shown.insert(*id), "the Id {id} is used again");
        }
        self.tell(format!("a batch of {} is shown", batch.len()));
        self.truth.batches.push(batch);
    }

    /// Opens the journal, and checks what it has. None if it cannot be opened because the power
    /// goes, or the disk fails.
    fn open(&mut self) -> Option<FileJournal> {
        let with_marks = self.random.u8(..3) == 0;
        let marks = if with_marks { self.truth.marks.clone() } else { Marks::default() };
        let from = marks.last().map_or(0, |(position, _)| position as usize);
        let before = self.disk.lock().seen.clone();
        let Opened { journal, extent, transactions } = match open(&self.disk, &marks) {
            Ok(opened) => opened,
            Err(OpenError::Io(error))
                if [POWER_IS_GONE, BAD_SECTOR].contains(&&*error.to_string()) =>
            {
                return None;
            }
            // Where the last batch has to be completed, there may be no room for that.
            Err(OpenError::Io(error))
                if error.kind() == io::ErrorKind::StorageFull
                    && (self.truth.doubtful.is_some() || self.truth.doubtful_life.is_some()) =>
            {
                return None;
            }
            Err(error) => panic!("it cannot be opened: {error}"),
        };
        let expected: Vec<&Transaction> = self.truth.batches.iter().flatten().skip(from).collect();
        let (known, more) = transactions.split_at(expected.len().min(transactions.len()));
        for (at, expected) in expected.iter().enumerate() {
            assert_eq!(known.get(at), Some(*expected), "at position {}", from + at);
        }
        match self.truth.doubtful.take() {
            Some(_) if more.is_empty() => self.tally.count("a batch in doubt is not there"),
            Some(doubtful) => {
                assert_eq!(more, doubtful, "a batch is there whole or not at all");
                self.tally.count("a batch in doubt is there");
                self.show(doubtful);
            }
            None => assert_eq!(more, [], "nobody is in doubt of that"),
        }
        if let Some(life) = self.truth.doubtful_life.take()
            && extent.next_batch > self.truth.batches.len() as u64 + 1
        {
            self.tally.count("a life in doubt is there");
            self.truth.lives.push(life);
            self.show(Vec::new());
        }
        if !with_marks {
            assert_eq!(extent.lives, self.truth.lives);
            assert_eq!(journal.reader().life().as_ref(), self.truth.lives.last());
        }
        let length = self.truth.batches.iter().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(extent.next_batch, self.truth.batches.len() as u64 + 1);
        assert_eq!(extent.length, length);
        if self.disk.text_end() % SECTOR == SECTOR - 1 {
            self.tally.count("a batch begins with the last byte of a sector");
        }
        if extent.torn {
            self.tally.count("a torn batch was cut off");
        }
        if before.len() < extent.end as usize || before[extent.end as usize - 1] == 0 {
            self.tally.count("a line feed was missing");
        }
        if extent.last < extent.end && before[extent.last as usize] == 0 {
            self.tally.count("a first byte was missing");
        }
        self.tell(format!("opened: {extent:?}"));
        self.check_reads(&journal.reader());
        if self.random.u8(..3) == 0 {
            self.check_again(&extent);
        }
        Some(journal)
    }

    /// Opening it again finds the same, and changes nothing.
    fn check_again(&mut self, extent: &Extent) {
        let disk = self.disk.kill();
        let again = open(&disk, &Marks::default()).expect("it was opened before");
        let last = again.extent.last;
        let lives = self.truth.lives.clone();
        assert_eq!(again.extent, Extent { last, torn: false, lives, ..extent.clone() });
        assert!(again.transactions.iter().eq(self.truth.batches.iter().flatten()));
        assert!(disk.lock().seen == self.disk.lock().seen, "the second start changed the file");
    }

    /// Readers see exactly what is shown, from any position.
    fn check_reads(&mut self, reader: &FileReader) {
        if self.disk.lock().ended {
            return;
        }
        let all: Vec<&Transaction> = self.truth.batches.iter().flatten().collect();
        assert_eq!(reader.length(), all.len() as u64);
        let from = self.random.usize(..=all.len() + 1);
        let most = self.random.usize(..5);
        let read = reader.read(from as u64, most, usize::MAX).expect("it can be read");
        let lines = read.iter().map(|record| record.line.to_string());
        assert!(lines.eq(all.iter().skip(from).take(most).map(|transaction| transaction.encode())));
    }
}

fn decode(record: &Record) -> Transaction {
    Transaction::decode(record.line.as_bytes()).expect("a record has a transaction")
}

/// A record whose payload has as many bytes. Some look like lines of a journal, which does not matter.
fn record(id: u64, bytes: usize) -> Record {
    let place = Place {
        time: Time::from_micros(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 13).expect("below 2^53"),
        source: "a~1".parse().expect("a source"),
        id,
    };
    let mut payload = String::new();
    if id.is_multiple_of(5) {
        payload.push_str("{} \"9.1/1.00000000\"\n{} \"9999.1/1.00000000\"\n");
    }
    payload.extend(std::iter::repeat_n('x', bytes.saturating_sub(payload.len())));
    Record::new(place, &payload)
}

#[test]
fn a_crash_loses_nothing_acknowledged_and_brings_back_nothing_refused() {
    let tally = Tally::default();
    let seeds = seeds(SEEDS);
    let failed = first_failing(&seeds, |seed| Run::new(seed, &tally).all());
    assert_eq!(failed, None, "seed");
    let tally = tally.0.into_inner().expect("no holder panics");
    println!("{tally:#?}");
    if seeds.end - seeds.start < 1000 {
        return;
    }
    for what in [
        "a batch was acknowledged",
        "a batch was refused",
        "a batch is in doubt",
        "a batch in doubt is there",
        "a batch in doubt is not there",
        "a torn batch was cut off",
        "a line feed was missing",
        "a first byte was missing",
        "a start ended early",
        "the process was killed",
        "the power went",
    ] {
        assert!(tally.contains_key(what), "never: {what}");
    }
}
