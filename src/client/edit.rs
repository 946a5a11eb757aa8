//! `edit`: opens a part in an editor, and sends the changes.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use async_signal::{Signal, Signals};

use super::change::TRIES;
use super::edit_patch::{EditPatch, edit_patch};
use super::export;
use super::failure::{CommandFailure, CommandResult};
use super::input;
use super::nodes::Nodes;
use super::printing::{pretty, print};
use super::writer::{JSON_PATCH, TransactionWriter, WriteRequest};
use crate::config::Exit;
use crate::patch::{Document, Patch};

/// The editor, if the environment names none.
const EDITOR: &str = "vi";

/// Opens a part in the editor, and sends the changes, unless somebody else has changed the same.
pub async fn edit(
    nodes: &mut Nodes,
    pointer: &str,
    is_committed: bool,
    tell: &mut dyn FnMut(&str),
) -> CommandResult {
    let old = export::value(nodes, pointer).await?;
    let mut text = pretty(&old);
    text.push(b'\n');
    let mut file = Edited::new(&text)?;
    let edited = file.edit()?;
    if edited == text {
        tell("nothing was changed");
        return Ok(());
    }
    file.is_kept = true;
    let new = input::value(&edited).map_err(|why| {
        CommandFailure::failed(format_args!(
            "{}; what was edited is {why}; nothing was sent",
            file.kept_notice()
        ))
    })?;
    let edit = edit_patch(&old, &new);
    if edit.patch == Patch::default() {
        file.is_kept = false;
        tell("nothing was changed");
        return Ok(());
    }
    let mut writer = TransactionWriter::new();
    let sent = send(nodes, &mut writer, pointer, &edit, is_committed).await;
    sent.map_err(|mut failure| {
        // The text of a node may be long, and is cut at its end.
        failure.text = format!("{}; {}", file.kept_notice(), failure.text);
        failure
    })?;
    file.is_kept = false;
    print(&writer.name()).map(|_| ())
}

/// Sends an edit, on the condition that no member that it adds is there.
async fn send(
    nodes: &mut Nodes,
    writer: &mut TransactionWriter,
    pointer: &str,
    EditPatch { patch, added }: &EditPatch,
    is_committed: bool,
) -> CommandResult {
    let body = serde_json::to_vec(patch).expect("a patch always has a JSON text");
    for _ in 0..TRIES {
        let mut tag = None;
        if !added.is_empty() {
            let (now, seen) = export::tagged(nodes, pointer).await?;
            let now = Document::new(now);
            let is_there = |path: &_| now.as_ref().is_some_and(|now| now.get(path).is_some());
            if let Some(path) = added.iter().find(|path| is_there(path)) {
                let text = format!("{pointer}{path} was added meanwhile; nothing was sent");
                return Err(CommandFailure::new(Exit::DoesNotApply, text));
            }
            tag = Some(seen);
        }
        // A patch cannot test that nothing is there.
        let condition = tag.as_deref().map(|tag| ("If-Match", tag));
        let request = WriteRequest::new(pointer, JSON_PATCH, &body, is_committed);
        let answer = writer.send(nodes, WriteRequest { condition, ..request }).await?;
        match answer.head.status {
            200..=299 => return Ok(()),
            412 => {}
            _ => return Err(CommandFailure::of(nodes.node().address(), &answer)),
        }
    }
    let text = format!("{pointer:?} changes too fast; nothing was changed");
    Err(CommandFailure::new(Exit::DoesNotApply, text))
}

/// The file that is edited. It is removed at the end, unless it is to be kept.
struct Edited {
    path: PathBuf,
    is_kept: bool,
}

impl Edited {
    fn new(text: &[u8]) -> CommandResult<Self> {
        let name = format!("patchmesh-{:08x}.json", fastrand::u32(..));
        let path = env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).mode(0o600);
        let file = Self { path, is_kept: false };
        let written = options.open(&file.path).and_then(|mut target| target.write_all(text));
        written.map_err(|error| file.failed(error))?;
        Ok(file)
    }

    /// Runs the editor, and reads the file after it.
    fn edit(&mut self) -> CommandResult<Vec<u8>> {
        let before = self.read()?;
        let status = self.run();
        let after = self.read()?;
        let why = match status {
            Ok(status) if status.success() => return Ok(after),
            Ok(status) => format!("the editor ended with {status}"),
            Err(error) => format!("the editor cannot be started: {error}"),
        };
        self.is_kept = after != before;
        let kept = if self.is_kept { format!("{}; ", self.kept_notice()) } else { String::new() };
        Err(CommandFailure::failed(format_args!("{kept}{why}; nothing was sent")))
    }

    fn run(&self) -> std::io::Result<ExitStatus> {
        let named = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| env::var(name).ok());
        let editor = named.into_iter().find(|editor| !editor.trim().is_empty());
        let editor = editor.unwrap_or_else(|| EDITOR.to_owned());
        // An interrupt at the terminal is for the editor.
        let _signals = Signals::new([Signal::Int, Signal::Quit])?;
        // It may have arguments of its own, as in `code --wait`.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(&self.path);
        // Neither the editor nor its children need the token.
        shell.env_remove("PATCHMESH_TOKEN").status()
    }

    fn read(&self) -> CommandResult<Vec<u8>> {
        fs::read(&self.path).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> CommandFailure {
        CommandFailure::failed(format_args!("{}: {error}", self.path.display()))
    }

    /// Says where the file is kept.
    fn kept_notice(&self) -> String {
        format!("the edited text is kept in {}", self.path.display())
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        if !self.is_kept {
            // It may be gone.
            fs::remove_file(&self.path).ok();
        }
    }
}
