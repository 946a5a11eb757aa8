//! What the manager hands out of the past: what others need to tell it, taken in little time.

use super::{Event, Handle, Manager, Stopped};
use crate::replica::history::at::Basis;

/// What the document as it was is made from.
pub struct DocumentWork {
    /// Where it begins.
    pub basis: Basis,
    /// How many transactions the history has.
    pub length: u64,
}

impl Handle {
    /// What the document after `count` transactions is made from; the length of the history if there
    /// are fewer.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn basis(&self, count: u64) -> Result<Result<DocumentWork, u64>, Stopped> {
        self.ask(|reply| Event::ReadBasis { count, reply }).await
    }
}

impl Manager {
    pub(super) fn read_basis(&self, count: u64) -> Result<DocumentWork, u64> {
        let length = self.replica.history().length();
        let basis = self.replica.history().basis(count).ok_or(length)?;
        Ok(DocumentWork { basis, length })
    }
}
