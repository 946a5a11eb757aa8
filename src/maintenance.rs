//! Works on a data directory while no node runs on it: verify, back up, restore, rebuild. And asks a running node
//! for its journal, to be the primary, and for its peers.
//!
//! A backup is one file: the base, if there is one, and the journal. A restored directory always begins a new life.
//! The node from which the copy was made may still run, or its peers may have transactions that the copy lacks; with
//! the old source, two transactions could get the same Id. A new life costs one entry in the vector clock.

mod backup_file;
mod control;
mod download;
mod rebuild;

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use backup_file::BackupFile;
use control::NodeControl;
use download::Download;

use crate::config::{BackupFrom, Peer, Remote};
use crate::journal::{
    Directory, DirectoryError, Extent, FileJournal, FileReader, Header, Marks, NOTES_VERSION,
    NamedFile, NewFile, OpenError, Segments, Storage, push_batch, push_life, read_base,
    read_checkpoint, read_through,
};
use crate::manager::recovery::{Proof, ReadBack, read_back};
use crate::manager::{StateHash, wall_clock};
use crate::progress::{Progress, Unit};
use crate::source::Source;

pub use control::PeerStatus;
pub use rebuild::{Plan, Rebuilt, rebuild};

/// Standard input or output in place of a file.
const STANDARD: &str = "-";

/// How many bytes are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// The most transactions in a batch.
const BATCH_TRANSACTIONS: usize = 1024;

/// Why something could not be done, in a sentence.
#[derive(Debug)]
pub struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        Self(match &error {
            DirectoryError::InUse(_) => {
                format!("{error}; to back up a running node, give its URL instead")
            }
            _ => error.to_string(),
        })
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure(format!("{}: {error}", path.display()))
}

fn damaged(path: &Path) -> impl Fn(OpenError) -> Failure + '_ {
    move |error| match error.parts() {
        (Some(file), error) => Failure(format!("{file}: {error}")),
        (None, error) => Failure(format!("{}: {error}", path.display())),
    }
}

/// Reads a journal, its base and its checkpoints, checks every checksum, applies all transactions again, and writes a
/// report to `out`.
///
/// # Errors
/// If something is damaged: the first damage, and where it is.
pub fn verify(path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let directory = Directory::open(path, false)?;
    let journal_path = directory.journal_path();
    let journal = existing(&directory)?;
    let base = directory.base(&journal)?.map(Arc::new);
    let read = read_back(&journal, base, Vec::new(), wall_clock());
    let read = read.map_err(damaged(&journal_path))?;
    let header = journal.header();
    let lives = std::iter::once(&header.source).chain(&header.life).chain(&read.extent.lives);
    let lives: Vec<&str> = lives.map(Source::as_str).collect();
    let ReadBack { replica, extent, .. } = &read;
    let hash = state_hash(&read);
    let history = replica.history();
    let mut report = format!(
        "journal: {}\nsource: {}\nlives: {}\ntransactions: {}\nskipped: {}\nbytes: {}\nvclock: {}\nstate hash: {hash}\n",
        journal_path.display(),
        lives.last().expect("the header has one"),
        lives.join(", "),
        extent.length,
        history.skipped_count(),
        extent.end - journal.begin_offset(),
        serde_json::to_string(replica.vclock()).expect("a vector clock always has a JSON text"),
    );
    if extent.torn {
        let (file, offset) = journal.place(extent.end);
        report.push_str(&format!(
            "a torn batch follows at offset {offset} of {file}: nobody was told of it, and the next start cuts \
             it off\n"
        ));
    }
    report_files(&directory, &journal, extent, &mut report);
    let mut failures = verify_bases(&directory, &journal, &mut report);
    failures.extend(read.lacks_of_base().map(|lacking| lacking.to_string()));
    failures.extend(verify_checkpoints(&directory, &journal, &read, &mut report));
    // If nobody reads the report, the exit status still says whether all is well.
    out.write_all(report.as_bytes()).ok();
    if failures.is_empty() { Ok(()) } else { Err(Failure(failures.join("; "))) }
}

/// Reports the files of a journal that has several.
fn report_files(directory: &Directory, journal: &Segments, extent: &Extent, report: &mut String) {
    let files = journal.names();
    let ends = files.iter().skip(1).map(|(_, position)| *position).chain([extent.length]);
    for ((file, position), end) in files.iter().zip(ends).filter(|_| files.len() > 1) {
        report.push_str(&format!("file: {file}, positions {position} to {end}\n"));
    }
    for path in directory.left_over(journal) {
        report.push_str(&format!(
            "left over: {}, for which a base stands; the next start removes it\n",
            path.display()
        ));
    }
}

/// Checks each base, and returns what is wrong.
fn verify_bases(directory: &Directory, journal: &Segments, report: &mut String) -> Vec<String> {
    let mut failures = Vec::new();
    for path in directory.base_paths() {
        match read_base(&path, &journal.source()) {
            Ok(base) => report.push_str(&format!(
                "base: {}, good, stands for what is before position {}\n",
                path.display(),
                base.position
            )),
            Err(why) => failures.push(format!("{}: {why}", path.display())),
        }
    }
    failures
}

/// Checks that a start from each checkpoint leads to the same state, and returns what is wrong.
fn verify_checkpoints(
    directory: &Directory,
    journal: &Segments,
    read: &ReadBack,
    report: &mut String,
) -> Vec<String> {
    let mut failures = Vec::new();
    for path in directory.checkpoint_paths() {
        let checked = read_checkpoint(&path, &journal.source()).and_then(|checkpoint| {
            if let Some(lacking) = Proof::new(&checkpoint).lacking(read) {
                return Err(lacking.to_string());
            }
            let base = read.base.clone();
            let resumed = read_back(journal, base, vec![checkpoint], wall_clock());
            let resumed = resumed.map_err(|error| error.to_string())?;
            if !resumed.is_resumed && read.extent.length > 0 {
                return Err("it does not fit the journal".to_owned());
            }
            if state_hash(&resumed) != state_hash(read) {
                return Err("it leads to another state than the journal".to_owned());
            }
            Ok(resumed.from)
        });
        match checked {
            Ok(from) => report.push_str(&format!(
                "checkpoint: {}, good, reads the journal from {from} on\n",
                path.display()
            )),
            Err(why) => failures.push(format!("{}: {why}", path.display())),
        }
    }
    failures
}

fn state_hash(read: &ReadBack) -> String {
    let (document, vclock) = (read.replica.snapshot().root(), read.replica.vclock());
    StateHash::of(&document.digest(), vclock).state.to_string()
}

fn existing(directory: &Directory) -> Result<Segments, Failure> {
    let path = directory.journal_path();
    let journal = directory.journal(false)?;
    journal.ok_or_else(|| Failure(format!("{}: there is no journal", path.display())))
}

/// Begins a new life in a directory whose journal is shorter than its checkpoints prove. These are removed.
///
/// # Errors
/// If it is damaged, or cannot be written.
pub fn begin_new_life(path: &Path, random: u64) -> Result<(u64, Source), Failure> {
    let directory = Directory::open(path, false)?;
    let journal_path = directory.journal_path();
    let journal = directory.journal(true)?;
    let journal = journal.ok_or_else(|| DirectoryError::NoJournal(path.to_owned()))?;
    let base = directory.base(&journal)?.map(Arc::new);
    let read = read_back(&journal, base, Vec::new(), wall_clock());
    let read = read.map_err(damaged(&journal_path))?;
    if let Some(lacking) = read.lacks_of_base() {
        return Err(Failure(format!("{}: {lacking}", path.display())));
    }
    let source = journal.source();
    let life = new_life(source.as_str(), None, random)?;
    for path in directory.checkpoint_paths() {
        let fits = read_checkpoint(&path, &source)
            .is_ok_and(|checkpoint| Proof::new(&checkpoint).lacking(&read).is_none());
        if !fits {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    let length = read.extent.length;
    let opened = FileJournal::open(&read.extent, read.reader);
    let mut journal = opened.map_err(damaged(&journal_path))?;
    journal.begin_life(&life).map_err(|error| at(&journal_path)(io::Error::other(error)))?;
    journal.close().map_err(at(&journal_path))?;
    Ok((length, life))
}

/// A new life of `name`, or else of the name in the source `old`.
fn new_life(old: &str, name: Option<&str>, random: u64) -> Result<Source, Failure> {
    let name = name.or(old.rsplit_once('~').map(|(name, _)| name)).unwrap_or(old);
    Source::begin_life(name, random).map_err(|error| Failure(error.to_string()))
}

/// Copies a journal, that of a directory or that of a running node, to `file`, which must not exist; `-`
/// is standard output.
///
/// # Errors
/// If it cannot be read whole, or the file cannot be written.
pub async fn backup(from: &BackupFrom, file: &Path) -> Result<u64, Failure> {
    if file == Path::new(STANDARD) {
        let mut out = io::BufWriter::new(io::stdout());
        let length = copy_from(from, file, &mut out).await?;
        out.flush().map_err(at(file))?;
        return Ok(length);
    }
    if file.symlink_metadata().is_ok() {
        return Err(Failure(format!("{} exists already", file.display())));
    }
    let target = NewFile::create(file).map_err(at(file))?;
    let length = copy_from(from, file, &mut target.file()).await?;
    target.finish().map_err(at(file))?;
    Ok(length)
}

/// Makes a running node the primary. Returns its epoch.
///
/// # Errors
/// If it cannot be reached, or refuses.
pub async fn promote(node: &Remote) -> Result<u64, Failure> {
    Ok(NodeControl::new(node)?.promote().await?)
}

/// The peers of a running node.
///
/// # Errors
/// If it cannot be reached, or gives no list.
pub async fn peers(node: &Remote) -> Result<Vec<PeerStatus>, Failure> {
    Ok(NodeControl::new(node)?.peers().await?)
}

/// Adds a peer to a running node. Returns whether it stays one after the next start.
///
/// # Errors
/// If the node cannot be reached, or refuses.
pub async fn add_peer(node: &Remote, peer: &Peer) -> Result<bool, Failure> {
    Ok(NodeControl::new(node)?.add_peer(&peer.to_string()).await?)
}

/// Removes a peer from a running node. Returns whether it is one again after the next start.
///
/// # Errors
/// If the node cannot be reached, or refuses.
pub async fn remove_peer(node: &Remote, peer: &Peer) -> Result<bool, Failure> {
    Ok(NodeControl::new(node)?.remove_peer(&peer.to_string()).await?)
}

async fn copy_from(from: &BackupFrom, file: &Path, target: &mut dyn Write) -> Result<u64, Failure> {
    match from {
        BackupFrom::Directory(path) => {
            let directory = Directory::open(path, false)?;
            let journal = existing(&directory)?;
            let journal_path = directory.journal_path();
            let base = directory.base(&journal)?;
            let extent = check(&journal).map_err(damaged(&journal_path))?;
            let source = journal.source();
            if let Some(base) = base {
                target.write_all(&base.text(&source)).map_err(at(file))?;
            }
            let header = journal.header().of_copy(source);
            target.write_all(&header.line()).map_err(at(file))?;
            copy(&journal, &extent, target).map_err(at(file))?;
            Ok(extent.length)
        }
        BackupFrom::Node(node) => {
            let source = NodeControl::new(node)?.source().await?;
            let (mut stream, base) = Download::open(node).await?;
            if let Some(base) = base {
                target.write_all(&base.text(&source)).map_err(at(file))?;
            }
            // Which version the lines will need is not known yet, so it is the newest one.
            let header = Header::new(source);
            let header = header.raised(NOTES_VERSION).unwrap_or(header);
            target.write_all(&header.line()).map_err(at(file))?;
            let (mut length, mut batch, mut records) = (0, 1, Vec::new());
            let mut progress = Progress::new("copying", Unit::Transactions);
            loop {
                let record = stream.next().await?;
                let is_over = record.is_none();
                records.extend(record);
                if records.len() == BATCH_TRANSACTIONS || (is_over && !records.is_empty()) {
                    let mut text = Vec::new();
                    push_batch(&mut text, records.iter().map(|record| &*record.line), batch);
                    target.write_all(&text).map_err(at(file))?;
                    length += records.len() as u64;
                    progress.reach(length, None);
                    batch += 1;
                    records.clear();
                }
                if is_over {
                    stream.close().await;
                    return Ok(length);
                }
            }
        }
    }
}

/// A directory that was made from a backup.
#[derive(Debug)]
pub struct Restored {
    /// How many transactions it has.
    pub length: u64,
    /// Its source from now on.
    pub source: Source,
    /// Whether the file ended within a batch. A backup does not: its end is missing.
    pub is_cut_off: bool,
}

/// Makes a data directory from a backup, with a new life of its source. `-` is standard input.
///
/// # Errors
/// If the backup is damaged, or the directory has a journal or cannot be written.
pub fn restore(
    file: &Path,
    path: &Path,
    name: Option<&str>,
    random: u64,
) -> Result<Restored, Failure> {
    if file == Path::new(STANDARD) {
        let directory = Directory::open(path, true)?;
        // It is read in any order, so it has to be in a file. This file never gets a name.
        let spool = NewFile::create_anew(&path.join("restored")).map_err(at(path))?;
        io::copy(&mut io::stdin().lock(), &mut spool.file()).map_err(at(file))?;
        let storage = spool.file().try_clone().map_err(at(path))?;
        let storage = NamedFile::new(storage, file.to_owned());
        return restore_from(Arc::new(storage), file, Some(directory), path, name, random);
    }
    let storage = NamedFile::new(File::open(file).map_err(at(file))?, file.to_owned());
    restore_from(Arc::new(storage), file, None, path, name, random)
}

fn restore_from(
    storage: Arc<dyn Storage>,
    file: &Path,
    directory: Option<Directory>,
    path: &Path,
    name: Option<&str>,
    random: u64,
) -> Result<Restored, Failure> {
    let BackupFile { base, journal } = BackupFile::open(storage).map_err(at(file))?;
    let journal = Segments::of_file(journal).map_err(damaged(file))?;
    let extent = check(&journal).map_err(damaged(file))?;
    if base.as_ref().map_or(0, |base| base.position) < journal.begin() {
        let begin = journal.begin();
        return Err(Failure(format!(
            "{}: it begins at position {begin} and has no base that stands for what was before",
            file.display()
        )));
    }
    let source = new_life(journal.source().as_str(), name, random)?;
    // The directory is made only after the check, so that a damaged backup leaves no trace.
    let directory = directory.map_or_else(|| Directory::open(path, true), Ok)?;
    directory.create_journal(&journal.header().of_copy(source.clone()), |mut target| {
        target.seek(io::SeekFrom::End(0)).map_err(failed(path))?;
        copy(&journal, &extent, &mut target).map_err(failed(path))?;
        if !extent.lives.is_empty() {
            // The last life in the journal must be the one that begins here.
            let mut note = Vec::new();
            push_life(&mut note, &source, extent.next_batch);
            target.write_all(&note).map_err(failed(path))?;
        }
        base.map_or(Ok(()), |base| directory.keep_base(&source, &base))
    })?;
    Ok(Restored { length: extent.length, source, is_cut_off: extent.torn })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DirectoryError + '_ {
    move |error| DirectoryError::Io(path.to_owned(), error)
}

/// Reads a whole journal through.
fn check(journal: &Segments) -> Result<Extent, OpenError> {
    let reader = FileReader::new(journal.clone(), &Marks::default());
    let mut progress = Progress::new("checking", Unit::Transactions);
    let mut count = 0;
    read_through(&reader, &mut |share, transactions| {
        count += transactions.len() as u64;
        progress.reach(count, Some(share));
        Ok(())
    })
}

/// Copies a journal's complete batches.
fn copy(journal: &Segments, extent: &Extent, target: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = journal.first_line().offset;
    let bytes = extent.last.saturating_sub(offset);
    let mut progress = Progress::new("copying", Unit::Bytes).of(bytes);
    while offset < extent.last {
        let room = usize::try_from(extent.last - offset).unwrap_or(usize::MAX).min(COPY_BYTES);
        let read = journal.read_at(&mut buffer[..room], offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all(&buffer[..read])?;
        offset += read as u64;
        progress.advance(read as u64);
    }
    target.write_all(&extent.last_batch(journal)?.0)
}
