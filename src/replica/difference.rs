//! Why a node has to take a base from a peer.

use serde::{Deserialize, Serialize};

use super::Replica;
use crate::transaction::Name;

/// Why what a node holds cannot be what the chain says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Difference {
    /// The document at this commit is another one than the commit says.
    Hash(Name),
    /// This commit covers something that was not there when it came.
    Lacks(Name),
    /// The commits that count do not contain this node's base. The last one of them that is known.
    Outside(Option<Name>),
}

impl Difference {
    /// The commit at which a base is needed, or later.
    pub fn commit(&self) -> Option<&Name> {
        match self {
            Self::Hash(name) | Self::Lacks(name) => Some(name),
            Self::Outside(name) => name.as_ref(),
        }
    }
}

impl Replica {
    /// Why this node has to take a base; none if all that can be compared is right.
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// Looks for a difference after commits have come; `lacking` covers what was not there.
    pub(super) fn find_difference(&mut self, lacking: Option<Name>) {
        let chain = self.history.chain();
        let is_kept = |difference: &Difference| match difference {
            // It is over if the chain contains the base again.
            Difference::Outside(_) => chain.is_outside(),
            Difference::Hash(name) | Difference::Lacks(name) => chain.counts(name),
        };
        if self.difference.as_ref().is_some_and(is_kept) {
            return;
        }
        self.difference = if chain.is_outside() {
            Some(Difference::Outside(chain.known_end()))
        } else if let Some(lacking) = lacking {
            Some(Difference::Lacks(lacking))
        } else {
            self.history.verify().err().map(Difference::Hash)
        };
    }
}
