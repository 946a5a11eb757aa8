//! Who created a transaction.
//!
//! A source names one life of one node's journal: the node's name, `~`, and a random suffix that is
//! drawn anew for every new journal. Two lives never share a source, so that a node that lost its
//! journal, and counts from the start again, is not taken for the one that peers have heard already.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest source in bytes. A protocol limit: the same on every node.
pub const MAX_SOURCE_BYTES: usize = 128;

/// Characters of a life's suffix: 36^8 lives of one name, about 2.8 * 10^12.
const SUFFIX_CHARACTERS: usize = 8;

/// The longest node name in bytes: what is left of a source beside `~` and the suffix.
pub const MAX_NAME_BYTES: usize = MAX_SOURCE_BYTES - 1 - SUFFIX_CHARACTERS;

/// The name of one life of one node's journal: 1 to 128 bytes without control characters.
///
/// Cheap to clone. Ordered by bytes, which is the order that breaks ties between equal times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source(Arc<str>);

impl Ord for Source {
    fn cmp(&self, other: &Self) -> Ordering {
        // Mostly they are clones of one another, which need not be read.
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a text is not a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// It has no bytes.
    Empty,
    /// It is longer than [`MAX_SOURCE_BYTES`]; this is its length.
    TooLong(usize),
    /// It has a control character, the first one at this byte.
    ControlCharacter(usize),
}

impl Source {
    /// Begins a life: the node's `name`, `~`, and a suffix taken from `random`.
    ///
    /// # Errors
    /// Where the whole is not a source: the name is longer than [`MAX_NAME_BYTES`] or has a control
    /// character.
    pub fn begin_life(name: &str, mut random: u64) -> Result<Self, SourceError> {
        if name.is_empty() {
            return Err(SourceError::Empty);
        }
        let mut source = String::with_capacity(name.len() + 1 + SUFFIX_CHARACTERS);
        source.push_str(name);
        source.push('~');
        for _ in 0..SUFFIX_CHARACTERS {
            const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
            source.push(char::from(ALPHABET[(random % 36) as usize]));
            random /= 36;
        }
        source.parse()
    }

    /// The source as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if text.len() > MAX_SOURCE_BYTES {
            return Err(SourceError::TooLong(text.len()));
        }
        match text.find(char::is_control) {
            Some(at) => Err(SourceError::ControlCharacter(at)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a source must not be empty"),
            Self::TooLong(bytes) => {
                write!(f, "a source has at most {MAX_SOURCE_BYTES} bytes, this one has {bytes}")
            }
            Self::ControlCharacter(at) => {
                write!(f, "a source has no control characters, this one has one at byte {at}")
            }
        }
    }
}

impl std::error::Error for SourceError {}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a source, which is a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Source, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_the_name_and_a_suffix() {
        assert_eq!(Source::begin_life("filonenko", 0).unwrap().as_str(), "filonenko~00000000");
        assert_eq!(Source::begin_life("a", 35 + 36).unwrap().as_str(), "a~z1000000");
        assert!(Source::begin_life(&"n".repeat(MAX_NAME_BYTES), u64::MAX).is_ok());
    }

    #[test]
    fn what_is_not_a_source_says_why() {
        let table = [
            (String::new(), SourceError::Empty),
            ("s".repeat(129), SourceError::TooLong(129)),
            ("a\nb".into(), SourceError::ControlCharacter(1)),
            ("ab\u{85}".into(), SourceError::ControlCharacter(2)),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Source>(), Err(error));
        }
        assert_eq!(Source::begin_life("", 1), Err(SourceError::Empty));
        assert!(Source::begin_life(&"n".repeat(MAX_NAME_BYTES + 1), 1).is_err());
    }
}
