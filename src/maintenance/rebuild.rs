//! Rebuilds a damaged data directory from a peer.
//!
//! The new directory has the peer's base and journal. Transactions of the old journal that can still be read and that
//! the peer lacks are put behind them. Earlier ones of the same sources may be lost by the damage, so the clocks of
//! these sources prove nothing. That is why they get new stamps of the new life, and keep their names and times. If
//! other nodes have them too, the name is the same, and they count once.
//!
//! If the peer has a different transaction under the same stamp and name (this directory was put back to an old copy
//! and written to), the one of this directory gets a name of the new life, so that both count.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::download::Download;
use super::{BATCH_TRANSACTIONS, Failure, at, check, damaged, new_life};
use crate::clock::VectorClock;
use crate::config::Remote;
use crate::journal::{
    Directory, DirectoryError, Header, JournalFile, NOTES_VERSION, NamedFile, NewFile, Remains,
    Segments, StoredBase, push_batch, read_any_base, read_any_checkpoint, read_header, salvage,
    with_suffix, write_durably,
};
use crate::manager::recovery::{clock_of, clock_of_base};
use crate::progress::{Progress, Unit};
use crate::source::{FIRST_ID, Source};
use crate::transaction::{Name, Place, Record};

/// The name of the first file of a journal.
const FIRST_FILE: &str = "journal";

/// The most gaps that are noted.
const GAPS: usize = 1000;

/// The most sources that are named if transactions are missing.
const NAMED_SOURCES: usize = 10;

/// How to rebuild a directory.
pub struct Plan<'a> {
    /// The directory.
    pub data: &'a Path,
    /// The peer.
    pub peer: &'a Remote,
    /// The node's name; none if it stays.
    pub name: Option<&'a str>,
    /// Whether to go on if acknowledged transactions are lost.
    pub despite_loss: bool,
}

/// The result of a rebuild.
#[derive(Debug)]
pub struct Rebuilt {
    /// How many transactions the peer gave.
    pub received: u64,
    /// How many of the old journal were put after them.
    pub carried: u64,
    /// The life that begins.
    pub source: Source,
    /// Where the old journal is now; none if there was none.
    pub old: Option<PathBuf>,
}

/// Rebuilds a directory.
///
/// # Errors
/// If that is not possible, or if the directory proves that transactions are lost. Nothing was changed then.
pub async fn rebuild(
    plan: &Plan<'_>,
    random: u64,
    told: &mut dyn FnMut(&str),
) -> Result<Rebuilt, Failure> {
    let Plan { data, peer, name, .. } = *plan;
    if !data.is_dir() {
        return Err(DirectoryError::NoJournal(data.to_owned()).into());
    }
    let directory = Directory::open(data, true)?;
    let path = data.join(FIRST_FILE);
    let files = directory.journal_files(true)?;
    let header = files.iter().find_map(|(_, storage)| read_header(&**storage).ok());
    let checkpoints = directory.checkpoint_paths();
    let checkpoints = checkpoints.iter().filter_map(|path| read_any_checkpoint(path).ok());
    let checkpoints = checkpoints.map(|(source, kept)| (source, clock_of(&kept)));
    let bases = directory.base_paths();
    let bases = bases.iter().filter_map(|path| read_any_base(path).ok());
    let bases = bases.map(|(source, kept)| (source, clock_of_base(&kept)));
    let proofs: Vec<(Source, Option<VectorClock>)> = checkpoints.chain(bases).collect();
    let old_source = header.map(|(header, _)| header.source);
    let old_source = old_source.or_else(|| proofs.first().map(|(source, _)| source.clone()));
    let source = match (&old_source, name) {
        (Some(old), name) => new_life(old.as_str(), name, random)?,
        (None, Some(name)) => new_life(name, Some(name), random)?,
        (None, None) => {
            let why = "what is left does not say the node's name: give it with --source NAME";
            return Err(Failure(format!("{}: {why}", path.display())));
        }
    };

    let mut old = OldJournal::read(&files, told)?;
    let new = NewFile::create_anew(&path).map_err(at(&path))?;
    let mut writer = JournalWriter::new(&new, Header::new(source.clone()));
    let (mut stream, base) = Download::open(peer).await?;
    if let Some(base) = &base {
        writer.clock = clock_of_base(base).unwrap_or_default();
        old.meet_all(&writer.clock);
        told(&format!("a base of {peer}, with a document of {} bytes", base.document.len()));
    }
    let mut count = 0;
    let mut progress = Progress::new("receiving", Unit::Transactions).logged();
    while let Some(record) = stream.next().await? {
        if !writer.clock.has_seen(&record.place.source, record.place.id) {
            old.meet(&record);
            writer.push(record).map_err(at(&path))?;
        }
        count += 1;
        progress.reach(count, None);
    }
    drop(progress);
    stream.close().await;
    told(&format!("{count} transactions of {peer}"));
    let (received, theirs) = (writer.length, writer.clock.clone());

    // Transactions that only the old journal has go to the end, with new stamps.
    let mut carrier = Carrier { life: &source, own: FIRST_ID, stamped: FIRST_ID };
    carrier.carry_all(&files, &mut old, &mut writer)?;
    let carried = writer.length - received;
    writer.finish().map_err(at(&path))?;

    let clocks = proofs.into_iter().filter_map(|(_, clock)| clock);
    tell_losses(plan, &old, &theirs, clocks, told)?;
    let storage = new.file().try_clone().map_err(at(&path))?;
    let checked = NamedFile::new(storage, path.clone());
    let checked = Segments::of_file(std::sync::Arc::new(checked)).map_err(damaged(&path))?;
    check(&checked).map_err(damaged(&path))?;
    let old_paths: Vec<&Path> = files.iter().map(|(path, _)| &**path).collect();
    let old_path = replace(&directory, &path, &old_paths, (new, base), &source)?;
    Ok(Rebuilt { received, carried, source, old: old_path })
}

/// Puts the new journal in place of the old one. The old files, its base and its checkpoints stay beside it under
/// other names. Returns the new name of the first old file.
fn replace(
    directory: &Directory,
    path: &Path,
    old: &[&Path],
    (new, base): (NewFile, Option<StoredBase>),
    life: &Source,
) -> Result<Option<PathBuf>, Failure> {
    let suffix = life.as_str().rsplit('~').next().unwrap_or_default();
    let aside = |path: &Path| with_suffix(path, &format!(".damaged-{suffix}"));
    // There must be a journal at each moment. Not all file systems have links.
    let keep = |path: &Path| {
        let old = aside(path);
        fs::hard_link(path, &old).or_else(|_| fs::copy(path, &old).map(drop)).map_err(at(&old))
    };
    if old.contains(&path) {
        keep(path)?;
    }
    let mut bases = directory.base_paths();
    if let Some(base) = base {
        // It belongs to the new life, so it is not used before the new journal is in place.
        let base_path = directory.base_path(base.position);
        if bases.contains(&base_path) {
            keep(&base_path)?;
            bases.retain(|path| *path != base_path);
        }
        write_durably(&base_path, &base.text(life)).map_err(at(&base_path))?;
    }
    new.finish().map_err(at(path))?;
    // A node does not start with files of two journals.
    let others = old.iter().filter(|old| **old != path).map(|path| path.to_path_buf());
    let others: Vec<PathBuf> = others.chain(bases).chain(directory.checkpoint_paths()).collect();
    for path in others {
        fs::rename(&path, aside(&path)).map_err(at(&path))?;
    }
    Ok(old.first().map(|path| aside(path)))
}

/// Reports the transactions that neither the peer nor the old journal has.
///
/// # Errors
/// If some are lost, and the plan does not allow that.
fn tell_losses(
    plan: &Plan<'_>,
    old: &OldJournal,
    theirs: &VectorClock,
    clocks: impl Iterator<Item = VectorClock>,
    told: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let Plan { data, peer, despite_loss, .. } = *plan;
    let lost = lost(old, theirs, clocks);
    let gaps: Vec<_> = old
        .gaps
        .iter()
        .filter(|(source, (_, last))| theirs.next_id(source) <= *last)
        .cloned()
        .collect();
    if !gaps.is_empty() {
        let gaps = describe(&gaps);
        told(&format!("{peer} does not have, and the damaged places may have had: {gaps}"));
    }
    if !lost.is_empty() {
        let lost = describe(&lost.into_iter().collect::<Vec<_>>());
        if !despite_loss {
            return Err(Failure(format!(
                "{peer} lacks what {} proves to have had, and cannot show any more: {lost}. Nothing was \
                 changed. Try another peer; or go on without it: add --new-life",
                data.display()
            )));
        }
        told(&format!("lost, as far as {peer} and this directory know: {lost}"));
    }
    Ok(())
}

fn tell_remains(path: &Path, good: u64, remains: &Remains, told: &mut dyn FnMut(&str)) {
    let Remains { damaged, damaged_count, .. } = remains;
    let path = path.display();
    if damaged.is_empty() {
        told(&format!("{path}: {good} transactions can be read, and nothing is damaged"));
        return;
    }
    let places: Vec<String> = damaged.iter().map(u64::to_string).collect();
    let places = places.join(", ");
    told(&format!(
        "{path}: {good} transactions can be read; {damaged_count} lines are damaged, at the offsets {places}"
    ));
}

/// The readable part of the old journal, by stamp.
#[derive(Default)]
struct OldJournal {
    /// Transactions that the peer is not known to have: a hash of the content, and whether the peer contradicts it.
    left: HashMap<(Source, u64), (u64, bool)>,
    /// The greatest Id of each source, and how many damaged places were before it.
    greatest: BTreeMap<Source, (u64, u64)>,
    /// How many damaged places there are.
    holes: u64,
    /// The Ids that may have been there: of a source, the first and the last.
    gaps: Vec<(Source, (u64, u64))>,
}

impl OldJournal {
    fn read(files: &[JournalFile], told: &mut dyn FnMut(&str)) -> Result<Self, Failure> {
        let mut old = Self::default();
        for (path, storage) in files {
            let mut good = 0;
            let mut progress = Progress::new("reading what is left", Unit::Transactions).logged();
            let remains = salvage(&**storage, &mut |found| match found {
                Some(record) => {
                    good += 1;
                    progress.reach(good, None);
                    old.note(&record);
                }
                None => old.holes += 1,
            })
            .map_err(at(path))?;
            drop(progress);
            tell_remains(path, good, &remains, told);
        }
        Ok(old)
    }

    fn note(&mut self, record: &Record) {
        let Place { source, id, .. } = &record.place;
        self.left.insert((source.clone(), *id), (content(record), false));
        let (greatest, holes) = self.greatest.entry(source.clone()).or_insert((0, 0));
        if *holes < self.holes && *id > *greatest + 1 && self.gaps.len() < GAPS {
            self.gaps.push((source.clone(), (*greatest + 1, *id - 1)));
        }
        (*greatest, *holes) = ((*id).max(*greatest), self.holes);
    }

    /// Notes what the peer has folded: it has these transactions, and they cannot be compared any more.
    fn meet_all(&mut self, clock: &VectorClock) {
        self.left.retain(|(source, id), _| !clock.has_seen(source, *id));
    }

    /// Notes a transaction that the peer has.
    fn meet(&mut self, record: &Record) {
        let Place { source, id, .. } = &record.place;
        if let Entry::Occupied(mut entry) = self.left.entry((source.clone(), *id)) {
            if entry.get().0 == content(record) {
                entry.remove();
            } else {
                entry.get_mut().1 = true;
            }
        }
    }

    /// If the peer lacks this transaction, whether the peer contradicts it. Each is returned once.
    fn take(&mut self, record: &Record) -> Option<bool> {
        let Place { source, id, .. } = &record.place;
        let (hash, contradicted) = self.left.get(&(source.clone(), *id)).copied()?;
        if hash != content(record) {
            return None;
        }
        self.left.remove(&(source.clone(), *id));
        Some(contradicted)
    }
}

/// A hash of a transaction without its stamp.
fn content(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.place.time.as_micros().hash(&mut hasher);
    record.name().hash(&mut hasher);
    record.transaction().map(|transaction| transaction.payload).ok().hash(&mut hasher);
    hasher.finish()
}

/// Gives transactions stamps of a new life.
struct Carrier<'a> {
    life: &'a Source,
    own: u64,
    stamped: u64,
}

impl Carrier<'_> {
    /// Writes what is left of the old journal under new stamps.
    fn carry_all(
        &mut self,
        files: &[JournalFile],
        old: &mut OldJournal,
        writer: &mut JournalWriter<'_>,
    ) -> Result<(), Failure> {
        for (path, storage) in files {
            if old.left.is_empty() {
                break;
            }
            let mut result = Ok(());
            salvage(&**storage, &mut |found| {
                if let Some(record) = found
                    && let Some(contradicted) = old.take(&record)
                    && result.is_ok()
                {
                    result = self.carry(&record, contradicted).and_then(|record| match record {
                        Some(record) => writer.push(record).map_err(at(path)),
                        None => Ok(()),
                    });
                }
            })
            .map_err(at(path))?;
            result?;
        }
        Ok(())
    }

    /// The transaction with a new stamp. None for a commit, which counts only with its own stamp.
    fn carry(&mut self, record: &Record, contradicted: bool) -> Result<Option<Record>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure(error.to_string());
        let transaction = record.transaction().map_err(|error| failed(&error))?;
        if transaction.commit.is_some() {
            return Ok(None);
        }
        let (payload, request) = (&transaction.payload, transaction.request.as_deref());
        let time = record.place.time;
        if contradicted && record.named.is_none() {
            let place = Place { time, source: self.life.clone(), id: self.own };
            self.own += 1;
            return Ok(Some(Record::new(place, payload)));
        }
        let (source, id) = record.name();
        let name = Name { source: source.clone(), id };
        let stamper = self.life.stamper().map_err(|error| failed(&error))?;
        let place = Place { time, source: stamper, id: self.stamped };
        self.stamped += 1;
        Ok(Some(Record::of(place, Some(name), payload, request)))
    }
}

/// The lost Ids of each source, the first and the last: some clock has seen them, and neither the peer nor the old
/// journal has them.
fn lost(
    old: &OldJournal,
    theirs: &VectorClock,
    clocks: impl Iterator<Item = VectorClock>,
) -> BTreeMap<Source, (u64, u64)> {
    let mut lost = BTreeMap::new();
    for clock in clocks {
        for (source, next) in clock.iter() {
            let shown = old.greatest.get(source).map_or(0, |(greatest, _)| greatest + 1);
            let here = theirs.next_id(source).max(shown);
            if here < next {
                let range = lost.entry(source.clone()).or_insert((here, next - 1));
                *range = (range.0.min(here), range.1.max(next - 1));
            }
        }
    }
    lost
}

fn describe(lost: &[(Source, (u64, u64))]) -> String {
    let named = lost.iter().take(NAMED_SOURCES).map(|(source, (first, last))| {
        if first == last {
            format!("{last} of {source}")
        } else {
            format!("{first} to {last} of {source}")
        }
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if lost.len() > NAMED_SOURCES {
        text.push_str(&format!(" and {} more", lost.len() - NAMED_SOURCES));
    }
    text
}

/// Writes a journal.
struct JournalWriter<'a> {
    file: &'a NewFile,
    header: Header,
    /// Whether a line needs the newest version of the format.
    is_raised: bool,
    waiting: Vec<Record>,
    next_batch: u64,
    length: u64,
    clock: VectorClock,
    began: bool,
}

impl<'a> JournalWriter<'a> {
    fn new(file: &'a NewFile, header: Header) -> Self {
        let clock = VectorClock::default();
        let waiting = Vec::new();
        Self {
            file,
            header,
            is_raised: false,
            waiting,
            next_batch: 1,
            length: 0,
            clock,
            began: false,
        }
    }

    fn push(&mut self, record: Record) -> std::io::Result<()> {
        self.clock.advance(&record.place.source, record.place.id);
        self.is_raised |= record.needs_version_2();
        self.length += 1;
        self.waiting.push(record);
        if self.waiting.len() >= BATCH_TRANSACTIONS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut text = if self.began { Vec::new() } else { self.header.line() };
        self.began = true;
        if !self.waiting.is_empty() {
            push_batch(&mut text, self.waiting.iter().map(|record| &*record.line), self.next_batch);
            self.next_batch += 1;
            self.waiting.clear();
        }
        self.file.file().write_all(&text)
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.flush()?;
        match self.header.raised(NOTES_VERSION) {
            Some(raised) if self.is_raised => self.file.file().write_all_at(&raised.line(), 0),
            _ => Ok(()),
        }
    }
}
