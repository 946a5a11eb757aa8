//! What a lazy downstream sends in place of transactions.

use serde::{Deserialize, Serialize};

use crate::clock::VectorClock;

/// What is new at a node since the last summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HaveSummary {
    /// The sources that changed, with the Id that is expected next of each.
    pub have: VectorClock,
    /// The position in the node's journal at which this begins.
    pub from: u64,
    /// The position at which it ends.
    pub to: u64,
}

impl HaveSummary {
    /// Adds the next summary to this one.
    pub fn join(&mut self, next: &Self) {
        for (source, id) in next.have.iter().filter(|(_, id)| *id > 0) {
            self.have.advance(source, id - 1);
        }
        (self.from, self.to) = (self.from.min(next.from), self.to.max(next.to));
    }
}
