//! All reading of the past: journal, history, the fate of a transaction, the document as it was.
//!
//! There is one budget for all of it, so that no reader slows a writer down. What the manager or the journal has in
//! memory is answered at once. All else is done by other threads, a bounded number of them at a time, which rest as
//! long as they work, and it is given up after a time limit. Every answer is a page that is bounded in number and in
//! bytes.

mod budget;
mod conflicts;
mod lookup;
mod replay;

use std::io;

use crate::journal::is_folded;
use crate::manager::{Handle, Stopped};
use crate::transaction::Record;
use budget::Budget;

pub use conflicts::Conflicts;
pub use lookup::FoundTransaction;
pub use replay::HistoryPage;

/// About how many bytes a page has at most; it has one entry at least.
pub const PAGE_BYTES: usize = 1 << 20;

/// Reads the past of one node.
pub struct Query {
    handle: Handle,
    budget: Budget,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Untold {
    /// The history is not that long; this is its length.
    Beyond(u64),
    /// It is before what is kept, which begins here.
    Folded(u64),
    /// It takes too long, or too many others read.
    TooLong,
    /// The journal cannot be read.
    Journal(io::Error),
    /// The node is stopping.
    Stopped,
}

impl From<Stopped> for Untold {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<io::Error> for Untold {
    fn from(error: io::Error) -> Self {
        Self::Journal(error)
    }
}

/// If the journal was folded away meanwhile, says that what was wanted is before what is kept, which `begins` there.
fn unless_folded(why: Untold, begins: impl FnOnce() -> u64) -> Untold {
    match why {
        Untold::Journal(error) if is_folded(&error) => Untold::Folded(begins()),
        other => other,
    }
}

impl Query {
    /// Of the node of this handle.
    pub fn new(handle: Handle) -> Self {
        Self { handle, budget: Budget::default() }
    }

    /// A page of the journal from the position `from` on, or from where it begins, of at most `most`
    /// transactions.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn log(&self, from: Option<u64>, most: usize) -> Result<Vec<Record>, Untold> {
        let journal = self.handle.journal().clone();
        let from = from.unwrap_or_else(|| journal.begin());
        if let Some(records) = journal.read_at_hand(from, most, PAGE_BYTES) {
            return Ok(records);
        }
        let read = move |_: &_| journal.read_blocking(from, most, PAGE_BYTES);
        let read = self.budget.lookups.spend(async { Ok(read) }).await;
        read.map_err(|why| unless_folded(why, || self.handle.journal().begin()))
    }
}
