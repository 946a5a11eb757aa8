//! Transactions on their way from a stream to the manager.

use std::pin::Pin;

use super::plain_peer::SubmittedFresh;
use crate::manager::{Handle, Stopped, Submitted};
use crate::transaction::Transaction;

/// About how many bytes of transactions are gathered while the manager is at work on those before.
const BATCH_BYTES: usize = 1 << 20;

/// About how many if the manager has been at work for long. Late arrivals make it apply again what counts after
/// them, so a peer that was cut off for long is caught up with in few large batches.
const LATE_BATCH_BYTES: usize = 64 << 20;

/// About how many bytes a transaction takes in memory beside its payload.
const TRANSACTION_BYTES: usize = 128;

/// Transactions that came and are not submitted yet.
#[derive(Default)]
pub struct Gathered {
    /// In the order in which they came.
    pub transactions: Vec<Transaction>,
    bytes: usize,
    /// Whether the peer's journal ends behind these.
    pub reaches_end: bool,
}

impl Gathered {
    /// Puts a transaction behind the others.
    pub fn push(&mut self, transaction: Transaction) {
        self.bytes += TRANSACTION_BYTES + transaction.payload.len();
        self.transactions.push(transaction);
    }

    /// How many they are.
    pub fn count(&self) -> u64 {
        self.transactions.len() as u64
    }

    /// Whether more may be gathered; `takes_long` says whether the manager has been at work for long.
    pub fn has_room(&self, takes_long: bool) -> bool {
        self.bytes < if takes_long { LATE_BATCH_BYTES } else { BATCH_BYTES }
    }
}

/// Transactions that the manager is at work on.
pub struct PeerBatch {
    /// What becomes of each of them, in their order.
    pub answers: Pin<Box<dyn Future<Output = Result<Vec<Submitted>, Stopped>> + Send>>,
    /// Those without `Time`.
    pub plain: Vec<SubmittedFresh>,
    /// How many they are.
    pub count: u64,
    /// Whether the peer's journal ends behind these.
    pub reaches_end: bool,
    /// Whether the manager has been at work on them for long.
    pub takes_long: bool,
}

impl PeerBatch {
    /// Submits what was gathered.
    pub fn submit(gathered: Gathered, handle: &Handle) -> Self {
        let count = gathered.count();
        let Gathered { transactions, reaches_end, .. } = gathered;
        let (plain, handle) = (SubmittedFresh::of(&transactions), handle.clone());
        let answers = Box::pin(async move { handle.submit(transactions).await });
        Self { answers, plain, count, reaches_end, takes_long: false }
    }
}
