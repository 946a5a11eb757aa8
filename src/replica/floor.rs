//! The history up to a place, in one shape for all uses.

use std::sync::Arc;

use crate::commit::Committed;
use crate::names::Names;
use crate::patch::Document;
use crate::transaction::Place;

/// All of the history up to a place that is needed to go on from there.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    /// The last transaction that counts; none at the beginning and at a base.
    pub end: Option<Place>,
    /// How many transactions count.
    pub index: u64,
    /// All transactions that do not count are in the journal from here on, and perhaps some that do.
    pub position: u64,
    /// What is known of those that count.
    pub counted: Counted,
    /// How many of the chain's commits are passed: all before this number.
    pub passed: u64,
    /// Whether the last one is passed just here, so that nothing of the next segment counts.
    pub is_boundary: bool,
    /// What remains of the past at the last one.
    pub committed: Arc<Committed>,
    /// The document.
    pub document: Document,
}

/// Names and numbers of the transactions up to a place of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Their names, but for those that were forgotten.
    pub names: Names,
    /// How many of them are skipped, without void ones.
    pub skipped: u64,
    /// How many of them are repeated: another one of the same name is before them.
    pub repeated: u64,
}

impl Floor {
    /// The empty history.
    pub fn beginning() -> Self {
        Self { is_boundary: true, ..Self::default() }
    }
}
