//! What a downstream says with each ping.
//!
//! A reader that does not understand it just answers with a pong. The words and their order are a part of the
//! wire. Later versions may add words at the end.

use std::fmt;

use crate::manager::StateHash;

/// The word before the number of transactions.
const BEHIND: &str = "behind";

/// The payload of a ping: `patchmesh-state CLOCK STATE behind 17`. It fits into 125 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// The node's state hash. `None` if it is not known or not said.
    pub state: Option<StateHash>,
    /// How many transactions are still to be sent on this stream. `None` if it is not said.
    pub behind: Option<u64>,
}

impl Pulse {
    /// Reads a payload. Words that are not understood are ignored.
    pub fn read(payload: &[u8]) -> Self {
        let text = std::str::from_utf8(payload).unwrap_or_default();
        let mut words = text.split(' ').skip_while(|word| *word != BEHIND).skip(1);
        let behind = words.next().and_then(|number| number.parse().ok());
        Self { state: text.parse().ok(), behind }
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.as_ref().map(StateHash::to_string);
        let behind = self.behind.map(|behind| format!("{BEHIND} {behind}"));
        let words: Vec<String> = state.into_iter().chain(behind).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VectorClock;
    use crate::document::Value;

    #[test]
    fn a_pulse_fits_a_ping_and_reads_back() {
        let state = StateHash::of(&Value::object().digest(), &VectorClock::default());
        for state in [None, Some(state)] {
            for behind in [None, Some(0), Some(u64::MAX)] {
                let pulse = Pulse { state: state.clone(), behind };
                let text = pulse.to_string();
                assert!(text.len() <= 125, "{text}");
                assert_eq!(Pulse::read(text.as_bytes()), pulse, "{text}");
                // An earlier version finds the state, and this one reads what a later version sends.
                assert_eq!(text.parse().ok(), state);
                assert_eq!(Pulse::read(format!("{text} more 3").as_bytes()), pulse);
            }
        }
    }

    #[test]
    fn other_payloads_are_an_empty_pulse() {
        for payload in ["", "hello", "behind", "behind -1", "behind x", "17", "behind 1e3"] {
            assert_eq!(Pulse::read(payload.as_bytes()), Pulse::default(), "{payload}");
        }
        assert_eq!(Pulse::read(b"behind 1\xff"), Pulse::default());
    }
}
