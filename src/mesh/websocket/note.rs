//! What a downstream sends besides transactions, only to readers that know version 2 of the wire.

use serde::{Deserialize, Serialize};

use crate::mesh::members::Reports;
use crate::mesh::tree;
use crate::replica::base::{BaseSummary, More};

/// A message that is not a transaction: an object whose first member names its kind, such as `{"End":17}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Note {
    /// All of the journal before this position was sent, or counted by the reader's clock.
    End(u64),
    /// A base follows. This has all of it but the document, or the first part of that.
    Base(Box<BaseSummary>),
    /// Another part of that.
    More(More),
    /// A part of the text of the base's document.
    Piece(String),
    /// The base is complete.
    #[serde(rename_all = "PascalCase")]
    BaseEnd {
        /// The hash of the document's text, in hexadecimal digits.
        sha256: String,
    },
    /// Reports of nodes about themselves, for readers that want them: `{"Members":[...]}`.
    Members(Reports),
    /// What is new, for a lazy reader: `{"Have":{"a~k3x9q2pd":7},"From":17,"To":19}`.
    #[serde(skip)]
    Have(tree::HaveSummary),
}

/// The name of the first member of a summary.
const HAVE: &[u8] = b"Have";

impl Note {
    /// Its text.
    pub fn encode(&self) -> String {
        let text = match self {
            Self::Have(summary) => serde_json::to_string(summary),
            note => serde_json::to_string(note),
        };
        text.expect("a note always has a JSON text")
    }

    /// Reads a message. `None` if it is not a note.
    ///
    /// # Errors
    /// If it is a note that is not valid; what is wrong and where, for a person.
    pub fn decode(text: &[u8]) -> Option<Result<Self, String>> {
        let note = match name(text)? {
            HAVE => serde_json::from_slice(text).map(Self::Have),
            name => is_known(name).then(|| serde_json::from_slice(text))?,
        };
        Some(note.map_err(|error| error.to_string()))
    }
}

/// The name of the first member, without unescaping.
fn name(text: &[u8]) -> Option<&[u8]> {
    let member = text.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    member.strip_prefix(b"\"")?.split(|byte| *byte == b'"').next()
}

fn is_known(name: &[u8]) -> bool {
    matches!(name, b"End" | b"Base" | b"More" | b"Piece" | b"BaseEnd" | b"Members")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Document;
    use crate::replica::base::Written;
    use crate::replica::base::tests::random_base;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let base = random_base(&mut fastrand::Rng::with_seed(1), 9, Document::default());
        let mut written = Written::default();
        let summary = base.begin_summary(&mut written, 3);
        let more = base.more_summary(&mut written, 1).unwrap();
        let beginning = r#"{"Base":{"Commit":{"Source":"main~00000000^"#;
        assert!(Note::Base(summary.clone().into()).encode().starts_with(beginning));
        let sha256 = "0f".repeat(32);
        assert_eq!(Note::End(17).encode(), r#"{"End":17}"#);
        assert_eq!(Note::Piece("{\"a\"".into()).encode(), r#"{"Piece":"{\"a\""}"#);
        let end = Note::BaseEnd { sha256 };
        assert_eq!(end.encode(), format!(r#"{{"BaseEnd":{{"Sha256":"{}"}}}}"#, "0f".repeat(32)));
        for note in [Note::Base(summary.into()), Note::More(more), Note::Piece("й".into()), end] {
            assert_eq!(Note::decode(note.encode().as_bytes()), Some(Ok(note)));
        }
        let have = [("a~00000000".parse().unwrap(), 7)].into_iter().collect();
        let have = Note::Have(tree::HaveSummary { have, from: 17, to: 19 });
        let text = r#"{"Have":{"a~00000000":7},"From":17,"To":19}"#;
        assert_eq!((have.encode(), Note::decode(text.as_bytes())), (text.into(), Some(Ok(have))));
        assert_eq!(Note::decode(b" {\n\"End\" : 17} "), Some(Ok(Note::End(17))));
    }

    #[test]
    fn an_invalid_note_is_not_another_message() {
        for text in [r#"{"Other":1}"#, "{}", "17", "[]", "", "{", "\"End\"", r#"{"Id":1,"End":1}"#]
        {
            assert_eq!(Note::decode(text.as_bytes()), None, "{text}");
        }
        for (text, expected) in [
            (r#"{"End":-1}"#, "invalid value"),
            (r#"{"End":1,"More":2}"#, "line 1"),
            (r#"{"Base":{"Floor":1}}"#, "missing field `Commit`"),
            (r#"{"More":{"Clock":{"a":[1,2],"a":[1,2]}}}"#, "\"a\" is there twice"),
            (r#"{"Piece":1}"#, "expected a string"),
            (r#"{"BaseEnd":{}}"#, "missing field `Sha256`"),
            (r#"{"Members":[{"number":1}]}"#, "missing field `told_ms`"),
            (r#"{"Have":{},"From":1}"#, "missing field `To`"),
            (r#"{"Have":{"a":-1},"From":1,"To":1}"#, "invalid value"),
        ] {
            let error = Note::decode(text.as_bytes()).unwrap().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
