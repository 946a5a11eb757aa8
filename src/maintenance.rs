//! What can be done with a data directory while no node runs on it: verify, back up, restore.
//!
//! A backup is a journal in one file. A restored directory always begins a new life of its source:
//! the node that the copy was made from may still run, or its peers may have transactions that are
//! not in the copy; were its source used again, two transactions could come to have the same Id. A
//! new life costs an entry in the vector clock, and nothing else.

mod fetch;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::BackupFrom;
use crate::journal::{
    Directory, DirectoryError, Extent, FileReader, Header, Mark, OpenError, Storage, push_batch,
    read_header, read_through,
};
use crate::manager::recovery::{ReadBack, read_back};
use crate::manager::{Whole, wall_clock};
use crate::source::Source;

/// How many bytes are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Why something could not be done, in words.
#[derive(Debug)]
pub struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
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
    move |error| Failure(format!("{}: {error}", path.display()))
}

/// Reads a journal and its checkpoints, checks every checksum, applies all again, and writes to `out`
/// what it found.
///
/// # Errors
/// Where something is damaged: the first damage, and where it is.
pub fn verify(path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let directory = Directory::open(path, false)?;
    let journal_path = directory.journal_path();
    let storage = existing(&directory)?;
    let (header, first) = read_header(&*storage).map_err(damaged(&journal_path))?;
    let read = read_back(&storage, &header.source, first, Vec::new(), wall_clock());
    let read = read.map_err(damaged(&journal_path))?;
    let ReadBack { replica, extent, .. } = &read;
    let hash = state_hash(&read);
    let history = replica.history();
    let mut report = format!(
        "journal: {}\nsource: {}\ntransactions: {}\nskipped: {}\nbytes: {}\nvclock: {}\nstate hash: {hash}\n",
        journal_path.display(),
        header.source,
        extent.length,
        history.skipped_count(),
        extent.end,
        serde_json::to_string(replica.vclock()).expect("a vector clock always has a JSON text"),
    );
    if extent.torn {
        report.push_str(&format!(
            "a torn batch follows at offset {}: nobody was told of it, and the next start cuts it off\n",
            extent.end
        ));
    }
    let checkpoints = verify_checkpoints(&directory, &storage, &header, first, &read, &mut report);
    // Who reads the report may have gone; the exit status says the essence.
    out.write_all(report.as_bytes()).ok();
    checkpoints
}

/// Checks that a node that starts from each checkpoint comes to the same state.
fn verify_checkpoints(
    directory: &Directory,
    storage: &Arc<dyn Storage>,
    header: &Header,
    first: Mark,
    read: &ReadBack,
    report: &mut String,
) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for path in directory.checkpoint_paths() {
        let checked =
            crate::journal::read_checkpoint(&path, &header.source).and_then(|checkpoint| {
                let resumed =
                    read_back(storage, &header.source, first, vec![checkpoint], wall_clock());
                let resumed = resumed.map_err(|error| error.to_string())?;
                if resumed.from == 0 && read.extent.length > 0 {
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
    if failures.is_empty() { Ok(()) } else { Err(Failure(failures.join("; "))) }
}

fn state_hash(read: &ReadBack) -> String {
    let (document, vclock) = (read.replica.snapshot().root(), read.replica.vclock());
    Whole::new(document, vclock).state.to_string()
}

fn existing(directory: &Directory) -> Result<Arc<dyn Storage>, Failure> {
    let path = directory.journal_path();
    let storage = directory.journal(false)?;
    storage.ok_or_else(|| Failure(format!("{}: there is no journal", path.display())))
}

/// Copies a journal to the new file `file`: that of a directory, or that of a running node.
///
/// # Errors
/// Where it cannot be read whole, or the file cannot be written.
pub async fn backup(from: &BackupFrom, token: Option<&str>, file: &Path) -> Result<u64, Failure> {
    let mut target = NewFile::create(file)?;
    let length = match from {
        BackupFrom::Directory(path) => {
            let directory = Directory::open(path, false)?;
            let storage = existing(&directory)?;
            let journal_path = directory.journal_path();
            let extent = check(&storage).map_err(damaged(&journal_path))?;
            copy(&*storage, 0, &extent, &mut target.file).map_err(at(file))?;
            extent.length
        }
        BackupFrom::Node(address) => {
            let mut node = fetch::Node::new(address, token);
            let source = node.source().await.map_err(Failure)?;
            target.file.write_all(&Header::new(source).line()).map_err(at(file))?;
            let (mut length, mut batch) = (0, 1);
            loop {
                let lines = node.log(length).await.map_err(Failure)?;
                if lines.is_empty() {
                    break length;
                }
                let mut text = Vec::new();
                push_batch(&mut text, lines.iter().map(String::as_str), batch);
                target.file.write_all(&text).map_err(at(file))?;
                length += lines.len() as u64;
                batch += 1;
            }
        }
    };
    target.finish()?;
    Ok(length)
}

/// Makes a data directory from a backup, with a new life of its source.
///
/// # Errors
/// Where the backup is damaged, or the directory has a journal or cannot be written.
pub fn restore(
    file: &Path,
    path: &Path,
    name: Option<&str>,
    random: u64,
) -> Result<(u64, Source), Failure> {
    let storage: Arc<dyn Storage> = Arc::new(File::open(file).map_err(at(file))?);
    let (header, first) = read_header(&*storage).map_err(damaged(file))?;
    let extent = check(&storage).map_err(damaged(file))?;
    let old = header.source.as_str();
    let name = name.or(old.rsplit_once('~').map(|(name, _)| name)).unwrap_or(old);
    let source = Source::begin_life(name, random).map_err(|error| Failure(error.to_string()))?;
    let directory = Directory::open(path, true)?;
    directory.create_journal(&source, |target| {
        let begin = target.length().map_err(failed(path))?;
        let mut target = At { storage: target, offset: begin };
        copy(&*storage, first.offset, &extent, &mut target).map_err(failed(path))
    })?;
    Ok((extent.length, source))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DirectoryError + '_ {
    move |error| DirectoryError::Io(path.to_owned(), error)
}

/// Reads a whole journal through.
fn check(storage: &Arc<dyn Storage>) -> Result<Extent, OpenError> {
    let (_, first) = read_header(&**storage)?;
    let reader = FileReader::new(storage.clone(), Vec::new());
    read_through(&reader, first, &mut |_, _| Ok(()))
}

/// Copies a journal's complete batches from `offset` on.
fn copy(
    storage: &dyn Storage,
    mut offset: u64,
    extent: &Extent,
    target: &mut dyn Write,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    while offset < extent.last {
        let room = usize::try_from(extent.last - offset).unwrap_or(usize::MAX).min(COPY_BYTES);
        let read = storage.read_at(&mut buffer[..room], offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all(&buffer[..read])?;
        offset += read as u64;
    }
    target.write_all(&extent.last_batch(storage)?.0)
}

/// Writes to a storage from an offset on.
struct At<'a> {
    storage: &'a Arc<dyn Storage>,
    offset: u64,
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.storage.write_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that gets its name when it is whole and durable.
struct NewFile {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            return Err(Failure(format!("{} exists already", path.display())));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished);
        let file = file.map_err(at(&unfinished))?;
        Ok(Self { file, unfinished, path: path.to_owned(), finished: false })
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.file.sync_all().map_err(at(&self.unfinished))?;
        std::fs::rename(&self.unfinished, &self.path).map_err(at(&self.path))?;
        self.finished = true;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(at(parent))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            // What is left of it is of no use; that it cannot be removed changes nothing.
            std::fs::remove_file(&self.unfinished).ok();
        }
    }
}
