//! Why a data directory cannot be used, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::journal::file::OpenError;
use crate::transaction::Place;

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum DirectoryError {
    /// Something in it cannot be made, read or written.
    Io(PathBuf, io::Error),
    /// Another process uses it.
    InUse(PathBuf),
    /// There is no journal in it.
    NoJournal(PathBuf),
    /// There is no journal in it, though there was one: this checkpoint or base proves it.
    JournalGone(PathBuf),
    /// The journal with this first file begins at this position, and there is no usable base for what was
    /// before; why, in words.
    NoBase(PathBuf, u64, String),
    /// The journal lacks transactions that were acknowledged.
    Lacking(PathBuf, Lacking),
    /// There is a journal in it already.
    HasJournal(PathBuf),
    /// The journal cannot be opened.
    Journal(PathBuf, OpenError),
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "cannot use {}: {error}", path.display()),
            Self::InUse(path) => {
                write!(f, "{} is in use by another process", path.display())
            }
            Self::NoJournal(path) => write!(f, "there is no journal in {}", path.display()),
            Self::JournalGone(checkpoint) => write!(
                f,
                "the journal is gone: {} was made of one. Nothing was changed. Put the journal \
                 back, or get one from a peer: patchmesh verify DIR --rebuild-from PEER; or move the \
                 directory away and start with an empty one",
                checkpoint.display()
            ),
            Self::NoBase(path, begin, why) => write!(
                f,
                "{}: the journal begins at position {begin}, on a base that cannot be used: {why}. Nothing was \
                 changed. Put the base back, or get one from a peer: patchmesh verify \
                 DIR --rebuild-from PEER; or restore the directory from a backup",
                path.display()
            ),
            Self::Lacking(path, lacking) => write!(f, "{}: {lacking}", path.display()),
            Self::HasJournal(path) => {
                write!(f, "there is a journal in {} already", path.display())
            }
            Self::Journal(path, error) => {
                let (file, error) = error.parts();
                let file = file.map_or_else(|| path.display().to_string(), str::to_owned);
                match error {
                    OpenError::Io(error) => write!(f, "cannot read {file}: {error}"),
                    error => write!(
                        f,
                        "{file}: {error}. Nothing was changed. Mend it with what a peer has: patchmesh verify \
                         DIR --rebuild-from PEER; or restore the directory from a backup, or move it away and \
                         start with an empty one: peers send what they have"
                    ),
                }
            }
        }
    }
}

impl std::error::Error for DirectoryError {}

/// What the journal lacks, as a checkpoint or a base proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// How many transactions the journal has.
    pub has: u64,
    /// How many it had.
    pub had: u64,
    /// The last transaction that it had, if that is known.
    pub last: Option<Place>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { has, had, last } = self;
        let proof = if last.is_some() { "checkpoint" } else { "base" };
        write!(f, "the journal has {has} transactions, and a {proof} proves that it had {had}")?;
        if let Some(Place { source, id, .. }) = last {
            write!(f, ", the last of them number {id} of {source}, which is missing there")?;
        }
        f.write_str(
            ". Nothing was changed. What is missing was acknowledged: get it from a peer: patchmesh verify DIR \
             --rebuild-from PEER",
        )?;
        if last.is_some() {
            f.write_str(
                "; or go on without it, under a new life: patchmesh verify DIR --new-life",
            )?;
        }
        Ok(())
    }
}
