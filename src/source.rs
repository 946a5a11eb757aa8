//! Who created a transaction.
//!
//! A source names one life of one node's journal: the node's name, `~`, and a random suffix that is new for
//! every new journal. Two lives never share a source. So a node that lost its journal, and counts from the
//! start again, is not mistaken for its former life.
//!
//! Other sources: that of a plain node is any text, and that of a client has the form of a life. A life
//! followed by `^s` stamps the transactions of others; a life followed by `^` and a number makes the commits
//! of that epoch.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest source in bytes. A protocol limit: the same on every node.
pub const MAX_SOURCE_BYTES: usize = 128;

/// The length of a life's suffix: one name has 36^8 lives, about 2.8 * 10^12.
const SUFFIX_CHARACTERS: usize = 8;

/// The longest node name in bytes: it leaves room for `~`, the suffix, `^` and what follows.
pub const MAX_NAME_BYTES: usize = 112;

/// The Id of a life's first transaction: many plain nodes take 0 for one that they have seen.
pub const FIRST_ID: u64 = 1;

/// The end of a source that stamps the transactions of others.
const STAMPER: &str = "^s";

/// The greatest epoch: every life has room for `^` and its digits. A protocol limit.
pub const MAX_EPOCH: u64 = 999_999;

/// The source of the transactions by which a plain node gets a base. No life has it, since a name is not
/// empty.
const BASE: &str = "~base";

/// The author of transactions, mostly one life of one node's journal: 1 to 128 bytes without control
/// characters.
///
/// Cheap to clone. Ordered by bytes, which is the order that breaks ties between equal times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source(Arc<str>);

impl Ord for Source {
    fn cmp(&self, other: &Self) -> Ordering {
        // Mostly they are clones of one another, whose bytes need not be compared.
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The parts of a source of commits, `main~k3x9q2pd^1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch<'a> {
    /// The epoch, from 1 to [`MAX_EPOCH`].
    pub number: u64,
    /// The life of the primary.
    pub life: &'a str,
    /// The name of the primary.
    pub name: &'a str,
}

/// Why a text is not a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// It has no bytes.
    Empty,
    /// It is longer than [`MAX_SOURCE_BYTES`]; this is its length.
    TooLong(usize),
    /// It has a control character: the first one is at this byte.
    ControlCharacter(usize),
    /// A node's name has this character, which separates the parts of a source.
    Separator(char),
}

impl Source {
    /// Begins a life: the node's `name`, `~`, and a suffix taken from `random`.
    ///
    /// # Errors
    /// If `name` cannot name a node: it is empty or longer than [`MAX_NAME_BYTES`], or has a control
    /// character, `~` or `^`.
    pub fn begin_life(name: &str, mut random: u64) -> Result<Self, SourceError> {
        if name.is_empty() {
            return Err(SourceError::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(SourceError::TooLong(name.len()));
        }
        if let Some(separator) = name.chars().find(|character| "~^".contains(*character)) {
            return Err(SourceError::Separator(separator));
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

    /// The source of the transactions by which a plain node gets a base.
    pub fn base() -> Self {
        Self(BASE.into())
    }

    /// The source as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node's name, if this has the form of a life; a client's source has that form too.
    pub fn life_name(&self) -> Option<&str> {
        life_name(&self.0)
    }

    /// The source by which this life stamps the transactions of others.
    ///
    /// # Errors
    /// If the text is too long, since this is no life.
    pub fn stamper(&self) -> Result<Self, SourceError> {
        format!("{}{STAMPER}", self.0).parse()
    }

    /// The source of the commits that this life makes in this epoch.
    ///
    /// # Errors
    /// If the text is too long, since this is no life.
    pub fn committer(&self, epoch: u64) -> Result<Self, SourceError> {
        format!("{}^{epoch}", self.0).parse()
    }

    /// The epoch whose commits this source has; none if it is no source of commits.
    pub fn epoch(&self) -> Option<Epoch<'_>> {
        let (life, digits) = self.0.rsplit_once('^')?;
        let name = life_name(life)?;
        // No sign and no leading zero: an epoch has one text.
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| are_digits && !digits.starts_with('0'))?;
        (number <= MAX_EPOCH).then_some(Epoch { number, life, name })
    }

    /// Whether only nodes create transactions of this source, and never without a `Time`: it stamps those of
    /// others, makes commits, or is that of a base.
    pub fn is_reserved(&self) -> bool {
        self.0.contains('^') || *self.0 == *BASE
    }
}

/// The name in a text that has the form of a life.
fn life_name(text: &str) -> Option<&str> {
    let (name, suffix) = text.rsplit_once('~')?;
    let is_suffix = suffix.len() == SUFFIX_CHARACTERS
        && suffix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (is_suffix && !name.is_empty()).then_some(name)
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
            Self::Separator(separator) => write!(f, "a node's name has no {separator:?}"),
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
        let longest = Source::begin_life(&"n".repeat(MAX_NAME_BYTES), u64::MAX).unwrap();
        assert_eq!(longest.stamper().unwrap().as_str(), format!("{longest}^s"));
    }

    #[test]
    fn the_form_of_a_source_says_its_kind() {
        // A source, its name if it has the form of a life, and whether it is reserved.
        let table = [
            ("a~00000000", Some("a"), false),
            ("a b~zz9zz9zz", Some("a b"), false),
            ("a~b~00000000", Some("a~b"), false),
            ("a~0000000", None, false),
            ("a~0000000A", None, false),
            ("~00000000", None, false),
            ("plain", None, false),
            ("a~00000000^s", None, true),
            ("a~00000000^1", None, true),
            ("~base", None, true),
        ];
        for (text, name, is_reserved) in table {
            let source: Source = text.parse().unwrap();
            assert_eq!((source.life_name(), source.is_reserved()), (name, is_reserved), "{text}");
        }
    }

    #[test]
    fn a_source_of_commits_says_whose_they_are() {
        let longest = Source::begin_life(&"n".repeat(MAX_NAME_BYTES), 0).unwrap();
        for number in [1, MAX_EPOCH] {
            let source = longest.committer(number).unwrap();
            let (life, name) = (longest.as_str(), longest.life_name().unwrap());
            assert_eq!(source.epoch(), Some(Epoch { number, life, name }));
            assert_eq!(source.life_name(), None);
        }
        for text in [
            "a~00000000",
            "a~00000000^s",
            "a~00000000^",
            "a~00000000^0",
            "a~00000000^01",
            "a~00000000^+1",
            "a~00000000^1000000",
            "a~0000000^1",
            "~00000000^1",
            "a^1",
            "a~00000000^1^s",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().epoch(), None, "{text}");
        }
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
        assert_eq!(Source::begin_life("a~b", 1), Err(SourceError::Separator('~')));
        assert_eq!(Source::begin_life("a^b", 1), Err(SourceError::Separator('^')));
    }
}
