//! A node that speaks only the first version of the protocol, in the memory of a test.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::Message;

use super::{PATIENCE, Stream};

/// A node that knows no `Time`, no commits and no bases: it applies what it is sent, in the order in which that comes.
pub struct PlainReader {
    document: Value,
    vclock: BTreeMap<String, u64>,
    /// How many transactions of `~base` it has applied.
    pub parts: usize,
}

impl Default for PlainReader {
    fn default() -> Self {
        Self { document: json!({}), vclock: BTreeMap::new(), parts: 0 }
    }
}

impl PlainReader {
    /// Takes one message, and leaves out what it knows and what does not apply.
    #[track_caller]
    pub fn take(&mut self, message: &str) {
        let transaction: Value = serde_json::from_str(message).unwrap();
        let (source, id) =
            (transaction["Source"].as_str().unwrap(), transaction["Id"].as_u64().unwrap());
        let next = self.vclock.entry(source.to_owned()).or_default();
        if *next > id {
            return;
        }
        let patch: json_patch::Patch =
            serde_json::from_str(transaction["Payload"].as_str().unwrap()).unwrap();
        if json_patch::patch(&mut self.document, &patch).is_ok() {
            *next = id + 1;
            self.parts += usize::from(source == "~base");
        }
    }

    /// Reads a stream until it has this document; returns how many messages that took.
    #[track_caller]
    pub fn read_until(&mut self, stream: &mut Stream, document: &str) -> usize {
        let (begin, mut messages) = (Instant::now(), 0);
        while self.text() != document {
            // Pings come all the time.
            assert!(begin.elapsed() < PATIENCE, "{} is not {document}", self.text());
            if let Message::Text(message) = stream.socket.read().unwrap() {
                self.take(&message);
                messages += 1;
            }
        }
        messages
    }

    /// The document's text.
    pub fn text(&self) -> String {
        self.document.to_string()
    }
}
