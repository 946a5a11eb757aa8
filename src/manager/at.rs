//! What the manager hands out of the past: what others need to tell it, taken in little time.

use super::{Event, Handle, Manager, Stopped};
use crate::replica::history::at::{Basis, Window};
use crate::replica::history::{Fate, Reason, Whereabouts};
use crate::transaction::Place;

/// What the document as it was is made from.
pub struct DocumentWork {
    /// Where it begins.
    pub basis: Basis,
    /// How many transactions the history has.
    pub length: u64,
}

/// What a listing is made from.
pub struct ListingWork {
    /// The transactions, or where they are read.
    pub window: Window,
    /// How many transactions the history has.
    pub length: u64,
}

/// Where a transaction stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// How many are before it in the history; none if it is before the recent part, so that this has to
    /// be counted.
    pub index: Option<u64>,
    /// What becomes of it.
    pub fate: Fate,
}

/// Some of the transactions that are skipped now, in the order of the history. Why they are is known of
/// the latest ones only; those before are not listed.
#[derive(Clone, Debug)]
pub struct SkippedPage {
    /// How many are skipped in all.
    pub count: u64,
    /// How many are repeated, which are not listed.
    pub repeated: u64,
    /// How many are skipped before those that are listed here.
    pub from: u64,
    /// These, and why.
    pub skipped: Vec<Reason>,
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

    /// What a listing is made from, of at most `most` transactions from index `from` on, and no more
    /// than one that passes `bytes` of payload in all.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn window(
        &self,
        from: u64,
        most: usize,
        bytes: usize,
    ) -> Result<ListingWork, Stopped> {
        self.ask(|reply| Event::ReadWindow { from, most, bytes, reply }).await
    }

    /// Where each of these transactions of the journal stands, which are given by place and position.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn standings(&self, of: Vec<(Place, u64)>) -> Result<Vec<Standing>, Stopped> {
        self.ask(|reply| Event::ReadStandings { of, reply }).await
    }

    /// At most `most` of the transactions that are skipped now, without the first `from`; the last ones
    /// if nothing is said.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn skipped(&self, from: Option<u64>, most: usize) -> Result<SkippedPage, Stopped> {
        self.ask(|reply| Event::ReadSkipped { from, most, reply }).await
    }
}

impl Manager {
    pub(super) fn read_basis(&self, count: u64) -> Result<DocumentWork, u64> {
        let length = self.replica.history().length();
        let basis = self.replica.history().basis(count).ok_or(length)?;
        Ok(DocumentWork { basis, length })
    }

    pub(super) fn read_window(&self, from: u64, most: usize, bytes: usize) -> ListingWork {
        let history = self.replica.history();
        ListingWork { window: history.window(from, most, bytes), length: history.length() }
    }

    pub(super) fn read_standings(&self, of: &[(Place, u64)]) -> Vec<Standing> {
        let history = self.replica.history();
        let standing = |(place, position): &(Place, u64)| Standing {
            index: match history.whereabouts(place) {
                Whereabouts::Recent { index } => Some(index),
                Whereabouts::Past { .. } => None,
            },
            fate: history.fate(place, *position),
        };
        of.iter().map(standing).collect()
    }

    pub(super) fn read_skipped(&self, from: Option<u64>, most: usize) -> SkippedPage {
        let history = self.replica.history();
        let (count, listed) = (history.skipped_count(), history.skipped());
        let unlisted = count - listed.len() as u64;
        let from = from.unwrap_or_else(|| count.saturating_sub(most as u64)).max(unlisted);
        let left_out = usize::try_from(from - unlisted).unwrap_or(usize::MAX);
        let skipped = listed.iter_from(left_out).take(most).cloned().collect();
        SkippedPage { count, repeated: history.repeated_count(), from, skipped }
    }
}
