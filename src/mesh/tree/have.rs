//! What a lazy downstream says in place of transactions.

use serde::{Deserialize, Serialize};

use crate::clock::VectorClock;

/// What a node has that is new since the last summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HaveSummary {
    /// The sources that changed, and the Id expected next of each.
    pub have: VectorClock,
    /// The position of the node's journal at which that begins.
    pub from: u64,
    /// And at which it ends.
    pub to: u64,
}

impl HaveSummary {
    /// This one and the next one in one.
    pub fn join(&mut self, next: &Self) {
        for (source, id) in next.have.iter().filter(|(_, id)| *id > 0) {
            self.have.advance(source, id - 1);
        }
        (self.from, self.to) = (self.from.min(next.from), self.to.max(next.to));
    }
}
