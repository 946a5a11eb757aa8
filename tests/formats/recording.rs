//! One recording: a node's directory, what it then answered, and what it said on its streams.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tungstenite::Message;

use crate::harness::{Node, Scratch, Visit};

/// The nodes that are recorded of each version, by their names.
pub const NAMES: [&str; 3] = ["patches", "whole", "folded"];

/// A recorded node: the files below `VERSION/NAME`.
///
/// - `data`: its data directory, as it left it.
/// - `document.json`: the text of its document.
/// - `answers.json`: for each target of a GET, what it answered. Of a list each line is an element.
/// - `stream`: what a reader with `v=2` got. Each line is a message, `text` or `ping` and a space before it.
/// - `plain`: what a plain reader got, a message a line.
pub struct Recording {
    path: PathBuf,
    pub name: String,
    answers: BTreeMap<String, Value>,
}

impl Recording {
    /// All that are there.
    pub fn all() -> Vec<Self> {
        let mut recordings = Vec::new();
        for version in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
            if version.is_dir() {
                recordings.extend(NAMES.map(|name| Self::read(&version, name)));
            }
        }
        assert!(!recordings.is_empty());
        recordings
    }

    fn read(version: &Path, name: &str) -> Self {
        let path = version.join(name);
        let answers = fs::read(path.join("answers.json")).unwrap();
        let answers = serde_json::from_slice(&answers).unwrap();
        Self { path, name: name.to_owned(), answers }
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    pub fn document(&self) -> String {
        self.text("document.json")
    }

    pub fn plain_stream(&self) -> String {
        self.text("plain")
    }

    /// The vector clock without the zeros, which mean the same as nothing.
    pub fn vclock(&self) -> BTreeMap<String, u64> {
        let mut clock: BTreeMap<String, u64> =
            serde_json::from_value(self.answers["/vclock"].clone()).unwrap();
        clock.retain(|_, next| *next > 0);
        clock
    }

    /// The node's source.
    pub fn source(&self) -> &str {
        self.answers["/peers"]["source"].as_str().unwrap()
    }

    /// Whether its stream has a base.
    pub fn has_base(&self) -> bool {
        self.text("stream").contains(r#"{"Base":"#)
    }

    /// Copies the data directory.
    pub fn copy_data(&self, scratch: &Scratch) -> PathBuf {
        let copy = scratch.path("data");
        copy_files(&self.path.join("data"), &copy);
        copy
    }

    /// Asks a node that runs on such a copy what the recorded one was asked. It may say more, but nothing else.
    #[track_caller]
    pub fn check_answers(&self, node: &Node) {
        assert_eq!(node.document(), self.document(), "{self}");
        for (target, recorded) in &self.answers {
            let answer = answer(node, target);
            assert!(has_all_of(&answer, recorded), "{self}: {target}: {answer} for {recorded}");
        }
    }

    /// Sends the recorded stream.
    #[track_caller]
    pub fn send(&self, visit: &mut Visit) {
        self.text("stream").lines().for_each(|line| send(visit, line));
    }

    /// Sends the ping at the end of the recorded stream.
    #[track_caller]
    pub fn send_last_ping(&self, visit: &mut Visit) {
        send(visit, self.text("stream").lines().last().unwrap());
    }
}

#[track_caller]
fn send(visit: &mut Visit, line: &str) {
    let message = match line.split_once(' ') {
        Some(("text", text)) => Message::text(text),
        Some(("ping", payload)) => Message::Ping(payload.to_owned().into()),
        _ => panic!("{line}"),
    };
    visit.socket.send(message).unwrap();
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// Where the recordings are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What a node answers to a GET, as JSON.
#[track_caller]
pub fn answer(node: &Node, target: &str) -> Value {
    let answer = node.get(target);
    if answer.header("Content-Type") == Some("application/x-ndjson") {
        answer.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
    } else {
        answer.json()
    }
}

/// Whether all that is recorded is there and the same. An object may have more members.
fn has_all_of(found: &Value, recorded: &Value) -> bool {
    match (found, recorded) {
        (Value::Object(found), Value::Object(recorded)) => recorded
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| has_all_of(found, value))),
        (Value::Array(found), Value::Array(recorded)) => {
            found.len() == recorded.len()
                && found.iter().zip(recorded).all(|(found, recorded)| has_all_of(found, recorded))
        }
        _ => found == recorded,
    }
}
