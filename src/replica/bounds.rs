//! How much a replica keeps in memory.

/// How much of a history is kept in memory. What the document is does not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many transactions the recent part has at most: those that can be taken back.
    pub recent_transactions: usize,
    /// About how many bytes of payloads and inverses the recent part has at most.
    pub recent_bytes: u64,
    /// How many checkpoints there are at most.
    pub checkpoints: usize,
    /// About how many bytes all of them have at most: texts and names. One that would have more is not kept.
    pub checkpoint_bytes: usize,
    /// How many transactions are between two checkpoints at least.
    pub checkpoint_spacing: u64,
    /// How many bytes of payload are between two at least, in weights of the document: taking one is
    /// then a small part of the work of applying them.
    pub checkpoint_weights: u64,
    /// How many skipped transactions are listed; beyond that the ones latest in the history are.
    pub skipped_listed: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            recent_transactions: 32_768,
            recent_bytes: 16 << 20,
            checkpoints: 32,
            checkpoint_bytes: 32 << 20,
            checkpoint_spacing: 4096,
            checkpoint_weights: 4,
            skipped_listed: 10_000,
        }
    }
}
