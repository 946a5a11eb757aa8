//! One event in the form in which it is sent.

use std::ops::Range;
use std::sync::Arc;

use crate::document::Value;
use crate::http::Coding;
use crate::patch::{Operation, Patch, Pointer, find, within_part};

/// The largest event that is made once for all readers of a part, and the heaviest part that such an event
/// has as a whole.
const MOST_SHARED_BYTES: usize = 64 << 10;

/// A patch that is longer than this, and than the part, is not sent: the part is sent as a whole.
const MOST_CHANGES_BYTES: u64 = 64 << 10;

/// The data of an event without a part. An event without data would be ignored.
pub const GONE: &str = "null\n";

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The part is this value.
    Put,
    /// This JSON Patch was applied to the part.
    Patch,
    /// The part is not there (any more).
    Gone,
}

impl EventKind {
    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Gone => "gone",
        }
    }

    /// The lines before the data.
    pub fn head(self, id: &str) -> String {
        format!("event: {}\nid: {id}\ndata: ", self.name())
    }
}

/// What a change of the document means for the readers of a part.
#[derive(Debug, PartialEq, Eq)]
pub enum PartChange {
    /// Nothing.
    None,
    /// This patch, relative to the part, in one line with a line feed.
    Patch(Vec<u8>),
    /// The part as a whole, or that it is not there.
    Anew,
}

impl PartChange {
    /// The effect of `operations`, which led to `document`, on the part at `pointer`.
    pub fn of(
        operations: &[Operation],
        pointer: &Pointer,
        document: &Value,
        was_there: bool,
    ) -> Self {
        let Some(operations) = within_part(operations, pointer, document, was_there) else {
            return Self::Anew;
        };
        // A reader of the whole document is sent each change of it.
        if operations.is_empty() && !pointer.is_root() {
            return Self::None;
        }
        let mut line =
            serde_json::to_vec(&Patch(operations)).expect("a patch always has a JSON text");
        line.push(b'\n');
        let weight = find(document, pointer).map_or(0, Value::weight);
        if line.len() as u64 > MOST_CHANGES_BYTES.max(weight) {
            return Self::Anew;
        }
        Self::Patch(line)
    }
}

/// An event that was made once for many readers.
#[derive(Clone, Debug)]
pub struct Event {
    chunk: Arc<[u8]>,
    text: Range<usize>,
}

impl Event {
    /// An event with this data, which ends in a line feed. `None` if it is too large.
    pub fn new(kind: EventKind, id: &str, data: &[u8]) -> Option<Self> {
        if data.len() > MOST_SHARED_BYTES {
            return None;
        }
        let head = kind.head(id);
        let length = head.len() + data.len() + 1;
        let begin = Coding::Chunked.before(length as u64).len();
        let chunk = Coding::Chunked.part(&[head.as_bytes(), data, b"\n"]).into();
        Some(Self { chunk, text: begin..begin + length })
    }

    /// An event with a part as a whole, or that it is not there. `None` if it is too large.
    pub fn anew(id: &str, part: Option<&Value>) -> Option<Self> {
        match part {
            None => Self::new(EventKind::Gone, id, GONE.as_bytes()),
            Some(part) if part.weight() > MOST_SHARED_BYTES as u64 => None,
            Some(part) => {
                let mut text = part.to_text();
                text.push(b'\n');
                Self::new(EventKind::Put, id, &text)
            }
        }
    }

    /// The bytes of the event in this coding.
    pub fn part(&self, coding: Coding) -> &[u8] {
        match coding {
            Coding::Chunked => &self.chunk,
            Coding::UntilClose => &self.chunk[self.text.clone()],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::{PointerBuf, parse};

    #[test]
    fn an_event_is_the_same_in_a_chunk_and_without_one() {
        let event = Event::new(EventKind::Patch, "a.7", b"[]\n").unwrap();
        let text = "event: patch\nid: a.7\ndata: []\n\n";
        assert_eq!(event.part(Coding::UntilClose), text.as_bytes());
        assert_eq!(event.part(Coding::Chunked), format!("1f\r\n{text}\r\n").as_bytes());
        assert!(Event::new(EventKind::Put, "a.7", &vec![b' '; MOST_SHARED_BYTES + 1]).is_none());
        let gone = Event::anew("a.8", None).unwrap();
        assert_eq!(gone.part(Coding::UntilClose), b"event: gone\nid: a.8\ndata: null\n\n");
        let put = Event::anew("a.9", Some(&json!({"x": "y\n"}).into())).unwrap();
        let text = b"event: put\nid: a.9\ndata: {\"x\":\"y\\n\"}\n\n";
        assert_eq!(put.part(Coding::UntilClose), text);
    }

    #[test]
    fn a_change_is_sent_in_its_shorter_form() {
        let document = json!({"a": {"b": "x".repeat(10)}}).into();
        let operation = |path: &str, bytes: usize| {
            let patch = json!([{"op": "add", "path": path, "value": "x".repeat(bytes)}]);
            parse(&patch.to_string()).unwrap().0
        };
        let change = |pointer: &str, operations: &[Operation]| {
            PartChange::of(operations, &PointerBuf::parse(pointer).unwrap(), &document, true)
        };
        let small = operation("/a/b", 1);
        let patch = b"[{\"op\":\"add\",\"path\":\"/b\",\"value\":\"x\"}]\n";
        assert_eq!(change("/a", &small), PartChange::Patch(patch.to_vec()));
        assert_eq!(change("/a/b", &small), PartChange::Anew);
        assert_eq!(change("/c", &small), PartChange::None);
        assert_eq!(change("/c", &[]), PartChange::None);
        assert_eq!(change("", &[]), PartChange::Patch(b"[]\n".to_vec()));
        assert_eq!(change("/a", &operation("/a/b", MOST_SHARED_BYTES)), PartChange::Anew);
    }
}
