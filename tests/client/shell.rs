//! Runs commands as a shell does.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::harness::{Node, PATIENCE, binary, run, wait_for};

/// What a command has said, and its exit status.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
#[track_caller]
pub fn say<const N: usize>(arguments: [&str; N]) -> Said {
    said(binary().args(arguments))
}

/// The same, of a command that is more than its arguments.
#[track_caller]
pub fn said(command: &mut Command) -> Said {
    let output = run(command);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    Said { status, out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command that has to be done, and gives what it prints.
#[track_caller]
pub fn done<const N: usize>(arguments: [&str; N]) -> String {
    let Said { status, out, err } = say(arguments);
    assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

/// Runs a command that fails with this status, one line on standard error that has this part, and nothing on
/// standard output.
#[track_caller]
pub fn fails<const N: usize>(arguments: [&str; N], status: i32, part: &str) {
    let said = say(arguments);
    assert_eq!((said.status, said.out.as_str()), (status, ""), "{arguments:?}: {}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.starts_with("patchmesh: ") && said.err.contains(part), "{}", said.err);
}

/// The URL of a node or a proxy that listens there.
pub fn url(address: impl Display) -> String {
    format!("http://{address}")
}

/// A command that reads this from standard input.
pub fn with_input(arguments: &[&str], input: &str) -> Said {
    let mut child = binary()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    Said { status, out: text(output.stdout), err: text(output.stderr) }
}

/// A command that goes on.
pub struct Running {
    child: Child,
    /// The lines that it prints.
    pub lines: Lines,
    /// Those on standard error.
    pub errors: Lines,
}

/// Lines as they come.
pub struct Lines(Receiver<String>);

impl Running {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = binary();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        let errors = Lines::of(child.stderr.take().unwrap());
        Self { child, lines, errors }
    }

    #[track_caller]
    pub fn exit(mut self) -> ExitStatus {
        wait_for("the command's end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Lines {
    fn of(output: impl std::io::Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // What nobody waits for any more is not read: the output is closed.
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(lines)
    }

    #[track_caller]
    pub fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("another line")
    }

    /// Waits for a line that has this part.
    #[track_caller]
    pub fn wait_for(&self, part: &str) {
        while !self.next().contains(part) {}
    }

    /// Whether a line has come that nobody has read.
    pub fn has_more(&self) -> bool {
        self.0.try_recv().is_ok()
    }
}

/// Waits until a node has this document.
#[track_caller]
pub fn wait_for_document(node: &Node, expected: &str) {
    wait_for(expected, || (node.document() == expected).then_some(()));
}
