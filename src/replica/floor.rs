//! Where a document of the past stands: the history up to there in one shape, whatever it is for.

use std::sync::Arc;

use crate::commit::Committed;
use crate::names::Names;
use crate::patch::Document;
use crate::transaction::Place;

/// The history up to a place, as far as what comes after it needs to know it.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    /// The last transaction that counts; none at the beginning and at a base, before which nothing is.
    pub end: Option<Place>,
    /// How many transactions count.
    pub index: u64,
    /// All transactions that do not count are in the journal from here on; some that do may be too.
    pub position: u64,
    /// What is known of those that count.
    pub counted: Counted,
    /// How many of the chain's commits are passed: all before this number.
    pub passed: u64,
    /// Whether the last one is passed just here, so that nothing of the next segment counts.
    pub is_boundary: bool,
    /// What was left at the last one.
    pub committed: Arc<Committed>,
    /// The document.
    pub document: Document,
}

/// What is known of the transactions up to a place of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Their names, but for those that were forgotten.
    pub names: Names,
    /// How many of them are skipped. What is void is none of them.
    pub skipped: u64,
    /// How many of them are repeated: one of the same name is before them.
    pub repeated: u64,
}

impl Floor {
    /// The history where there is nothing.
    pub fn beginning() -> Self {
        Self { is_boundary: true, ..Self::default() }
    }
}
