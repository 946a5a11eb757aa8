//! What a downstream says beside its transactions, to those only who know version 2 of the wire.

use serde::{Deserialize, Serialize};

/// A message that is no transaction: `{"End":17}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// All before this position of the journal was sent, or was covered by `since`.
    End(u64),
}

impl Note {
    /// Its text.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a number always has a JSON text")
    }

    /// Reads a message; none if it is no note.
    pub fn decode(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_an_object_with_one_member() {
        assert_eq!(Note::End(17).encode(), r#"{"End":17}"#);
        assert_eq!(Note::decode(br#" {"End" : 17} "#), Some(Note::End(17)));
        for text in [r#"{"End":-1}"#, r#"{"End":1,"More":2}"#, r#"{"Other":1}"#, "{}", "17", "[]"] {
            assert_eq!(Note::decode(text.as_bytes()), None, "{text}");
        }
    }
}
