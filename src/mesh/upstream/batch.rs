//! Transactions on their way from a stream to the manager.

use std::pin::Pin;

use super::plain_peer::SubmittedFresh;
use crate::manager::{Handle, Stopped, Submitted};
use crate::transaction::Transaction;

/// About how many bytes of transactions are gathered while the manager works on the batch before.
const BATCH_BYTES: usize = 1 << 20;

/// About how many if the manager has worked for long. After late arrivals it must replay what counts after
/// them, so a few large batches let a node catch up faster after a long absence.
const LATE_BATCH_BYTES: usize = 64 << 20;

/// About how many bytes a transaction takes in memory beside its payload.
const TRANSACTION_BYTES: usize = 128;

/// Transactions that have come and are not submitted yet.
#[derive(Default)]
pub struct Gathered {
    /// In the order of arrival.
    pub transactions: Vec<Transaction>,
    bytes: usize,
    /// Whether the peer's journal ends after these.
    pub reaches_end: bool,
}

impl Gathered {
    /// Adds a transaction.
    pub fn push(&mut self, transaction: Transaction) {
        self.bytes += TRANSACTION_BYTES + transaction.payload.len();
        self.transactions.push(transaction);
    }

    /// The number of transactions.
    pub fn count(&self) -> u64 {
        self.transactions.len() as u64
    }

    /// Whether more may be gathered. `takes_long`: the manager has worked on the batch before for long.
    pub fn has_room(&self, takes_long: bool) -> bool {
        self.bytes < if takes_long { LATE_BATCH_BYTES } else { BATCH_BYTES }
    }
}

/// Transactions on which the manager works.
pub struct PeerBatch {
    /// The outcome of each transaction, in order.
    pub answers: Pin<Box<dyn Future<Output = Result<Vec<Submitted>, Stopped>> + Send>>,
    /// The transactions without `Time`.
    pub fresh: Vec<SubmittedFresh>,
    /// The number of transactions.
    pub count: u64,
    /// Whether the peer's journal ends after these.
    pub reaches_end: bool,
    /// Whether the manager has worked on them for long.
    pub takes_long: bool,
}

impl PeerBatch {
    /// Submits the gathered transactions.
    pub fn submit(gathered: Gathered, handle: &Handle) -> Self {
        let count = gathered.count();
        let Gathered { transactions, reaches_end, .. } = gathered;
        let (fresh, handle) = (SubmittedFresh::of(&transactions), handle.clone());
        let answers = Box::pin(async move { handle.submit(transactions).await });
        Self { answers, fresh, count, reaches_end, takes_long: false }
    }
}
