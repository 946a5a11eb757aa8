//! Hashes by which nodes compare their states.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::VectorClock;
use crate::document::{Digest, Hash};

/// The beginning of a state hash as text, so that it is not mistaken for something else.
const MARK: &str = "patchmesh-state";

/// The hashes of a node's state: two nodes with equal `clock` have accepted the same transactions, and must then have
/// an equal `state`.
///
/// As JSON an object of the two; as text `patchmesh-state CLOCK STATE`, which is short enough for the payload of a ping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHash {
    /// A hash of the vector clock.
    pub clock: Hash,
    /// A hash of the document's text and of the vector clock.
    pub state: Hash,
}

impl StateHash {
    /// The hash of a document with this digest, and of a vector clock.
    pub fn of(document: &Digest, vclock: &VectorClock) -> Self {
        let state = document.hash_with(&clock_text(vclock));
        Self { clock: clock_hash(vclock), state }
    }

    /// Whether it is from a node with this vector clock.
    pub fn is_of(&self, vclock: &VectorClock) -> bool {
        clock_hash(vclock) == self.clock
    }
}

/// A hash of the vector clock.
fn clock_hash(vclock: &VectorClock) -> Hash {
    Hash::of(&clock_text(vclock))
}

fn clock_text(vclock: &VectorClock) -> Vec<u8> {
    serde_json::to_vec(vclock).expect("a vector clock always has a text")
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
    use crate::document::Value;
    use serde_json::json;

    #[test]
    fn equal_states_have_equal_hashes_and_others_do_not() {
        let clock = |next| [("a~1".parse().unwrap(), next)].into_iter().collect();
        let hash = |value: serde_json::Value, next| {
            StateHash::of(&Value::from(value).digest(), &clock(next)).state
        };
        assert_eq!(hash(json!({"a": 1}), 5), hash(json!({"a": 1}), 5));
        assert_ne!(hash(json!({"a": 1}), 5), hash(json!({"a": 2}), 5));
        assert_ne!(hash(json!({"a": 1}), 5), hash(json!({"a": 1}), 6));
        // Other builds compare with this one.
        assert_eq!(hash(json!({"a": 1}), 5).as_str(), "b4a071d585620cb0f376a324ce547de3");
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
