//! A transaction with its places in history and journal.

use crate::transaction::Place;

/// A transaction on its way into the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Where it belongs.
    pub place: Place,
    /// Where it is in the journal.
    pub position: u64,
    /// The text of its patch.
    pub payload: Box<str>,
}
