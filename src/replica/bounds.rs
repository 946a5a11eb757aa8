//! How much a replica keeps in memory.

/// How much of a history is kept in memory. What the document is does not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many transactions the recent part has at most: those that can be taken back.
    pub recent_transactions: usize,
    /// About how many bytes the recent part takes at most: payloads, inverses and the entries themselves.
    pub recent_bytes: u64,
    /// How many checkpoints there are at most.
    pub checkpoints: usize,
    /// About how many bytes they take at most, without what they share. The last one is kept in any case.
    pub checkpoint_bytes: usize,
    /// How many transactions are between two checkpoints at least.
    pub checkpoint_spacing: u64,
    /// Of how many skipped transactions the reasons are kept: of the latest in the history.
    pub skipped_listed: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            recent_transactions: 32_768,
            recent_bytes: 4 << 20,
            checkpoints: 256,
            checkpoint_bytes: 32 << 20,
            checkpoint_spacing: 4096,
            skipped_listed: 10_000,
        }
    }
}

#[cfg(test)]
impl Bounds {
    /// Keeps almost nothing in memory, so that most of a history is before the recent part.
    pub const TIGHT: Self = Self {
        recent_transactions: 7,
        recent_bytes: 1 << 20,
        checkpoints: 3,
        checkpoint_bytes: 1 << 20,
        checkpoint_spacing: 10,
        skipped_listed: 5,
    };
}
