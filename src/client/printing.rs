//! Prints values to standard output, or writes them to a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use super::failure::{CommandFailure, CommandResult};
use crate::config::PrintForm;
use crate::document::Value;
use crate::journal::NewFile;

/// The result of printing: a break if the reader of standard output is gone. A command that only prints is done
/// then.
pub type Printed = CommandResult<ControlFlow<()>>;

/// Prints bytes at once.
pub fn print(bytes: &[u8]) -> Printed {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(CommandFailure::failed(format_args!("standard output: {error}"))),
    }
}

/// Where a part is written.
pub enum Destination<'a> {
    /// To standard output.
    Standard,
    /// To a regular file, which appears only when it is complete.
    New(NewFile, &'a Path),
    /// Into a device, a pipe, or the target of a symbolic link, which is not replaced.
    Into(File, &'a Path),
}

impl<'a> Destination<'a> {
    /// The destination at this path.
    pub fn at(path: &'a Path) -> CommandResult<Self> {
        let failed = |error| failed(path, error);
        let there = match fs::symlink_metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            // The old content is kept until the new one comes.
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
            return Ok(Self::Into(file.map_err(failed)?, path));
        }
        let new = NewFile::create_anew(path).map_err(failed)?;
        if let Some(there) = there {
            new.file().set_permissions(there.permissions()).map_err(failed)?;
        }
        Ok(Self::New(new, path))
    }

    /// Whether a person sees at once what is written.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Standard => io::stdout().is_terminal(),
            Self::New(..) => false,
            Self::Into(file, _) => file.is_terminal(),
        }
    }

    /// Writes the next piece.
    pub fn write(&mut self, bytes: &[u8]) -> Printed {
        let (mut file, path) = match self {
            Self::Standard => return print(bytes),
            Self::New(new, path) => (new.file(), *path),
            Self::Into(file, path) => (&*file, *path),
        };
        match file.write_all(bytes) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Ends the writing: everything is written.
    pub fn finish(self) -> CommandResult {
        match self {
            Self::Standard => Ok(()),
            Self::New(new, path) => new.finish().map(drop).map_err(|error| failed(path, error)),
            Self::Into(mut file, path) => cut(&mut file).map_err(|error| failed(path, error)),
        }
    }
}

/// Cuts off the rest of the old content of a file.
fn cut(file: &mut File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        let end = file.stream_position()?;
        file.set_len(end)?;
    }
    Ok(())
}

fn failed(path: &Path, error: io::Error) -> CommandFailure {
    CommandFailure::failed(format_args!("{}: {error}", path.display()))
}

/// A value as it is printed, with a line feed.
pub fn formatted(value: &Value, form: PrintForm) -> Vec<u8> {
    let mut text = match (form, value.as_str()) {
        (PrintForm::Raw, Some(text)) => text.as_bytes().to_vec(),
        (PrintForm::Pretty, _) => pretty(value),
        _ => value.to_text(),
    };
    text.push(b'\n');
    text
}

/// The JSON text of a value with a member or element a line.
pub fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("a value always has a JSON text")
}
