//! Why a node has to take a base from a peer.

use serde::{Deserialize, Serialize};

use super::Replica;
use super::history::Check;
use crate::transaction::Name;

/// A document of at most this weight is hashed at once.
const LIGHT_WEIGHT: u64 = 1 << 20;

/// Why a node does not hold what the chain says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Difference {
    /// The document at this commit has another hash than the commit says.
    Hash(Name),
    /// This commit covers something that was not there when it arrived.
    Lacks(Name),
    /// The commits that count do not contain this node's base; the last of them that is known.
    Outside(Option<Name>),
}

impl Difference {
    /// The commit at which, or after which, a base is needed.
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

    /// Looks for a difference after a commit; `lacking` is a commit that covers something that is not there.
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
        } else {
            lacking.map(Difference::Lacks)
        };
        if self.difference.is_none()
            && let Some(check) = self.history.check().filter(|check| check.weight() <= LIGHT_WEIGHT)
        {
            self.note_check(&check, check.is_right());
        }
    }

    /// A document whose hash is still to be compared, since it was too large to do that at once.
    pub fn check(&self) -> Option<Check> {
        if self.difference.is_some() { None } else { self.history.check() }
    }

    /// Notes the result of a check, unless its commit does not count any more.
    pub fn note_check(&mut self, check: &Check, is_right: bool) {
        if self.difference.is_some() || !self.history.chain().counts(check.commit()) {
            return;
        }
        if is_right {
            self.history.note_right(check);
        } else {
            self.difference = Some(Difference::Hash(check.commit().clone()));
        }
    }
}
