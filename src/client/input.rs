//! JSON that a command is given: an argument, a file or standard input.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::failure::{CommandFailure, CommandResult};
use crate::config::{Exit, Input};
use crate::document::Value;
use crate::patch;

/// A text, and its origin.
#[derive(Debug)]
pub struct Text {
    bytes: Vec<u8>,
    from: String,
    /// The exit status if it is wrong.
    exit: Exit,
}

/// Reads the whole input.
pub fn read(input: &Input) -> CommandResult<Text> {
    let (bytes, from) = match input {
        Input::Text(text) => (Ok(text.as_bytes().to_vec()), "the value".to_owned()),
        Input::File(path) => (fs::read(path), path.display().to_string()),
        Input::Stdin => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            (read.map(|_| bytes), "standard input".to_owned())
        }
    };
    let bytes = bytes.map_err(|error| CommandFailure::failed(format_args!("{from}: {error}")))?;
    // A wrong argument is a wrong command line.
    let exit = if matches!(input, Input::Text(_)) { Exit::Usage } else { Exit::Failed };
    Ok(Text { bytes, from, exit })
}

impl Text {
    /// The JSON value in the text. Unlike a node, this refuses two members of one name: it is not known which
    /// is meant.
    pub fn value(&self) -> CommandResult<Value> {
        value(&self.bytes).map_err(|why| self.failed(why))
    }

    /// The text, checked to be a JSON Patch.
    pub fn patch(self) -> CommandResult<Vec<u8>> {
        let text = str::from_utf8(&self.bytes).map_err(|error| self.failed(error))?;
        patch::parse(text).map_err(|error| self.failed(error))?;
        Ok(self.bytes)
    }

    fn failed(&self, why: impl fmt::Display) -> CommandFailure {
        CommandFailure::new(self.exit, format_args!("{}: {why}; nothing was sent", self.from))
    }
}

/// The JSON value in a text.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn value(text: &[u8]) -> Result<Value, String> {
    if text.starts_with("\u{feff}".as_bytes()) {
        return Err("it begins with a byte order mark, which JSON does not have".to_owned());
    }
    let wrong = |error: serde_json::Error| format!("not JSON: {error}");
    let mut reader = serde_json::Deserializer::from_slice(text);
    Once.deserialize(&mut reader).and_then(|()| reader.end()).map_err(wrong)?;
    serde_json::from_slice(text).map_err(wrong)
}

/// Checks that no object has two members of one name.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Once)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("an object has {name:?} twice")));
            }
            names.insert(name);
            members.next_value_seed(Once)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_value_without_doubt() {
        for (text, expected) in [
            ("{\"a\":[1,1.5,-0.0,18446744073709551615],\"b\":null}", Ok(())),
            (" \"x\" \n", Ok(())),
            ("[{\"a\":1},{\"a\":1}]", Ok(())),
            ("", Err("EOF")),
            ("{\"a\":1}x", Err("trailing characters")),
            ("[1,]", Err("line 1 column 4")),
            ("{\n\"a\":1,\"b\":{},\n\"a\":2}", Err("an object has \"a\" twice at line 3 column 3")),
            ("[{\"a\":1,\"\\u0061\":1}]", Err("\"a\" twice")),
            ("1e400", Err("out of range")),
            ("\u{feff}1", Err("byte order mark")),
        ] {
            match (value(text.as_bytes()), expected) {
                (Ok(value), Ok(())) => {
                    let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
                    assert_eq!(value, theirs.into());
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        assert!(value(&b"[".repeat(200)).is_err_and(|why| why.contains("recursion limit")));
        assert!(value(b"\"\xff\"").is_err());
    }
}
