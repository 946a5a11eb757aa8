//! What readers are given of the state: its text, and hashes by which states are compared.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::VectorClock;
use crate::document::{Digest, Hash, Value};

/// A document up to this weight is cheap enough to be hashed whenever somebody asks.
pub const CHEAP_WEIGHT: u64 = 4 << 20;

/// A heavier one is hashed when it has not changed for this long.
pub const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// What a state hash begins with as text, so that it is not taken for something else.
const MARK: &str = "patchmesh-state";

/// A document, or a part of one, as readers get it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The JSON text and a line feed.
    pub line: Arc<[u8]>,
    /// A hash of the text, and of nothing else: equal texts have equal hashes, whichever transactions led
    /// to them.
    pub hash: Hash,
}

/// The whole document as it was read at one point.
#[derive(Debug)]
pub struct Whole {
    /// The document.
    pub snapshot: Snapshot,
    /// What nodes compare, see [`StateHash::state`].
    pub state: Hash,
}

/// What was read of the document, and at which point.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The document, or the part asked for; none where there is nothing.
    pub snapshot: Option<Snapshot>,
    /// What had been seen of every source.
    pub vclock: Arc<VectorClock>,
    /// How many transactions the history had.
    pub length: u64,
}

/// What a node has: two nodes with equal `clock` have accepted the same transactions, and must then
/// have an equal `state`.
///
/// As JSON an object of the two; as text `patchmesh-state CLOCK STATE`, which is short enough for the payload of a ping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateHash {
    /// A hash of the vector clock.
    pub clock: Hash,
    /// A hash of the document's text and of the vector clock.
    pub state: Hash,
}

impl Snapshot {
    /// The document or a part of it.
    pub fn new(value: &Value) -> Self {
        Self::digested(value).0
    }

    fn digested(value: &Value) -> (Self, Digest) {
        let mut line = value.to_text();
        let digest = Digest::of([&line]);
        line.push(b'\n');
        (Self { line: line.into(), hash: digest.hash().clone() }, digest)
    }

    /// The JSON text.
    pub fn text(&self) -> &[u8] {
        &self.line[..self.line.len() - 1]
    }
}

impl Whole {
    /// The document, with what was seen of every source.
    pub fn new(root: &Value, vclock: &VectorClock) -> Self {
        let (snapshot, digest) = Snapshot::digested(root);
        Self { snapshot, state: digest.hash_with(&clock_text(vclock)) }
    }
}

/// A hash of the vector clock.
pub fn clock_hash(vclock: &VectorClock) -> Hash {
    Hash::of(&clock_text(vclock))
}

fn clock_text(vclock: &VectorClock) -> Vec<u8> {
    serde_json::to_vec(vclock).expect("a vector clock always has a text")
}

impl StateHash {
    /// Whether it is that of a node that has seen this.
    pub fn is_of(&self, vclock: &VectorClock) -> bool {
        clock_hash(vclock) == self.clock
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK} {} {}", self.clock, self.state)
    }
}

impl FromStr for StateHash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        if words.next() != Some(MARK) {
            return Err(());
        }
        let mut hash = || words.next().ok_or(())?.parse();
        Ok(Self { clock: hash()?, state: hash()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_states_have_equal_hashes_and_others_do_not() {
        let clock = |next| [("a~1".parse().unwrap(), next)].into_iter().collect();
        let hash = |value: serde_json::Value, next| Whole::new(&value.into(), &clock(next)).state;
        assert_eq!(hash(json!({"a": 1}), 5), hash(json!({"a": 1}), 5));
        assert_ne!(hash(json!({"a": 1}), 5), hash(json!({"a": 2}), 5));
        assert_ne!(hash(json!({"a": 1}), 5), hash(json!({"a": 1}), 6));
        // Other builds compare with this one.
        assert_eq!(hash(json!({"a": 1}), 5).as_str(), "b4a071d585620cb0f376a324ce547de3");
    }

    #[test]
    fn the_hash_of_a_document_is_that_of_its_text_alone() {
        let clock = |next| [("a~1".parse().unwrap(), next)].into_iter().collect();
        let value = json!({"a": [1, "\n"]}).into();
        let part = Snapshot::new(&value);
        for next in [1, 2] {
            let whole = Whole::new(&value, &clock(next));
            assert_eq!(
                (whole.snapshot.hash, whole.snapshot.line),
                (part.hash.clone(), part.line.clone())
            );
        }
        assert_eq!(part.text(), br#"{"a":[1,"\n"]}"#);
        assert_eq!(part.line[..], [part.text(), b"\n"].concat());
        assert_eq!(part.hash, Hash::of(part.text()));
    }

    #[test]
    fn a_state_hash_fits_a_ping_and_reads_back() {
        let hash = StateHash { clock: Hash::of(b"c"), state: Hash::of(b"s") };
        let text = hash.to_string();
        assert!(text.len() <= 125, "{text}");
        assert_eq!(text.parse(), Ok(hash));
        for other in ["", "patchmesh-state", "patchmesh-state 12 34", "hello"] {
            assert_eq!(other.parse::<StateHash>(), Err(()), "{other}");
        }
    }
}
