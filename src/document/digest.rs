//! Hashes of values' texts.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::Value;

/// The first half of a SHA-256 hash, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash(Arc<str>);

/// The length and the hash of a value's JSON text.
#[derive(Clone, Debug)]
pub struct Digest {
    length: u64,
    hasher: Sha256,
    hash: Hash,
}

impl Value {
    /// Makes the text once, and never has more than a piece of it in memory.
    pub fn digest(&self) -> Digest {
        Digest::of(self.pieces())
    }
}

impl Digest {
    /// The digest of the text in these pieces.
    pub fn of(pieces: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let (mut length, mut hasher) = (0, Sha256::new());
        for piece in pieces {
            let piece = piece.as_ref();
            length += piece.len() as u64;
            hasher.update(piece);
        }
        let hash = Hash::finish(hasher.clone());
        Self { length, hasher, hash }
    }

    /// How many bytes the text has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A hash of the text alone.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// A hash of the text and of something else.
    pub fn hash_with(&self, other: &[u8]) -> Hash {
        // A JSON text has no zero byte, so one cannot be mistaken for a part of the other.
        Hash::finish(self.hasher.clone().chain_update(b"\0").chain_update(other))
    }
}

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn finish(hasher: Sha256) -> Self {
        let half = &hasher.finalize()[..16];
        Self(half.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Hash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let are_digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() == 32 && are_digits { Ok(Self(text.into())) } else { Err(()) }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|()| D::Error::custom("a hash has 32 hexadecimal digits"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
