//! A transaction with its places in history and journal.

use crate::commit::Chain;
use crate::source::Source;
use crate::transaction::{Name, Place, by, name};

/// A transaction on its way into the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Where it belongs.
    pub place: Place,
    /// Its name; none if it is the stamp, which the place has.
    pub named: Option<Box<Name>>,
    /// Where it is in the journal.
    pub position: u64,
    /// The text of its patch.
    pub payload: Box<str>,
}

impl Placed {
    /// Sorts transactions into the order of the history. Those of one place stay in the order that they have.
    pub fn sort(placed: &mut [Self], chain: &Chain) {
        placed.sort_by(|left, right| chain.order(&left.place).cmp(&chain.order(&right.place)));
    }

    /// The source and the Id by which its author calls it.
    pub fn name(&self) -> (&Source, u64) {
        name(&self.place, self.named.as_deref())
    }

    /// Its stamp, if that is not its name.
    pub fn by(&self) -> Option<(&Source, u64)> {
        by(&self.place, self.named.as_deref())
    }
}
